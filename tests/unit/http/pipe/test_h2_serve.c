/* test_h2_serve.c - the serving side against frames that the test writes byte by byte. */
#include "unit/http/pipe/h2_world.h"
#include "http/pipe/h2_conn.h"

static void says_what_it_offers(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.streams_max = 7, .connect_protocol = true}, false);
    CHECK(peer_want(&w.peer, F_SETTINGS, 0), "settings");
    uint32_t value[16] = {0};
    for (size_t at = 0; at + 6 <= w.peer.n; at += 6)
        value[w.peer.p[at + 1] & 15] = peer_u32(&w.peer, at + 2);
    CHECK(value[3] == 7, "streams %u", value[3]);
    CHECK(value[4] == H2_STREAM_WINDOW, "window %u", value[4]);
    CHECK(value[6] == 64 << 10, "list %u", value[6]);
    CHECK(value[8] == 1, "connect %u", value[8]);
    CHECK(value[9] == 1, "priorities %u", value[9]);
    CHECK(peer_want(&w.peer, F_WINDOW, 0), "window of the connection");
    CHECK(peer_u32(&w.peer, 0) == H2_CONN_WINDOW - 65535, "%u", peer_u32(&w.peer, 0));
    world_done(&w);
}
H2_CASE(says_what_it_offers)

static void answers_a_request(void)
{
    struct world w;
    world_init(&w, NULL, false);
    const char *got = world_ask(&w, 1, GET("/a?b=c") "x-y: z\nuser-agent: t\n");
    CHECK(strstr(got,
                 "|GET http://a.example/a?b=c body=0 length=0/0 te=0 expect=0 x-y=z user-agent=t"),
          "%s", got);
    got = world_ask(&w, 3, GET("/") "te: trailers\nhost: A.example\nexpect: 100-continue\n");
    CHECK(strstr(got, "te=1 expect=1") && !strstr(got, "host="), "%s", got);
    stream_done(&w.peer.s);
    CHECK(world_ended(&w) == 0, "%d %s", w.result, w.e.msg);
    world_done(&w);
}
H2_CASE(answers_a_request)

static void cookies_become_one(void)
{
    struct world w;
    world_init(&w, NULL, false);
    const char *got = world_ask(&w, 1, GET("/") "cookie: a=1\nx: y\ncookie: b=2\ncookie: c=3\n");
    CHECK(strstr(got, " x=y cookie=a=1; b=2; c=3") && !strstr(got, "cookie=b"), "%s", got);
    got = world_ask(&w, 3, GET("/") "cookie: a=1; b=2\n");
    CHECK(strstr(got, " cookie=a=1; b=2"), "%s", got);
    world_done(&w);
}
H2_CASE(cookies_become_one)

static void never_indexed_fields_stay_so(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) block = BUF_INIT(10000), b = BUF_INIT(10000);
    put_block(&block, GET("/"));
    (void)buf_addc(&block, 0x10); /* never indexed (RFC 7541 6.2.3) */
    put_hpack_text(&block, "x-key", 5);
    put_hpack_text(&block, "v", 1);
    put_frame(&b, F_HEADERS, F_END_HEAD | F_END, 1, block.data, block.len);
    world_send(&w, &b);
    CHECK(peer_body(&w.peer, 1, &b), "body");
    CHECK(strstr(buf_str(&b), " !x-key=v"), "%s", buf_str(&b));
    world_done(&w);
}
H2_CASE(never_indexed_fields_stay_so)

static void bodies_and_trailers_come_back(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(1 << 20);
    put_headers(&b, 1, 0, POST("/echo") "te: trailers\n");
    put_frame(&b, F_DATA, 0, 1, "hello ", 6);
    put_frame(&b, F_DATA, F_PADDED, 1, "\3world\0\0\0", 9);
    put_headers(&b, 1, F_END, "x-sum: 11\ntrailer: x-sum\n");
    world_send(&w, &b);
    CHECK(peer_body(&w.peer, 1, &b), "end");
    CHECK(b.len == 11 && memcmp(b.data, "hello world", 11) == 0, "%s", buf_str(&b));
    CHECK(w.peer.type == F_HEADERS && strcmp(w.peer.head, "x-sum: 11\n") == 0, "%s", w.peer.head);
    CHECK(W.result == 0, "%zd", W.result);
    world_done(&w);
}
H2_CASE(bodies_and_trailers_come_back)

/* ---- what is malformed ---- */

