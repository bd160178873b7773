/* h1_serve.c - a connection on which requests come in: one after the other, on its own fiber.
 *
 * Its life: wait for a byte, holding no buffer and after a second no more stack than the wait needs;
 * read a head; let the exchange be served; clean up; until one side closes. The client controls every
 * byte and when it comes: a head has a deadline from its first byte, the wait for one, too; bodies are
 * bounded by whoever serves. Bytes that come early (pipelining) stay in the buffer, up to its size;
 * then we stop reading and TCP makes the client wait.
 *
 * A request body that nobody has read is read and dropped when it is little; otherwise the connection
 * ends, since it would be taken for the next request. A connection that ends while the client may
 * still be sending is closed in two steps: our side first, then reading and dropping for a bounded
 * time. Otherwise the kernel answers the unread bytes with a reset, and the client loses the answer
 * (RFC 9112 9.6). */
#include "http/pipe/h1_conn.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/time.h"

#include <string.h>

#define HEAD_TIMEOUT_MS 10000
#define IDLE_TIMEOUT_MS 300000
#define HEAD_BYTES      (64u << 10)
#define TARGET_BYTES    (16u << 10)
#define QUIET_MS        1000        /* a wait longer than this gives its stack pages back */
#define DRAIN_BYTES     (64u << 10) /* of an unread body, read and dropped to stay connected */
#define LINGER_BYTES    (16u << 20)
#define LINGER_MS       2000  /* without a byte of it */
#define LINGER_MOST_MS  15000 /* in all */

struct serving {
    struct h1_conn conn;
    const struct http_serve_options *o;
    struct h1_limits limits;
    int64_t head_ms, idle_ms;
    bool fresh; /* no request yet */
};

static void pipe_close(struct http_pipe *p)
{
    struct h1_conn *c = CONTAINER_OF(p, struct h1_conn, pipe);
    if (c->out_at != H1_AT_END)
        h1_cut(c);
    c->open = false; /* what is left of the request is end_exchange's */
}

static const struct http_pipe_ops serve_ops = {
    .read_head = h1_read_head,
    .read_body = h1_read_body,
    .trailers = h1_trailers,
    .send_head = h1_send_head,
    .send_body = h1_send_body,
    .send_end = h1_send_end,
    .reset = h1_reset,
    .ready = h1_body_ready,
    .gone = h1_gone,
    .wait_gone = h1_wait_gone,
    .close = pipe_close,
};

/* ---- waiting for a request ---- */

static int wait_until(struct h1_conn *c, int64_t deadline_ns)
{
    struct fiber_deadline d = fiber_deadline_push(deadline_ns);
    int r = 0;
    while (r == 0 && !h1_ready(c))
        r = h1_wait(c);
    fiber_deadline_pop(&d);
    return r;
}

/* 0: something is there. */
static int await_request(struct serving *v)
{
    struct h1_conn *c = &v->conn;
    if (h1_ready(c))
        return 0;
    int64_t now = time_mono_ns();
    int64_t until = now + (v->fresh ? v->head_ms : v->idle_ms) * NS_PER_MS;
    int64_t quiet = now + QUIET_MS * NS_PER_MS;
    if (quiet < until) {
        int r = wait_until(c, quiet);
        if (r != -ETIMEDOUT)
            return r;
        fiber_trim_stack();
    }
    return wait_until(c, until);
}

/* ---- heads ---- */

/* One try with what is buffered: 0, -EAGAIN, or -E_PARSE with the status and a sentence. */
static int parse_request(struct serving *v, int *ret_status, const char **ret_why)
{
    struct h1_conn *c = &v->conn;
    struct h1_head h;
    const char *p = h1_bytes(c);
    ssize_t n = h1_request_scan(p, h1_buffered(c), &v->limits, &h, ret_status, ret_why);
    if (n < 0)
        return (int)n;
    int r = h1_message_request(c, p, (size_t)n, &h, v->o->tls, &c->head, ret_status, ret_why);
    if (r < 0)
        return r;
    bool body = h.chunked || h.length > 0;
    c->in_framing = h.chunked ? H1_CHUNKED : h.length > 0 ? H1_LENGTH : H1_NO_BODY;
    c->in_left = h.length;
    c->in_at = body ? H1_AT_BODY : H1_AT_END;
    if (h.chunked) {
        c->trailer_text = BUF_INIT(8u << 10);
        c->decoder.trailers = &c->trailer_text;
    }
    h1_consume(c, (size_t)n);
    return 0;
}

static int read_request_by(struct serving *v, int *ret_status, const char **ret_why)
{
    struct h1_conn *c = &v->conn;
    size_t seen = h1_buffered(c), tried = seen;
    for (;;) {
        ssize_t got = h1_fill(c, v->limits.bytes + 2); /* an empty line may come before it */
        if (got == -ETIMEDOUT) {
            *ret_status = 408;
            *ret_why = "The request head took too long to arrive.";
            return -E_PARSE;
        }
        size_t n = h1_buffered(c);
        if (got <= 0)
            return got < 0 ? (int)got : n == 0 ? -E_CLOSED : -ECONNRESET;
        if (h1_may_end(h1_bytes(c), n, seen, tried, v->limits.bytes)) {
            int r = parse_request(v, ret_status, ret_why);
            if (r != -EAGAIN)
                return r;
            tried = n;
        }
        seen = n;
    }
}

/* 0; -E_PARSE with the status and a sentence: refuse; others: gone. Most heads come in one piece, for
 * which no clock is looked at. */
