/* test_h2_serve_floods.c - clients that waste a server's time or memory (boundary-anchors A33): each is
 * told to be calm, or held to its windows. */
#include "unit/http/pipe/h2_world.h"
#include "http/pipe/h2_conn.h"

/* Sends what `add` makes, again and again, until the server has had enough. The words must say of
 * what. */
static void flood(const char *what, void (*add)(struct buf *b, uint32_t i), int most)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(8 << 20);
    for (int i = 0; i < most; i++)
        add(&b, (uint32_t)i);
    /* The server may stop reading before the last byte: another fiber's work would be to write, so
     * the pair's buffers have to take it. */
    for (size_t at = 0; at < b.len && w.result == 1; at += 4096) {
        size_t n = b.len - at < 4096 ? b.len - at : 4096;
        if (stream_write(&w.peer.s, b.data + at, n) < 0)
            break;
        (void)!fiber_yield();
    }
    CHECK(world_ended(&w) == -E_LIMIT && strstr(w.e.msg, what), "%s: %d %s", what, w.result,
          w.e.msg);
    CHECK(peer_goaway(&w.peer) == NGHTTP2_ENHANCE_YOUR_CALM, "%s: no goaway", what);
    world_done(&w);
}

static void add_ping(struct buf *b, uint32_t i)
{
    (void)i;
    put_frame(b, F_PING, 0, 0, "12345678", 8);
}
static void add_settings(struct buf *b, uint32_t i)
{
    const char window[6] = {0, 4, 0, 0, (char)(i & 1 ? 255 : 0), 1};
    put_frame(b, F_SETTINGS, 0, 0, window, 6);
}
static void add_priority(struct buf *b, uint32_t i)
{
    put_frame(b, F_PRIORITY, 0, 2 * i + 1, "\0\0\0\0\1", 5);
}
static void add_unknown(struct buf *b, uint32_t i)
{
    put_frame(b, 0xbe, 0, i & 7, "x", 1);
}
static void add_window(struct buf *b, uint32_t i)
{
    (void)i;
    put_u32(b, F_WINDOW, 0, 1);
}
static void add_empty_data(struct buf *b, uint32_t i)
{
    if (i == 0)
        put_headers(b, 1, 0, POST("/held"));
    put_frame(b, F_DATA, 0, 1, NULL, 0);
}
static void add_padding(struct buf *b, uint32_t i)
{
    if (i == 0)
        put_headers(b, 1, 0, POST("/held"));
    put_frame(b, F_DATA, F_PADDED, 1, "\1\0", 2);
}
static void add_rapid_reset(struct buf *b, uint32_t i)
{
    put_headers(b, 2 * i + 1, F_END, GET("/wait"));
    put_u32(b, F_RST, 2 * i + 1, NGHTTP2_CANCEL);
}
static void add_malformed(struct buf *b, uint32_t i)
{
    put_headers(b, 2 * i + 1, F_END, ":method: GET\n");
}
/* What the library resets by itself: a request that ends before its announced length. */
static void add_lie(struct buf *b, uint32_t i)
{
    put_headers(b, 2 * i + 1, 0, POST("/wait") "content-length: 1\n");
    put_frame(b, F_DATA, F_END, 2 * i + 1, NULL, 0);
}
static void add_continuation(struct buf *b, uint32_t i)
{
    if (i == 0)
        put_frame(b, F_HEADERS, 0, 1, "\x82", 1);
    put_frame(b, F_CONT, 0, 1, "\x84", i & 1);
}

static void floods_end_the_connection(void)
{
    flood("PING", add_ping, 2000);
    flood("SETTINGS", add_settings, 300);
    flood("PRIORITY", add_priority, 2000);
    flood("frames that mean nothing", add_unknown, 2000);
    flood("WINDOW_UPDATE", add_window, 2000);
    flood("empty DATA", add_empty_data, 2000);
    flood("empty DATA", add_padding, 2000);
    flood("malformed", add_malformed, 200);
    flood("malformed", add_lie, 200);
    flood("CONTINUATION", add_continuation, 100);
}
H2_CASE(floods_end_the_connection)

