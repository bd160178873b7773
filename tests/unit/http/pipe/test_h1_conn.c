/* test_h1_conn.c - two fibers on one connection: one reads while the other writes; and what a head
 * keeps of how it came. */
#include "unit/http/pipe/h1_peer.h"
#include "unit/loop.h"

static struct {
    void (*serve)(struct http_pipe *p, const struct http_head *q);
    struct stream client;
    struct buf seen;
    int code;
} W;

static void serve(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) q;
    http_head_init(&q);
    CHECK(http_read_head(p, &q, NULL) == 0, "head");
    W.serve(p, &q);
    http_pipe_close(p);
}

static int serving(void *arg)
{
    struct http_serve_options o = {.serve = serve};
    struct err e = {0};
    W.code = http_serve(HTTP_1_1, arg, &o, &e);
    stream_done(arg);
    return 0;
}

static void say(const char *text)
{
    int r = stream_write(&W.client, text, strlen(text));
    CHECK(r == 0, "say: %s", err_name(r));
}

/* The client must hear exactly this next. */
static void hears(const char *text)
{
    char got[1024];
    size_t n = 0, want = strlen(text);
    while (n < want) {
        ssize_t r = stream_read(&W.client, got + n, want - n);
        CHECK(r > 0, "ended after %.*s", (int)n, got);
        if (r <= 0)
            return;
        n += (size_t)r;
    }
    CHECK(memcmp(got, text, want) == 0, "heard %.*s", (int)n, got);
}
static void hears_nothing(void)
{
    char c;
    CHECK(fiber_sleep_ms(1) == 0, "events");
    CHECK(stream_try_read(&W.client, &c, 1) == -EAGAIN, "something was said");
}

static void with_server(void (*fn)(void),
                        void (*served)(struct http_pipe *p, const struct http_head *q))
{
    struct stream ours;
    W.serve = served;
    buf_init(&W.seen, 1 << 16);
    connect_two(&W.client, &ours);
    AUTO(scope) s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "serve", serving, &ours, NULL) == 0, "spawn");
    fn();
    stream_done(&W.client);
    CHECK(scope_join(&s) == 0, "join");
    buf_done(&W.seen);
}

/* Reads to the end on a fiber of its own. */
static int reads(void *arg)
{
    (void)tell_body(&W.seen, arg);
    return 0;
}

static int send_status(struct http_pipe *p, int status, enum http_body body)
{
    struct http_head h = {.status = status, .body = body};
    return http_send_head(p, &h);
}

/* ---- both directions at once ---- */

