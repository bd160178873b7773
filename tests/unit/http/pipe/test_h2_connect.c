/* test_h2_connect.c - CONNECT without a protocol (RFC 9113 8.5): tunnels on both sides, against frames
 * written by the test and against each other. */
#include "unit/http/pipe/h2_both.h"
#include "http/pipe/h2_conn.h"

#define TUNNEL(authority) ":method: CONNECT\n:authority: " authority "\n"

static void bytes_of_a_tunnel_come_back(void)
{
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    put_headers(&b, 1, 0, TUNNEL("echo:1") "content-length: 2\n"); /* says nothing */
    put_frame(&b, F_DATA, 0, 1, "first flight", 12);
    world_send(&w, &b);
    CHECK(peer_want(&w.peer, F_HEADERS, 1) && strcmp(w.peer.head, ":status: 200\n") == 0, "%s",
          w.peer.head);
    CHECK(peer_want(&w.peer, F_DATA, 1) && w.peer.n == 12, "%zu", w.peer.n);
    put_frame(&b, F_DATA, F_END, 1, "!", 1);
    world_send(&w, &b);
    CHECK(peer_body(&w.peer, 1, &b) && strcmp(buf_str(&b), "!") == 0, "%s", buf_str(&b));
    CHECK(W.result == 0, "%zd", W.result);
    world_done(&w);
}
H2_CASE(bytes_of_a_tunnel_come_back)

static void a_refused_tunnel_is_a_response(void)
{
    struct world w;
    world_init(&w, NULL, false);
    const char *got = world_ask(&w, 1, TUNNEL("refused:1"));
    CHECK(strcmp(got, ":status: 403\ncontent-length: 8\n|not here") == 0, "%s", got);
    got = world_ask(&w, 3, TUNNEL("other:1")); /* h2_world answers 200, with a length */
    CHECK(strstr(got, ":status: 200\n|CONNECT http://other:1") == got, "%s", got);
    world_done(&w);
}
H2_CASE(a_refused_tunnel_is_a_response)

static void a_tunnel_names_an_authority_and_nothing_else(void)
{
    static const char *const wrong[] = {
        TUNNEL("a:1") ":path: /\n",
        TUNNEL("a:1") ":scheme: http\n",
        TUNNEL("a:1/"),
        ":method: CONNECT\nhost: a:1\n",
        ":method: CONNECT\n:protocol: websocket\n:authority: a:1\n",
    };
    struct world w;
    world_init(&w, NULL, false);
    AUTO(buf) b = BUF_INIT(10000);
    for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++) {
        put_headers(&b, 2 * i + 1, 0, wrong[i]);
        world_send(&w, &b);
        CHECK(peer_reset_of(&w.peer, 2 * i + 1) == NGHTTP2_PROTOCOL_ERROR, "%u", i);
    }
    static const char *const bad[] = {"a", "a:", "a:0x1", "u@a:1", "a:99999"};
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        char head[100];
        (void)snprintf(head, sizeof(head), ":method: CONNECT\n:authority: %s\n", bad[i]);
        const char *got = world_ask(&w, 2 * i + 101, head);
        CHECK(strstr(got, ":status: 400\n") == got, "%s: %s", bad[i], got);
    }
    CHECK(W.served == 0, "%d", W.served);
    world_done(&w);
}
H2_CASE(a_tunnel_names_an_authority_and_nothing_else)

/* ---- the asking side ---- */

static struct http_pipe *tunnel_to(struct both *b, const char *authority, enum http_body body)
{
    struct http_pipe *p = NULL;
    CHECK(http_link_ask(b->l, &p) == 0, "ask");
    struct http_head h = {.method = HTTP_TEXT("CONNECT"),
                          .authority = http_text_of(authority),
                          .body = body,
                          .has_length = true,
                          .length = 1};
    CHECK(http_send_head(p, &h) == 0, "send");
    return p;
}

static void the_first_flight_goes_with_the_opening(void)
{
    struct both b;
    both_init(&b, NULL);
    for (int i = 0; i < 2; i++) { /* a length that our side announces is none either */
        struct http_pipe *p = tunnel_to(&b, "echo:1", i ? HTTP_BODY_LENGTH : HTTP_BODY_STREAM);
        char bytes[20];
        CHECK(http_send_body(p, "hello", 5, false) == 0, "before the answer");
        struct err e = {0};
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(http_read_head(p, &h, &e) == 0 && h.status == 200 && h.body == HTTP_BODY_STREAM &&
                  !h.has_length,
              "%s", e.msg);
        CHECK(http_read_body(p, bytes, sizeof(bytes), NULL) == 5, "back");
        CHECK(http_send_body(p, "more", 4, false) == 0, "send");
        CHECK(http_read_body(p, bytes, sizeof(bytes), NULL) == 4, "back");
        CHECK(http_send_end(p, NULL) == 0, "end");
        CHECK(http_read_body(p, bytes, sizeof(bytes), NULL) == 0, "end");
        http_pipe_close(p);
    }
    both_done(&b);
    CHECK(W.served == 2 && W.result == 0, "%d, %zd", W.served, W.result);
}
H2_CASE(the_first_flight_goes_with_the_opening)