static void rapid_reset_ends_the_connection(void)
{
    flood("resets", add_rapid_reset, 1000);
    CHECK(W.hanging <= H2_CALM_RESETS + 1, "%d were started", W.hanging);
    CHECK(W.cancelled == W.hanging, "%d of %d were cancelled", W.cancelled, W.hanging);
}
H2_CASE(rapid_reset_ends_the_connection)

static void streams_beyond_the_ceiling_are_refused(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.streams_max = 2}, false);
    CHECK(peer_want(&w.peer, F_SETTINGS, 0), "settings");
    AUTO(buf) b = BUF_INIT(10000);
    for (uint32_t i = 0; i < 3; i++) /* before our settings are acknowledged (5.1.2) */
        put_headers(&b, 2 * i + 1, F_END, GET("/held"));
    world_send(&w, &b);
    CHECK(peer_reset_of(&w.peer, 5) == NGHTTP2_REFUSED_STREAM, "third");
    CHECK(W.hanging == 2, "%d", W.hanging);
    W.go = true;
    waitq_wake_all(&W.may_go);
    CHECK(peer_want(&w.peer, F_HEADERS, 3), "the others go on");
    put_frame(&b, F_SETTINGS, F_ACK, 0, NULL, 0);
    W.go = false;
    for (uint32_t i = 3; i < 6; i++)
        put_headers(&b, 2 * i + 1, F_END, GET("/held"));
    world_send(&w, &b);
    CHECK(world_ended(&w) == -E_PROTO, "after it the client knows: %d %s", w.result, w.e.msg);
    world_done(&w);
}
H2_CASE(streams_beyond_the_ceiling_are_refused)

/* A client that resets its streams may open others, but not faster than their fibers end. */
static void fibers_are_bounded_too(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.streams_max = 2}, false);
    AUTO(buf) b = BUF_INIT(100000);
    for (uint32_t i = 0; i < 10; i++) {
        put_headers(&b, 2 * i + 1, F_END, GET("/wait"));
        put_u32(&b, F_RST, 2 * i + 1, NGHTTP2_CANCEL);
    }
    world_send(&w, &b); /* in one read: no fiber runs meanwhile */
    until_equal(&W.served, 4);
    CHECK(strstr(world_ask(&w, 101, GET("/")), "200"), "goes on");
    CHECK(W.hanging == 4 && W.cancelled == 4, "%d, %d", W.hanging, W.cancelled);
    world_done(&w);
}
H2_CASE(fibers_are_bounded_too)

static void a_peer_that_does_not_read_holds_no_memory(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(1 << 20);
    put_u32(&b, F_WINDOW, 0, 1 << 30);
    put_frame(&b, F_SETTINGS, 0, 0, "\0\4\x40\0\0\0", 6); /* a window of 1 GiB */
    for (uint32_t i = 0; i < 4; i++)
        put_headers(&b, 2 * i + 1, F_END, GET("/big"));
    world_send(&w, &b);
    /* Nothing is read: the handlers stop in send_body, and the streams in ours. */
    CHECK(fiber_sleep_ms(50) == 0, "sleep");
    CHECK(W.hanging == 0, "%d have sent 4 MiB to nobody", W.hanging);
    stream_done(&w.peer.s);
    until_equal(&W.served, 4);
    CHECK(W.result < 0, "%zd", W.result);
    CHECK(world_ended(&w) < 0, "%d", w.result);
    world_done(&w);
}
H2_CASE(a_peer_that_does_not_read_holds_no_memory)

