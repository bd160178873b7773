/* h2_serve.c - fuzzes the serving side of HTTP/2: a client's bytes, from its preface on.
 *
 * Theory of operation: the first byte chooses options, the rest is what h2_fake makes of it. Requests
 * are answered in ways that their paths choose. Whatever the bytes are: heads that are let in are
 * well-formed, bodies have the announced length or end in an error, every exchange ends. */
#include "fuzz.h"
#include "base/err.h"
#include "h2_fake.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

static uint8_t choice;
static struct http_serving serving;

/* The body up to its end, sent back when `p` is told to. */
static void pump(struct http_pipe *p, const struct http_head *h, bool back)
{
    char bytes[600];
    uint64_t all = 0;
    ssize_t n;
    int r = 0;
    while ((n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0) {
        all += (uint64_t)n;
        if (back && r == 0)
            r = http_send_body(p, bytes, (size_t)n, true);
    }
    MUST(n < 0 || h->body != HTTP_BODY_LENGTH || all == h->length);
    MUST(n < 0 || h->body != HTTP_BODY_NONE || all == 0);
    if (n == 0)
        check_fields(http_trailers(p));
    if (back && r == 0 && n == 0)
        (void)http_send_end(p, http_trailers(p));
}

/* A tunnel as a stream of bytes, which come back. */
static void tunnel(struct http_pipe *p)
{
    struct stream s;
    char bytes[600];
    ssize_t n;
    http_pipe_stream(p, &s);
    while ((n = stream_read(&s, bytes, sizeof(bytes))) > 0)
        if (stream_write(&s, bytes, (size_t)n) < 0)
            break;
    MUST(n != -EAGAIN && n != -EBADF);
    if (n == 0)
        (void)!stream_finish(&s);
    stream_done(&s);
}

static void serve(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) h;
    http_head_init(&h);
    struct err e = {0};
    int r = http_read_head(p, &h, &e);
    MUST(r < 0 || h.method.n);
    MUST(http_serve_streams(&serving) > 0);
    if (choice & 64)
        http_serve_drain(&serving);
    if (r == 0) {
        check_head(&h, true);
        char way = h.path.n > 1 ? h.path.p[1] : 'e';
        struct http_head a = {.status = 200, .body = HTTP_BODY_STREAM};
        if (way == 'r')
            http_reset(p, HTTP_RESET_REFUSED);
        else if (way == 'h')
            pump(p, &h, false);
        else if (way != 'n' && http_send_head(p, &a) == 0) {
            if (choice & 32 && http_text_eq(h.method, "CONNECT")) {
                tunnel(p);
                return;
            }
            pump(p, &h, true);
        }
    }
    http_pipe_close(p);
}

static void refuse(void *arg, int status, const char *why, struct http_head *ret,
                   struct http_text *ret_body)
{
    (void)arg;
    MUST(status >= 400 && status < 500);
    *ret_body = http_text_of(why);
    ret->status = status;
}

static int run(void *arg)
{
    (void)arg;
    struct stream s;
    struct err e = {0};
    struct http_serve_options o = {
        .serve = serve,
        .refuse = choice & 1 ? refuse : NULL,
        .connect_protocol = choice & 2,
        .streams_max = choice & 4 ? 2 : 0,
        .head_bytes_max = choice & 8 ? 300 : 0,
        .serving = &serving,
    };
    serving = (struct http_serving){0};
    if (choice & 16)
        o.line = (struct http_line){.ping_ms = 1,
                                    .dead_ms = 2,
                                    .stream_window = 16 << 10,
                                    .conn_window = 16 << 10,
                                    .held_max = 1};
    fake_stream(&s);
    int r = h2_serve(&s, &o, &e);
    MUST(r == 0 || (r < 0 && e.code == r && e.msg[0]));
    stream_done(&s);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    choice = data[0];
    bool raw = choice & 0x80;
    fake_run(run, data + 1, n - 1, PREFACE, raw ? 0 : sizeof(PREFACE) - 1);
    return 0;
}
