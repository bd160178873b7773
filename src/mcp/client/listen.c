/* listen.c - a stream of the server's own, followed by a fiber of the client.
 *
 * Two eras have one. On HTTP+SSE it is everything: its first event names the address for requests, and
 * every answer comes on it; when it ends, all calls that wait end with it. With the revisions of 2025
 * it is for what belongs to no call, a server may have none (405), and it is opened again where it
 * ended. The fiber belongs to the client's scope and ends with the client. The server decides what
 * comes: messages have their ceiling, and the address must be of the caller's origin (endpoint.c). */
#include "base/time.h"
#include "mcp/client/client_internal.h"

#include <string.h>

#define READ_BYTES 4096 /* an idle stream holds them */

struct follow {
    struct mcp_client *c;
    struct mcp_failure *f;
    bool heard;
};

static int take_endpoint(struct mcp_client *c, const char *data, size_t n, struct mcp_failure *f)
{
    if (c->post_url) /* it does not move */
        return 0;
    int r = mcp_endpoint_resolve(c->url, data, n, &c->post_url, &f->err);
    if (r < 0) {
        f->source = MCP_PROTOCOL;
        return r;
    }
    waitq_wake_all(&c->endpoint);
    return 0;
}

static int on_shared_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct follow *w = arg;
    (void)id;
    w->heard = true;
    if (w->c->wire == MCP_WIRE_SSE && str_eq(event, "endpoint"))
        return take_endpoint(w->c, data, n, w->f);
    if (n == 0 || !str_eq(event, "message"))
        return 0;
    if (w->c->wire == MCP_WIRE_SSE && !w->c->post_url)
        return mcp_fail(w->f, MCP_PROTOCOL, -E_PROTO,
                        "the server's stream does not begin with the address for requests");
    return mcp_incoming(w->c, NULL, data, n, w->f);
}

static int open_stream(struct mcp_client *c, const char *last_id, struct mcp_reply *r,
                       struct mcp_failure *f)
{
    int code = mcp_exchange_open(c, NULL, "GET", c->url, NULL, last_id, r, f);
    if (code == 0 && (r->head.status < 200 || r->head.status > 299))
        code = mcp_reply_refused(c, r, f);
    else if (code == 0 && !mcp_reply_is(r, "text/event-stream"))
        code = mcp_fail(f, MCP_HTTP, -E_PROTO, "a GET brings no event stream");
    c->heard_head = true;
    waitq_wake_all(&c->endpoint);
    return code;
}

/* One stream to its end. 0: it ended; or negative. */
static int follow_stream(struct mcp_client *c, struct mcp_reply *r, char last_id[256],
                         int64_t *retry_ms, bool *heard, struct mcp_failure *f)
{
    struct follow w = {c, f, false};
    AUTO(sse_parser) parser;
    sse_parser_init(&parser, c->limits.message_bytes, on_shared_event, &w);
    (void)str_copy(parser.id, sizeof(parser.id), last_id);
    AUTO_FREE char *bytes = mem_array(READ_BYTES, 1);
    int code = 0;
    while (code == 0) {
        ssize_t n = c->t->ops->read(c->t, r->stream, bytes, READ_BYTES, &f->err);
        if (n == 0)
            break;
        code = n < 0 ? mcp_fail_transport(f, (int)n) : sse_parser_feed(&parser, bytes, (size_t)n);
        if (code < 0 && !f->source)
            code = mcp_fail(f, MCP_LIMIT, code, "an event of the server is too large or malformed");
    }
    (void)str_copy(last_id, 256, parser.id);
    if (parser.retry_ms >= 0)
        *retry_ms = parser.retry_ms;
    *heard = w.heard;
    return code;
}

static int follow_all(struct mcp_client *c, struct mcp_failure *f)
{
    char last_id[256] = "";
    int64_t retry_ms = MCP_RETRY_MS;
    for (int tries = 0; tries < MCP_RESUMES; tries++) {
        struct mcp_reply r = {0};
        bool heard = false;
        int code = open_stream(c, last_id, &r, f);
        if (code == 0)
            code = follow_stream(c, &r, last_id, &retry_ms, &heard, f);
        mcp_reply_done(c, &r);
        bool lost = code == 0 || f->source == MCP_CLOSED || f->source == MCP_CONNECT;
        if (c->wire == MCP_WIRE_SSE || !lost)
            return code;
        if (heard)
            tries = 0;
        mcp_failure_done(f);
        code = fiber_sleep_ms(retry_ms < MCP_RETRY_MAX ? retry_ms : MCP_RETRY_MAX);
        if (code < 0)
            return code;
    }
    return 0;
}

static int listener(void *arg)
{
    struct mcp_client *c = arg;
    fiber_deadline_clear(); /* it serves every call, for as long as the client lives */
    struct mcp_failure f = {0};
    int r = follow_all(c, &f);
    c->listening = false;
    mcp_failure_done(&c->ended_by);
    c->ended_by = f;
    if (r == 0 || !c->ended_by.source)
        (void)mcp_fail(&c->ended_by, MCP_CLOSED, -E_CLOSED, "the server ended its stream");
    if (c->wire != MCP_WIRE_SSE)
        return 0;
    c->ended = true;
    waitq_wake_all(&c->endpoint);
    LIST_FOREACH (p, &c->pending, struct mcp_pending, node) {
        p->broken = true;
        waitq_wake_all(&p->wake);
    }
    return 0;
}

int mcp_listen_start(struct mcp_client *c, struct mcp_failure *f)
{
    int r = fiber_spawn(&c->scope, "mcp-listen", listener, c, NULL);
    if (r < 0)
        return mcp_fail(f, MCP_HERE, r, "no fiber for the server's stream: %s", err_text(r));
    c->listening = true;
    c->heard_head = false;
    return 0;
}

int mcp_listen_ready(struct mcp_client *c, struct mcp_failure *f)
{
    struct fiber_deadline d = fiber_deadline_push_ms(MCP_READY_MS);
    int r = 0;
    while (r == 0 && !c->heard_head)
        r = waitq_wait(&c->endpoint);
    fiber_deadline_pop(&d);
    /* Some servers send no head before the first event. */
    if (r == -ETIMEDOUT && fiber_deadline_ns() > time_mono_ns())
        r = 0;
    if (r < 0)
        err_set(&f->err, r, "the call was cancelled, or its time is over");
    return r < 0 ? mcp_fail_transport(f, r) : 0;
}

int mcp_listen_endpoint(struct mcp_client *c, struct mcp_failure *f)
{
    struct fiber_deadline d = fiber_deadline_push_ms(c->limits.silence_ms);
    int r = 0;
    while (r == 0 && !c->post_url && !c->ended)
        r = waitq_wait(&c->endpoint);
    fiber_deadline_pop(&d);
    if (r < 0) {
        err_set(&f->err, r, "the server's stream does not say where requests go");
        return mcp_fail_transport(f, r);
    }
    if (c->post_url)
        return 0;
    f->status = c->ended_by.status;
    f->challenge = c->ended_by.challenge;
    return mcp_fail(f, c->ended_by.source, c->ended_by.err.code, "%s", c->ended_by.err.msg);
}