static void a_refusal_is_read_as_a_response(void)
{
    struct both b;
    both_init(&b, NULL);
    struct http_pipe *p = tunnel_to(&b, "refused:1", HTTP_BODY_STREAM);
    char bytes[20];
    struct err e = {0};
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(http_read_head(p, &h, &e) == 0 && h.status == 403 && h.body == HTTP_BODY_LENGTH &&
              h.length == 8,
          "%d %s", h.status, e.msg);
    CHECK(http_read_body(p, bytes, sizeof(bytes), NULL) == 8, "body");
    CHECK(http_read_body(p, bytes, sizeof(bytes), NULL) == 0, "end");
    http_pipe_close(p);
    both_done(&b);
}
H2_CASE(a_refusal_is_read_as_a_response)

/* ---- against a server that lies ---- */

struct liar {
    struct peer peer;
    struct http_link *l;
    struct http_pipe *p;
    struct http_head h;
    struct err e;
    int r; /* of the head */
};

/* Opens a tunnel and gets `frames` for an answer. */
static void liar_init(struct liar *w, struct buf *frames)
{
    struct stream s;
    *w = (struct liar){.r = -1};
    http_head_init(&w->h);
    peer_pair(&w->peer, &s);
    CHECK(h2_link_new(&s, &(struct http_link_options){0}, &w->l, &w->e) == 0, "%s", w->e.msg);
    struct http_head h = {
        .method = HTTP_TEXT("CONNECT"), .authority = HTTP_TEXT("a:1"), .body = HTTP_BODY_STREAM};
    CHECK(http_link_ask(w->l, &w->p) == 0 && http_send_head(w->p, &h) == 0, "ask");
    CHECK(peer_fill(&w->peer, 24), "preface");
    buf_consume(&w->peer.in, 24);
    CHECK(peer_want(&w->peer, F_HEADERS, 1), "request");
    CHECK(strcmp(w->peer.head, ":method: CONNECT\n:authority: a:1\n") == 0, "%s", w->peer.head);
    peer_send(&w->peer, frames);
    buf_reset(frames);
    w->r = http_read_head(w->p, &w->h, &w->e);
}
static void liar_done(struct liar *w)
{
    http_pipe_close(w->p);
    http_link_free(w->l);
    http_head_done(&w->h);
    peer_done(&w->peer);
}

static void lengths_of_answers(void)
{
    static const struct {
        const char *head;
        size_t sent;
        ssize_t result; /* after the bytes */
        enum http_body body;
    } all[] = {
        {":status: 200\ncontent-length: 2\n", 5, 0, HTTP_BODY_STREAM}, /* a tunnel */
        {":status: 200\n", 5, 0, HTTP_BODY_STREAM},
        {":status: 403\ncontent-length: 5\n", 5, 0, HTTP_BODY_LENGTH},
        {":status: 403\n", 5, 0, HTTP_BODY_STREAM},
        {":status: 403\ncontent-length: 6\n", 5, -E_PARSE, HTTP_BODY_LENGTH},
        {":status: 403\ncontent-length: 4\n", 5, -E_PARSE, HTTP_BODY_LENGTH},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct liar w;
        AUTO(buf) b = BUF_INIT(1000);
        put_frame(&b, F_SETTINGS, 0, 0, NULL, 0);
        put_headers(&b, 1, 0, all[i].head);
        put_frame(&b, F_DATA, F_END, 1, "12345", all[i].sent);
        liar_init(&w, &b);
        CHECK(w.r == 0 && w.h.body == all[i].body, "%zu: %d %d", i, w.r, w.h.body);
        char bytes[10];
        ssize_t n;
        while ((n = http_read_body(w.p, bytes, sizeof(bytes), NULL)) > 0)
            ;
        CHECK(n == all[i].result, "%zu: %zd", i, n);
        liar_done(&w);
    }
}
H2_CASE(lengths_of_answers)

static void a_refusal_without_its_body_is_an_error(void)
{
    struct liar w;
    AUTO(buf) b = BUF_INIT(1000);
    put_frame(&b, F_SETTINGS, 0, 0, NULL, 0);
    put_headers(&b, 1, F_END, ":status: 403\ncontent-length: 6\n");
    liar_init(&w, &b);
    char bytes[10];
    CHECK(w.r != 0 || http_read_body(w.p, bytes, sizeof(bytes), NULL) == -E_PARSE, "%d", w.r);
    liar_done(&w);
}
H2_CASE(a_refusal_without_its_body_is_an_error)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bytes_of_a_tunnel_come_back),
        CASE(a_refused_tunnel_is_a_response),
        CASE(a_tunnel_names_an_authority_and_nothing_else),
        CASE(the_first_flight_goes_with_the_opening),
        CASE(a_refusal_is_read_as_a_response),
        CASE(lengths_of_answers),
        CASE(a_refusal_without_its_body_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
