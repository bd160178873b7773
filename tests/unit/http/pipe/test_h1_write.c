/* test_h1_write.c - what goes out: nothing that a peer could read as two messages, framing from the
 * members of a head alone, small messages in one write, large ones whole. */
#include "unit/http/pipe/h1_origin.h"

/* Values that would cut a message in two do not go out, and nothing else either. */
static int what_would_split_a_request_is_not_sent(void *arg)
{
    (void)arg;
    static const struct {
        const char *what;
        struct http_text method, authority, path, name, value;
    } rows[] = {
        {"CR in a value", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a\rb")},
        {"LF in a value", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a\nb: c")},
        {"NUL in a value", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a\0b")},
        {"colon in a name", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x:"),
         HTTP_TEXT("a")},
        {"LF in a name", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x\n"),
         HTTP_TEXT("a")},
        {"no name", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT(""),
         HTTP_TEXT("a")},
        {"space in the path", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/ HTTP/1.1\r\nX:"),
         HTTP_TEXT("x"), HTTP_TEXT("a")},
        {"a path without a slash", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("a"), HTTP_TEXT("x"),
         HTTP_TEXT("a")},
        {"no path", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT(""), HTTP_TEXT("x"),
         HTTP_TEXT("a")},
        {"LF in the authority", HTTP_TEXT("GET"), HTTP_TEXT("o\r\nX: y"), HTTP_TEXT("/"),
         HTTP_TEXT("x"), HTTP_TEXT("a")},
        {"space in the method", HTTP_TEXT("GET /"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a")},
        {"no method", HTTP_TEXT(""), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a")},
    };
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        failing_rule = rows[i].what;
        AUTO(http_head) q;
        http_head_init(&q);
        q.method = rows[i].method;
        q.authority = rows[i].authority;
        q.path = rows[i].path;
        CHECK(http_head_add(&q, rows[i].name, rows[i].value) == 0, "add");
        CHECK(http_send_head(p, &q) == -EINVAL, "sent");
    }
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("GET");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    q.protocol = HTTP_TEXT("h2c");
    CHECK(http_send_head(p, &q) == -EINVAL, "h2c");
    q.protocol = HTTP_TEXT("a, b");
    CHECK(http_send_head(p, &q) == -EINVAL, "a list");
    q.protocol = HTTP_TEXT("websocket");
    q.body = HTTP_BODY_STREAM;
    CHECK(http_send_head(p, &q) == -EINVAL, "upgrade with a body");
    http_pipe_close(p);
    char c;
    CHECK(stream_try_read(&peer, &c, 1) == -EAGAIN, "something went out");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* Framing fields that stand among the others, and what the members say. */
static int requests_are_framed_by_their_members_alone(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("GET");
    q.authority = HTTP_TEXT("o:8080");
    q.path = HTTP_TEXT("/x?y");
    q.protocol = HTTP_TEXT("websocket");
    q.has_te_trailers = true;
    add(&q, "sec-websocket-key", "k");
    q.fields.items[0].as_sent = "Sec-WebSocket-Key";
    add(&q, "x-other", "v");
    q.fields.items[1].as_sent = "X-OTHEr-name"; /* of another name that begins alike */
    add(&q, "x-renamed", "v");
    q.fields.items[2].as_sent = "X-Someone"; /* stale */
    add(&q, "content-length", "9");
    add(&q, "transfer-encoding", "chunked");
    add(&q, "host", "evil");
    add(&q, "connection", "close");
    add(&q, "te", "gzip");
    CHECK(http_send_head(p, &q) == 0, "sent");
    char got[1024];
    ssize_t n = stream_read(&peer, got, sizeof(got) - 1);
    got[n > 0 ? n : 0] = '\0';
    CHECK(str_eq(got, "GET /x?y HTTP/1.1\r\nHost: o:8080\r\nSec-WebSocket-Key: k\r\nX-OTHEr: v\r\n"
                      "x-renamed: v\r\nTE: trailers\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade, TE\r\n\r\n"),
          "%s", got);
    http_pipe_close(p);
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

static int a_length_is_kept_to(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("POST");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    q.body = HTTP_BODY_LENGTH;
    q.length = 3;
    CHECK(http_send_body(p, "a", 1, false) == -EINVAL, "before the head");
    CHECK(http_send_head(p, &q) == 0 && http_send_head(p, &q) == -EINVAL, "a second head");
    CHECK(http_send_body(p, "abcd", 4, false) == -EINVAL, "too many");
    CHECK(http_send_body(p, "ab", 2, false) == 0, "some");
    CHECK(http_send_body(p, "cd", 2, false) == -EINVAL, "too many, later");
    CHECK(http_send_end(p, NULL) == -EINVAL, "too few");
    CHECK(http_send_body(p, "c", 1, false) == -ECONNRESET, "cut off");
    http_pipe_close(p);
    CHECK(http_link_ended(l), "ended");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* What is held back, and when it goes. */
static int a_small_message_goes_out_in_one_write(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    char got[1024];
    CHECK(http_link_ask(l, &p) == 0, "ask");
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("PUT");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    q.body = HTTP_BODY_STREAM;
    CHECK(http_send_head(p, &q) == 0, "head");
    CHECK(stream_try_read(&peer, got, sizeof(got)) == -EAGAIN, "the head went early");
    CHECK(fiber_sleep_ms(1) == 0, "events");
    CHECK(http_send_body(p, "ab", 2, true) == 0, "body");
    CHECK(stream_try_read(&peer, got, sizeof(got)) == -EAGAIN, "the body went early");
    CHECK(http_flush(p) == 0, "flush");
    ssize_t n = stream_read(&peer, got, sizeof(got));
    CHECK(n > 10 && memcmp(got + n - 7, "2\r\nab\r\n", 7) == 0, "%zd", n);
    CHECK(http_send_body(p, "cd", 2, true) == 0 && http_send_end(p, NULL) == 0, "end");
    n = stream_read(&peer, got, sizeof(got));
    CHECK(n == 12 && memcmp(got, "2\r\ncd\r\n0\r\n\r\n", 12) == 0, "%zd", n);
    http_pipe_close(p);
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* A large body both ways, of each framing, through small and large calls. */
struct bulk {
    struct http_pipe *p;
    size_t step;
};
#define BULK (1u << 20)
static int sends_bulk(void *arg)
{
    struct bulk *b = arg;
    AUTO_FREE char *bytes = malloc(b->step);
    for (size_t at = 0; at < BULK;) {
        size_t n = BULK - at < b->step ? BULK - at : b->step;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)((at + i) * 7 % 251);
        int r = http_send_body(b->p, bytes, n, at % 3 == 0);
        CHECK(r == 0, "%s", err_name(r));
        if (r < 0)
            return 0;
        at += n;
    }
    int r = http_send_end(b->p, NULL);
    CHECK(r == 0, "%s", err_name(r));
    return 0;
}
static size_t receives_bulk(struct http_pipe *p, size_t step)
{
    AUTO_FREE char *bytes = malloc(step);
    size_t at = 0;
    ssize_t n;
    bool idle;
    while ((n = http_read_body(p, bytes, step, &idle)) > 0) {
        for (ssize_t i = 0; i < n; i++, at++)
            CHECK(bytes[i] == (char)(at * 7 % 251), "byte %zu", at);
    }
    CHECK(n == 0, "%s", err_name((int)n));
    return at;
}
static size_t bulk_step;
static enum http_body bulk_body;
static void serve_bulk(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) q;
    http_head_init(&q);
    CHECK(http_read_head(p, &q, NULL) == 0 && q.body == bulk_body, "head");
    CHECK(receives_bulk(p, bulk_step) == BULK, "length");
    AUTO(http_head) h;
    http_head_init(&h);
    h.status = 200;
    h.body = bulk_body;
    h.length = BULK;
    CHECK(http_send_head(p, &h) == 0, "head");
    struct bulk b = {p, bulk_step};
    (void)sends_bulk(&b);
    http_pipe_close(p);
}
static int serving_bulk(void *arg)
{
    struct http_serve_options o = {.serve = serve_bulk};
    struct err e = {0};
    int r = http_serve(HTTP_1_1, arg, &o, &e);
    CHECK(r == 0, "%s", e.msg);
    stream_done(arg);
    return 0;
}
static int large_bodies_go_through_whole(void *arg)
{
    (void)arg;
    static const size_t steps[] = {1000, 16384, 16385, 70000, BULK};
    struct stream peer;
    struct http_link *l = new_link(&peer);
    AUTO(scope) s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "serves", serving_bulk, &peer, NULL) == 0, "spawn");
    for (size_t i = 0; i < 2 * ARRAY_LEN(steps); i++) {
        bulk_step = steps[i / 2];
        bulk_body = i % 2 ? HTTP_BODY_STREAM : HTTP_BODY_LENGTH;
        struct bulk b = {.step = bulk_step};
        CHECK(http_link_ask(l, &b.p) == 0, "ask");
        AUTO(http_head) q;
        http_head_init(&q);
        q.method = HTTP_TEXT("POST");
        q.authority = HTTP_TEXT("o");
        q.path = HTTP_TEXT("/");
        q.body = bulk_body;
        q.length = BULK;
        CHECK(http_send_head(b.p, &q) == 0, "head");
        (void)sends_bulk(&b);
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(http_read_head(b.p, &h, NULL) == 0 && h.body == bulk_body, "head");
        CHECK(receives_bulk(b.p, bulk_step) == BULK, "length");
        http_pipe_close(b.p);
        CHECK(!http_link_ended(l), "kept");
    }
    http_link_free(l);
    CHECK(scope_join(&s) == 0, "join");
    return 0;
}

LINK_CASE(what_would_split_a_request_is_not_sent)
LINK_CASE(requests_are_framed_by_their_members_alone)
LINK_CASE(a_length_is_kept_to)
LINK_CASE(a_small_message_goes_out_in_one_write)
LINK_CASE(large_bodies_go_through_whole)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(what_would_split_a_request_is_not_sent),
        CASE(requests_are_framed_by_their_members_alone),
        CASE(a_length_is_kept_to),
        CASE(a_small_message_goes_out_in_one_write),
        CASE(large_bodies_go_through_whole),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&W.seen);
    buf_done(&W.heard);
    return r;
}
