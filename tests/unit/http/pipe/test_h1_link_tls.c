/* test_h1_link_tls.c - HTTP/1.1 over TLS at both ends: whole exchanges over one link, what lies on an
 * idle session, and an end of the connection that is one against one that is none. */
#include "unit/http/pipe/h1_peer.h"
#include "unit/io/tls_world.h"

#define HOST "origin.example"
#define BULK 300000u

static struct {
    struct world world;
    struct stream server;
    struct buf seen;
} W;

static void serve(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) q;
    http_head_init(&q);
    CHECK(http_read_head(p, &q, NULL) == 0 && http_text_eq(q.scheme, "https"), "head");
    (void)buf_adds(&W.seen, "[");
    tell_head(&W.seen, &q);
    (void)tell_body(&W.seen, p);
    (void)buf_adds(&W.seen, "]");
    AUTO(http_head) h;
    http_head_init(&h);
    h.status = 200;
    h.body = http_text_eq(q.path, "/stream") ? HTTP_BODY_STREAM : HTTP_BODY_LENGTH;
    h.length = BULK;
    CHECK(http_send_head(p, &h) == 0, "head");
    static char bytes[BULK];
    for (size_t i = 0; i < BULK; i++)
        bytes[i] = (char)(i * 7 % 251);
    for (size_t at = 0; at < BULK; at += 50000)
        CHECK(http_send_body(p, bytes + at, 50000, at % 3 == 0) == 0, "body");
    CHECK(http_send_end(p, NULL) == 0, "end");
    http_pipe_close(p);
}

static int accepts(void *arg)
{
    struct stream *under = arg;
    struct cert_identity *id = world_leaf(W.world.ca, HOST, false);
    struct tls_serve_options o = {.identity = id};
    struct err e = {0};
    CHECK(tls_serve(W.world.ctx, &o, under, &W.server, NULL, &e) == 0, "%s", e.msg);
    cert_identity_unref(id);
    return 0;
}

static int serves(void *arg)
{
    (void)accepts(arg);
    struct http_serve_options o = {.tls = true, .serve = serve};
    struct err e = {0};
    int r = http_serve(HTTP_1_1, &W.server, &o, &e);
    CHECK(r == 0, "%s", e.msg);
    stream_done(&W.server);
    return 0;
}

/* A link to a server of one's own; `server` runs on a fiber of `s`. */
static struct http_link *link_to(struct scope *s, fiber_fn *server, struct stream *under)
{
    struct stream plain, ours;
    struct http_link *l = NULL;
    struct err e = {0};
    connect_two(&plain, under);
    CHECK(fiber_spawn(s, "server", server, under, NULL) == 0, "spawn");
    struct tls_trust *t = world_trust(W.world.ca_file);
    struct tls_connect_options o = {.host = HOST};
    CHECK(tls_connect(t, &o, &plain, &ours, NULL, &e) == 0, "%s", e.msg);
    tls_trust_free(t);
    struct http_link_options lo = {.tls = true};
    CHECK(http_link_new(HTTP_1_1, &ours, &lo, &l, &e) == 0, "%s", e.msg);
    return l;
}

static struct http_pipe *ask(struct http_link *l, const char *path)
{
    struct http_pipe *p = NULL;
    struct http_head q = {.method = HTTP_TEXT("PUT"),
                          .authority = HTTP_TEXT(HOST),
                          .path = http_text_of(path),
                          .body = HTTP_BODY_STREAM};
    CHECK(http_link_ask(l, &p) == 0, "ask");
    if (!p)
        return NULL;
    CHECK(http_send_head(p, &q) == 0 && http_send_body(p, "hello", 5, true) == 0 &&
              http_send_end(p, NULL) == 0,
          "request");
    return p;
}

