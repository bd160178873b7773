/* test_h2_drain.c - connections that are to end: a server that takes no more and lets what it has
 * finish, and a link that is cut. */
#include "unit/http/pipe/h2_both.h"
#include "http/pipe/h2_conn.h"

static struct http_serving serving;

static void drained_world(struct world *w)
{
    serving = (struct http_serving){0};
    world_init(w, &(struct http_serve_options){.serving = &serving}, false);
    CHECK(strstr(world_ask(w, 1, GET("/")), "200"), "answer");
}

static void an_idle_server_ends_at_once(void)
{
    struct world w;
    drained_world(&w);
    CHECK(http_serve_streams(&serving) == 0, "none");
    http_serve_drain(&serving);
    http_serve_drain(&serving);
    CHECK(peer_goaway(&w.peer) == NGHTTP2_NO_ERROR && peer_u32(&w.peer, 0) == 1, "goaway");
    CHECK(world_ended(&w) == 0, "%d %s", w.result, w.e.msg);
    CHECK(!serving.conn && http_serve_streams(&serving) == 0, "over");
    http_serve_drain(&serving);
    world_done(&w);
}
H2_CASE(an_idle_server_ends_at_once)

static void what_was_taken_goes_on_and_nothing_new_is(void)
{
    struct world w;
    drained_world(&w);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 3, F_END, GET("/held"));
    put_headers(&b, 5, 0, POST("/echo"));
    world_send(&w, &b);
    until_equal(&W.hanging, 1);
    CHECK(peer_want(&w.peer, F_HEADERS, 5), "the echo's head");
    CHECK(http_serve_streams(&serving) == 2, "%zu", http_serve_streams(&serving));
    http_serve_drain(&serving);
    CHECK(peer_goaway(&w.peer) == NGHTTP2_NO_ERROR && peer_u32(&w.peer, 0) == 5, "goaway");
    put_headers(&b, 7, F_END, GET("/"));
    put_frame(&b, F_DATA, 0, 5, "still", 5);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_DATA, 5) && w.peer.n == 5, "bytes go both ways");
    CHECK(W.served == 1 && w.result == 1, "%d", W.served);
    put_frame(&b, F_DATA, F_END, 5, "", 0);
    world_send(&w, &b);
    until_equal(&W.served, 2);
    CHECK(http_serve_streams(&serving) == 1 && w.result == 1, "one is left");
    W.go = true;
    waitq_wake_all(&W.may_go);
    CHECK(world_ended(&w) == 0, "%d %s", w.result, w.e.msg);
    buf_reset(&b);
    CHECK(peer_body(&w.peer, 3, &b) && strcmp(buf_str(&b), "held") == 0, "whole");
    CHECK(W.served == 3, "the new one was not served: %d", W.served);
    world_done(&w);
}
H2_CASE(what_was_taken_goes_on_and_nothing_new_is)

static void a_server_may_drain_before_it_begins(void)
{
    struct world w;
    serving = (struct http_serving){0};
    http_serve_drain(&serving);
    CHECK(http_serve_streams(&serving) == 0, "none");
    world_init(&w, &(struct http_serve_options){.serving = &serving}, true);
    CHECK(world_ended(&w) == 0, "%d %s", w.result, w.e.msg);
    CHECK(peer_goaway(&w.peer) == NGHTTP2_NO_ERROR && peer_u32(&w.peer, 0) == 0, "goaway");
    world_done(&w);
}
H2_CASE(a_server_may_drain_before_it_begins)

static void echo_bytes(struct stream *s)
{
    char bytes[3000];
    ssize_t n;
    note(&W.hanging);
    while ((n = stream_read(s, bytes, sizeof(bytes))) > 0)
        if (stream_write(s, bytes, (size_t)n) < 0)
            return;
    W.result = n;
    if (n == 0)
        (void)!stream_finish(s);
}

