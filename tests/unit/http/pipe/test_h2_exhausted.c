/* What a tunnel does when memory runs out, on both sides: its stream ends, or its connection, or the
 * process with a line. */
#include "unit/http/pipe/h2_both.h"

#include "unit/exhaust.h"

static void echo_bytes(struct stream *s)
{
    char bytes[3000];
    ssize_t n;
    while ((n = stream_read(s, bytes, sizeof(bytes))) > 0)
        if (stream_write(s, bytes, (size_t)n) < 0)
            return;
    if (n == 0)
        (void)!stream_finish(s);
}

static int serve_side(void *arg)
{
    struct world *w = arg;
    w->result = h2_serve(&w->s, &w->o, &w->e);
    stream_done(&w->s);
    return 0;
}

/* As a tunnel is opened, used and ended, whatever fails. */
static void use_tunnel(struct http_link *l)
{
    static char bytes[40000];
    struct http_pipe *p = NULL;
    struct err e = {0};
    AUTO(http_head) a;
    http_head_init(&a);
    struct http_head h = {
        .method = HTTP_TEXT("CONNECT"), .authority = HTTP_TEXT("a:1"), .body = HTTP_BODY_STREAM};
    if (http_link_ask(l, &p) < 0)
        return;
    if (http_send_head(p, &h) < 0 || http_send_body(p, "first", 5, false) < 0 ||
        http_read_head(p, &a, &e) < 0 || a.status != 200) {
        http_pipe_close(p);
        return;
    }
    struct stream s;
    http_pipe_stream(p, &s);
    if (stream_write(&s, bytes, sizeof(bytes)) == 0 && stream_finish(&s) == 0)
        while (stream_read(&s, bytes, sizeof(bytes)) > 0)
            ;
    stream_done(&s);
}

static int both_sides(void *arg)
{
    (void)arg;
    static struct world w;
    static struct stream under;
    int fds[2];
    struct http_link *l = NULL;
    memset(&w, 0, sizeof(w));
    w.o.serve = serve;
    w.o.line = (struct http_line){.ping_ms = 50, .dead_ms = 200, .held_max = 4 << 20};
    W.tunnel = echo_bytes;
    waitq_init(&W.changed);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(1000);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return 0;
    if (stream_from_fd(&under, fds[0]) < 0 || stream_from_fd(&w.s, fds[1]) < 0)
        return 0;
    scope_init(&w.scope);
    if (fiber_spawn(&w.scope, "server", serve_side, &w, NULL) < 0)
        return 0;
    const struct http_link_options o = {.line = w.o.line};
    if (h2_link_new(&under, &o, &l, &w.e) == 0) {
        use_tunnel(l);
        use_tunnel(l);
        http_link_free(l);
    }
    scope_done(&w.scope);
    stream_done(&w.s);
    return 0;
}

static void tunnel(void)
{
    if (loop_init() < 0)
        return;
    (void)loop_run(both_sides, NULL);
    loop_done();
}

static void a_tunnel_without_memory(void **state)
{
    (void)state;
    tunnel();
    assert_int_equal(W.served, 2); /* with memory it works */
    assert_string_equal(failure, "");
    exhaust_each("a tunnel of HTTP/2", tunnel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_tunnel_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
