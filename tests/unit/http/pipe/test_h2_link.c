/* test_h2_link.c - the asking side against a server whose frames the test writes byte by byte. */
#include "unit/http/pipe/h2_peer.h"
#include "http/pipe/h2_conn.h"

struct world {
    struct peer peer; /* the server */
    struct http_link *l;
    struct scope scope;
};

static void world_init(struct world *w, const char *settings, size_t n)
{
    struct stream s;
    struct err e = {0};
    memset(w, 0, sizeof(*w));
    peer_pair(&w->peer, &s);
    scope_init(&w->scope);
    int r = h2_link_new(&s, &(struct http_link_options){.tls = true}, &w->l, &e);
    CHECK(r == 0, "%d %s", r, e.msg);
    CHECK(peer_fill(&w->peer, 24) && memcmp(w->peer.in.data, PREFACE, 24) == 0, "preface");
    buf_consume(&w->peer.in, 24);
    CHECK(peer_next(&w->peer) && w->peer.type == F_SETTINGS, "type %u", w->peer.type);
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_SETTINGS, 0, 0, settings, n);
    put_frame(&b, F_SETTINGS, F_ACK, 0, NULL, 0);
    peer_send(&w->peer, &b);
    while (peer_next(&w->peer) && !(w->peer.type == F_SETTINGS && w->peer.flags & F_ACK))
        ;
}
static void world_done(struct world *w)
{
    scope_done(&w->scope);
    w->l->ops->free(w->l);
    peer_done(&w->peer);
}
static void world_send(struct world *w, struct buf *b)
{
    peer_send(&w->peer, b);
    buf_reset(b);
}
/* A pipe whose request has been sent. */
static struct http_pipe *asked(struct world *w, const char *method, enum http_body body,
                               uint64_t length)
{
    struct http_pipe *p = NULL;
    int r = w->l->ops->ask(w->l, &p);
    CHECK(r == 0, "%d", r);
    struct http_head h = {.method = http_text_of(method),
                          .scheme = HTTP_TEXT("https"),
                          .authority = HTTP_TEXT("a.example"),
                          .path = HTTP_TEXT("/x"),
                          .body = body,
                          .length = length};
    r = http_send_head(p, &h);
    CHECK(r == 0, "%d", r);
    return p;
}
static struct http_pipe *got(struct world *w)
{
    return asked(w, "GET", HTTP_BODY_NONE, 0);
}
static int status_of(struct http_pipe *p, struct http_head *h)
{
    struct err e = {0};
    int r = http_read_head(p, h, &e);
    CHECK(r == 0 || (e.code == r && e.msg[0]), "%d without words", r);
    return r < 0 ? r : h->status;
}
static ssize_t whole(struct http_pipe *p, struct buf *to)
{
    char bytes[1000];
    ssize_t n;
    while ((n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0)
        (void)buf_add(to, bytes, (size_t)n);
    return n;
}

static void heads_are_written_in_order(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *p = NULL;
    CHECK(w.l->ops->ask(w.l, &p) == 0, "ask");
    AUTO(http_head) h;
    http_head_init(&h);
    h.method = HTTP_TEXT("POST");
    h.scheme = HTTP_TEXT("https");
    h.authority = HTTP_TEXT("a.example:8443");
    h.path = HTTP_TEXT("/x?y");
    h.body = HTTP_BODY_LENGTH;
    h.length = 2;
    h.has_te_trailers = h.expect_continue = true;
    CHECK(http_head_add(&h, HTTP_TEXT("x-a"), HTTP_TEXT("b")) == 0, "add");
    CHECK(http_head_add(&h, HTTP_TEXT("authorization"), HTTP_TEXT("Bearer s")) == 0, "add");
    CHECK(http_head_add(&h, HTTP_TEXT("cookie"), HTTP_TEXT("a=1; b=2")) == 0, "add");
    CHECK(http_head_add(&h, HTTP_TEXT("x-injected"), HTTP_TEXT("s")) == 0, "add");
    h.fields.items[3].sensitive = true;
    CHECK(http_send_head(p, &h) == 0 && http_send_body(p, "ok", 2, true) == 0 &&
              http_send_end(p, NULL) == 0,
          "send");
    CHECK(peer_want(&w.peer, F_HEADERS, 1), "head");
    CHECK(strcmp(w.peer.head, ":method: POST\n:scheme: https\n:authority: a.example:8443\n"
                              ":path: /x?y\ncontent-length: 2\nte: trailers\n"
                              "expect: 100-continue\nx-a: b\n!authorization: Bearer s\n"
                              "!cookie: a=1; b=2\n!x-injected: s\n") == 0,
          "%s", w.peer.head);
    AUTO(buf) b = BUF_INIT(1000);
    CHECK(peer_body(&w.peer, 1, &b) && strcmp(b.data, "ok") == 0, "body");
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(heads_are_written_in_order)

static void what_cannot_be_said_is_the_callers_fault(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    static const struct {
        const char *name, *value;
    } all[] = {{"X-Upper", "a"}, {"x y", "a"},           {"", "a"},           {"x", "a\r\nb: c"},
               {"x", "a\nb"},    {"x", "a\1"},           {":path", "/other"}, {"connection", "a"},
               {"host", "b"},    {"content-length", "1"}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct http_pipe *p = NULL;
        CHECK(w.l->ops->ask(w.l, &p) == 0, "ask");
        AUTO(http_head) h;
        http_head_init(&h);
        h.method = HTTP_TEXT("GET");
        h.scheme = HTTP_TEXT("https");
        h.authority = HTTP_TEXT("a");
        h.path = HTTP_TEXT("/");
        CHECK(http_head_add(&h, http_text_of(all[i].name), http_text_of(all[i].value)) == 0, "add");
        CHECK(http_send_head(p, &h) == -EINVAL, "%zu", i);
        h.fields.n = 0;
        h.path = HTTP_TEXT("/a\r\nb");
        CHECK(http_send_head(p, &h) == -EINVAL, "path");
        h.path = HTTP_TEXT("/");
        h.method = HTTP_TEXT("G T");
        CHECK(http_send_head(p, &h) == -EINVAL, "method");
        h.method = HTTP_TEXT("GET");
        h.protocol = HTTP_TEXT("websocket");
        CHECK(http_send_head(p, &h) == -EINVAL, "only CONNECT");
        http_pipe_close(p);
    }
    world_done(&w);
}
H2_CASE(what_cannot_be_said_is_the_callers_fault)

static void interim_responses_body_and_trailers_come_in_order(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *p = got(&w);
    AUTO(buf) b = BUF_INIT(10000), body = BUF_INIT(1000);
    put_headers(&b, 1, 0, ":status: 103\nlink: x\n");
    put_headers(&b, 1, 0, ":status: 200\nset-cookie: a\nset-cookie: b\n");
    put_frame(&b, F_DATA, 0, 1, "hello", 5);
    put_headers(&b, 1, F_END, "grpc-status: 0\n");
    world_send(&w, &b);
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(status_of(p, &h) == 103 && h.body == HTTP_BODY_NONE && h.fields.n == 1, "103");
    CHECK(status_of(p, &h) == 200 && h.body == HTTP_BODY_STREAM && h.fields.n == 2, "200");
    CHECK(status_of(p, &h) == -EINVAL, "no other");
    CHECK(whole(p, &body) == 0 && strcmp(body.data, "hello") == 0, "body");
    const struct http_fields *t = http_trailers(p);
    CHECK(t->n == 1 && http_text_eq(t->items[0].value, "0"), "%zu", t->n);
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(interim_responses_body_and_trailers_come_in_order)

static void bodies_that_cannot_be(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    static const struct {
        const char *method, *head;
        unsigned flags;
        enum http_body body;
        uint64_t length;
    } all[] = {
        {"HEAD", ":status: 200\ncontent-length: 5\n", F_END, HTTP_BODY_NONE, 5},
        {"HEAD", ":status: 200\ncontent-length: 5\n", 0, HTTP_BODY_NONE, 5},
        {"GET", ":status: 204\n", F_END, HTTP_BODY_NONE, 0},
        {"GET", ":status: 304\ncontent-length: 5\n", F_END, HTTP_BODY_NONE, 5},
        {"GET", ":status: 200\n", F_END, HTTP_BODY_NONE, 0},
        {"GET", ":status: 200\ncontent-length: 5\n", 0, HTTP_BODY_LENGTH, 5},
    };
    for (uint32_t i = 0; i < ARRAY_LEN(all); i++) {
        struct http_pipe *p = asked(&w, all[i].method, HTTP_BODY_NONE, 0);
        AUTO(buf) b = BUF_INIT(10000);
        put_headers(&b, 2 * i + 1, all[i].flags, all[i].head);
        world_send(&w, &b);
        AUTO(http_head) h;
        http_head_init(&h);
        int status = status_of(p, &h);
        CHECK(status > 0 && h.body == all[i].body && h.length == all[i].length, "%u: %d, %d", i,
              status, h.body);
        http_pipe_close(p);
    }
    world_done(&w);
}
H2_CASE(bodies_that_cannot_be)

static void malformed_responses_are_errors(void)
{
    static const char *const all[] = {
        "x: y\n",
        ":status: 101\n",
        ":status: 20\n",
        ":status: 2000\n",
        ":status: 099\n",
        ":status: 600\n",
        ":status: +20\n",
        ":status: 200\n:status: 200\n",
        ":status: 200\n:path: /\n",
        ":status: 200\nX: y\n",
        ":status: 200\nx y: z\n",
        ":status: 200\nx: a\rb\n",
        ":status: 200\nconnection: close\n",
        ":status: 200\ntransfer-encoding: chunked\n",
        ":status: 200\ncontent-length: 1\ncontent-length: 1\n",
        ":status: 200\ncontent-length: 1,1\n",
    };
    struct world w;
    world_init(&w, NULL, 0);
    for (uint32_t i = 0; i < ARRAY_LEN(all); i++) {
        struct http_pipe *p = got(&w);
        AUTO(buf) b = BUF_INIT(10000);
        put_headers(&b, 2 * i + 1, 0, all[i]);
        world_send(&w, &b);
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(status_of(p, &h) == -E_PARSE, "%u", i);
        CHECK(peer_reset_of(&w.peer, 2 * i + 1) == NGHTTP2_PROTOCOL_ERROR, "%u", i);
        http_pipe_close(p);
    }
    world_done(&w);
}
H2_CASE(malformed_responses_are_errors)

static void bodies_that_lie_are_errors(void)
{
    static const struct {
        const char *head, *data;
        unsigned flags;
    } all[] = {
        {":status: 200\ncontent-length: 5\n", "four", F_END},
        {":status: 200\ncontent-length: 3\n", "four", 0},
        {":status: 204\n", "x", F_END},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct world w;
        world_init(&w, NULL, 0);
        struct http_pipe *p = got(&w);
        AUTO(buf) b = BUF_INIT(10000);
        put_headers(&b, 1, 0, all[i].head);
        put_frame(&b, F_DATA, all[i].flags, 1, all[i].data, strlen(all[i].data));
        world_send(&w, &b);
        CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_PROTOCOL_ERROR, "%zu", i);
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(status_of(p, &h) > 0, "head");
        ssize_t n = whole(p, &b);
        CHECK(n < 0, "%zu: %zd", i, n);
        http_pipe_close(p);
        world_done(&w);
    }
}
H2_CASE(bodies_that_lie_are_errors)

static void heads_have_a_ceiling(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *p;
    AUTO(buf) b = BUF_INIT(1 << 20), lines = BUF_INIT(1 << 20);
    AUTO(http_head) h;
    http_head_init(&h);
    (void)buf_adds(&lines, ":status: 200\n");
    for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++)
        (void)buf_addf(&lines, "x%d: y\n", i);
    for (uint32_t i = 0; i < 2; i++) { /* with and without an end */
        p = got(&w);
        put_headers(&b, 2 * i + 1, i ? F_END : 0, lines.data);
        world_send(&w, &b);
        CHECK(status_of(p, &h) == -E_LIMIT, "fields");
        http_pipe_close(p);
    }
    p = got(&w);
    for (int i = 0; i < H2_HEADS_MAX + 2; i++)
        put_headers(&b, 5, 0, ":status: 103\n");
    world_send(&w, &b);
    CHECK(peer_reset_of(&w.peer, 5) == NGHTTP2_ENHANCE_YOUR_CALM, "interim responses");
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(heads_have_a_ceiling)

static void room_follows_the_servers_settings(void)
{
    struct world w;
    world_init(&w, "\0\3\0\0\0\2", 6);
    CHECK(w.l->ops->room(w.l) == 2, "%zu", w.l->ops->room(w.l));
    struct http_pipe *a = got(&w), *b = got(&w), *c = NULL;
    CHECK(w.l->ops->ask(w.l, &c) == -EBUSY && w.l->ops->room(w.l) == 0, "busy");
    CHECK(!w.l->ops->ended(w.l), "not ended");
    http_pipe_close(a);
    CHECK(w.l->ops->room(w.l) == 1, "room again");
    http_pipe_close(b);
    world_done(&w);
}
H2_CASE(room_follows_the_servers_settings)

static void resets_of_the_server_are_told_apart(void)
{
    static const struct {
        uint32_t code;
        int result;
    } all[] = {{NGHTTP2_REFUSED_STREAM, -E_CLOSED},
               {NGHTTP2_CANCEL, -ECONNRESET},
               {NGHTTP2_NO_ERROR, -ECONNRESET},
               {NGHTTP2_HTTP_1_1_REQUIRED, -ECONNRESET}};
    struct world w;
    world_init(&w, NULL, 0);
    AUTO(http_head) h;
    http_head_init(&h);
    for (uint32_t i = 0; i < ARRAY_LEN(all); i++) {
        struct http_pipe *p = got(&w);
        AUTO(buf) b = BUF_INIT(1000);
        put_u32(&b, F_RST, 2 * i + 1, all[i].code);
        CHECK(peer_want(&w.peer, F_HEADERS, 2 * i + 1), "request");
        world_send(&w, &b);
        int r = status_of(p, &h);
        CHECK(r == all[i].result, "%u: %d", i, r);
        http_pipe_close(p);
    }
    CHECK(!w.l->ops->ended(w.l), "the link goes on");
    world_done(&w);
}
H2_CASE(resets_of_the_server_are_told_apart)

static void goaway_lets_finish_what_was_accepted(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *a = got(&w), *b = got(&w), *c = NULL;
    CHECK(peer_want(&w.peer, F_HEADERS, 3), "requests");
    AUTO(buf) o = BUF_INIT(1000);
    put_frame(&o, F_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
    world_send(&w, &o);
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(status_of(b, &h) == -E_CLOSED, "not taken");
    CHECK(w.l->ops->ended(w.l) && w.l->ops->ask(w.l, &c) == -E_CLOSED && w.l->ops->room(w.l) == 0,
          "ended");
    put_headers(&o, 1, F_END, ":status: 200\n");
    world_send(&w, &o);
    CHECK(status_of(a, &h) == 200, "taken");
    http_pipe_close(a);
    http_pipe_close(b);
    world_done(&w);
}
H2_CASE(goaway_lets_finish_what_was_accepted)

/* A request that waits to be written when the server goes away was never sent: it may go elsewhere, and
 * no frame may name its stream, for which the server would end the others too (RFC 9113 5.1). */
static void goaway_leaves_a_request_that_was_not_written(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *a = got(&w);
    CHECK(peer_want(&w.peer, F_HEADERS, 1), "request");
    struct http_pipe *b = got(&w);
    AUTO(buf) o = BUF_INIT(1000);
    put_frame(&o, F_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
    CHECK(h2_conn_feed(CONTAINER_OF(b, struct h2_stream, pipe)->c, o.data, o.len) == 0, "feed");
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(status_of(b, &h) == -E_CLOSED, "not sent");
    http_pipe_close(b);
    (void)!fiber_yield(); /* the writer's turn: what it had to say comes before the PING's answer */
    (void)!fiber_yield();
    buf_reset(&o);
    put_frame(&o, F_PING, 0, 0, "12345678", 8);
    world_send(&w, &o);
    while (peer_next(&w.peer) && w.peer.type != F_PING)
        CHECK(w.peer.id != 3, "type %u", w.peer.type);
    CHECK(w.peer.type == F_PING, "type %u", w.peer.type);
    put_headers(&o, 1, F_END, ":status: 200\n");
    world_send(&w, &o);
    CHECK(status_of(a, &h) == 200, "the other goes on");
    http_pipe_close(a);
    world_done(&w);
}
H2_CASE(goaway_leaves_a_request_that_was_not_written)

static void a_connection_that_ends_is_noticed(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *a = got(&w), *c = NULL;
    CHECK(peer_want(&w.peer, F_HEADERS, 1), "request");
    AUTO(http_head) h;
    http_head_init(&h);
    stream_done(&w.peer.s);
    CHECK(status_of(a, &h) == -E_CLOSED, "nothing came");
    CHECK(w.l->ops->ended(w.l) && w.l->ops->ask(w.l, &c) == -E_CLOSED, "ended");
    http_pipe_close(a);
    world_done(&w);

    world_init(&w, NULL, 0);
    a = got(&w);
    CHECK(peer_want(&w.peer, F_HEADERS, 1), "request");
    AUTO(buf) b = BUF_INIT(1000);
    put_headers(&b, 1, 0, ":status: 200\n");
    put_frame(&b, F_DATA, 0, 1, "half", 4);
    world_send(&w, &b);
    CHECK(status_of(a, &h) == 200, "head");
    stream_done(&w.peer.s);
    CHECK(whole(a, &b) == -ECONNRESET && strcmp(b.data, "half") == 0, "cut short");
    http_pipe_close(a);
    world_done(&w);
}
H2_CASE(a_connection_that_ends_is_noticed)

static void an_early_response_is_read_while_the_body_is_sent(void)
{
    struct world w;
    world_init(&w, "\0\4\0\0\0\4", 6); /* a window of four bytes */
    struct http_pipe *p = asked(&w, "POST", HTTP_BODY_STREAM, 0);
    CHECK(http_send_body(p, "1234", 4, false) == 0, "first");
    CHECK(peer_want(&w.peer, F_DATA, 1), "data");
    AUTO(buf) b = BUF_INIT(1000);
    put_headers(&b, 1, 0, ":status: 413\n");
    put_frame(&b, F_DATA, F_END, 1, "enough", 6);
    put_u32(&b, F_RST, 1, NGHTTP2_NO_ERROR);
    world_send(&w, &b);
    CHECK(http_send_body(p, "5678", 4, false) == -ECONNRESET, "cut off");
    b.len = 0;
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(status_of(p, &h) == 413, "head");
    CHECK(whole(p, &b) == 0 && strcmp(b.data, "enough") == 0, "whole");
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(an_early_response_is_read_while_the_body_is_sent)

/* Many streams that were filled once do not hold a window's worth of memory each. */
static void a_buffer_that_was_read_is_given_back(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *p = got(&w);
    const struct h2_stream *st = CONTAINER_OF(p, struct h2_stream, pipe);
    AUTO(buf) b = BUF_INIT(1 << 20);
    static const char zeros[16000];
    put_headers(&b, 1, 0, ":status: 200\n");
    for (int i = 0; i < 15; i++)
        put_frame(&b, F_DATA, 0, 1, zeros, sizeof(zeros));
    world_send(&w, &b);
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(status_of(p, &h) == 200, "head");
    while (st->in.n < 15 * sizeof(zeros) && fiber_sleep_ms(1) == 0)
        ;
    CHECK(st->in.n == 15 * sizeof(zeros), "%zu", st->in.n);
    char bytes[1000];
    for (size_t left = 15 * sizeof(zeros); left > 0;) {
        ssize_t n = http_read_body(p, bytes, sizeof(bytes), NULL);
        CHECK(n > 0, "%zd", n);
        if (n <= 0)
            break;
        left -= (size_t)n;
    }
    CHECK(st->in.held == 0, "%zu", st->in.held);
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(a_buffer_that_was_read_is_given_back)

/* Bodies may have credentials put in, as heads have. */
static void what_went_to_a_server_is_wiped(void)
{
    static const char secret[] = "sk-put-into-a-body-or-a-head";
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *p = asked(&w, "POST", HTTP_BODY_STREAM, 0);
    struct h2_conn *c = CONTAINER_OF(p, struct h2_stream, pipe)->c;
    CHECK(peer_want(&w.peer, F_HEADERS, 1), "the head, by itself");
    CHECK(http_send_body(p, secret, sizeof(secret), false) == 0, "body");
    CHECK(peer_want(&w.peer, F_DATA, 1) && w.peer.n == sizeof(secret), "%zu", w.peer.n);
    while (c->writing && waitq_wait(&c->written) == 0)
        ;
    CHECK(http_send_body(p, "x", 1, false) == 0, "body"); /* into the same buffer */
    CHECK(c->out && c->out_n < 64, "%zu", c->out_n);
    CHECK(!c->out || !memmem(c->out, H2_OUT_BYTES, secret + 8, sizeof(secret) - 8), "it stayed");
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(what_went_to_a_server_is_wiped)

static int send_later(void *arg)
{
    struct http_pipe *p = arg;
    int r = http_send_body(p, "12345678", 8, false);
    return r == 0 ? http_send_end(p, NULL) : r;
}

static void a_sender_waits_for_the_window(void)
{
    struct world w;
    world_init(&w, "\0\4\0\0\0\4", 6);
    struct http_pipe *p = asked(&w, "POST", HTTP_BODY_LENGTH, 8);
    CHECK(fiber_spawn(&w.scope, "sender", send_later, p, NULL) == 0, "spawn");
    CHECK(peer_want(&w.peer, F_DATA, 1) && w.peer.n == 4, "%zu", w.peer.n);
    CHECK(w.scope.n_children == 1, "waits");
    AUTO(buf) b = BUF_INIT(1000);
    put_u32(&b, F_WINDOW, 1, 4);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_DATA, 1) && w.peer.n == 4, "%zu", w.peer.n);
    put_u32(&b, F_WINDOW, 1, 4);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_DATA, 1) && (w.peer.flags & F_END), "end");
    CHECK(scope_join(&w.scope) == 0 && w.scope.first_error == 0, "%d", w.scope.first_error);
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(a_sender_waits_for_the_window)

static void announced_lengths_are_kept(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *p = asked(&w, "POST", HTTP_BODY_LENGTH, 4);
    CHECK(http_send_body(p, "12345", 5, false) == -EINVAL, "more");
    CHECK(http_send_body(p, "123", 3, false) == 0, "some");
    CHECK(http_send_end(p, NULL) == -EINVAL, "fewer");
    CHECK(peer_reset_of(&w.peer, 1) == NGHTTP2_INTERNAL_ERROR, "reset");
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(announced_lengths_are_kept)

static void closing_and_resetting_are_said(void)
{
    static const uint32_t codes[] = {[HTTP_RESET_CANCEL] = NGHTTP2_CANCEL,
                                     [HTTP_RESET_INTERNAL] = NGHTTP2_INTERNAL_ERROR,
                                     [HTTP_RESET_REFUSED] = NGHTTP2_REFUSED_STREAM,
                                     [HTTP_RESET_PROTOCOL] = NGHTTP2_PROTOCOL_ERROR};
    struct world w;
    world_init(&w, NULL, 0);
    AUTO(http_head) h;
    http_head_init(&h);
    for (uint32_t i = 0; i < ARRAY_LEN(codes); i++) {
        struct http_pipe *p = got(&w);
        CHECK(peer_want(&w.peer, F_HEADERS, 2 * i + 1), "request");
        http_reset(p, (enum http_reset)i);
        CHECK(status_of(p, &h) == -ECANCELED, "ours");
        CHECK(peer_reset_of(&w.peer, 2 * i + 1) == codes[i], "%u", i);
        http_pipe_close(p);
    }
    struct http_pipe *p = got(&w);
    CHECK(peer_want(&w.peer, F_HEADERS, 9), "request");
    http_pipe_close(p);
    CHECK(peer_reset_of(&w.peer, 9) == NGHTTP2_CANCEL, "closed");
    p = got(&w);
    http_reset(p, HTTP_RESET_CANCEL); /* before the request has gone out */
    http_pipe_close(p);
    p = got(&w);
    CHECK(peer_want(&w.peer, F_HEADERS, 13), "the next");
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(closing_and_resetting_are_said)

static void a_server_that_wastes_time_is_left(void)
{
    static const struct {
        unsigned type;
        size_t n;
        int result;
    } all[] = {{F_PING, 8, NGHTTP2_ENHANCE_YOUR_CALM},
               {F_SETTINGS, 0, NGHTTP2_ENHANCE_YOUR_CALM},
               {0xcc, 4, NGHTTP2_ENHANCE_YOUR_CALM}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct world w;
        world_init(&w, NULL, 0);
        struct http_pipe *p = got(&w);
        AUTO(buf) b = BUF_INIT(1 << 20);
        for (int k = 0; k < 1500; k++)
            put_frame(&b, all[i].type, 0, 0, "12345678", all[i].n);
        world_send(&w, &b);
        CHECK(peer_goaway(&w.peer) == all[i].result, "%zu", i);
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(status_of(p, &h) < 0 && w.l->ops->ended(w.l), "ended");
        http_pipe_close(p);
        world_done(&w);
    }
}
H2_CASE(a_server_that_wastes_time_is_left)

/* gRPC measures the line: a WINDOW_UPDATE and a PING for each small message. That is no waste. */
static void a_server_may_measure_each_exchange(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    AUTO(http_head) h;
    http_head_init(&h);
    for (uint32_t i = 0; i < 2 * H2_CALM_FRAMES && !failure[0]; i++) {
        struct http_pipe *p = asked(&w, "POST", HTTP_BODY_LENGTH, 5);
        CHECK(http_send_body(p, "12345", 5, true) == 0 && http_send_end(p, NULL) == 0, "%u", i);
        CHECK(peer_want(&w.peer, F_DATA, 2 * i + 1), "%u", i);
        AUTO(buf) b = BUF_INIT(1000);
        put_u32(&b, F_WINDOW, 0, 5);
        put_frame(&b, F_PING, 0, 0, "12345678", 8);
        put_headers(&b, 2 * i + 1, F_END, ":status: 200\n");
        world_send(&w, &b);
        int status = status_of(p, &h);
        CHECK(status == 200, "%u: %d", i, status);
        http_pipe_close(p);
    }
    world_done(&w);
}
H2_CASE(a_server_may_measure_each_exchange)

static void a_push_is_an_error(void)
{
    struct world w;
    world_init(&w, NULL, 0);
    struct http_pipe *p = got(&w);
    CHECK(peer_want(&w.peer, F_HEADERS, 1), "request");
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_PUSH, F_END_HEAD, 1, "\0\0\0\2\x82\x84\x86", 7);
    world_send(&w, &b);
    CHECK(peer_goaway(&w.peer) == NGHTTP2_PROTOCOL_ERROR, "8.4");
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(status_of(p, &h) < 0, "ended");
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(a_push_is_an_error)

/* Before it can know that it must not. The promised stream is reset, and the answer is the answer. */
static void an_early_push_is_reset(void)
{
    struct world w = {.l = NULL};
    struct stream s;
    struct err e = {0};
    peer_pair(&w.peer, &s);
    scope_init(&w.scope);
    CHECK(h2_link_new(&s, &(struct http_link_options){.tls = true}, &w.l, &e) == 0, "%s", e.msg);
    struct http_pipe *p = got(&w);
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_SETTINGS, 0, 0, NULL, 0);
    put_frame(&b, F_PUSH, F_END_HEAD, 1, "\0\0\0\2\x82\x84\x86", 7);
    put_headers(&b, 1, F_END, ":status: 200\n");
    CHECK(peer_fill(&w.peer, 24), "preface");
    buf_consume(&w.peer.in, 24);
    world_send(&w, &b);
    CHECK(peer_reset_of(&w.peer, 2) == NGHTTP2_CANCEL, "8.4");
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(status_of(p, &h) == 200, "answer");
    CHECK(h.fields.n == 0 && !h.method.p && !h.path.p, "of the push");
    http_head_done(&h);
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(an_early_push_is_reset)

static void a_server_of_another_version_is_an_error(void)
{
    struct stream s;
    struct peer peer;
    struct http_link *l = NULL;
    struct err e = {0};
    peer_pair(&peer, &s);
    CHECK(h2_link_new(&s, &(struct http_link_options){0}, &l, &e) == 0, "%s", e.msg);
    struct http_pipe *p = NULL;
    CHECK(l->ops->ask(l, &p) == 0, "ask");
    struct http_head h = {.method = HTTP_TEXT("GET"),
                          .scheme = HTTP_TEXT("http"),
                          .authority = HTTP_TEXT("a"),
                          .path = HTTP_TEXT("/")};
    CHECK(http_send_head(p, &h) == 0, "send");
    AUTO(buf) b = BUF_INIT(1000);
    (void)buf_adds(&b, "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    peer_send(&peer, &b);
    int r = http_read_head(p, &h, &e);
    CHECK(r < 0 && l->ops->ended(l), "%d", r);
    http_pipe_close(p);
    l->ops->free(l);
    peer_done(&peer);
}
H2_CASE(a_server_of_another_version_is_an_error)

static void tunnels_are_asked_for_when_they_are_offered(void)
{
    struct http_head h = {.method = HTTP_TEXT("CONNECT"),
                          .protocol = HTTP_TEXT("websocket"),
                          .scheme = HTTP_TEXT("https"),
                          .authority = HTTP_TEXT("a"),
                          .path = HTTP_TEXT("/chat"),
                          .body = HTTP_BODY_STREAM};
    struct http_pipe *p = NULL;
    struct world w;
    world_init(&w, NULL, 0);
    CHECK(!w.l->ops->connect_protocol(w.l), "not offered");
    CHECK(w.l->ops->ask(w.l, &p) == 0 && http_send_head(p, &h) == -EOPNOTSUPP, "refused");
    http_pipe_close(p);
    world_done(&w);

    world_init(&w, "\0\x8\0\0\0\1", 6);
    CHECK(w.l->ops->connect_protocol(w.l), "offered");
    CHECK(w.l->ops->ask(w.l, &p) == 0 && http_send_head(p, &h) == 0, "asked");
    CHECK(peer_want(&w.peer, F_HEADERS, 1) && !(w.peer.flags & F_END), "request");
    CHECK(strcmp(w.peer.head, ":method: CONNECT\n:protocol: websocket\n:scheme: https\n"
                              ":authority: a\n:path: /chat\n") == 0,
          "%s", w.peer.head);
    AUTO(buf) b = BUF_INIT(1000);
    put_headers(&b, 1, 0, ":status: 200\n");
    put_frame(&b, F_DATA, 0, 1, "raw", 3);
    world_send(&w, &b);
    AUTO(http_head) a;
    http_head_init(&a);
    bool idle = false;
    char bytes[10];
    CHECK(status_of(p, &a) == 200 && a.body == HTTP_BODY_STREAM, "answer");
    CHECK(http_read_body(p, bytes, sizeof(bytes), &idle) == 3 && idle, "raw");
    CHECK(http_send_body(p, "back", 4, false) == 0 && peer_want(&w.peer, F_DATA, 1), "back");
    http_pipe_close(p);
    world_done(&w);
}
H2_CASE(tunnels_are_asked_for_when_they_are_offered)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(heads_are_written_in_order),
        CASE(what_cannot_be_said_is_the_callers_fault),
        CASE(interim_responses_body_and_trailers_come_in_order),
        CASE(bodies_that_cannot_be),
        CASE(malformed_responses_are_errors),
        CASE(bodies_that_lie_are_errors),
        CASE(heads_have_a_ceiling),
        CASE(room_follows_the_servers_settings),
        CASE(resets_of_the_server_are_told_apart),
        CASE(goaway_lets_finish_what_was_accepted),
        CASE(goaway_leaves_a_request_that_was_not_written),
        CASE(a_connection_that_ends_is_noticed),
        CASE(an_early_response_is_read_while_the_body_is_sent),
        CASE(a_buffer_that_was_read_is_given_back),
        CASE(what_went_to_a_server_is_wiped),
        CASE(a_sender_waits_for_the_window),
        CASE(announced_lengths_are_kept),
        CASE(closing_and_resetting_are_said),
        CASE(a_server_that_wastes_time_is_left),
        CASE(a_server_may_measure_each_exchange),
        CASE(a_push_is_an_error),
        CASE(an_early_push_is_reset),
        CASE(a_server_of_another_version_is_an_error),
        CASE(tunnels_are_asked_for_when_they_are_offered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