static void echo_duplex(struct http_pipe *p, const struct http_head *q)
{
    (void)q;
    AUTO(scope) s;
    scope_init(&s);
    CHECK(send_status(p, 200, HTTP_BODY_STREAM) == 0 && http_flush(p) == 0, "head");
    CHECK(fiber_spawn(&s, "reads", reads, p, NULL) == 0, "spawn");
    CHECK(http_send_body(p, "first", 5, false) == 0, "body");
    CHECK(scope_join(&s) == 0, "join");
    CHECK(http_send_body(p, "last", 4, true) == 0 && http_send_end(p, NULL) == 0, "end");
}
static void talk_duplex(void)
{
    say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    hears("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    say("3\r\nabc\r\n");
    hears_nothing();
    say("0\r\n\r\n");
    hears("4\r\nlast\r\n0\r\n\r\n");
    CHECK(str_eq(buf_str(&W.seen), " abc"), "%s", buf_str(&W.seen));
}
static int an_answer_may_begin_before_the_request_has_ended(void *arg)
{
    (void)arg;
    with_server(talk_duplex, echo_duplex);
    CHECK(W.code == 0, "%s", err_name(W.code));
    return 0;
}

static void echo_raw(struct http_pipe *p, const struct http_head *q)
{
    CHECK(http_text_eq(q->protocol, "websocket"), "protocol");
    AUTO(scope) s;
    scope_init(&s);
    CHECK(send_status(p, 101, HTTP_BODY_NONE) == 0, "101");
    CHECK(fiber_spawn(&s, "reads", reads, p, NULL) == 0, "spawn");
    CHECK(http_send_body(p, "\r\n1", 3, false) == 0 && http_send_body(p, "2", 1, false) == 0,
          "raw");
    CHECK(http_send_end(p, NULL) == 0, "end");
    CHECK(scope_join(&s) == 0, "join");
    CHECK(str_eq(buf_str(&W.seen), " early late"), "%s", buf_str(&W.seen));
}
static void talk_raw(void)
{
    say("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly");
    hears("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
          "\r\n12");
    char c;
    CHECK(stream_read(&W.client, &c, 1) == 0, "its side has ended");
    say(" late"); /* ours has not */
    CHECK(stream_finish(&W.client) == 0, "end");
}
static int after_101_each_side_ends_for_itself(void *arg)
{
    (void)arg;
    with_server(talk_raw, echo_raw);
    return 0;
}
/* ---- 100 (Continue) ---- */

static void continue_by_reading(struct http_pipe *p, const struct http_head *q)
{
    CHECK(q->expect_continue, "expects");
    AUTO(scope) s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "reads", reads, p, NULL) == 0, "spawn");
    CHECK(send_status(p, 103, HTTP_BODY_NONE) == 0, "103");
    CHECK(scope_join(&s) == 0, "join");
    CHECK(send_status(p, 200, HTTP_BODY_NONE) == 0, "200");
}
static const char expecting[] =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
#define FINE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
static void talk_continue_by_reading(void)
{
    for (int i = 0; i < 2; i++) {
        say(expecting);
        hears("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        hears_nothing();
        say("ab");
        hears(FINE);
    }
}
static int a_reader_says_100_beside_a_writer(void *arg)
{
    (void)arg;
    with_server(talk_continue_by_reading, continue_by_reading);
    return 0;
}

static void continue_by_origin(struct http_pipe *p, const struct http_head *q)
{
    (void)q;
    CHECK(send_status(p, 100, HTTP_BODY_NONE) == 0, "100");
    CHECK(send_status(p, 100, HTTP_BODY_NONE) == 0, "100, twice");
    (void)tell_body(&W.seen, p);
    CHECK(send_status(p, 200, HTTP_BODY_NONE) == 0, "200");
}
static void talk_continue_by_origin(void)
{
    say(expecting);
    hears("HTTP/1.1 100 Continue\r\n\r\n");
    hears_nothing();
    say("ab");
    hears(FINE);
}
static int a_100_of_the_origin_is_said_once(void *arg)
{
    (void)arg;
    with_server(talk_continue_by_origin, continue_by_origin);
    return 0;
}

static void refuse_body(struct http_pipe *p, const struct http_head *q)
{
    (void)q;
    CHECK(send_status(p, 417, HTTP_BODY_NONE) == 0, "417");
}
static void talk_refuse_body(void)
{
    say(expecting);
    hears("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    char c;
    CHECK(stream_read(&W.client, &c, 1) == 0, "and it ends");
}
static int an_answer_instead_of_100_is_the_last(void *arg)
{
    (void)arg;
    with_server(talk_refuse_body, refuse_body);
    CHECK(W.code == 0, "%s", err_name(W.code));
    return 0;
}

/* ---- ends ---- */

static int reads_one(void *arg)
{
    char c;
    ssize_t n = http_read_body(arg, &c, 1, NULL);
    CHECK(n == -ECONNRESET || n == -ECANCELED, "%s", err_name((int)n));
    return 0;
}
static void reset_while_read(struct http_pipe *p, const struct http_head *q)
{
    (void)q;
    AUTO(scope) s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "reads", reads_one, p, NULL) == 0, "spawn");
    CHECK(fiber_sleep_ms(1) == 0, "it waits");
    http_reset(p, HTTP_RESET_CANCEL);
    CHECK(scope_join(&s) == 0, "join");
    CHECK(send_status(p, 200, HTTP_BODY_NONE) == -ECONNRESET, "after a reset");
}
static void talk_reset(void)
{
    say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    char c;
    CHECK(stream_read(&W.client, &c, 1) <= 0, "no answer");
}
static int a_reset_ends_the_connection_for_all(void *arg)
{
    (void)arg;
    with_server(talk_reset, reset_while_read);
    CHECK(W.code == -ECONNRESET, "%s", err_name(W.code));
    return 0;
}

static void waits_for_ever(struct http_pipe *p, const struct http_head *q)
{
    (void)q;
    char c;
    ssize_t n = http_read_body(p, &c, 1, NULL);
    CHECK(n == -ECANCELED, "%s", err_name((int)n));
}
static int a_cancelled_server_comes_back(void *arg)
{
    (void)arg;
    for (int within = 0; within < 2; within++) {
        struct stream ours;
        W.serve = waits_for_ever;
        connect_two(&W.client, &ours);
        AUTO(scope) s;
        scope_init(&s);
        CHECK(fiber_spawn(&s, "serve", serving, &ours, NULL) == 0, "spawn");
        if (within)
            say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
        CHECK(fiber_sleep_ms(1) == 0, "it waits");
        scope_cancel(&s);
        CHECK(scope_join(&s) == 0, "join");
        CHECK(W.code < 0, "ended in order");
        stream_done(&W.client);
    }
    return 0;
}

