/* exchange.c - one request of ours, from its headers to its answer.
 *
 * Runs on the fiber that makes the call. The answer is one JSON object, or a stream of events that ends
 * with it; on HTTP+SSE it comes on the stream that listen.c follows, and the fiber waits for it. A
 * stream of 2025 that ends early, but had an event with an id, is taken up again by GET with
 * Last-Event-ID; a stream of 2026-07-28 is not: its end before the answer is the end of the call.
 *
 * The server decides status, headers and bytes. Each message has a ceiling, so has the exchange as a
 * whole, and every wait ends: when nothing was heard of the call for silence_ms, and after whole_ms in
 * any case, whatever else the stream brings. When the fiber is cancelled, or time is up, closing the
 * stream tells a server of 2026-07-28; an older one is sent notifications/cancelled. */
#include "base/limits.h"
#include "base/time.h"
#include "mcp/client/client_internal.h"

#include <string.h>

#define READ_BYTES 16384

/* ---- requests that wait ---- */

void mcp_pending_begin(struct mcp_client *c, struct mcp_pending *p, uint64_t id)
{
    *p = (struct mcp_pending){.id = id, .retry_ms = -1, .began_ns = time_mono_ns()};
    p->progress_ns = p->began_ns;
    waitq_init(&p->wake);
    list_push_back(&c->pending, &p->node);
}

void mcp_pending_end(struct mcp_pending *p)
{
    list_remove(&p->node);
    json_decref(p->result);
    json_decref(p->error);
    p->result = p->error = NULL;
}

int64_t mcp_pending_until(const struct mcp_client *c, const struct mcp_pending *p)
{
    int64_t heard_ns = c->asking ? time_mono_ns() : p->progress_ns;
    int64_t quiet = heard_ns + c->limits.silence_ms * NS_PER_MS;
    int64_t whole = p->began_ns + c->limits.whole_ms * NS_PER_MS;
    return quiet < whole ? quiet : whole;
}

/* ---- one HTTP exchange ---- */

void mcp_reply_done(struct mcp_client *c, struct mcp_reply *r)
{
    if (r->stream)
        c->t->ops->close(c->t, r->stream);
    client_response_done(&r->head);
    *r = (struct mcp_reply){0};
}

bool mcp_reply_is(const struct mcp_reply *r, const char *media_type)
{
    char type[256];
    if (!client_response_header(&r->head, "content-type", type, sizeof(type)))
        return false;
    size_t n = strcspn(type, "; \t");
    return str_ieq_n(type, n, media_type, strlen(media_type));
}

/* ---- answers that are none ---- */

int mcp_fail_rpc(struct mcp_failure *f, int status, json_t *error)
{
    const char *message = json_get_str(error, "message");
    AUTO(buf) shown = BUF_INIT(1024);
    str_escape(&shown, message ? message : "", message ? strlen(message) : 0, 250);
    f->status = status;
    f->rpc_code = json_get_int(error, "code", 0);
    json_decref(f->rpc_error);
    f->rpc_error = json_incref(error);
    return mcp_fail(f, MCP_SERVER, -E_DENIED, "the server answers with error %lld: %s",
                    (long long)f->rpc_code, buf_str(&shown));
}

static int refused_auth(struct mcp_reply *r, struct mcp_failure *f)
{
    mcp_reply_challenge(r, &f->challenge);
    AUTO(buf) shown = BUF_INIT(512);
    if (f->challenge.error[0])
        str_escape(&shown, f->challenge.error, strlen(f->challenge.error), 64);
    else
        buf_adds(&shown, f->challenge.scheme[0] ? f->challenge.scheme : "no challenge");
    return mcp_fail(f, MCP_AUTH, -EACCES,
                    f->status == 401
                        ? "the server wants a credential, or another one: HTTP 401 (%s)"
                        : "the server does not let this credential do that: HTTP 403 (%s)",
                    buf_str(&shown));
}

static int refused_redirect(struct mcp_reply *r, struct mcp_failure *f)
{
    AUTO_FREE char *place = mem_zalloc(1024);
    AUTO(buf) shown = BUF_INIT(1024);
    if (client_response_header(&r->head, "location", place, 1024))
        str_escape(&shown, place, strcspn(place, "?#"), 200);
    return mcp_fail(f, MCP_HTTP, -E_PROTO,
                    "the server sends to another address (HTTP %d, %s), which is not followed: a "
                    "credential stays with its origin. If that address is right, name it",
                    f->status, shown.len ? buf_str(&shown) : "none told");
}

