/* test_h2.c - the asking side against the serving side: streams in both directions at once, many of
 * them, large bodies, the end of either. */
#include "unit/http/pipe/h2_both.h"
#include "base/rng.h"
#include "http/pipe/h2_conn.h"

#include <malloc.h>
#include <sys/socket.h>

static void requests_one_after_the_other(void)
{
    struct both b;
    both_init(&b, NULL);
    for (int i = 0; i < 1000; i++) {
        struct http_pipe *p = asked(&b, "GET", "/", HTTP_BODY_NONE);
        char text[200];
        CHECK(status_of(p) == 200, "%d", i);
        CHECK(http_read_body(p, text, sizeof(text), NULL) > 0 &&
                  http_read_body(p, text, sizeof(text), NULL) == 0,
              "%d", i);
        http_pipe_close(p);
    }
    CHECK(W.served == 1000, "%d", W.served);
    both_done(&b);
}
H2_CASE(requests_one_after_the_other)

/* As gRPC has it: messages go back and forth while both directions are open. */
static void both_directions_at_once(void)
{
    struct both b;
    both_init(&b, NULL);
    struct http_pipe *p = asked(&b, "POST", "/echo", HTTP_BODY_STREAM);
    CHECK(status_of(p) == 200, "the response begins before the request ends");
    for (int i = 0; i < 100; i++) {
        char said[20], heard[20] = "";
        int n = snprintf(said, sizeof(said), "message %d", i);
        CHECK(http_send_body(p, said, (size_t)n, false) == 0, "send");
        bool idle = false;
        ssize_t got = http_read_body(p, heard, sizeof(heard), &idle);
        CHECK(got == n && memcmp(said, heard, (size_t)n) == 0 && idle, "%d: %zd", i, got);
    }
    struct http_field status = {.name = HTTP_TEXT("grpc-status"), .value = HTTP_TEXT("0")};
    CHECK(http_send_end(p, &(struct http_fields){.items = &status, .n = 1, .room = 1}) == 0, "end");
    char none[1];
    CHECK(http_read_body(p, none, 1, NULL) == 0, "end");
    CHECK(http_trailers(p)->n == 1, "trailers");
    http_pipe_close(p);
    both_done(&b);
}
H2_CASE(both_directions_at_once)

#define LARGE (8u << 20)

static int send_large(void *arg)
{
    struct http_pipe *p = arg;
    char *bytes = mem_zalloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    int r = 0;
    for (size_t at = 0, n; r == 0 && at < LARGE; at += n) {
        n = 1 + (at * 31) % 100000;
        if (n > LARGE - at)
            n = LARGE - at;
        r = http_send_body(p, bytes + at, n, true);
    }
    free(bytes);
    return r == 0 ? http_send_end(p, NULL) : r;
}

static void receive_large(struct http_pipe *p)
{
    size_t at = 0, wrong = 0;
    char bytes[3000];
    ssize_t n;
    while ((n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            wrong += bytes[i] != (char)(at * 7 + at / 251);
    CHECK(n == 0 && at == LARGE && wrong == 0, "%zd, %zu bytes, %zu wrong", n, at, wrong);
}

static int exchange_large(void *arg)
{
    struct both *b = arg;
    struct http_pipe *p = asked(b, "POST", "/echo", HTTP_BODY_STREAM);
    struct scope s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "sender", send_large, p, NULL) == 0, "spawn");
    CHECK(status_of(p) == 200, "head");
    receive_large(p);
    CHECK(scope_join(&s) == 0 && s.first_error == 0, "%d", s.first_error);
    scope_done(&s);
    http_pipe_close(p);
    return 0;
}

static void large_bodies_both_ways_on_many_streams(void)
{
    struct both b;
    both_init(&b, NULL);
    struct scope s;
    scope_init(&s);
    for (int i = 0; i < 8; i++)
        CHECK(fiber_spawn(&s, "exchange", exchange_large, &b, NULL) == 0, "spawn");
    CHECK(scope_join(&s) == 0, "join");
    both_done(&b);
}
H2_CASE(large_bodies_both_ways_on_many_streams)

static void a_reader_that_stops_holds_no_more_than_a_window(void)
{
    struct both b;
    both_init(&b, NULL);
    struct mallinfo2 before = mallinfo2();
    struct http_pipe *p = asked(&b, "GET", "/big", HTTP_BODY_NONE);
    CHECK(status_of(p) == 200, "head");
    CHECK(fiber_sleep_ms(50) == 0, "sleep");
    CHECK(W.hanging == 0, "the sender waits");
    struct mallinfo2 after = mallinfo2();
    /* The sender's own 4 MiB, one window twice (its buffer doubles), and the two of a writer. */
    size_t grown = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    CHECK(SANITIZED || grown < (4 << 20) + 2 * H2_STREAM_WINDOW + 4 * H2_OUT_BYTES, "%zu", grown);
    /* Another stream goes on meanwhile. */
    struct http_pipe *q = asked(&b, "GET", "/", HTTP_BODY_NONE);
    CHECK(status_of(q) == 200, "other");
    http_pipe_close(q);
    http_pipe_close(p);
    until_equal(&W.served, 2);
    CHECK(W.result < 0, "cut off: %zd", W.result);
    both_done(&b);
}
H2_CASE(a_reader_that_stops_holds_no_more_than_a_window)

