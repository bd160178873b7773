/* h2_link.c - fuzzes the asking side of HTTP/2: a server's bytes.
 *
 * Theory of operation: four requests are asked, with and without bodies, and their answers read; the
 * first byte chooses options, the rest is what h2_fake makes of it. Whatever the bytes are: heads that
 * are let in are well-formed, bodies have the announced length or end in an error, a final head comes
 * once. */
#include "fuzz.h"
#include "base/err.h"
#include "h2_fake.h"

static uint8_t choice;
static struct http_link *l;

static void read_answer(struct http_pipe *p, const char *method)
{
    AUTO(http_head) h;
    http_head_init(&h);
    struct err e = {0};
    int r;
    do {
        r = http_read_head(p, &h, &e);
        if (r < 0) {
            MUST(e.code == r && e.msg[0]);
            return;
        }
        check_head(&h, false);
    } while (h.status < 200);
    char bytes[600];
    uint64_t all = 0;
    ssize_t n;
    while ((n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0)
        all += (uint64_t)n;
    MUST(n < 0 || h.body != HTTP_BODY_LENGTH || all == h.length);
    MUST(all == 0 || strcmp(method, "HEAD") != 0);
    if (n == 0)
        check_fields(http_trailers(p));
    MUST(http_read_head(p, &h, &e) < 0);
}

/* The answer of CONNECT, and if it is a tunnel, its bytes. */
static void read_tunnel(struct http_pipe *p)
{
    AUTO(http_head) h;
    http_head_init(&h);
    struct err e = {0};
    int r;
    while ((r = http_read_head(p, &h, &e)) == 0 && h.status < 200)
        check_head(&h, false);
    if (r < 0 || h.status / 100 != 2 || h.body != HTTP_BODY_STREAM) {
        http_pipe_close(p);
        return;
    }
    struct stream s;
    char bytes[600];
    ssize_t n;
    http_pipe_stream(p, &s);
    (void)!stream_finish(&s);
    while ((n = stream_read(&s, bytes, sizeof(bytes))) > 0)
        ;
    MUST(n != -EAGAIN && n != -EBADF && stream_write(&s, "x", 1) < 0);
    stream_done(&s);
}

static int ask(void *arg)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "CONNECT"};
    size_t i = (size_t)(uintptr_t)arg;
    struct http_pipe *p;
    if (l->ops->ask(l, &p) < 0)
        return 0;
    struct http_head h = {.method = http_text_of(methods[i]),
                          .scheme = HTTP_TEXT("https"),
                          .authority = HTTP_TEXT("a"),
                          .path = HTTP_TEXT("/"),
                          .body = i < 2 ? HTTP_BODY_NONE : HTTP_BODY_STREAM};
    if (i == 3 && choice & 1)
        h.protocol = HTTP_TEXT("websocket");
    static const char zeros[100000];
    if (http_send_head(p, &h) == 0) {
        if (i == 3 && choice & 16) {
            read_tunnel(p);
            return 0;
        }
        if (i >= 2 && http_send_body(p, zeros, sizeof(zeros), true) == 0)
            (void)http_send_end(p, NULL);
        if (choice & 2 || i != 1)
            read_answer(p, methods[i]);
    }
    http_pipe_close(p);
    if (i == 2 && choice & 32) {
        http_link_cut(l, -ECONNABORTED);
        MUST(http_link_ended(l));
    }
    return 0;
}

static int run(void *arg)
{
    (void)arg;
    struct stream s;
    struct err e = {0};
    struct scope scope;
    fake_stream(&s);
    struct http_link_options o = {.head_bytes_max = choice & 4 ? 300 : 0};
    if (choice & 8)
        o = (struct http_link_options){.streams_max = 3,
                                       .line = {.ping_ms = 1,
                                                .dead_ms = 2,
                                                .stream_window = 16 << 10,
                                                .conn_window = 16 << 10,
                                                .held_max = 1}};
    MUST(h2_link_new(&s, &o, &l, &e) == 0);
    scope_init(&scope);
    for (size_t i = 0; i < 4; i++)
        MUST(fiber_spawn(&scope, "ask", ask, (void *)(uintptr_t)i, NULL) == 0);
    MUST(scope_join(&scope) == 0);
    l->ops->free(l);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    choice = data[0];
    fake_run(run, data + 1, n - 1, NULL, 0);
    return 0;
}
