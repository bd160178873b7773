/* http1_pipe.c - fuzzes a whole way through: bytes of a client in, requests to an origin out, or bytes
 * of an origin in, answers to a client out.
 *
 * Theory of operation: what goes on must be one message for each message that came in, framed by us,
 * with the same body, whatever the bytes were: that is what cannot be smuggled through. The first
 * byte of the input chooses the direction (and what was asked), the rest is said by a raw peer in one
 * piece and then its side ends. Each message that the pipe makes of it is sent on, alone, to another
 * raw peer, whose bytes are parsed by the strict scanner (held by h1.c, h1_diff.c and
 * http1_response.c): exactly one message, nothing behind it, no framing field twice, the body that
 * was read. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/pipe/pipe.h"
#include "http/wire/h1.h"
#include "http/wire/h1_response.h"
#include "io/stream.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct h1_limits limits = {
    .bytes = 128u << 10, .fields = H1_FIELDS_MAX, .target = 64u << 10, .connect = true};

static const uint8_t *input;
static size_t input_n;
static struct h1_head scanned;

static void two(int sv[2])
{
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
}

/* All that the other side of `fd` has sent. */
static void drain(int fd, struct buf *out)
{
    ssize_t n;
    do {
        char *room = buf_room(out, 65536);
        MUST(room);
        n = read(fd, room, 65536);
        buf_commit(out, n > 0 ? (size_t)n : 0);
    } while (n > 0);
}

static size_t count(const char *p, const char *name)
{
    size_t found = 0;
    for (size_t i = 0; i < scanned.n_fields; i++)
        found += h1_part_is(p, h1_field_name(&scanned.field[i]), name);
    return found;
}

/* The bytes behind the head are exactly this body. */
static void check_body(const char *p, size_t n, bool chunked, bool length, const struct buf *body)
{
    if (chunked) {
        AUTO(buf) decoded = BUF_INIT(1 << 22);
        struct h1_chunked d = {0};
        MUST(h1_chunked_feed(&d, p, n, &decoded) == (ssize_t)n && d.done);
        MUST(decoded.len == body->len && memcmp(buf_str(&decoded), buf_str(body), body->len) == 0);
    } else {
        MUST(n == body->len && memcmp(p, buf_str(body), n) == 0);
        MUST(!length || scanned.length == n);
    }
}

static bool read_all(struct http_pipe *p, struct buf *body)
{
    ssize_t n;
    bool idle;
    do {
        char *room = buf_room(body, 997);
        MUST(room);
        n = http_read_body(p, room, 997, &idle);
        buf_commit(body, n > 0 ? (size_t)n : 0);
    } while (n > 0);
    return n == 0;
}

static void send_all(struct http_pipe *p, const struct http_head *h, const struct buf *body,
                     const struct http_fields *trailers)
{
    MUST(http_send_head(p, h) == 0);
    if (h->body == HTTP_BODY_NONE)
        return;
    size_t half = body->len / 2;
    MUST(http_send_body(p, buf_str(body), half, true) == 0);
    MUST(http_send_body(p, buf_str(body) + half, body->len - half, false) == 0);
    MUST(http_send_end(p, trailers) == 0);
}

static struct http_link *link_over(int fd)
{
    struct stream s;
    MUST(stream_from_fd(&s, fd) == 0);
    struct http_link_options o = {.tls = false};
    struct http_link *l;
    MUST(http_link_new(HTTP_1_1, &s, &o, &l, NULL) == 0);
    return l;
}

/* ---- a client's bytes ---- */

static void forward_request(const struct http_head *q, const struct buf *body,
                            const struct http_fields *trailers)
{
    int sv[2];
    two(sv);
    struct http_link *l = link_over(sv[0]);
    struct http_pipe *p;
    MUST(http_link_ask(l, &p) == 0);
    send_all(p, q, body, trailers);
    AUTO(buf) out = BUF_INIT(1 << 22);
    drain(sv[1], &out);
    http_pipe_close(p);
    http_link_free(l);
    (void)close(sv[1]);

    int status = 0;
    const char *why = "";
    const char *bytes = buf_str(&out);
    ssize_t r = h1_request_scan(bytes, out.len, &limits, &scanned, &status, &why);
    MUST(r > 0 && bytes[0] != '\r');
    MUST(scanned.minor == 1 && scanned.n_host == 1 && count(bytes, "host") == 1);
    MUST(count(bytes, "content-length") + count(bytes, "transfer-encoding") <= 1);
    MUST(count(bytes, "connection") <= 1 && count(bytes, "keep-alive") == 0 &&
         count(bytes, "proxy-connection") == 0 && count(bytes, "trailer") == 0);
    MUST(count(bytes, "upgrade") == (q->protocol.p != NULL));
    check_body(bytes + r, out.len - (size_t)r, scanned.chunked, scanned.n_length > 0, body);
}