/* More requests than one connection takes: the link says so, none is lost. */
static int ask_one(void *arg)
{
    struct both *b = arg;
    while (b->l->ops->room(b->l) == 0)
        if (fiber_sleep_ms(1) < 0)
            return -1;
    struct http_pipe *p = asked(b, "GET", "/", HTTP_BODY_NONE);
    CHECK(status_of(p) == 200, "answer");
    http_pipe_close(p);
    return 0;
}

static void more_requests_than_streams(void)
{
    struct both b;
    both_init(&b, &(struct http_serve_options){.streams_max = 5});
    struct http_pipe *p = asked(&b, "GET", "/", HTTP_BODY_NONE); /* learns the ceiling */
    CHECK(status_of(p) == 200, "answer");
    http_pipe_close(p);
    struct scope s;
    scope_init(&s);
    for (int i = 0; i < 200; i++)
        CHECK(fiber_spawn(&s, "ask", ask_one, &b, NULL) == 0, "spawn");
    CHECK(scope_join(&s) == 0, "join");
    CHECK(W.served == 201, "%d", W.served);
    both_done(&b);
}
H2_CASE(more_requests_than_streams)

static void refusals_and_resets_arrive(void)
{
    struct both b;
    both_init(&b, NULL);
    struct http_pipe *p = asked(&b, "GET", "/reset", HTTP_BODY_NONE);
    CHECK(status_of(p) == -E_CLOSED, "may be tried again");
    http_pipe_close(p);
    p = asked(&b, "GET", "/none", HTTP_BODY_NONE);
    CHECK(status_of(p) == -ECONNRESET, "was cut off");
    http_pipe_close(p);
    p = asked(&b, "GET", "/a b", HTTP_BODY_NONE);
    http_pipe_close(p);
    both_done(&b);
}
H2_CASE(refusals_and_resets_arrive)

static void a_server_that_goes_is_noticed_by_all(void)
{
    struct both b;
    both_init(&b, NULL);
    struct http_pipe *p = asked(&b, "GET", "/held", HTTP_BODY_NONE);
    struct http_pipe *q = asked(&b, "POST", "/hang", HTTP_BODY_STREAM);
    until_equal(&W.hanging, 2);
    scope_cancel(&b.w.scope);
    CHECK(status_of(p) < 0 && status_of(q) < 0, "ended");
    CHECK(http_send_body(q, "x", 1, false) < 0, "ended");
    CHECK(b.l->ops->ended(b.l), "ended");
    http_pipe_close(p);
    http_pipe_close(q);
    b.l->ops->free(b.l);
    world_done(&b.w);
    CHECK(W.served == 2, "%d", W.served);
}
H2_CASE(a_server_that_goes_is_noticed_by_all)

static int make_link(void *arg)
{
    both_init(arg, NULL);
    return 0;
}

static void a_link_outlives_the_fiber_that_made_it(void)
{
    static struct both b; /* its server belongs to the maker's scope, which is not joined there */
    struct scope s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "maker", make_link, &b, NULL) == 0 && scope_join(&s) == 0, "made");
    struct http_pipe *p = asked(&b, "GET", "/", HTTP_BODY_NONE);
    CHECK(status_of(p) == 200, "answer");
    http_pipe_close(p);
    b.l->ops->free(b.l);
    CHECK(world_ended(&b.w) == 0, "%d", b.w.result);
    b.w.scope.owner = fiber_self();
    world_done(&b.w);
}
H2_CASE(a_link_outlives_the_fiber_that_made_it)

#define IDLE 500

static void idle_connections_cost_little(void)
{
    static struct both all[IDLE];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < IDLE; i++) {
        struct both *b = &all[i];
        both_init(b, NULL);
        struct http_pipe *p = asked(b, "GET", "/", HTTP_BODY_NONE);
        CHECK(status_of(p) == 200, "answer");
        http_pipe_close(p);
    }
    CHECK(fiber_sleep_ms(20) == 0, "sleep");
    struct mallinfo2 after = mallinfo2();
    size_t each = (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / IDLE;
    print_message("an idle connection, both ends: %zu bytes of heap\n", each);
    CHECK(SANITIZED || each < 96 << 10, "%zu", each);
    for (int i = 0; i < IDLE; i++) {
        all[i].l->ops->free(all[i].l);
        world_done(&all[i].w);
    }
}
H2_CASE(idle_connections_cost_little)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(requests_one_after_the_other),
        CASE(both_directions_at_once),
        CASE(large_bodies_both_ways_on_many_streams),
        CASE(a_reader_that_stops_holds_no_more_than_a_window),
        CASE(more_requests_than_streams),
        CASE(refusals_and_resets_arrive),
        CASE(a_server_that_goes_is_noticed_by_all),
        CASE(a_link_outlives_the_fiber_that_made_it),
        CASE(idle_connections_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
