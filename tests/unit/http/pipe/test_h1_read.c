/* test_h1_read.c - what comes in: when nothing more is there, what survives a wait that ended, and the
 * ceiling of a head. How messages are framed is tested with a link and a server. */
#include "unit/http/pipe/h1_origin.h"

/* `idle` is true exactly when nothing more is there and the end is not known. */
static int idle_says_that_nothing_more_is_there(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    char got[64];
    bool idle = false;
    CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
    CHECK(say(&peer, R "Transfer-Encoding: chunked\r\n\r\n6\r\nabc") == 0, "say");
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(http_read_head(p, &h, NULL) == 0, "head");
    CHECK(http_read_body(p, got, 2, &idle) == 2 && !idle, "more is buffered");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 1 && idle, "all there was");
    CHECK(say(&peer, "def\r\n0\r\n\r\n") == 0, "say");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 3 && !idle, "the end is there");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 0, "end");
    http_pipe_close(p);
    CHECK(!http_link_ended(l), "kept");
    /* The same with a length, and bytes that come while nobody looks. */
    CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
    CHECK(say(&peer, R "Content-Length: 6\r\n\r\nab") == 0, "say");
    http_head_done(&h);
    CHECK(http_read_head(p, &h, NULL) == 0, "head");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 2 && idle, "all there was");
    CHECK(say(&peer, "cd") == 0 && fiber_sleep_ms(1) == 0, "say");
    CHECK(http_read_body(p, got, 1, &idle) == 1 && !idle, "one more is there");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 1 && idle, "no more");
    CHECK(say(&peer, "ef") == 0, "say");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 2 && !idle, "the end");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 0, "end");
    http_pipe_close(p);
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* An origin that answers early, does not read on and ends: its answer is read all the same. */
static int an_early_answer_is_read(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("PUT");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    q.body = HTTP_BODY_STREAM;
    CHECK(http_send_head(p, &q) == 0 && http_flush(p) == 0, "head");
    char got[1024];
    CHECK(stream_read(&peer, got, sizeof(got)) > 0, "request");
    CHECK(say(&peer, "HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno") == 0, "say");
    stream_done(&peer);
    int r = http_send_body(p, "abc", 3, false);
    CHECK(r == -ECONNRESET, "%s", err_name(r));
    buf_reset(&W.seen);
    CHECK(listen_to(p) == 0, "answer");
    CHECK(str_eq(buf_str(&W.seen), "413 {2} no"), "%s", buf_str(&W.seen));
    http_pipe_close(p);
    CHECK(http_link_ended(l), "ended");
    http_link_free(l);
    return 0;
}

/* A wait for the answer that ended is no end: it can be read later. */
static int a_deadline_leaves_the_answer_to_be_read(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
    CHECK(say(&peer, "HTTP/1.1 200") == 0, "half");
    AUTO(http_head) h;
    http_head_init(&h);
    struct err e = {0};
    struct fiber_deadline d = fiber_deadline_push_ms(5);
    CHECK(http_read_head(p, &h, &e) == -ETIMEDOUT && e.msg[0], "%s", e.msg);
    fiber_deadline_pop(&d);
    CHECK(say(&peer, " OK\r\nContent-Length: 0\r\n\r\n") == 0, "half");
    CHECK(http_read_head(p, &h, &e) == 0 && h.status == 200, "%s", e.msg);
    http_pipe_close(p);
    CHECK(!http_link_ended(l), "kept");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* A head of the boundary's own memory is wiped; that it is secret survives the reading. */
static int a_large_answer_head_has_a_ceiling(void *arg)
{
    (void)arg;
    static char big[300 << 10];
    for (int over = 0; over < 2; over++) {
        struct stream peer;
        struct http_link *l = new_link(&peer);
        struct http_pipe *p;
        CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
        size_t n = (size_t)sprintf(big, R "Content-Length: 0\r\n"), most = over ? 290000 : 250000;
        while (n < most)
            n += (size_t)sprintf(big + n, "x: %02000d\r\n", 1);
        n += (size_t)sprintf(big + n, "\r\n");
        AUTO(scope) s;
        scope_init(&s);
        struct raw_peer says = {.said = big, .n = n, .step = 30000};
        stream_move(&says.s, &peer);
        CHECK(fiber_spawn(&s, "says", raw_say, &says, NULL) == 0, "spawn");
        AUTO(http_head) h;
        http_head_init(&h);
        struct err e = {0};
        int r = http_read_head(p, &h, &e);
        CHECK(r == (over ? -E_LIMIT : 0), "%s %s", err_name(r), e.msg);
        http_pipe_close(p);
        http_link_free(l);
        CHECK(scope_join(&s) == 0, "join");
        stream_done(&says.s);
    }
    return 0;
}

LINK_CASE(idle_says_that_nothing_more_is_there)
LINK_CASE(an_early_answer_is_read)
LINK_CASE(a_deadline_leaves_the_answer_to_be_read)
LINK_CASE(a_large_answer_head_has_a_ceiling)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(idle_says_that_nothing_more_is_there),
        CASE(an_early_answer_is_read),
        CASE(a_deadline_leaves_the_answer_to_be_read),
        CASE(a_large_answer_head_has_a_ceiling),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&W.seen);
    buf_done(&W.heard);
    return r;
}
