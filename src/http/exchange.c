/* exchange - what a handler sees: the request, its body, and the one answer.
 *
 * Runs on the connection's fiber. A handler answers once, whole (http_reply) or in a stream; what
 * it forgets exchange_end makes good: no answer is a 500, a stream left open is cut off so that the
 * client can tell. Framing and connection fields are the server's alone: a handler can not set
 * Content-Length, Transfer-Encoding, Date, or put a line break into a field. Whether the connection
 * survives is decided before the head is written, so that "Connection: close" tells the truth: not
 * when the client asked to close, when the server is stopping, or when a body is left that is too
 * long to read and drop.
 *
 * Bodies come at the peer's pace: memory grows with what has arrived, never with what was
 * announced. */
#include "http/conn.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "http/h1_class.h"

#include <stdio.h>
#include <string.h>

#define BODY_READ_BYTES (64u << 10)

/* ---- the request ---- */

const struct h1_request *http_request(const struct http_exchange *x)
{
    return &x->req;
}

const char *http_peer(const struct http_exchange *x)
{
    return x->conn ? x->conn->peer : "-";
}

bool http_replied(const struct http_exchange *x)
{
    return x->answer != ANSWER_NONE;
}

void exchange_begin(struct http_exchange *x, struct conn *c)
{
    x->conn = c;
    x->headers_tail = &x->headers;
    x->head_only = str_eq(x->req.method, "HEAD");
    x->body_left = x->req.has_length ? x->req.length : 0;
    x->body_done = !x->req.chunked && x->body_left == 0;
}

/* ---- the request's body ---- */

/* Nothing of the body can be on its way before we ask for it: the client waits for "100 Continue".
 */
static bool body_unasked(const struct http_exchange *x)
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

/* The body may not pause longer than body_timeout, nor be slower on average than the lowest rate.
 */
static int64_t body_deadline(const struct http_exchange *x, int64_t started_ns, uint64_t got_bytes)
{
    int64_t pause_ns = x->conn->srv->cfg.body_timeout_ms * NS_PER_MS;
    int64_t earned_ns =
        got_bytes > INT32_MAX ? pause_ns : (int64_t)(got_bytes / CONN_BYTES_PER_MS) * NS_PER_MS;
    int64_t by_rate = started_ns + pause_ns + earned_ns, by_pause = conn_now_ns() + pause_ns;
    return by_rate < by_pause ? by_rate : by_pause;
}