static void malformed_requests_reset_their_stream(void)
{
    static const char *const heads[] = {
        ":method: GET\n:scheme: http\n:authority: a\n", /* no path */
        ":scheme: http\n:authority: a\n:path: /\n",     /* no method */
        ":method: GET\n:authority: a\n:path: /\n",      /* no scheme */
        ":method: GET\n:scheme: http\n:path: /\n",      /* no host */
        GET("/") ":method: GET\n",                      /* twice */
        GET("/") ":path: /b\n",
        GET("/") ":authority: b\n",
        GET("/") "x: y\n:extra: z\n", /* unknown, after */
        GET("/") ":status: 200\n",
        ":method: GET\nx: y\n:scheme: http\n:authority: a\n:path: /\n", /* out of order */
        GET("/") "X-Upper: a\n",
        GET("/") "x y: a\n",
        GET("/") ": a\n",
        GET("/") "x: a\rb\n",
        GET("/") "x:  a\n", /* leading blank */
        GET("/") "x: a \n",
        GET("/") "connection: close\n",
        GET("/") "keep-alive: 1\n",
        GET("/") "proxy-connection: close\n",
        GET("/") "transfer-encoding: chunked\n",
        GET("/") "upgrade: websocket\n",
        GET("/") "te: gzip\n",
        GET("/") "te: trailers, deflate\n",
        GET("/") "host: a.example\nhost: a.example\n",
        GET("/") "content-length: 5\n", /* and no body */
        GET("/") "content-length: 0\ncontent-length: 0\n",
        GET("/") "content-length: +0\n",
        GET("/") "content-length: \n",
        GET("/") "content-length: 99999999999999999999\n",
        ":method: G T\n:scheme: http\n:authority: a\n:path: /\n",
        ":method: \n:scheme: http\n:authority: a\n:path: /\n",
        ":method: GET\n:scheme: http\n:authority: \n:path: /\n",
        ":method: GET\n:scheme: http\n:authority: a\n:path: \n",
        ":method: GET\n:scheme: http\n:authority: a\n:path: *\n", /* of OPTIONS only */
        ":method: GET\n:scheme: http\n:authority: a\n:path: b\n",
        ":method: GET\n:scheme: http\n:authority: a/b\n:path: /\n",
        ":method: GET\n:scheme: http\n:authority: a b\n:path: /\n",
        GET("/a HTTP/1.1"),
        ":method: GET\n:scheme: http\n:authority: a\n:path: http://b/\n",
        ":method: CONNECT\n:scheme: http\n:authority: a:1\n:path: /\n",
        /* not offered */
        ":method: CONNECT\n:scheme: http\n:authority: a\n:path: /\n:protocol: websocket\n",
        ":method: GET\n:scheme: http\n:authority: a\n:path: /\n:protocol: websocket\n",
    };
    struct world w;
    world_init(&w, NULL, false);
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        AUTO(buf) b = BUF_INIT(10000);
        put_headers(&b, (uint32_t)(2 * i + 1), F_END, heads[i]);
        world_send(&w, &b);
        int64_t code = peer_reset_of(&w.peer, (uint32_t)(2 * i + 1));
        CHECK(code == NGHTTP2_PROTOCOL_ERROR, "%zu: %lld", i, (long long)code);
    }
    CHECK(W.served == 0, "%d", W.served);
    const char *got = world_ask(&w, 1001, GET("/"));
    CHECK(strstr(got, ":status: 200"), "the connection goes on: %s", got);
    world_done(&w);
}
H2_CASE(malformed_requests_reset_their_stream)