static void a_link_sees_it_and_its_tunnels_go_on(void)
{
    struct both b;
    struct stream s;
    char bytes[10];
    struct http_pipe *p = NULL;
    serving = (struct http_serving){0};
    both_init(&b, &(struct http_serve_options){.serving = &serving});
    W.tunnel = echo_bytes;
    tunnel_open(&b, &s);
    http_serve_drain(&serving);
    /* Crosses the GOAWAY, or comes after it: somebody else may take it. */
    struct http_head h = {.method = HTTP_TEXT("GET"),
                          .scheme = HTTP_TEXT("http"),
                          .authority = HTTP_TEXT("a"),
                          .path = HTTP_TEXT("/")};
    CHECK(http_link_ask(b.l, &p) == 0 && http_send_head(p, &h) == 0, "not known yet");
    CHECK(status_of(p) == -E_CLOSED, "not taken");
    http_pipe_close(p);
    CHECK(http_link_ended(b.l) && http_link_ask(b.l, &p) == -E_CLOSED, "ended");
    for (int i = 0; i < 10; i++)
        CHECK(stream_write(&s, "x", 1) == 0 && stream_read(&s, bytes, 10) == 1, "%d", i);
    CHECK(b.w.result == 1 && http_serve_streams(&serving) == 1, "%d", b.w.result);
    CHECK(stream_finish(&s) == 0 && stream_read(&s, bytes, 10) == 0, "end");
    stream_done(&s);
    CHECK(world_ended(&b.w) == 0, "%d %s", b.w.result, b.w.e.msg);
    CHECK(W.served == 1, "%d", W.served);
    both_left(&b);
}
H2_CASE(a_link_sees_it_and_its_tunnels_go_on)

/* ---- a link that is cut ---- */

static int read_one(void *arg)
{
    char byte;
    return (int)stream_read(arg, &byte, 1);
}

static void a_cut_ends_every_exchange(void)
{
    struct both b;
    struct stream s;
    struct scope readers;
    both_init(&b, NULL);
    W.tunnel = echo_bytes;
    tunnel_open(&b, &s);
    until_equal(&W.hanging, 1);
    struct http_pipe *p = asked(&b, "GET", "/held", HTTP_BODY_NONE), *q = NULL;
    scope_init(&readers);
    CHECK(fiber_spawn(&readers, "reader", read_one, &s, NULL) == 0, "spawn");
    until_equal(&W.hanging, 2);
    http_link_cut(b.l, -E_DENIED);
    http_link_cut(b.l, -ECONNRESET);
    CHECK(http_link_ended(b.l) && http_link_room(b.l) == 0, "ended");
    CHECK(http_link_ask(b.l, &q) == -E_CLOSED, "ended");
    CHECK(stream_write(&s, "x", 1) == -E_DENIED && stream_gone(&s), "cut");
    CHECK(status_of(p) == -E_DENIED, "cut");
    CHECK(scope_join(&readers) == 0 && readers.first_error == -E_DENIED, "%d", readers.first_error);
    scope_done(&readers);
    int r = world_ended(&b.w);
    CHECK(r == -ECONNRESET, "%d %s", r, b.w.e.msg);
    CHECK(W.served == 2, "both fibers have ended: %d", W.served);
    stream_done(&s);
    http_pipe_close(p);
    http_link_free(b.l);
    world_done(&b.w);
}
H2_CASE(a_cut_ends_every_exchange)

static int write_many(void *arg)
{
    static const char zeros[8 << 20];
    return stream_write(arg, zeros, sizeof(zeros));
}