/* Heads have no window: who sends them waits when many have not been taken. */
static void heads_wait_for_a_peer_that_does_not_read(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, F_END, GET("/heads"));
    world_send(&w, &b);
    CHECK(fiber_sleep_ms(50) == 0, "sleep");
    CHECK(W.hanging > 0 && W.hanging < 100, "%d heads wait for nobody", W.hanging);
    while (W.hanging < 500 && peer_next(&w.peer)) /* it goes on when they are read */
        ;
    CHECK(W.hanging == 500 && W.result == 0, "%d, %zd", W.hanging, W.result);
    world_done(&w);

    world_init(&w, NULL, false);
    put_headers(&b, 1, F_END, GET("/heads"));
    world_send(&w, &b);
    CHECK(fiber_sleep_ms(50) == 0, "sleep");
    stream_done(&w.peer.s);
    until_equal(&W.served, 1);
    CHECK(W.result < 0 && world_ended(&w) < 0, "%zd, %d", W.result, w.result);
    world_done(&w);
}
H2_CASE(heads_wait_for_a_peer_that_does_not_read)

/* One byte of window at a time: the client pays for more than it gets. */
static void tiny_windows_end(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(1 << 20);
    put_frame(&b, F_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
    put_headers(&b, 1, F_END, GET("/big"));
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_HEADERS, 1), "head");
    int n = 0;
    for (; n < 5000; n++) {
        put_u32(&b, F_WINDOW, 1, 1);
        world_send(&w, &b);
        if (!peer_next(&w.peer) || w.peer.type != F_DATA)
            break;
        CHECK(w.peer.n == 1, "%zu", w.peer.n);
    }
    CHECK(n < 2 * H2_CALM_FRAMES, "%d", n);
    CHECK(world_ended(&w) == -E_LIMIT, "%d", w.result);
    world_done(&w);
}
H2_CASE(tiny_windows_end)

static void a_window_that_overflows_is_an_error(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, F_END, GET("/held"));
    put_u32(&b, F_WINDOW, 1, 0x7fffffff);
    world_send(&w, &b);
    CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_FLOW_CONTROL_ERROR, "6.9.1");
    put_u32(&b, F_WINDOW, 0, 0x7fffffff);
    world_send(&w, &b);
    CHECK(peer_goaway(&w.peer) == NGHTTP2_FLOW_CONTROL_ERROR, "6.9.1");
    CHECK(world_ended(&w) == -E_PROTO, "%d", w.result);
    world_done(&w);
}
H2_CASE(a_window_that_overflows_is_an_error)

/* Each byte of the block is a field of 4 KiB (RFC 7541 7.3): refused, and nothing of it is kept. */
static void a_bomb_of_indexed_fields_is_refused(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) block = BUF_INIT(100000), b = BUF_INIT(100000);
    static char value[3900];
    memset(value, 'v', sizeof(value));
    put_block(&block, GET("/"));
    (void)buf_addc(&block, 0x40); /* with indexing */
    put_hpack_text(&block, "x", 1);
    put_hpack_text(&block, value, sizeof(value));
    for (int i = 0; i < 10000; i++)
        (void)buf_addc(&block, (char)(0x80 | 62));
    put_frame(&b, F_HEADERS, F_END_HEAD | F_END, 1, block.data, block.len);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_HEADERS, 1) && strstr(w.peer.head, ":status: 431"), "%s",
          w.peer.head);
    CHECK(strstr(world_ask(&w, 3, GET("/")), "200"), "goes on");
    world_done(&w);
}
H2_CASE(a_bomb_of_indexed_fields_is_refused)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(floods_end_the_connection),
        CASE(rapid_reset_ends_the_connection),
        CASE(streams_beyond_the_ceiling_are_refused),
        CASE(fibers_are_bounded_too),
        CASE(a_peer_that_does_not_read_holds_no_memory),
        CASE(heads_wait_for_a_peer_that_does_not_read),
        CASE(tiny_windows_end),
        CASE(a_window_that_overflows_is_an_error),
        CASE(a_bomb_of_indexed_fields_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