static void refused_requests_get_an_answer(void)
{
    static const struct {
        const char *head, *status;
    } all[] = {
        {GET("/") "host: b.example\n", ":status: 421"}, /* beside another :authority */
        {GET("/") "host: a.example:80\n", ":status: 421"},
        {":method: GET\n:scheme: http\n:authority: u@a\n:path: /\n", ":status: 400"},
        {":method: GET\n:scheme: http\n:authority: a\n:path: /a#b\n", ":status: 400"},
        {":method: GET\n:scheme: http\n:authority: a\n:path: /a\\b\n", ":status: 400"},
        {":method: GET\n:scheme: ftp\n:authority: a\n:path: /\n", ":status: 400"},
        {":method: GET\n:scheme: https\n:authority: a\n:path: /\n", ":status: 400"},
        {":method: GET\n:scheme: http\n:authority: a:b\n:path: /\n", ":status: 400"},
        {":method: GET\n:scheme: http\n:authority: :80\n:path: /\n", ":status: 400"},
        {":method: GET\n:scheme: http\n:authority: [a\n:path: /\n", ":status: 400"},
        {":method: GET\n:scheme: http\n:authority: a:99999\n:path: /\n", ":status: 400"},
        {":method: GET\n:scheme: http\n:authority: a,b\n:path: /\n", ":status: 400"},
        {GET("/a%2"), ":status: 400"},
        {GET("/a%00"), ":status: 400"},
        {":method: CONNECT\n:authority: a\n", ":status: 400"},
        {GET("/") "expect: 200-ok\n", ":status: 417"},
    };
    struct world w;
    world_init(&w, &(struct http_serve_options){.refuse = refuse}, false);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const char *got = world_ask(&w, (uint32_t)(2 * i + 1), all[i].head);
        CHECK(strstr(got, all[i].status) == got && strchr(got, '|')[1], "%zu: %s", i, got);
    }
    CHECK(W.served == 0, "%d", W.served);
    world_done(&w);
}
H2_CASE(refused_requests_get_an_answer)

static void a_head_beyond_the_ceiling_is_refused(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.refuse = refuse, .head_bytes_max = 4096}, false);
    AUTO(buf) lines = BUF_INIT(100000);
    (void)buf_adds(&lines, GET("/") "x: ");
    for (int i = 0; i < 4096; i++)
        (void)buf_addc(&lines, 'a');
    (void)buf_adds(&lines, "\n");
    const char *got = world_ask(&w, 1, lines.data);
    CHECK(strstr(got, ":status: 431") == got, "%s", got);
    got = world_ask(&w, 3, GET("/"));
    CHECK(strstr(got, ":status: 200") == got, "%s", got);
    world_done(&w);

    world_init(&w, NULL, false); /* without words of the boundary's own */
    buf_reset(&lines);
    (void)buf_adds(&lines, GET("/"));
    for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++)
        (void)buf_addf(&lines, "x%d: y\n", i);
    got = world_ask(&w, 1, lines.data);
    CHECK(strcmp(got, ":status: 431\ncontent-length: 0\n|") == 0, "%s", got);
    CHECK(W.served == 0, "%d", W.served);
    world_done(&w);
}
H2_CASE(a_head_beyond_the_ceiling_is_refused)

static void a_length_that_lies_is_an_error(void)
{
    static const struct {
        const char *length, *data;
    } all[] = {{"5", "four"}, {"3", "four"}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct world w;
        world_init(&w, NULL, false);
        AUTO(buf) b = BUF_INIT(10000);
        char lines[300];
        snprintf(lines, sizeof(lines), POST("/hang") "content-length: %s\n", all[i].length);
        put_headers(&b, 1, 0, lines);
        put_frame(&b, F_DATA, F_END, 1, all[i].data, strlen(all[i].data));
        world_send(&w, &b);
        CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_PROTOCOL_ERROR, "%zu", i);
        until_equal(&W.served, 1);
        CHECK(W.result < 0, "never an end: %zd", W.result);
        world_done(&w);
    }
}
H2_CASE(a_length_that_lies_is_an_error)

static void malformed_trailers_are_an_error(void)
{
    static const char *const all[] = {":status: 200\n", "X: y\n", "te: gzip\n", "connection: x\n"};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct world w;
        world_init(&w, NULL, false);
        AUTO(buf) b = BUF_INIT(10000);
        put_headers(&b, 1, 0, POST("/hang"));
        put_headers(&b, 1, F_END, all[i]);
        world_send(&w, &b);
        CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_PROTOCOL_ERROR, "%zu", i);
        until_equal(&W.served, 1);
        CHECK(W.result < 0, "%zu: %zd", i, W.result);
        world_done(&w);
    }
}
H2_CASE(malformed_trailers_are_an_error)

/* ---- ends ---- */

static void a_reset_reaches_the_reader(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, 0, POST("/hang"));
    world_send(&w, &b);
    until_equal(&W.hanging, 1);
    put_u32(&b, F_RST, 1, NGHTTP2_CANCEL);
    world_send(&w, &b);
    until_equal(&W.served, 1);
    CHECK(W.result == -ECONNRESET || W.result == -ECANCELED, "%zd", W.result);
    world_done(&w);
}
H2_CASE(a_reset_reaches_the_reader)

