/* test_h2_line.c - PINGs, and connections that are called dead; with a clock of the test's own. */
#include "unit/http/pipe/h2_both.h"
#include "base/time.h"
#include "http/pipe/h2_conn.h"

#define LINE                                                                                       \
    {                                                                                              \
        .ping_ms = 5000, .dead_ms = 10000                                                          \
    }

/* H2_CASE with a guard that does not pass with this clock; the test's runner has another one. */
#define LINE_CASE(f)                                                                               \
    static int fiber_##f(void *arg)                                                                \
    {                                                                                              \
        (void)arg;                                                                                 \
        f();                                                                                       \
        return 0;                                                                                  \
    }                                                                                              \
    static void case_##f(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        failure[0] = '\0';                                                                         \
        run_on_loop(fiber_##f, NULL);                                                              \
        if (failure[0])                                                                            \
            fail_msg("%s", failure);                                                               \
    }

/* So long passes, and whoever waits for a time or for bytes has a turn. */
static void pass(int64_t ms)
{
    time_test_advance(ms * NS_PER_MS);
    for (int i = 0; i < 200; i++) /* the loop looks at descriptors after 64 of them */
        (void)!fiber_yield();
}

/* ---- a link whose server the test is ---- */

struct asker {
    struct peer peer;
    struct http_link *l;
    struct http_pipe *p;
    struct scope scope;
    int r; /* of the head that it waits for; 1 */
};

static int read_head(void *arg)
{
    struct asker *a = arg;
    a->r = status_of(a->p);
    return 0;
}

/* With a request that waits for its answer, and the server's settings said. */
static void asker_init(struct asker *a)
{
    struct stream s;
    struct err e = {0};
    *a = (struct asker){.r = 1};
    peer_pair(&a->peer, &s);
    CHECK(h2_link_new(&s, &(struct http_link_options){.line = LINE}, &a->l, &e) == 0, "%s", e.msg);
    struct http_head h = {.method = HTTP_TEXT("GET"),
                          .scheme = HTTP_TEXT("http"),
                          .authority = HTTP_TEXT("a"),
                          .path = HTTP_TEXT("/")};
    CHECK(http_link_ask(a->l, &a->p) == 0 && http_send_head(a->p, &h) == 0, "ask");
    scope_init(&a->scope);
    CHECK(fiber_spawn(&a->scope, "reader", read_head, a, NULL) == 0, "spawn");
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_SETTINGS, 0, 0, NULL, 0);
    put_frame(&b, F_SETTINGS, F_ACK, 0, NULL, 0);
    CHECK(peer_fill(&a->peer, 24), "preface");
    buf_consume(&a->peer.in, 24);
    CHECK(peer_want(&a->peer, F_HEADERS, 1), "request");
    peer_send(&a->peer, &b);
    while (peer_next(&a->peer) && !(a->peer.type == F_SETTINGS && a->peer.flags & F_ACK))
        ;
}
static void asker_done(struct asker *a)
{
    CHECK(scope_join(&a->scope) == 0, "join");
    scope_done(&a->scope);
    http_pipe_close(a->p);
    http_link_free(a->l);
    peer_done(&a->peer);
}
static void acknowledge(struct peer *p)
{
    AUTO(buf) b = BUF_INIT(100);
    put_frame(&b, F_PING, F_ACK, 0, p->p, 8);
    peer_send(p, &b);
}

static void a_link_asks_whether_its_server_lives(void)
{
    struct asker a;
    asker_init(&a);
    const struct h2_conn *c = CONTAINER_OF(a.p, struct h2_stream, pipe)->c;
    for (int i = 0; i < 5; i++) {
        pass(4900);
        CHECK(a.r == 1, "early");
        pass(100);
        CHECK(peer_next(&a.peer) && a.peer.type == F_PING && !(a.peer.flags & F_ACK), "%d: %u", i,
              a.peer.type);
        acknowledge(&a.peer);
        pass(0);
        CHECK(!c->out && !c->writing, "an idle connection has no buffer");
    }
    CHECK(a.r == 1 && !http_link_ended(a.l), "it lives");
    pass(5000);
    CHECK(peer_next(&a.peer) && a.peer.type == F_PING, "%u", a.peer.type);
    pass(4900);
    CHECK(a.r == 1 && !http_link_ended(a.l), "may still answer");
    pass(100);
    CHECK(a.r == -ECONNRESET && http_link_ended(a.l), "dead: %d", a.r);
    asker_done(&a);
}
LINE_CASE(a_link_asks_whether_its_server_lives)