/* ---- heads ---- */

static void looks_at_head(struct http_pipe *p, const struct http_head *q)
{
    const struct http_field *f = &q->fields.items[0];
    CHECK(q->fields.n == 1 && http_text_eq(f->name, "x-name"), "name");
    CHECK(f->as_sent && memcmp(f->as_sent, "X-NaMe", 6) == 0, "as sent");
    struct http_head again;
    http_head_init(&again);
    CHECK(http_read_head(p, &again, NULL) == -EINVAL, "a second time");
    CHECK(http_send_end(p, NULL) == -EINVAL, "an end without a head");
    CHECK(send_status(p, 101, HTTP_BODY_NONE) == -EINVAL, "101 that nobody asked for");
    CHECK(send_status(p, 99, HTTP_BODY_NONE) == -EINVAL, "99");
    CHECK(send_status(p, 600, HTTP_BODY_NONE) == -EINVAL, "600");
    struct http_field bad = {.name = HTTP_TEXT("x"), .value = HTTP_TEXT("a\r\nb: c")};
    struct http_head h = {.status = 200, .fields = {.items = &bad, .n = 1}};
    CHECK(http_send_head(p, &h) == -EINVAL, "a value that splits");
    CHECK(send_status(p, 200, HTTP_BODY_STREAM) == 0, "200");
    struct http_fields trailers = {.items = &bad, .n = 1};
    CHECK(http_send_end(p, &trailers) == -EINVAL, "a trailer that splits");
    bad.value = HTTP_TEXT("fine");
    CHECK(http_send_end(p, &trailers) == 0 && http_send_end(p, NULL) == 0, "end, twice");
    CHECK(http_send_body(p, "a", 1, false) == -EINVAL, "behind the end");
}
static void talk_head(void)
{
    say("GET / HTTP/1.1\r\nHost: a\r\nX-NaMe: v\r\n\r\n");
    hears("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: fine\r\n\r\n");
}
static int what_is_wrong_is_not_sent_and_the_rest_is(void *arg)
{
    (void)arg;
    with_server(talk_head, looks_at_head);
    CHECK(W.code == 0, "%s", err_name(W.code));
    return 0;
}

static void takes_secret_head(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) q;
    http_head_init(&q);
    q.arena.secret = true;
    CHECK(http_read_head(p, &q, NULL) == 0 && q.arena.secret, "no longer secret");
    CHECK(send_status(p, 200, HTTP_BODY_NONE) == 0, "200");
    http_pipe_close(p);
}
static int serving_secret(void *arg)
{
    struct http_serve_options o = {.serve = takes_secret_head};
    W.code = http_serve(HTTP_1_1, arg, &o, NULL);
    stream_done(arg);
    return 0;
}
static int a_secret_head_stays_secret(void *arg)
{
    (void)arg;
    struct stream ours;
    connect_two(&W.client, &ours);
    AUTO(scope) s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "serve", serving_secret, &ours, NULL) == 0, "spawn");
    say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    hears(FINE);
    stream_done(&W.client);
    CHECK(scope_join(&s) == 0, "join");
    return 0;
}

#define CONN_CASE(f)                                                                               \
    static int guarded_##f(void *arg)                                                              \
    {                                                                                              \
        AUTO(fiber_deadline) guard = fiber_deadline_push_ms(30000);                                \
        return f(arg);                                                                             \
    }                                                                                              \
    static void case_##f(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        failure[0] = '\0';                                                                         \
        run_on_loop(guarded_##f, NULL);                                                            \
        report_failure();                                                                          \
    }
CONN_CASE(an_answer_may_begin_before_the_request_has_ended)
CONN_CASE(after_101_each_side_ends_for_itself)
CONN_CASE(a_reader_says_100_beside_a_writer)
CONN_CASE(a_100_of_the_origin_is_said_once)
CONN_CASE(an_answer_instead_of_100_is_the_last)
CONN_CASE(a_reset_ends_the_connection_for_all)
CONN_CASE(a_cancelled_server_comes_back)
CONN_CASE(what_is_wrong_is_not_sent_and_the_rest_is)
CONN_CASE(a_secret_head_stays_secret)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(an_answer_may_begin_before_the_request_has_ended),
        CASE(after_101_each_side_ends_for_itself),
        CASE(a_reader_says_100_beside_a_writer),
        CASE(a_100_of_the_origin_is_said_once),
        CASE(an_answer_instead_of_100_is_the_last),
        CASE(a_reset_ends_the_connection_for_all),
        CASE(a_cancelled_server_comes_back),
        CASE(what_is_wrong_is_not_sent_and_the_rest_is),
        CASE(a_secret_head_stays_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