static void serve(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) q;
    http_head_init(&q);
    AUTO(buf) body = BUF_INIT(1 << 22);
    MUST(http_read_head(p, &q, NULL) == 0);
    if (read_all(p, &body)) {
        /* An authority may be missing in HTTP/1.0: Host is written all the same. */
        forward_request(&q, &body, http_trailers(p));
        AUTO(http_head) h;
        http_head_init(&h);
        h.status = 200;
        AUTO(buf) nothing = BUF_INIT(1);
        send_all(p, &h, &nothing, NULL);
        if (http_text_eq(q.method, "CONNECT"))
            MUST(http_send_end(p, NULL) == 0);
    }
    http_pipe_close(p);
}

static int client(void *arg)
{
    (void)arg;
    int sv[2];
    two(sv);
    MUST(write(sv[1], input, input_n) == (ssize_t)input_n && shutdown(sv[1], SHUT_WR) == 0);
    struct stream s;
    MUST(stream_from_fd(&s, sv[0]) == 0);
    struct http_serve_options o = {.serve = serve};
    struct err e = {0};
    int r = http_serve(HTTP_1_1, &s, &o, &e);
    MUST(r == 0 || e.msg[0]);
    stream_done(&s);
    (void)close(sv[1]);
    return 0;
}

/* ---- an origin's bytes ---- */

static const struct {
    enum h1_asked asked;
    const char *method, *request;
} asked[] = {
    {H1_ASKED_OTHER, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {H1_ASKED_HEAD, "HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {H1_ASKED_OTHER, "GET", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"},
};
static size_t which;

struct answer {
    struct http_head head;
    struct buf body, trailers;
    const struct http_fields *fields;
};

static void serve_answer(void *arg, struct http_pipe *p)
{
    struct answer *a = arg;
    AUTO(http_head) q;
    http_head_init(&q);
    MUST(http_read_head(p, &q, NULL) == 0);
    send_all(p, &a->head, &a->body, a->fields);
    http_pipe_close(p);
}

static void forward_answer(struct answer *a)
{
    int sv[2];
    two(sv);
    const char *request = asked[which].request;
    MUST(write(sv[1], request, strlen(request)) > 0 && shutdown(sv[1], SHUT_WR) == 0);
    struct stream s;
    MUST(stream_from_fd(&s, sv[0]) == 0);
    struct http_serve_options o = {.serve = serve_answer, .arg = a};
    MUST(http_serve(HTTP_1_1, &s, &o, NULL) == 0);
    stream_done(&s);
    AUTO(buf) out = BUF_INIT(1 << 22);
    drain(sv[1], &out);
    (void)close(sv[1]);

    enum h1_framing framing;
    const char *why, *bytes = buf_str(&out);
    ssize_t r =
        h1_response_scan(bytes, out.len, &limits, asked[which].asked, &scanned, &framing, &why);
    MUST(r > 0 && scanned.status == a->head.status);
    MUST(count(bytes, "content-length") + count(bytes, "transfer-encoding") <= 1);
    MUST(count(bytes, "connection") <= 1 && count(bytes, "keep-alive") == 0 &&
         count(bytes, "upgrade") == 0);
    MUST(framing != H1_UNTIL_END || scanned.close);
    if (framing == H1_NO_BODY)
        MUST(out.len == (size_t)r);
    else
        check_body(bytes + r, out.len - (size_t)r, framing == H1_CHUNKED, framing == H1_LENGTH,
                   &a->body);
}

static int origin(void *arg)
{
    (void)arg;
    int sv[2];
    two(sv);
    struct http_link *l = link_over(sv[0]);
    struct http_pipe *p;
    MUST(http_link_ask(l, &p) == 0);
    struct http_head q = {.method = http_text_of(asked[which].method),
                          .authority = HTTP_TEXT("a"),
                          .path = HTTP_TEXT("/")};
    MUST(http_send_head(p, &q) == 0);
    MUST(write(sv[1], input, input_n) == (ssize_t)input_n && shutdown(sv[1], SHUT_WR) == 0);
    for (;;) {
        struct answer a = {.body = BUF_INIT(1 << 22)};
        http_head_init(&a.head);
        struct err e = {0};
        int r = http_read_head(p, &a.head, &e);
        MUST(r == 0 || e.msg[0]);
        bool final = r < 0 || a.head.status >= 200;
        if (r == 0 && final && read_all(p, &a.body)) {
            a.fields = http_trailers(p);
            forward_answer(&a);
        }
        http_head_done(&a.head);
        buf_done(&a.body);
        if (final)
            break;
    }
    http_pipe_close(p);
    (void)http_link_ended(l);
    http_link_free(l);
    (void)close(sv[1]);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool begun;
    if (!begun)
        MUST(loop_init() == 0);
    begun = true;
    if (n == 0 || n > 32768) /* fits a socket's buffer */
        return 0;
    input = data + 1;
    input_n = n - 1;
    which = data[0] % 4;
    MUST(loop_run(which == 3 ? client : origin, NULL) == 0);
    return 0;
}