/* A JSON-RPC error in the body of a refusal. */
static bool read_error(struct mcp_client *c, struct mcp_reply *r, struct mcp_failure *f)
{
    AUTO(buf) body = BUF_INIT(MCP_ERROR_BODY);
    struct err e = {0};
    char *room;
    ssize_t n = 1;
    /* Words would be good to have, but not at any price. */
    int64_t ms = c->limits.silence_ms < MCP_REFUSED_MS ? c->limits.silence_ms : MCP_REFUSED_MS;
    struct fiber_deadline d = fiber_deadline_push_ms(ms);
    while (n > 0 && (room = buf_room(&body, 2048))) {
        n = c->t->ops->read(c->t, r->stream, room, 2048, &e);
        if (n > 0)
            buf_commit(&body, (size_t)n);
    }
    fiber_deadline_pop(&d);
    AUTO_JSON json_t *j = NULL;
    struct mcp_message m;
    if (n != 0 || json_parse_few(buf_str(&body), body.len, 1000, &j, NULL) < 0 ||
        mcp_message_read(j, &m, NULL) < 0 || m.kind != MCP_ERROR)
        return false;
    (void)mcp_fail_rpc(f, f->status, json_object_get(j, "error"));
    return true;
}

int mcp_reply_refused(struct mcp_client *c, struct mcp_reply *r, struct mcp_failure *f)
{
    f->status = r->head.status;
    if (f->status == 401 || f->status == 403)
        return refused_auth(r, f);
    if (f->status >= 300 && f->status < 400)
        return refused_redirect(r, f);
    if (f->status >= 400 && read_error(c, r, f))
        return f->err.code;
    return mcp_fail(f, MCP_HTTP, -E_PROTO, "the server answers HTTP %d", f->status);
}

/* ---- the answer ---- */

/* A wait of `p` ended; meanwhile another fiber may have heard of it, or be asking a person. */
static bool has_time(const struct mcp_client *c, const struct mcp_pending *p)
{
    int64_t now = time_mono_ns();
    return mcp_pending_until(c, p) > now && fiber_deadline_ns() > now;
}

static ssize_t read_some(struct mcp_client *c, struct mcp_pending *p, struct mcp_reply *r, void *to,
                         size_t room, struct mcp_failure *f)
{
    int64_t until;
    ssize_t n;
    do {
        until = mcp_pending_until(c, p);
        struct fiber_deadline d = fiber_deadline_push(until);
        n = c->t->ops->read(c->t, r->stream, to, room, &f->err);
        fiber_deadline_pop(&d);
    } while (n == -ETIMEDOUT && time_mono_ns() >= until && has_time(c, p));
    if (n < 0)
        return mcp_fail_transport(f, (int)n);
    p->bytes += (size_t)n;
    if (p->bytes > c->limits.answer_bytes)
        return mcp_fail(f, MCP_LIMIT, -EMSGSIZE,
                        "the server sent more than %zu bytes for one request",
                        c->limits.answer_bytes);
    return n;
}

static int read_json(struct mcp_client *c, struct mcp_pending *p, struct mcp_reply *r,
                     struct mcp_failure *f)
{
    AUTO(buf) body = BUF_INIT(c->limits.message_bytes + READ_BYTES);
    ssize_t n = 1;
    while (n > 0) {
        char *room = buf_room(&body, READ_BYTES);
        if (!room)
            return mcp_fail(f, MCP_HERE, -ENOMEM, "no memory for the answer");
        n = read_some(c, p, r, room, READ_BYTES, f);
        if (n < 0)
            return (int)n;
        buf_commit(&body, (size_t)n);
        if (body.len > c->limits.message_bytes)
            return mcp_fail(f, MCP_LIMIT, -EMSGSIZE, "the answer is larger than %zu bytes",
                            c->limits.message_bytes);
    }
    int code = mcp_incoming(c, p, buf_str(&body), body.len, f);
    if (code == 0 && !p->done)
        code = mcp_fail(f, MCP_PROTOCOL, -E_PROTO, "the server's answer is to another request");
    return code;
}

struct reading {
    struct mcp_client *c;
    struct mcp_pending *p;
    struct mcp_failure *f;
    bool heard;
};

static int on_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct reading *r = arg;
    (void)id;
    if (n == 0 || !str_eq(event, "message")) /* the first event of a stream may be empty */
        return 0;
    r->heard = true;
    int code = mcp_incoming(r->c, r->p, data, n, r->f);
    return code < 0 ? code : r->p->done;
}