static void a_reset_cancels_a_fiber_that_waits_elsewhere(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, F_END, GET("/wait"));
    world_send(&w, &b);
    until_equal(&W.hanging, 1);
    put_u32(&b, F_RST, 1, NGHTTP2_CANCEL);
    world_send(&w, &b);
    until_equal(&W.cancelled, 1);
    CHECK(w.result == 1, "the connection goes on");
    world_done(&w);
}
H2_CASE(a_reset_cancels_a_fiber_that_waits_elsewhere)

static void the_end_of_the_connection_cancels_too(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, F_END, GET("/wait"));
    world_send(&w, &b);
    until_equal(&W.hanging, 1);
    stream_done(&w.peer.s);
    CHECK(world_ended(&w) == -ECONNRESET, "%d", w.result);
    CHECK(W.cancelled == 1, "%d", W.cancelled);
    world_done(&w);
}
H2_CASE(the_end_of_the_connection_cancels_too)

static void resets_are_said(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, F_END, GET("/none")); /* closed without an answer */
    put_headers(&b, 3, F_END, GET("/reset"));
    world_send(&w, &b);
    int64_t code[4] = {-1, -1, -1, -1};
    for (int i = 0; i < 2 && peer_next(&w.peer);)
        if (w.peer.type == F_RST) {
            code[w.peer.id & 3] = peer_u32(&w.peer, 0);
            i++;
        }
    CHECK(code[1] == NGHTTP2_INTERNAL_ERROR, "%lld", (long long)code[1]);
    CHECK(code[3] == NGHTTP2_REFUSED_STREAM, "%lld", (long long)code[3]);
    world_done(&w);
}
H2_CASE(resets_are_said)

/* What an exchange has to do after it has cut its client off is not disturbed. */
static void a_reset_of_ours_cancels_nobody(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, F_END, GET("/reset-and-more"));
    world_send(&w, &b);
    CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_INTERNAL_ERROR, "reset");
    W.go = true;
    waitq_wake_all(&W.may_go);
    until_equal(&W.served, 1);
    CHECK(W.result == 0, "%zd", W.result);
    world_done(&w);
}
H2_CASE(a_reset_of_ours_cancels_nobody)

static void an_early_answer_is_whole_and_the_rest_refused(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, 0, POST("/early"));
    world_send(&w, &b);
    CHECK(peer_body(&w.peer, 1, &b), "end");
    CHECK(strcmp(buf_str(&b), "early") == 0, "%s", buf_str(&b));
    CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_NO_ERROR, "8.1");
    world_done(&w);
}
H2_CASE(an_early_answer_is_whole_and_the_rest_refused)

static void cancelling_says_goaway(void)
{
    struct world w;
    world_init(&w, NULL, false);
    CHECK(strstr(world_ask(&w, 1, GET("/")), "200"), "answer");
    scope_cancel(&w.scope);
    CHECK(peer_goaway(&w.peer) == NGHTTP2_NO_ERROR, "goaway");
    CHECK(peer_u32(&w.peer, 0) == 1, "last stream %u", peer_u32(&w.peer, 0));
    world_done(&w);
    CHECK(w.result == -ECANCELED, "%d", w.result);
}
H2_CASE(cancelling_says_goaway)

static void an_idle_client_is_sent_away(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.idle_timeout_ms = 50}, false);
    CHECK(peer_goaway(&w.peer) == NGHTTP2_NO_ERROR, "goaway");
    CHECK(world_ended(&w) == 0, "%d", w.result);
    world_done(&w);
}
H2_CASE(an_idle_client_is_sent_away)

static void half_a_head_has_a_deadline(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.head_timeout_ms = 50}, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_frame(&b, F_HEADERS, 0, 1, "\x82", 1);
    world_send(&w, &b);
    CHECK(world_ended(&w) == -ETIMEDOUT && strstr(w.e.msg, "request head"), "%d %s", w.result,
          w.e.msg);
    world_done(&w);
    world_init(&w, &(struct http_serve_options){.head_timeout_ms = 50}, false);
    AUTO(buf) whole = BUF_INIT(10000);
    put_headers(&whole, 1, F_END, GET("/"));
    (void)buf_add(&b, whole.data, whole.len - 1); /* all but a byte of its only frame */
    world_send(&w, &b);
    CHECK(world_ended(&w) == -ETIMEDOUT && strstr(w.e.msg, "request head"), "%d %s", w.result,
          w.e.msg);
    world_done(&w);
    world_init(&w, &(struct http_serve_options){.head_timeout_ms = 50}, true);
    (void)buf_adds(&b, "PRI * HTTP/2.0\r\n");
    world_send(&w, &b);
    CHECK(world_ended(&w) == -ETIMEDOUT && strstr(w.e.msg, "preface"), "%d %s", w.result, w.e.msg);
    world_done(&w);
}
H2_CASE(half_a_head_has_a_deadline)