static int read_request(struct serving *v, int *ret_status, const char **ret_why)
{
    int r = h1_buffered(&v->conn) > 0 ? parse_request(v, ret_status, ret_why) : -EAGAIN;
    if (r != -EAGAIN)
        return r;
    struct fiber_deadline d = fiber_deadline_push_ms(v->head_ms);
    r = read_request_by(v, ret_status, ret_why);
    fiber_deadline_pop(&d);
    return r;
}

/* ---- ends ---- */

/* Reads and drops what is left of the body, if it is little. */
static bool drained(struct h1_conn *c)
{
    if (c->in_at == H1_AT_END)
        return true;
    if (c->in_error || c->wants_continue || !c->keep)
        return false;
    if (c->in_framing == H1_LENGTH && c->in_left > DRAIN_BYTES)
        return false;
    struct fiber_deadline d = fiber_deadline_push_ms(LINGER_MS);
    char scrap[1024];
    size_t total = 0;
    ssize_t n = 1;
    while (n > 0 && total <= DRAIN_BYTES) {
        n = h1_read_body(&c->pipe, scrap, sizeof(scrap), NULL);
        total += n > 0 ? (size_t)n : 0;
    }
    fiber_deadline_pop(&d);
    return n == 0;
}

/* Reads and drops something. Bytes, or what ended it. */
static ssize_t drop_some(struct h1_conn *c)
{
    struct fiber_deadline d = fiber_deadline_push_ms(LINGER_MS);
    h1_consume(c, h1_buffered(c));
    ssize_t n = h1_fill(c, 0);
    fiber_deadline_pop(&d);
    return n;
}

/* Ends our side, then reads and drops until the client ends its own, for as long as bytes come. */
static void linger(struct h1_conn *c)
{
    if (c->out_error)
        return;
    if (c->in_error == -E_PARSE || c->in_error == -E_LIMIT)
        c->in_error = 0; /* what it means matters no more */
    struct fiber_deadline most = fiber_deadline_push_ms(LINGER_MOST_MS);
    struct fiber_deadline d = fiber_deadline_push_ms(LINGER_MS);
    int r = h1_finish(c);
    fiber_deadline_pop(&d);
    ssize_t n = 1;
    for (size_t total = 0; r == 0 && n > 0 && total < LINGER_BYTES && !c->in_ended && !c->in_error;
         total += n > 0 ? (size_t)n : 0)
        n = drop_some(c);
    fiber_deadline_pop(&most);
}

static int refuse(struct serving *v, int status, const char *why, struct err *e)
{
    struct h1_conn *c = &v->conn;
    struct http_head h;
    http_head_init(&h);
    struct http_text body = {NULL, 0};
    if (v->o->refuse)
        v->o->refuse(v->o->arg, status, why, &h, &body);
    if (h.status < 200)
        h.status = status;
    h.body = HTTP_BODY_LENGTH;
    h.length = body.n;
    h1_exchange_end(c);
    h1_exchange_begin(c); /* nothing of the head is believed; keep is false */
    c->in_at = H1_AT_END;
    /* A client that has read none of the answers before leaves no room for this one. */
    struct fiber_deadline d = fiber_deadline_push_ms(v->head_ms);
    int r = h1_send_head(&c->pipe, &h);
    if (r == 0)
        r = h1_send_body(&c->pipe, body.p, body.n, true);
    if (r == 0)
        r = h1_send_end(&c->pipe, NULL);
    fiber_deadline_pop(&d);
    http_head_done(&h);
    if (r == 0)
        linger(c);
    return err_set(e, -E_PARSE, "%s", why);
}

/* One request. 1: another may follow; 0: ended in order; or a code with words. */
static int serve_one(struct serving *v, struct err *e)
{
    struct h1_conn *c = &v->conn;
    int r = await_request(v);
    if (r == -ETIMEDOUT) {
        linger(c);
        return 0;
    }
    if (r < 0)
        return err_set(e, r, "waiting for a request: %s", err_text(r));
    h1_exchange_begin(c);
    int status = 400;
    const char *why = "The request is malformed.";
    r = read_request(v, &status, &why);
    if (r == -E_PARSE)
        return refuse(v, status, why, e);
    if (r == -E_CLOSED)
        return 0;
    if (r < 0)
        return err_set(e, r, "reading a request: %s", err_text(r));
    v->fresh = false;
    c->open = true;
    v->o->serve(v->o->arg, &c->pipe);
    MUST(!c->open);
    bool keep = drained(c) && c->keep && !c->out_error;
    int failed = c->out_error ? c->out_error : c->in_error;
    if (!keep && !c->out_error)
        linger(c);
    h1_exchange_end(c);
    if (keep)
        return 1;
    return failed ? err_set(e, failed, "the exchange broke off: %s", err_text(failed)) : 0;
}

int h1_serve(struct stream *s, const struct http_serve_options *o, struct err *e)
{
    struct serving *v = mem_new(struct serving);
    v->o = o;
    v->fresh = true;
    v->head_ms = o->head_timeout_ms ? o->head_timeout_ms : HEAD_TIMEOUT_MS;
    v->idle_ms = o->idle_timeout_ms ? o->idle_timeout_ms : IDLE_TIMEOUT_MS;
    v->limits = (struct h1_limits){.bytes = o->head_bytes_max ? o->head_bytes_max : HEAD_BYTES,
                                   .fields = HTTP_FIELDS_MAX,
                                   .target = TARGET_BYTES,
                                   .connect = true,
                                   .claims = true};
    h1_conn_init(&v->conn, s, true, v->limits.bytes);
    v->conn.pipe.ops = &serve_ops;
    int r;
    do
        r = serve_one(v, e);
    while (r > 0);
    h1_conn_done(&v->conn);
    free(v);
    return r;
}