/* Reads a stream up to the answer or its end. 1: the answer is there; 0: it ended; or negative. */
static int read_events(struct mcp_client *c, struct mcp_pending *p, struct mcp_reply *r,
                       bool *heard, struct mcp_failure *f)
{
    struct reading reading = {c, p, f, false};
    AUTO(sse_parser) parser;
    sse_parser_init(&parser, c->limits.message_bytes, on_event, &reading);
    (void)str_copy(parser.id, sizeof(parser.id), p->last_event);
    AUTO_FREE char *bytes = mem_array(READ_BYTES, 1);
    int code = 0;
    while (code == 0) {
        ssize_t n = read_some(c, p, r, bytes, READ_BYTES, f);
        if (n <= 0) {
            code = (int)n;
            break;
        }
        code = sse_parser_feed(&parser, bytes, (size_t)n);
        if (code < 0 && !f->source)
            code = mcp_fail(f, code == -EMSGSIZE ? MCP_LIMIT : MCP_PROTOCOL, code,
                            "an event of the server is too large or malformed");
    }
    *heard = reading.heard;
    (void)str_copy(p->last_event, sizeof(p->last_event), parser.id);
    if (parser.retry_ms >= 0)
        p->retry_ms = parser.retry_ms;
    return code;
}

/* Most servers end the stream with the answer: so the connection can be used again. */
static void drain(struct mcp_client *c, struct mcp_reply *r)
{
    char bytes[512];
    struct fiber_deadline d = fiber_deadline_push_ms(20);
    for (int i = 0; i < 8; i++)
        if (c->t->ops->read(c->t, r->stream, bytes, sizeof(bytes), NULL) <= 0)
            break;
    fiber_deadline_pop(&d);
}

static int open_again(struct mcp_client *c, struct mcp_pending *p, struct mcp_reply *r,
                      struct mcp_failure *f)
{
    int64_t ms = p->retry_ms >= 0 ? p->retry_ms : MCP_RETRY_MS;
    struct fiber_deadline d = fiber_deadline_push(mcp_pending_until(c, p));
    int code = fiber_sleep_ms(ms < MCP_RETRY_MAX ? ms : MCP_RETRY_MAX);
    fiber_deadline_pop(&d);
    if (code < 0)
        code = mcp_fail_transport(f, code);
    else
        code = mcp_exchange_open(c, p, "GET", c->url, NULL, p->last_event, r, f);
    if (code == 0 && (r->head.status != 200 || !mcp_reply_is(r, "text/event-stream"))) {
        code = r->head.status == 200 ? 0 : mcp_reply_refused(c, r, f);
        code = mcp_fail(f, f->source == MCP_AUTH ? MCP_AUTH : MCP_CLOSED,
                        code == -EACCES ? code : -E_CLOSED,
                        "the stream ended before the answer, and the server does not go on with it "
                        "(HTTP %d): whether the call was made is not known",
                        r->head.status);
    }
    return code;
}

static int read_stream(struct mcp_client *c, struct mcp_pending *p, struct mcp_reply *r,
                       struct mcp_failure *f)
{
    int tries = 0;
    for (;;) {
        bool heard = false;
        int code = r->stream ? read_events(c, p, r, &heard, f) : 0;
        if (code == 1)
            drain(c, r);
        if (code == 1 || p->done)
            return 0;
        bool lost = code == 0 || f->source == MCP_CLOSED || f->source == MCP_CONNECT;
        if (!lost)
            return code;
        tries = heard ? 0 : tries + 1;
        if (c->wire != MCP_WIRE_2025 || !p->last_event[0] || tries > MCP_RESUMES)
            return mcp_fail(
                f, MCP_CLOSED, -E_CLOSED,
                "the stream ended before the answer: whether the call was made is not known");
        mcp_reply_done(c, r);
        mcp_failure_done(f);
        code = open_again(c, p, r, f);
        if (code < 0 && f->source == MCP_CONNECT && tries <= MCP_RESUMES)
            continue; /* the server is being restarted: r->stream is NULL */
        if (code < 0)
            return code;
    }
}

/* HTTP+SSE: the answer comes on the listener's stream. */
static int wait_answer(struct mcp_client *c, struct mcp_pending *p, struct mcp_failure *f)
{
    while (!p->done && !p->broken) {
        struct fiber_deadline d = fiber_deadline_push(mcp_pending_until(c, p));
        int r = waitq_wait(&p->wake);
        fiber_deadline_pop(&d);
        if (r == -ETIMEDOUT && has_time(c, p))
            continue;
        if (r < 0) {
            err_set(&f->err, r, r == -ETIMEDOUT ? "no answer in time" : "the call was cancelled");
            return mcp_fail_transport(f, r);
        }
    }
    if (p->done)
        return 0;
    return mcp_fail(f, c->ended_by.source ? c->ended_by.source : MCP_CLOSED, -E_CLOSED, "%s",
                    c->ended_by.err.msg[0] ? c->ended_by.err.msg : "the server ended its stream");
}