static void something_else_is_refused(void)
{
    struct world w;
    world_init(&w, NULL, true);
    AUTO(buf) b = BUF_INIT(10000);
    (void)buf_adds(&b, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    world_send(&w, &b);
    CHECK(world_ended(&w) == -E_PROTO && strstr(w.e.msg, "magic"), "%d %s", w.result, w.e.msg);
    world_done(&w);
}
H2_CASE(something_else_is_refused)

/* ---- 100 (Continue) ---- */

static void the_body_is_asked_for_when_it_is_read(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, 0, POST("/hang") "expect: 100-continue\ncontent-length: 2\n");
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_HEADERS, 1) && strcmp(w.peer.head, ":status: 100\n") == 0, "%s",
          w.peer.head);
    CHECK(!(w.peer.flags & F_END), "no end");
    put_frame(&b, F_DATA, F_END, 1, "ab", 2);
    world_send(&w, &b);
    until_equal(&W.served, 1);
    CHECK(W.result == 0, "%zd", W.result);
    world_done(&w);
}
H2_CASE(the_body_is_asked_for_when_it_is_read)

static void interim_responses_go_out_before_the_final_one(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, F_END, GET("/interim"));
    world_send(&w, &b);
    for (int i = 0; i < 2; i++)
        CHECK(peer_want(&w.peer, F_HEADERS, 1) && !(w.peer.flags & F_END) &&
                  strcmp(w.peer.head, ":status: 103\nlink: x\n") == 0,
              "%s", w.peer.head);
    CHECK(peer_want(&w.peer, F_HEADERS, 1) && strstr(w.peer.head, ":status: 200\n") == w.peer.head,
          "%s", w.peer.head);
    CHECK(peer_body(&w.peer, 1, &b) && strcmp(buf_str(&b), "final") == 0, "%s", buf_str(&b));
    buf_reset(&b);
    put_headers(&b, 3, F_END, ":method: HEAD\n:scheme: http\n:authority: a\n:path: /interim\n");
    world_send(&w, &b);
    do
        CHECK(peer_want(&w.peer, F_HEADERS, 3), "head");
    while (!failure[0] && !(w.peer.flags & F_END));
    CHECK(strcmp(w.peer.head, ":status: 200\ncontent-length: 7\nlink: x\n") == 0, "%s",
          w.peer.head);
    world_done(&w);
}
H2_CASE(interim_responses_go_out_before_the_final_one)

/* ---- windows ---- */

static void nothing_is_read_ahead_beyond_a_window(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(4 << 20);
    static const char zeros[16384];
    put_frame(&b, F_SETTINGS, F_ACK, 0, NULL, 0);
    put_headers(&b, 1, 0, POST("/held"));
    for (unsigned i = 0; i < H2_STREAM_WINDOW / sizeof(zeros); i++)
        put_frame(&b, F_DATA, 0, 1, zeros, sizeof(zeros));
    put_frame(&b, F_PING, 0, 0, "12345678", 8);
    world_send(&w, &b);
    /* The reader takes nothing: no window comes back before the PING does. */
    unsigned updates = 0;
    while (peer_next(&w.peer) && w.peer.type != F_PING)
        updates += w.peer.type == F_WINDOW && w.peer.id == 1;
    CHECK(updates == 0, "%u", updates);
    put_frame(&b, F_DATA, 0, 1, "x", 1); /* beyond it */
    world_send(&w, &b);
    CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_FLOW_CONTROL_ERROR, "6.9.1");
    world_done(&w);
}
H2_CASE(nothing_is_read_ahead_beyond_a_window)

static void bytes_that_nobody_reads_do_not_block_others(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(16 << 20);
    static const char zeros[16384];
    put_frame(&b, F_SETTINGS, F_ACK, 0, NULL, 0);
    /* Eight streams fill far more than the connection's window, and end unread. */
    for (uint32_t id = 1; id < 17; id += 2) {
        put_headers(&b, id, 0, POST("/none"));
        for (unsigned i = 0; i < 15; i++)
            put_frame(&b, F_DATA, 0, id, zeros, sizeof(zeros));
        world_send(&w, &b);
        CHECK(peer_reset_of(&w.peer, id) == NGHTTP2_INTERNAL_ERROR, "id %u", id);
    }
    put_headers(&b, 101, 0, POST("/echo"));
    put_frame(&b, F_DATA, F_END, 101, "still", 5);
    world_send(&w, &b);
    CHECK(peer_body(&w.peer, 101, &b) && strcmp(buf_str(&b), "still") == 0, "%s", buf_str(&b));
    world_done(&w);
}
H2_CASE(bytes_that_nobody_reads_do_not_block_others)

