/* forward_reach.c - the way from a gateway to the server of a route.
 *
 * Called on the request's fiber, and by the pool of links on it. A name leads where its owner says, at any
 * moment: so it is resolved for each connection, each address is checked against the configuration of the
 * request, and one that was checked is connected to. A link is used again only for the same route under
 * the same set of files. What asks about a task goes to the one that has made it, if it is still there. */
#include "tunnel/gateway/forward_internal.h"

#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "tunnel/gateway/reach.h"
#include "tunnel/gateway/stdio.h"

#include <string.h>

/* origins_dial. */
static int dial(void *arg, struct stream *ret, enum http_version *ret_version,
                char ret_peer[ORIGIN_PEER_MAX], struct err *e)
{
    struct gateway_request *q = arg;
    const struct reach_how how = {.config = q->face->config,
                                  .trust = q->face->upstream_trust,
                                  .shown = q->face->shown,
                                  .resolver = q->f->o.resolver,
                                  .own = &q->f->own,
                                  .stdio = q->f->o.stdio,
                                  .keeper = q->f->o.keeper,
                                  .prefer = q->sticky};
    struct reach_seen seen;
    int r = gateway_reach(&how, &q->route->upstream, ret, ret_version, &seen, e);
    if (r < 0)
        q->source = forward_source_of(seen.source);
    (void)str_copy(ret_peer, ORIGIN_PEER_MAX, seen.peer);
    return r;
}

static int get_link(struct gateway_request *q, bool fresh, struct err *e)
{
    const struct gateway_upstream *up = &q->route->upstream;
    bool tls = up->scheme == GATEWAY_HTTPS;
    const bool local = up->scheme == GATEWAY_UNIX || up->scheme == GATEWAY_STDIO;
    /* Links that others share lead to any of a route's servers. No host and no path begins with a newline. */
    AUTO_FREE char *to_one =
        q->sticky[0] ? mem_printf("\n%s\n%s", q->route->host.text, q->sticky) : NULL;
    const char *binding = up->path ? up->path : q->route->host.text;
    const struct origin_key key = {.binding = to_one ? to_one : binding,
                                   .tls = tls,
                                   .host = local ? &q->route->host : &up->host,
                                   .port = up->port,
                                   .verified = tls ? up->host.text : NULL,
                                   .offers_h2 = tls,
                                   .policy_hash = q->face->number,
                                   .credentials = q->secret->id};
    return origins_get(q->f->origins, &key, fresh, dial, q, &q->lease, e);
}

int forward_link(struct gateway_request *q, bool fresh, struct err *e)
{
    const int64_t until_ns = forward_until_ns(q);
    struct fiber_deadline d = fiber_deadline_push(until_ns);
    int r = get_link(q, fresh, e);
    fiber_deadline_pop(&d);
    if (r == 0 || r == -ECANCELED || time_mono_ns() < until_ns)
        return r;
    q->source = TIMEOUT;
    return err_set(e, -ETIMEDOUT,
                   "the call's time, by limits of the route, was over before there was a "
                   "connection to the server");
}

#define WORDS_MAX 500

static void read_words(struct http_pipe *p, struct buf *ret)
{
    char piece[128];
    ssize_t n;
    while ((n = http_read_body(p, piece, sizeof(piece), NULL)) > 0)
        if (buf_add(ret, piece, (size_t)n) < 0)
            break;
}

int forward_stdio_failure(struct gateway_request *q, const struct http_head *h)
{
    const struct http_field *f = q->route->upstream.scheme == GATEWAY_STDIO
                                     ? http_fields_get(&h->fields, STDIO_FAILURE_HEADER, NULL)
                                     : NULL;
    char source[32] = "";
    if (!f)
        return 0;
    if (f->value.n < sizeof(source)) {
        memcpy(source, f->value.p, f->value.n);
        source[f->value.n] = '\0';
    }
    AUTO(buf) words = BUF_INIT(WORDS_MAX);
    read_words(q->upstream, &words);
    forward_fail(q, h->status, forward_source_of(source), buf_str(&words));
    return -EIO;
}