static int take_reply(struct mcp_client *c, struct mcp_pending *p, struct mcp_reply *r,
                      struct mcp_failure *f)
{
    int status = r->head.status;
    if (status == 404 && p->in_session) {
        (void)mcp_reply_refused(c, r, f);
        return -E_CONFLICT;
    }
    if (status < 200 || status > 299)
        return mcp_reply_refused(c, r, f);
    f->status = 0;
    if (c->wire == MCP_WIRE_SSE)
        return wait_answer(c, p, f);
    if (mcp_reply_is(r, "text/event-stream"))
        return read_stream(c, p, r, f);
    if (status == 200 && mcp_reply_is(r, "application/json"))
        return read_json(c, p, r, f);
    f->status = status;
    return mcp_fail(
        f, MCP_PROTOCOL, -E_PROTO,
        "the server answers HTTP %d without JSON or an event stream: is this the address "
        "of an MCP server?",
        status);
}

/* The caller has no more time, or wants no more. A server of 2026-07-28 sees its stream closed. */
static void tell_cancelled(struct mcp_client *c, const struct mcp_pending *p)
{
    if (c->wire == MCP_WIRE_MODERN || !c->version[0])
        return;
    AUTO_JSON json_t *params = json_new_object();
    json_put_int(params, "requestId", (int64_t)p->id);
    AUTO_JSON json_t *j = mcp_message_request(0, "notifications/cancelled", params);
    size_t n = 0;
    AUTO_FREE char *text = json_text(j, &n);
    struct fiber_shield s = fiber_shield_begin(MCP_CLOSE_MS);
    struct mcp_failure f = {0};
    int r = mcp_exchange_send(
        c, &(struct mcp_outgoing){.method = "notifications/cancelled", .text = text, .len = n}, &f);
    (void)r; /* it was polite */
    mcp_failure_done(&f);
    fiber_shield_end(&s);
}

/* initialize tells the session in the answer's head (2025: basic/transports). */
static int take_session(struct mcp_client *c, const struct mcp_reply *r, struct mcp_failure *f)
{
    AUTO_FREE char *id = mem_zalloc(LIMIT_HEADER_BYTES);
    if (!client_response_header(&r->head, "mcp-session-id", id, LIMIT_HEADER_BYTES))
        return 0;
    for (const char *p = id; *p; p++)
        if (*p < 0x21 || *p > 0x7e)
            return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                            "the server's session id is no visible ASCII");
    if (!str_copy(c->offered, sizeof(c->offered), id)) {
        c->offered[0] = '\0';
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                        "the server's session id is longer than %d bytes", MCP_SESSION_MAX);
    }
    return 0;
}

int mcp_exchange(struct mcp_client *c, struct mcp_pending *p, const struct mcp_outgoing *o,
                 struct mcp_failure *f)
{
    struct mcp_reply r;
    const char *url = c->wire == MCP_WIRE_SSE ? c->post_url : c->url;
    bool opening = str_eq(o->method, "initialize");
    p->in_session = !opening && c->session[0];
    int code = mcp_exchange_open(c, p, "POST", url, o, NULL, &r, f);
    if (code == 0 && opening && c->wire == MCP_WIRE_2025)
        code = take_session(c, &r, f);
    if (code == 0)
        code = take_reply(c, p, &r, f);
    mcp_reply_done(c, &r);
    bool given_up = f->source == MCP_CANCELLED || f->source == MCP_TIMEOUT;
    if (given_up && !opening && code != -E_CONFLICT)
        tell_cancelled(c, p);
    return code;
}

int mcp_exchange_send(struct mcp_client *c, const struct mcp_outgoing *o, struct mcp_failure *f)
{
    struct mcp_reply r;
    const char *url = c->wire == MCP_WIRE_SSE ? c->post_url : c->url;
    int code = mcp_exchange_open(c, NULL, "POST", url, o, NULL, &r, f);
    struct fiber_deadline d = fiber_deadline_push_ms(c->limits.silence_ms);
    if (code == 0 && (r.head.status < 200 || r.head.status > 299))
        code = mcp_reply_refused(c, &r, f);
    else if (code == 0)
        drain(c, &r);
    mcp_reply_done(c, &r);
    fiber_deadline_pop(&d);
    return code;
}