static int exchanges_follow_one_another(void *arg)
{
    (void)arg;
    struct stream under;
    AUTO(scope) s;
    scope_init(&s);
    struct http_link *l = link_to(&s, serves, &under);
    for (int i = 0; i < 4; i++) {
        struct http_pipe *p = ask(l, i % 2 ? "/stream" : "/length");
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(http_read_head(p, &h, NULL) == 0 && h.status == 200, "head");
        static char got[16000];
        size_t at = 0;
        ssize_t n;
        bool idle;
        while ((n = http_read_body(p, got, sizeof(got), &idle)) > 0)
            for (ssize_t k = 0; k < n; k++, at++)
                CHECK(got[k] == (char)(at * 7 % 251), "byte %zu", at);
        CHECK(n == 0 && at == BULK, "%zd after %zu", n, at);
        http_pipe_close(p);
        CHECK(!http_link_ended(l), "kept");
    }
    http_link_free(l);
    CHECK(scope_join(&s) == 0, "join");
    CHECK(str_starts(buf_str(&W.seen), "[PUT https " HOST " /length {stream} hello][PUT https " HOST
                                       " /stream {stream} hello]"),
          "%s", buf_str(&W.seen));
    return 0;
}

static int bytes_on_an_idle_session_end_the_link(void *arg)
{
    (void)arg;
    struct stream under;
    AUTO(scope) s;
    scope_init(&s);
    struct http_link *l = link_to(&s, accepts, &under);
    CHECK(scope_join(&s) == 0, "join");
    CHECK(!http_link_ended(l), "idle");
    static const char forged[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    CHECK(stream_write(&W.server, forged, sizeof(forged) - 1) == 0, "write");
    CHECK(fiber_sleep_ms(1) == 0, "events");
    CHECK(http_link_ended(l), "ended");
    http_link_free(l);
    stream_done(&W.server);
    return 0;
}

/* A body without a framing ends with close_notify; without it, it was cut off. */
static int only_an_end_in_order_ends_a_body(void *arg)
{
    (void)arg;
    for (int cut = 0; cut < 2; cut++) {
        struct stream under;
        AUTO(scope) s;
        scope_init(&s);
        struct http_link *l = link_to(&s, accepts, &under);
        CHECK(scope_join(&s) == 0, "join");
        struct http_pipe *p = ask(l, "/");
        static const char answer[] = "HTTP/1.1 200 OK\r\n\r\nabc";
        CHECK(stream_write(&W.server, answer, sizeof(answer) - 1) == 0, "write");
        char request[1000];
        CHECK(stream_read(&W.server, request, sizeof(request)) > 0, "request");
        if (cut)
            CHECK(shutdown(W.server.io.fd, SHUT_WR) == 0, "cut");
        else
            CHECK(stream_finish(&W.server) == 0, "finish");
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(http_read_head(p, &h, NULL) == 0, "head");
        buf_reset(&W.seen);
        ssize_t n = tell_body(&W.seen, p);
        CHECK(n == (cut ? -ECONNRESET : 0), "%s", err_name((int)n));
        http_pipe_close(p);
        CHECK(http_link_ended(l), "ended");
        http_link_free(l);
        stream_done(&W.server);
    }
    return 0;
}

#define TLS_CASE(f)                                                                                \
    static int guarded_##f(void *arg)                                                              \
    {                                                                                              \
        AUTO(fiber_deadline) guard = fiber_deadline_push_ms(30000);                                \
        return f(arg);                                                                             \
    }                                                                                              \
    static void case_##f(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        failure[0] = '\0';                                                                         \
        buf_init(&W.seen, 1 << 16);                                                                \
        assert_int_equal(world_init(&W.world), 0);                                                 \
        run_on_loop(guarded_##f, NULL);                                                            \
        assert_int_equal(world_done(&W.world), 0);                                                 \
        buf_done(&W.seen);                                                                         \
        report_failure();                                                                          \
    }
TLS_CASE(exchanges_follow_one_another)
TLS_CASE(bytes_on_an_idle_session_end_the_link)
TLS_CASE(only_an_end_in_order_ends_a_body)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(exchanges_follow_one_another),
        CASE(bytes_on_an_idle_session_end_the_link),
        CASE(only_an_end_in_order_ends_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
