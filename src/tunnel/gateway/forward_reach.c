/* forward_reach.c - the way from a gateway to the server of a route.
 *
 * Called on the request's fiber, and by the pool of links on it. A name leads where its owner says, at any
 * moment: so it is resolved for each connection, each address is checked against the configuration of the
 * request, and one that was checked is connected to. A link is used again only for the same route under
 * the same set of files. */
#include "tunnel/gateway/forward_internal.h"

#include "fiber/fiber.h"
#include "io/race.h"
#include "io/resolve.h"
#include "io/sock.h"
#include "io/tls.h"

#include <string.h>
#include <unistd.h>

#define CONNECT_MS 10000
#define TLS_MS     10000

static int look_up(struct gateway_request *q, struct address *list, size_t *ret_n, struct err *e)
{
    const struct host *h = &q->route->upstream.host;
    *ret_n = 1;
    if (h->kind == HOST_IPV4)
        return address_parse(h->text, h->n, &list[0], e);
    if (h->kind == HOST_IPV6)
        return address_parse(h->text + 1, h->n - 2u, &list[0], e);
    struct resolved all;
    int r = resolver_lookup(q->f->o.resolver, h->text, &all, NULL, e);
    if (r < 0) {
        q->source = r == -ETIMEDOUT ? TIMEOUT : DNS;
        return r;
    }
    *ret_n = all.n;
    for (size_t i = 0; i < all.n; i++)
        memcpy(list[i].b, all.address[i], sizeof(list[i].b));
    return 0;
}

/* Leaves those that may be connected to. */
static int keep_allowed(struct gateway_request *q, struct address *list, size_t *n, struct err *e)
{
    struct gateway_forward *f = q->f;
    int r = own_addresses_refresh(&f->own, e);
    if (r < 0)
        return r;
    AUTO_FREE struct cidr *own = mem_array(f->own.n, sizeof(*own));
    for (size_t i = 0; i < f->own.n; i++) {
        memcpy(own[i].net.b, f->own.items[i], sizeof(own[i].net.b));
        own[i].bits = 128;
    }
    const struct cidr_list ours = {own, f->own.n};
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (gateway_config_may_connect(q->face->config, &list[i], &ours, e) == 0)
            list[kept++] = list[i];
    *n = kept;
    if (kept)
        *e = (struct err){0}; /* of those that were left out */
    q->source = POLICY;
    return kept ? 0 : -E_DENIED;
}

static int connect_tcp(struct gateway_request *q, struct stream *ret,
                       char ret_peer[ORIGIN_PEER_MAX], struct err *e)
{
    struct address list[RACE_MAX];
    size_t n, which;
    int fd;
    q->source = DNS;
    int r = look_up(q, list, &n, e);
    if (r == 0)
        r = keep_allowed(q, list, &n, e);
    if (r < 0)
        return r;
    q->source = CONNECT;
    r = race_connect(list, n, q->route->upstream.port, CONNECT_MS, &fd, &which, e);
    if (r == -ETIMEDOUT)
        q->source = TIMEOUT;
    if (r == 0 && (r = stream_from_fd(ret, fd)) < 0)
        (void)close(fd);
    if (r == 0)
        address_text(&list[which], ret_peer);
    return r;
}

static int connect_unix(struct gateway_request *q, struct stream *ret, struct err *e)
{
    AUTO_FREE char *at = mem_printf("unix:%s", q->route->upstream.path);
    struct io_fd io = IO_FD_NONE;
    q->source = CONNECT;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(CONNECT_MS);
    int r = sock_connect(at, &io, e);
    if (r < 0)
        return r;
    int fd = io_fd_release(&io);
    r = stream_from_fd(ret, fd);
    if (r < 0)
        (void)close(fd);
    return r;
}

/* origins_dial. */
static int reach(void *arg, struct stream *ret, enum http_version *ret_version,
                 char ret_peer[ORIGIN_PEER_MAX], struct err *e)
{
    static const char *const offers[] = {"h2", "http/1.1", NULL};
    struct gateway_request *q = arg;
    const struct gateway_upstream *up = &q->route->upstream;
    *ret_version = HTTP_1_1;
    ret_peer[0] = '\0';
    if (up->scheme == GATEWAY_UNIX)
        return connect_unix(q, ret, e);
    int r = connect_tcp(q, ret, ret_peer, e);
    if (r < 0 || up->scheme != GATEWAY_HTTPS)
        return r;
    q->source = TLS;
    const struct tls_connect_options o = {
        .host = up->host.text, .is_ip = up->host.kind != HOST_NAME, .alpn = offers};
    const char *alpn = NULL;
    struct stream under;
    stream_move(&under, ret);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(TLS_MS);
    r = tls_connect(q->face->upstream_trust, &o, &under, ret, &alpn, e);
    *ret_version = alpn == offers[0] ? HTTP_2 : HTTP_1_1;
    return r;
}

int forward_link(struct gateway_request *q, bool fresh, struct err *e)
{
    const struct gateway_upstream *up = &q->route->upstream;
    bool tls = up->scheme == GATEWAY_HTTPS;
    const struct origin_key key = {.binding = up->path ? up->path : q->route->host.text,
                                   .tls = tls,
                                   .host = up->scheme == GATEWAY_UNIX ? &q->route->host : &up->host,
                                   .port = up->port,
                                   .verified = tls ? up->host.text : NULL,
                                   .offers_h2 = tls,
                                   .policy_hash = q->face->number,
                                   .credentials = q->secret->id};
    return origins_get(q->f->origins, &key, fresh, reach, q, &q->lease, e);
}