/* A read of the body failed: after this the place of the next request is unknown. */
static int body_broken(struct http_exchange *x, ssize_t r)
{
    struct conn *c = x->conn;
    c->closing = true;
    if (r == -ETIMEDOUT && !http_replied(x)) {
        c->srv->stats.bad_requests++;
        exchange_refuse(x, 408, "The request body took too long to arrive.");
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
    int64_t started_ns = conn_now_ns();
    uint64_t got = 0;
    while (x->body_left > 0) {
        size_t have = conn_buffered(c);
        if (have > 0) {
            size_t n = have < x->body_left ? have : (size_t)x->body_left;
            int r = buf_add(out, c->in + c->in_from, n);
            if (r < 0)
                return r;
            conn_consume(c, n);
            x->body_left -= n;
            got += n;
            continue;
        }
        size_t room = x->body_left < BODY_READ_BYTES ? (size_t)x->body_left : BODY_READ_BYTES;
        char *p = buf_room(out, room);
        if (!p)
            return buf_err(out);
        ssize_t n = conn_read_into(c, p, room, body_deadline(x, started_ns, got));
        if (n < 0)
            return body_broken(x, n);
        buf_commit(out, (size_t)n);
        x->body_left -= (uint64_t)n;
        got += (uint64_t)n;
    }
    x->body_done = true;
    return 0;
}

/* `out` may be NULL: decoded and dropped. -EMSGSIZE after more than `max` bytes of payload or
 * framing together with it when dropping. */
static int read_chunked(struct http_exchange *x, size_t max, struct buf *out)
{
    struct conn *c = x->conn;
    int64_t started_ns = conn_now_ns();
    size_t before = out ? out->len : 0;
    uint64_t got = 0;
    for (;;) {
        ssize_t n = h1_chunked_feed(&x->decoder, c->in + c->in_from, conn_buffered(c), out);
        if (n == -E_PARSE)
            return body_broken(x, n);
        if (n < 0)
            return (int)n;
        conn_consume(c, (size_t)n);
        got += (uint64_t)n;
        if (out ? out->len - before > max : got > max)
            return -EMSGSIZE;
        if (x->decoder.done) {
            x->body_done = true;
            return 0;
        }
        ssize_t r = conn_read_more(c, body_deadline(x, started_ns, got));
        if (r < 0)
            return body_broken(x, r);
    }
}

int http_body_read(struct http_exchange *x, size_t max, struct buf *out)
{
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

/* ---- the answer's head ---- */

static bool field_ok(const char *s, unsigned what)
{
    for (; *s; s++)
        if (!h1_is(*s, what))
            return false;
    return true;
}

void http_set_header(struct http_exchange *x, const char *name, const char *value)
{
    static const char *const ours[] = {"content-length", "transfer-encoding", "date", "upgrade",
                                       "trailer"};
    bool reserved = false;
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        reserved = reserved || str_ieq(name, ours[i]);
    if (str_ieq(name, "connection")) {
        /* The only option a handler may ask for is to end the connection. */
        if (str_ieq(value, "close") && x->conn) {
            x->conn->closing = true;
            return;
        }
        reserved = true;
    }
    size_t nn = strlen(name), vn = strlen(value), len = nn + vn + 4;
    if (reserved || nn == 0 || !field_ok(name, H1_TOKEN) || !field_ok(value, H1_VALUE) ||
        len > EXCHANGE_HEADER_BYTES - x->header_bytes) {
        log_error("a response header was left out", "name=%s bytes=%zu", log_q(name), vn);
        return;
    }
    struct response_header *h = http_alloc(x, sizeof(*h) + len);
    h->next = NULL;
    h->len = len;
    memcpy(h->line, name, nn);
    memcpy(h->line + nn, ": ", 2);
    memcpy(h->line + nn + 2, value, vn);
    memcpy(h->line + nn + 2 + vn, "\r\n", 2);
    x->header_bytes += len;
    *x->headers_tail = h;
    x->headers_tail = &h->next;
}

/* A head under construction, in the server's memory: from head_new to conn_write_now nothing
 * suspends. */
struct head {
    char *p;
    size_t n;
};

static void put(struct head *h, const char *s, size_t n)
{
    MUST(n <= HEAD_BYTES - h->n);
    memcpy(h->p + h->n, s, n);
    h->n += n;
}
#define PUT_LITERAL(h, s) put(h, s, sizeof(s) - 1)

static void put_number(struct head *h, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    put(h, digits + at, sizeof(digits) - at);
}

/* Must the connection end after this answer? Asked before the head goes out. */
static bool must_close(const struct http_exchange *x)
{
    const struct conn *c = x->conn;
    if (c->closing || c->srv->stopping || !x->req.keep_alive)
        return true;
    /* A client that waits for "100 Continue" may send the body all the same, or not: no telling
     * where the next request begins (RFC 9110 10.1.1). */
    return !x->body_done &&
           (body_unasked(x) || (!x->req.chunked && x->body_left > CONN_DRAIN_BYTES));
}

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

static void put_head(struct http_exchange *x, struct head *h, int status, const char *content_type,
                     enum framing framing, uint64_t length)
{
    struct conn *c = x->conn;
    if (framing == FRAMING_CLOSE || must_close(x))
        c->closing = true;
    PUT_LITERAL(h, "HTTP/1.1 ");
    put_number(h, (uint64_t)status);
    PUT_LITERAL(h, " ");
    const char *reason = h1_reason(status);
    put(h, reason, strlen(reason));
    PUT_LITERAL(h, "\r\n");
    size_t date_len;
    const char *date = server_date(c->srv, &date_len);
    put(h, date, date_len);
    if (content_type) {
        PUT_LITERAL(h, "Content-Type: ");
        put(h, content_type, strnlen(content_type, 256));
        PUT_LITERAL(h, "\r\n");
    }
    if (framing == FRAMING_LENGTH) {
        PUT_LITERAL(h, "Content-Length: ");
        put_number(h, length);
        PUT_LITERAL(h, "\r\n");
    } else if (framing == FRAMING_CHUNKED) {
        PUT_LITERAL(h, "Transfer-Encoding: chunked\r\n");
    }
    for (const struct response_header *e = x->headers; e; e = e->next)
        put(h, e->line, e->len);
    if (c->closing)
        PUT_LITERAL(h, "Connection: close\r\n");
    else if (x->req.minor == 0)
        PUT_LITERAL(h, "Connection: keep-alive\r\n");
    PUT_LITERAL(h, "\r\n");
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

/* ---- the whole answer ---- */

static struct head head_new(struct http_exchange *x)
{
    return (struct head){.p = x->conn->srv->head};
}

int http_reply(struct http_exchange *x, int status, const char *content_type, const void *body,
               size_t n)
{
    MUST(x->answer == ANSWER_NONE && status >= 200 && status <= 599);
    struct conn *c = x->conn;
    bool with_body = status_has_body(status);
    int r = conn_turn(c);
    if (r < 0) {
        x->answer = ANSWER_DONE;
        return r;
    }
    struct head h = head_new(x);
    put_head(x, &h, status, with_body ? content_type : NULL,
             with_body ? FRAMING_LENGTH : FRAMING_NONE, n);
    x->answer = ANSWER_DONE;
    /* conn_write only reads what iov_base points at. */
    struct iovec piece[2] = {{.iov_base = h.p, .iov_len = h.n}, {.iov_len = n}};
    memcpy(&piece[1].iov_base, &body, sizeof(body));
    return conn_write_now(c, piece, with_body && !x->head_only && n > 0 ? 2 : 1);
}

int http_reply_json(struct http_exchange *x, int status, const json_t *j)
{
    size_t n;
    AUTO_FREE char *text = json_text(j, &n);
    return http_reply(x, status, "application/json", text, n);
}

/* ---- the streamed answer ---- */

int http_stream_begin(struct http_exchange *x, int status, const char *content_type)
{
    MUST(x->answer == ANSWER_NONE && status_has_body(status));
    x->chunked = x->req.minor >= 1;
    x->answer = ANSWER_STREAMING;
    int r = conn_turn(x->conn);
    if (r < 0)
        return r;
    struct head h = head_new(x);
    put_head(x, &h, status, content_type, x->chunked ? FRAMING_CHUNKED : FRAMING_CLOSE, 0);
    return conn_write_now(x->conn, &(struct iovec){h.p, h.n}, 1);
}

int http_stream_write(struct http_exchange *x, const void *p, size_t n)
{
    MUST(x->answer == ANSWER_STREAMING);
    if (x->conn->error)
        return x->conn->error;
    if (n == 0 || x->head_only)
        return 0; /* a chunk of length 0 would end the body */
    char size[24];
    static char crlf[] = "\r\n";
    struct iovec piece[3] = {{.iov_base = size}, {.iov_len = n}, {.iov_base = crlf, .iov_len = 2}};
    memcpy(&piece[1].iov_base, &p, sizeof(p));
    if (!x->chunked)
        return conn_write(x->conn, piece + 1, 1);
    size_t at = sizeof(size) - 2;
    memcpy(size + at, "\r\n", 2);
    for (size_t v = n; v; v >>= 4)
        size[--at] = "0123456789abcdef"[v & 15];
    piece[0] = (struct iovec){size + at, sizeof(size) - at};
    return conn_write(x->conn, piece, 3);
}

int http_stream_end(struct http_exchange *x)
{
    MUST(x->answer == ANSWER_STREAMING);
    x->answer = ANSWER_DONE;
    if (x->conn->error)
        return x->conn->error;
    if (!x->chunked || x->head_only)
        return 0;
    static char last[] = "0\r\n\r\n";
    return conn_write(x->conn, &(struct iovec){last, sizeof(last) - 1}, 1);
}

void exchange_abort(struct http_exchange *x, int code)
{
    conn_abort(x->conn, code);
}

/* ---- waiting for something else ---- */

/* Looks whether the client has left or sent ahead. 0, or -E_CLOSED. */
static int look_at_client(struct conn *c)
{
    while (c->stream.io.readable || stream_is_tls(&c->stream)) {
        ssize_t n = conn_try_read(c);
        if (n == -ENOBUFS) {
            c->stream.io.readable = false; /* full: look again when this exchange is over */
            return 0;
        }
        if (n < 0)
            return -E_CLOSED;
        if (n == 0)
            return 0;
    }
    return 0;
}

int http_wait(struct http_exchange *x, struct waitq *q)
{
    struct conn *c = x->conn;
    struct io_fd *io = &c->stream.io;
    if (c->error)
        return c->error;
    bool quiet = false;
    for (;;) {
        int r = look_at_client(c);
        if (r < 0)
            return r;
        conn_release_buffer(c);
        int64_t until_ns = quiet ? FIBER_NO_DEADLINE : conn_now_ns() + CONN_QUIET_MS * NS_PER_MS;
        bool ours = !quiet && until_ns < fiber_deadline_ns();
        struct fiber_deadline d = fiber_deadline_push(until_ns);
        io->reader = fiber_self();
        r = waitq_wait_or_woken(q);
        io->reader = NULL;
        fiber_deadline_pop(&d);
        if (r == -ETIMEDOUT && ours) {
            quiet = true; /* a long wait: keep only the stack it needs */
            fiber_trim_stack();
            continue;
        }
        if (r <= 0)
            return r;
        /* Woken by the descriptor (or by nobody in particular): look, and wait on. */
    }
}

/* ---- upgrade ---- */

int http_upgrade(struct http_exchange *x, const char *protocol, struct stream **ret_s,
                 struct buf *ret_early)
{
    MUST(x->answer == ANSWER_NONE && field_ok(protocol, H1_VALUE));
    struct conn *c = x->conn;
    if (!x->req.upgrade || !x->body_done)
        return -E_PROTO;
    int r = conn_turn(c);
    if (r < 0)
        return r;
    struct head h = head_new(x);
    PUT_LITERAL(&h, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ");
    put(&h, protocol, strnlen(protocol, 128));
    PUT_LITERAL(&h, "\r\n");
    for (const struct response_header *e = x->headers; e; e = e->next)
        put(&h, e->line, e->len);
    PUT_LITERAL(&h, "\r\n");
    r = buf_add(ret_early, c->in + c->in_from, conn_buffered(c));
    if (r < 0)
        return r;
    x->answer = ANSWER_DONE;
    c->closing = c->upgraded = true;
    r = conn_write_now(c, &(struct iovec){h.p, h.n}, 1);
    if (r < 0)
        return r;
    conn_consume(c, conn_buffered(c));
    *ret_s = &c->stream;
    return 0;
}

/* ---- what the server answers itself ---- */

static const char *error_type(int status)
{
    switch (status) {
    case 408:
        return "timeout_error";
    case 413:
        return "request_too_large";
    case 500:
        return "api_error";
    case 503:
        return "overloaded_error";
    default:
        return "invalid_request_error";
    }
}

size_t error_body(char *ret, size_t cap, int status, const char *why, const char *request_id)
{
    int n = snprintf(
        ret, cap,
        "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"},\"request_id\":\"%s\"}",
        error_type(status), why, request_id);
    MUST(n > 0 && (size_t)n < cap);
    return (size_t)n;
}

static void reply_error(struct http_exchange *x, int status, const char *why)
{
    char id[ID_MAX], body[512];
    id_make(id, "req_");
    size_t n = error_body(body, sizeof(body), status, why, id);
    if (x->header_bytes == 0) /* otherwise the handler has set its own */
        http_set_header(x, "request-id", id);
    (void)http_reply(x, status, "application/json", body, n);
}

void exchange_refuse(struct http_exchange *x, int status, const char *why)
{
    struct conn *c = x->conn;
    if (!x->headers_tail)
        exchange_begin(x, c);
    x->body_done = true; /* whatever else comes is not read as a body */
    c->closing = true;
    log_debug("request refused", "peer=%s status=%d", log_q(c->peer), status);
    reply_error(x, status, why);
}

/* Reads and drops what is left of the body, if it is little. */
static void drain(struct http_exchange *x)
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

void exchange_end(struct http_exchange *x)
{
    struct conn *c = x->conn;
    bool cut_off =
        c->eof && !x->body_done; /* the request itself never got here: nobody to answer */
    if (x->answer == ANSWER_NONE && !c->error && !cut_off)
        reply_error(x, 500, "The request was not answered.");
    if (x->answer == ANSWER_STREAMING) {
        /* The handler gave up half-way: the missing last chunk tells the client so. */
        c->closing = true;
        return;
    }
    if (!c->error && !x->body_done && !c->closing)
        drain(x);
}
