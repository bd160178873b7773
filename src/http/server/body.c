/* body - request bodies: asked for, read, timed, and dropped when no handler wants them.
 *
 * Runs on the connection's fiber, from a handler or after it. The peer decides how the body is
 * framed, how long it says it is, how long it is, and how fast it comes. So memory grows with what
 * has arrived, never with what was announced, and is charged to a budget as it comes: who sends when
 * it is used up is refused. A pause or a rate below the lowest ends the exchange with 408; a body
 * that came fast at first earns no right to trickle later. And whatever goes wrong in the middle of a body ends the connection, because nobody
 * knows any more where the next request begins. */
#include "http/server/internal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/time.h"

#define BODY_READ_BYTES (64u << 10)

/* Nothing of the body can be on its way before we ask for it: the client waits for
 * "100 Continue". */
bool body_unasked(const struct http_exchange *x)
{
    return x->req.expect_continue && !x->continue_sent && !x->body_done &&
           conn_buffered(x->conn) == 0;
}

static int ask_for_body(struct http_exchange *x)
{
    if (!body_unasked(x) || x->answer != ANSWER_NONE)
        return 0;
    static char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
    x->continue_sent = true;
    return conn_write(x->conn, &(struct iovec){go, sizeof(go) - 1}, 1);
}

/* How long the body may still keep us waiting. It starts with body_timeout; time uses it up, bytes
 * earn it back at the lowest rate, but never beyond what it started with. */
struct pace {
    int64_t left_ns, looked_ns;
};

static struct pace pace_start(const struct http_exchange *x)
{
    return (struct pace){.left_ns = x->conn->srv->cfg.body_timeout_ms * NS_PER_MS,
                         .looked_ns = conn_now_ns()};
}

static void pace_got(struct pace *p, const struct http_exchange *x, size_t n)
{
    int64_t now = conn_now_ns(), most = x->conn->srv->cfg.body_timeout_ms * NS_PER_MS;
    int64_t earned_ms = n < INT32_MAX ? (int64_t)n / CONN_BYTES_PER_MS : INT32_MAX;
    p->left_ns += earned_ms * NS_PER_MS - (now - p->looked_ns);
    p->left_ns = p->left_ns > most ? most : p->left_ns;
    p->looked_ns = now;
}

static int64_t pace_deadline(const struct pace *p)
{
    return p->looked_ns + p->left_ns;
}

/* Charges what `out` holds. 0 or -EBUSY. */
static int charge(struct http_exchange *x, const struct buf *out)
{
    size_t n = out->len > LIMIT_BODY_FREE_BYTES ? out->len : 0;
    if (!x->share || budget_set(x->share, n))
        return 0;
    x->conn->closing = true; /* the rest of the body is not wanted */
    return -EBUSY;
}

/* A read of the body failed: after this the place of the next request is unknown. */
static int body_broken(struct http_exchange *x, ssize_t r)
{
    struct conn *c = x->conn;
    c->closing = true;
    if (r == -ETIMEDOUT && !http_replied(x)) {
        c->srv->stats.bad_requests++;
        exchange_answer_error(x, 408, "The request body took too long to arrive.");
        return -E_CLOSED;
    }
    if (r == -E_PARSE) {
        c->srv->stats.bad_requests++;
        return -E_PARSE;
    }
    return r == -ECANCELED ? -ECANCELED : -E_CLOSED;
}

static int read_sized(struct http_exchange *x, struct buf *out)
{
    struct conn *c = x->conn;
    struct pace pace = pace_start(x);
    while (x->body_left > 0) {
        int r = charge(x, out);
        if (r < 0)
            return r;
        size_t have = conn_buffered(c);
        if (have > 0) {
            size_t n = have < x->body_left ? have : (size_t)x->body_left;
            r = buf_add(out, c->in + c->in_from, n);
            if (r < 0)
                return r;
            conn_consume(c, n);
            x->body_left -= n;
            pace_got(&pace, x, n);
            continue;
        }
        size_t room = x->body_left < BODY_READ_BYTES ? (size_t)x->body_left : BODY_READ_BYTES;
        char *p = buf_room(out, room);
        if (!p)
            return buf_err(out);
        ssize_t n = conn_read_into(c, p, room, pace_deadline(&pace));
        if (n < 0)
            return body_broken(x, n);
        buf_commit(out, (size_t)n);
        x->body_left -= (uint64_t)n;
        pace_got(&pace, x, (size_t)n);
    }
    x->body_done = true;
    return 0;
}

/* `out` may be NULL: decoded and dropped. -EMSGSIZE after more than `max` bytes of payload or
 * framing together with it when dropping. */
static int read_chunked(struct http_exchange *x, size_t max, struct buf *out)
{
    struct conn *c = x->conn;
    struct pace pace = pace_start(x);
    size_t before = out ? out->len : 0;
    uint64_t got = 0;
    for (;;) {
        ssize_t n = h1_chunked_feed(&x->decoder, c->in + c->in_from, conn_buffered(c), out);
        if (n == -E_PARSE)
            return body_broken(x, n);
        if (n < 0) {
            c->closing = true; /* `out` is full and the decoder stands in the middle of a chunk */
            return (int)n;
        }
        conn_consume(c, (size_t)n);
        got += (uint64_t)n;
        pace_got(&pace, x, (size_t)n);
        int r = out ? charge(x, out) : 0;
        if (r < 0)
            return r;
        if (out ? out->len - before > max : got > max)
            return -EMSGSIZE;
        if (x->decoder.done) {
            x->body_done = true;
            return 0;
        }
        n = conn_read_more(c, pace_deadline(&pace));
        if (n < 0)
            return body_broken(x, n);
    }
}

int http_body_read(struct http_exchange *x, size_t max, struct buf *out, struct budget_share *share)
{
    x->share = share;
    if (x->body_done)
        return 0;
    if (x->conn->error)
        return x->conn->error;
    if (!x->req.chunked && x->body_left > max)
        return -EMSGSIZE;
    int r = ask_for_body(x);
    if (r < 0)
        return r;
    return x->req.chunked ? read_chunked(x, max, out) : read_sized(x, out);
}

/* Reads and drops what is left of the body, if it is little. */
void body_drain(struct http_exchange *x)
{
    struct conn *c = x->conn;
    struct fiber_deadline d = fiber_deadline_push_ms(CONN_LINGER_MS);
    int r = -EMSGSIZE;
    if (x->req.chunked) {
        r = read_chunked(x, CONN_DRAIN_BYTES, NULL);
    } else if (x->body_left <= CONN_DRAIN_BYTES) {
        r = 0;
        while (r == 0 && x->body_left > 0) {
            ssize_t n = conn_buffered(c) ? 1 : conn_read_more(c, FIBER_NO_DEADLINE);
            if (n < 0) {
                r = (int)n;
                break;
            }
            size_t have = conn_buffered(c),
                   take = have < x->body_left ? have : (size_t)x->body_left;
            conn_consume(c, take);
            x->body_left -= take;
        }
        x->body_done = r == 0;
    }
    fiber_deadline_pop(&d);
    if (r < 0)
        c->closing = true;
}
