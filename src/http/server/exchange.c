/* exchange - what a handler sees: the request, its body, and the one answer.
 *
 * Runs on the connection's fiber. A handler answers once, whole (http_reply) or in a stream; what
 * it forgets exchange_end makes good: no answer is a 500, a stream left open is cut off so that the
 * client can tell. Framing and connection fields are the server's alone: a handler cannot set
 * Content-Length, Transfer-Encoding, Date, or put a line break into a field. Whether the connection
 * survives is decided before the head is written, so that "Connection: close" tells the truth: not
 * when the client asked to close, when the server is stopping, or when a body is left that is too
 * long to read and drop. */
#include "http/server/internal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "http/wire/h1_class.h"

#include <stdio.h>
#include <string.h>

/* ---- the request ---- */

const struct h1_request *http_request(const struct http_exchange *x)
{
    return &x->req;
}

const char *http_peer(const struct http_exchange *x)
{
    return x->conn->peer;
}

size_t http_max_connections(const struct http_exchange *x)
{
    return x->conn->srv->cfg.max_connections;
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

/* ---- waiting for something else ---- */

/* Looks whether the client has left or sent ahead. 0, or -E_CLOSED. */
static int look_at_client(struct conn *c)
{
    struct io_fd *io = &c->stream.io;
    /* The end may have come in the same event as the request, of which a short read has taken the
     * readability (conn.c): it will not be told again. */
    while (io->readable || io->peer_ended || stream_is_tls(&c->stream)) {
        ssize_t n = conn_try_read(c);
        if (n == -ENOBUFS) {
            /* Full: what is there is looked at when this exchange is over. */
            io->readable = false;
            return io->peer_ended ? -E_CLOSED : 0;
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

void exchange_answer_error(struct http_exchange *x, int status, const char *why)
{
    struct conn *c = x->conn;
    if (!x->headers_tail)
        exchange_begin(x, c);
    x->body_done = true; /* whatever else comes is not read as a body */
    c->closing = true;
    log_debug("request refused", "peer=%s status=%d", log_q(c->peer), status);
    reply_error(x, status, why);
}

void exchange_end(struct http_exchange *x)
{
    struct conn *c = x->conn;
    /* When the request itself never got here: nobody to answer. */
    bool cut_off = c->eof && !x->body_done;
    if (x->answer == ANSWER_NONE && !c->error && !cut_off)
        reply_error(x, 500, "The request was not answered.");
    if (x->answer == ANSWER_STREAMING) {
        /* The handler gave up half-way: the missing last chunk tells the client so. */
        c->closing = true;
        return;
    }
    if (!c->error && !x->body_done && !c->closing)
        body_drain(x);
}

void *http_alloc(struct http_exchange *x, size_t n)
{
    return arena_alloc(&x->arena, x->conn ? &x->conn->srv->blocks : NULL, n);
}