static void a_response_waits_for_the_clients_window(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(16 << 20);
    put_headers(&b, 1, F_END, GET("/big"));
    world_send(&w, &b);
    size_t got = 0;
    while (got < 65535 && peer_next(&w.peer))
        got += w.peer.type == F_DATA ? w.peer.n : 0;
    CHECK(got == 65535 && W.hanging == 0, "%zu", got);
    /* A window on the stream alone does nothing; then the connection's too. */
    put_u32(&b, F_WINDOW, 1, 8 << 20);
    put_frame(&b, F_PING, 0, 0, "12345678", 8);
    world_send(&w, &b);
    CHECK(peer_next(&w.peer) && w.peer.type == F_PING, "type %u", w.peer.type);
    put_u32(&b, F_WINDOW, 0, 8 << 20);
    world_send(&w, &b);
    CHECK(peer_body(&w.peer, 1, &b) && b.len == (4 << 20) - 65535, "%zu", b.len);
    CHECK(W.result == 0, "%zd", W.result);
    world_done(&w);
}
H2_CASE(a_response_waits_for_the_clients_window)

/* ---- tunnels ---- */

static void extended_connect_is_a_tunnel(void)
{
    struct world w;
    world_init(&w, &(struct http_serve_options){.connect_protocol = true}, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(
        &b, 1, 0,
        ":method: CONNECT\n:protocol: websocket\n:scheme: http\n:authority: a\n:path: /chat\n"
        "sec-websocket-version: 13\n");
    put_frame(&b, F_DATA, 0, 1, "raw", 3);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_HEADERS, 1) && strcmp(w.peer.head, ":status: 200\n") == 0, "%s",
          w.peer.head);
    CHECK(peer_want(&w.peer, F_DATA, 1) && w.peer.n == 3 && memcmp(w.peer.p, "raw", 3) == 0,
          "data");
    put_frame(&b, F_DATA, F_END, 1, "!", 1);
    world_send(&w, &b);
    CHECK(peer_body(&w.peer, 1, &b) && strcmp(buf_str(&b), "!") == 0, "%s", buf_str(&b));
    world_done(&w);
}
H2_CASE(extended_connect_is_a_tunnel)

static void plain_connect_names_only_an_authority(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, 0, ":method: CONNECT\n:authority: db.example:5432\n");
    world_send(&w, &b);
    CHECK(peer_body(&w.peer, 1, &b), "body");
    CHECK(strstr(buf_str(&b), "CONNECT http://db.example:5432 body=2"), "%s", buf_str(&b));
    world_done(&w);
}
H2_CASE(plain_connect_names_only_an_authority)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(says_what_it_offers),
        CASE(answers_a_request),
        CASE(cookies_become_one),
        CASE(never_indexed_fields_stay_so),
        CASE(bodies_and_trailers_come_back),
        CASE(malformed_requests_reset_their_stream),
        CASE(refused_requests_get_an_answer),
        CASE(a_head_beyond_the_ceiling_is_refused),
        CASE(a_length_that_lies_is_an_error),
        CASE(malformed_trailers_are_an_error),
        CASE(a_reset_reaches_the_reader),
        CASE(a_reset_cancels_a_fiber_that_waits_elsewhere),
        CASE(the_end_of_the_connection_cancels_too),
        CASE(resets_are_said),
        CASE(a_reset_of_ours_cancels_nobody),
        CASE(an_early_answer_is_whole_and_the_rest_refused),
        CASE(cancelling_says_goaway),
        CASE(an_idle_client_is_sent_away),
        CASE(half_a_head_has_a_deadline),
        CASE(something_else_is_refused),
        CASE(the_body_is_asked_for_when_it_is_read),
        CASE(interim_responses_go_out_before_the_final_one),
        CASE(nothing_is_read_ahead_beyond_a_window),
        CASE(bytes_that_nobody_reads_do_not_block_others),
        CASE(a_response_waits_for_the_clients_window),
        CASE(extended_connect_is_a_tunnel),
        CASE(plain_connect_names_only_an_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