/* The peer does not read, so the writer is in the middle of something. */
static void a_cut_does_not_wait_for_the_peer(void)
{
    struct stream under, s;
    struct peer peer;
    struct http_link *l = NULL;
    struct http_pipe *p = NULL;
    struct err e = {0};
    struct scope writers;
    peer_pair(&peer, &under);
    CHECK(h2_link_new(&under, &(struct http_link_options){0}, &l, &e) == 0, "%s", e.msg);
    struct http_head h = {
        .method = HTTP_TEXT("CONNECT"), .authority = HTTP_TEXT("a:1"), .body = HTTP_BODY_STREAM};
    CHECK(http_link_ask(l, &p) == 0 && http_send_head(p, &h) == 0, "ask");
    CHECK(peer_fill(&peer, 24), "preface");
    buf_consume(&peer.in, 24);
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_SETTINGS, 0, 0, "\0\4\0\x80\0\0", 6);
    put_u32(&b, F_WINDOW, 0, 8 << 20);
    put_headers(&b, 1, 0, ":status: 200\n");
    peer_send(&peer, &b);
    CHECK(status_of(p) == 200, "tunnel");
    http_pipe_stream(p, &s);
    scope_init(&writers);
    CHECK(fiber_spawn(&writers, "writer", write_many, &s, NULL) == 0, "spawn");
    const struct h2_conn *c = ((struct h2_stream *)s.impl)->c;
    while (!(c->in_write && c->out_n > 0 && !waitq_empty(&((struct h2_stream *)s.impl)->writer)))
        if (fiber_sleep_ms(1) < 0)
            break;
    http_link_cut(l, -ECONNABORTED);
    CHECK(scope_join(&writers) == 0 && writers.first_error == -ECONNABORTED, "%d",
          writers.first_error);
    scope_done(&writers);
    while (peer_next(&peer))
        CHECK(peer.type != F_GOAWAY, "in the middle of a frame");
    stream_done(&s);
    http_link_free(l);
    peer_done(&peer);
}
H2_CASE(a_cut_does_not_wait_for_the_peer)

static void a_cut_says_goaway_when_it_can(void)
{
    struct stream under;
    struct peer peer;
    struct http_link *l = NULL;
    struct err e = {0};
    peer_pair(&peer, &under);
    CHECK(h2_link_new(&under, &(struct http_link_options){0}, &l, &e) == 0, "%s", e.msg);
    CHECK(peer_fill(&peer, 24), "preface");
    buf_consume(&peer.in, 24);
    CHECK(peer_want(&peer, F_WINDOW, 0), "settings");
    http_link_cut(l, -ECONNRESET);
    CHECK(peer_next(&peer) && peer.type == F_GOAWAY && peer_u32(&peer, 4) == NGHTTP2_NO_ERROR,
          "type %u", peer.type);
    CHECK(!peer_next(&peer), "closed");
    http_link_free(l);
    peer_done(&peer);
}
H2_CASE(a_cut_says_goaway_when_it_can)

static int read_answer(void *arg)
{
    int r = status_of(arg);
    return r;
}

static void a_link_of_http1_is_cut_too(void)
{
    struct stream under;
    struct peer peer;
    struct http_link *l = NULL;
    struct http_pipe *p = NULL;
    struct err e = {0};
    struct scope readers;
    for (int busy = 0; busy < 2; busy++) {
        peer_pair(&peer, &under);
        CHECK(http_link_new(HTTP_1_1, &under, &(struct http_link_options){0}, &l, &e) == 0, "%s",
              e.msg);
        struct http_head h = {.method = HTTP_TEXT("GET"),
                              .scheme = HTTP_TEXT("http"),
                              .authority = HTTP_TEXT("a"),
                              .path = HTTP_TEXT("/")};
        scope_init(&readers);
        if (busy) {
            CHECK(http_link_ask(l, &p) == 0 && http_send_head(p, &h) == 0, "ask");
            CHECK(fiber_spawn(&readers, "reader", read_answer, p, NULL) == 0, "spawn");
            (void)!fiber_yield();
        }
        http_link_cut(l, -E_DENIED);
        http_link_cut(l, -E_DENIED);
        CHECK(http_link_ended(l) && http_link_room(l) == 0, "ended");
        CHECK(scope_join(&readers) == 0 && readers.first_error == (busy ? -E_DENIED : 0), "%d",
              readers.first_error);
        scope_done(&readers);
        if (busy)
            http_pipe_close(p);
        http_link_free(l);
        peer_done(&peer);
    }
}
H2_CASE(a_link_of_http1_is_cut_too)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_idle_server_ends_at_once),         CASE(what_was_taken_goes_on_and_nothing_new_is),
        CASE(a_server_may_drain_before_it_begins), CASE(a_link_sees_it_and_its_tunnels_go_on),
        CASE(a_cut_ends_every_exchange),           CASE(a_cut_does_not_wait_for_the_peer),
        CASE(a_cut_says_goaway_when_it_can),       CASE(a_link_of_http1_is_cut_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