/* Whatever comes is a sign of life, and half a frame too. */
static void any_byte_is_life(void)
{
    struct asker a;
    asker_init(&a);
    static const char frame[] = "\0\0\4\xcc\0\0\0\0\0data";
    for (size_t i = 0; i < 13; i++) {
        pass(9900);
        CHECK(a.r == 1, "%zu: %d", i, a.r);
        CHECK(stream_write(&a.peer.s, frame + i, 1) == 0, "write");
        pass(0);
    }
    AUTO(buf) b = BUF_INIT(1000);
    put_headers(&b, 1, F_END, ":status: 200\n");
    peer_send(&a.peer, &b);
    (void)!scope_join(&a.scope);
    CHECK(a.r == 200, "%d", a.r);
    asker_done(&a);
}
LINE_CASE(any_byte_is_life)

/* The process was stopped: its time is over, and the answer lies in the socket. */
static void what_lies_there_is_read_first(void)
{
    struct asker a;
    asker_init(&a);
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_PING, F_ACK, 0, "12345678", 8);
    pass(0);
    struct h2_conn *c = CONTAINER_OF(a.p, struct h2_stream, pipe)->c;
    CHECK(c->io->io.drained, "as after any short read");
    peer_send(&a.peer, &b);
    time_test_advance(60 * NS_PER_S);
    CHECK(h2_line_look(c) == 0, "before the loop has looked");
    CHECK(a.r == 1 && !http_link_ended(a.l), "%d", a.r);
    pass(0);
    CHECK(a.r == 1 && !http_link_ended(a.l), "%d", a.r);
    pass(10000);
    CHECK(a.r == -ECONNRESET && http_link_ended(a.l), "%d", a.r);
    asker_done(&a);
}
LINE_CASE(what_lies_there_is_read_first)

/* ---- a server whose client the test is ---- */

static void a_server_finds_its_client_dead(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.line = LINE, .idle_timeout_ms = INT64_MAX}, false);
    AUTO(buf) b = BUF_INIT(1000);
    put_headers(&b, 1, F_END, GET("/wait"));
    world_send(&w, &b);
    until_equal(&W.hanging, 1);
    pass(5000);
    CHECK(peer_want(&w.peer, F_PING, 0), "ping");
    acknowledge(&w.peer);
    pass(0);
    pass(9900);
    CHECK(w.result == 1, "%d", w.result);
    pass(100);
    CHECK(world_ended(&w) == -ETIMEDOUT && strstr(w.e.msg, "nothing has come from the client"),
          "%d %s", w.result, w.e.msg);
    CHECK(W.cancelled == 1, "%d", W.cancelled);
    world_done(&w);
}
LINE_CASE(a_server_finds_its_client_dead)

static void a_silent_client_is_left_alone_without_a_line(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.idle_timeout_ms = INT64_MAX}, false);
    CHECK(strstr(world_ask(&w, 1, GET("/")), "200"), "answer");
    pass(3600 * 1000);
    pass(3600 * 1000);
    CHECK(w.result == 1, "%d", w.result);
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_PING, 0, 0, "12345678", 8);
    world_send(&w, &b);
    CHECK(peer_next(&w.peer) && w.peer.type == F_PING && w.peer.flags & F_ACK,
          "no PING of its own");
    world_done(&w);
}
LINE_CASE(a_silent_client_is_left_alone_without_a_line)

/* ---- both of ours ---- */

static void an_hour_of_pings_is_no_abuse(void)
{
    struct both b;
    both_init_with(&b, &(struct http_serve_options){.line = LINE, .idle_timeout_ms = INT64_MAX},
                   &(struct http_link_options){.line = {.ping_ms = 3000, .dead_ms = 7000}});
    struct http_pipe *p = asked(&b, "GET", "/", HTTP_BODY_NONE);
    CHECK(status_of(p) == 200, "answer");
    http_pipe_close(p);
    for (int i = 0; i < 3600; i++)
        pass(1000);
    CHECK(b.w.result == 1 && !http_link_ended(b.l), "%d %s", b.w.result, b.w.e.msg);
    p = asked(&b, "GET", "/", HTTP_BODY_NONE);
    CHECK(status_of(p) == 200, "answer");
    http_pipe_close(p);
    both_done(&b);
}
LINE_CASE(an_hour_of_pings_is_no_abuse)

static int set_clock(void **state)
{
    (void)state;
    time_test_set(time_mono_ns(), 0);
    return 0;
}
static int reset_clock(void **state)
{
    (void)state;
    time_test_reset();
    return 0;
}
#define TIMED(f) cmocka_unit_test_setup_teardown(case_##f, set_clock, reset_clock)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TIMED(a_link_asks_whether_its_server_lives),
        TIMED(any_byte_is_life),
        TIMED(what_lies_there_is_read_first),
        TIMED(a_server_finds_its_client_dead),
        TIMED(a_silent_client_is_left_alone_without_a_line),
        TIMED(an_hour_of_pings_is_no_abuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
