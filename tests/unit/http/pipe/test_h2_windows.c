/* test_h2_windows.c - many streams on one connection: those that nobody reads hold up nobody else, and
 * what is held for all of them has a ceiling. */
#include "unit/http/pipe/h2_both.h"
#include "base/time.h"
#include "http/pipe/h2_conn.h"

#define STUCK 60
#define KIB   1024u

static void pour(struct stream *s)
{
    static const char zeros[50000];
    while (stream_write(s, zeros, sizeof(zeros)) == 0)
        ;
}

static void echo_bytes(struct stream *s)
{
    char bytes[3000];
    ssize_t n;
    while ((n = stream_read(s, bytes, sizeof(bytes))) > 0)
        if (stream_write(s, bytes, (size_t)n) < 0)
            return;
    if (n == 0)
        (void)!stream_finish(s);
}

static void keep(struct stream *s)
{
    char byte;
    (void)!stream_write(s, "x", 1);
    while (stream_read(s, &byte, 1) > 0)
        ;
}

static struct h2_conn *conn_of(const struct stream *s)
{
    return ((struct h2_stream *)s->impl)->c;
}

/* Until the streams get no more. */
static void until_still(const struct h2_conn *c)
{
    for (uint64_t had = 0; had != c->received;) {
        had = c->received;
        if (fiber_sleep_ms(30) < 0)
            return;
    }
}

static void another_one_works(struct both *b)
{
    struct stream s;
    char bytes[10];
    W.tunnel = echo_bytes;
    tunnel_open(b, &s);
    CHECK(stream_write(&s, "hello", 5) == 0 && stream_read(&s, bytes, sizeof(bytes)) == 5, "echo");
    stream_done(&s);
}

static size_t read_until_it_ends(struct stream *s, size_t most, ssize_t *ret_code)
{
    static char bytes[10000];
    size_t all = 0;
    while (all < most && (*ret_code = stream_read(s, bytes, sizeof(bytes))) > 0)
        all += (size_t)*ret_code;
    return all;
}

/* Without a ceiling, a few of them use the connection's window up: what this is all about. */
static void stuck_streams_hold_up_nobody(void)
{
    struct both b;
    static struct stream stuck[STUCK];
    both_init_with(&b, NULL, &(struct http_link_options){.line = {.held_max = 64 << 20}});
    W.tunnel = pour;
    for (int i = 0; i < STUCK; i++)
        tunnel_open(&b, &stuck[i]);
    const struct h2_conn *c = conn_of(&stuck[0]);
    until_still(c);
    CHECK(c->held >= 8 * H2_CONN_WINDOW && c->held <= 64 << 20, "%zu", c->held);
    another_one_works(&b);
    ssize_t n = 0;
    for (int i = 0; i < STUCK; i++) { /* and none has lost anything */
        size_t got = read_until_it_ends(&stuck[i], 2 * H2_STREAM_WINDOW, &n);
        CHECK(got >= 2 * H2_STREAM_WINDOW, "%d: %zu, %zd", i, got, n);
    }
    for (int i = 0; i < STUCK; i++)
        stream_done(&stuck[i]);
    CHECK(c->held == 0 && c->owed == 0, "%zu %zu", c->held, c->owed);
    until_equal(&W.served, STUCK + 1);
    both_left(&b);
}
H2_CASE(stuck_streams_hold_up_nobody)

/* The serving side has the same. */
static void hold(struct stream *s)
{
    (void)s;
    note(&W.hanging);
    while (!W.go)
        if (waitq_wait(&W.may_go) < 0)
            return;
}
static int fill(void *arg)
{
    static const char zeros[3 * H2_STREAM_WINDOW];
    return stream_write(arg, zeros, sizeof(zeros));
}
static void nor_at_the_server(void)
{
    struct both b;
    static struct stream stuck[20];
    struct scope writers;
    both_init(&b, &(struct http_serve_options){.line = {.held_max = 64 << 20}});
    W.tunnel = hold;
    scope_init(&writers);
    for (size_t i = 0; i < ARRAY_LEN(stuck); i++) {
        tunnel_open(&b, &stuck[i]);
        CHECK(fiber_spawn(&writers, "writer", fill, &stuck[i], NULL) == 0, "spawn");
    }
    CHECK(fiber_sleep_ms(50) == 0, "sleep");
    another_one_works(&b);
    W.go = true;
    waitq_wake_all(&W.may_go);
    CHECK(scope_join(&writers) == 0, "join");
    scope_done(&writers);
    for (size_t i = 0; i < ARRAY_LEN(stuck); i++)
        stream_done(&stuck[i]);
    until_equal(&W.served, 21);
    both_left(&b);
}
H2_CASE(nor_at_the_server)

static void the_ceiling_holds_and_the_others_go_on(void)
{
    struct both b;
    static struct stream stuck[STUCK];
    const size_t most = 512 * KIB;
    both_init_with(&b, NULL,
                   &(struct http_link_options){.line = {.stream_window = 64 * KIB,
                                                        .conn_window = 64 * KIB,
                                                        .held_max = most}});
    for (int i = 0; i < STUCK; i++) {
        W.tunnel = pour;
        tunnel_open(&b, &stuck[i]);
        const struct h2_conn *c = conn_of(&stuck[i]);
        if (i % 10 == 0)
            until_still(c);
        CHECK(c->held <= most, "%zu", c->held);
        CHECK(c->held + c->line.conn_window - c->owed <= most, "%zu %zu", c->held, c->owed);
    }
    const struct h2_conn *c = conn_of(&stuck[0]);
    until_still(c);
    another_one_works(&b);
    int cut = 0;
    for (int i = 0; i < STUCK; i++) {
        const struct h2_stream *st = stuck[i].impl;
        char byte;
        cut += st->error != 0;
        CHECK(!st->error || stream_read(&stuck[i], &byte, 1) == -ECONNRESET, "%d", st->error);
    }
    CHECK(cut > 0 && cut < STUCK, "%d were cut off", cut);
    CHECK(c->window == 16 * KIB, "%u", c->window);
    for (int i = 0; i < STUCK; i++)
        stream_done(&stuck[i]);
    CHECK(c->held == 0 && c->owed == 0, "%zu %zu", c->held, c->owed);
    until_equal(&W.served, STUCK + 1);
    both_left(&b);
}
H2_CASE(the_ceiling_holds_and_the_others_go_on)

/* A budget that another connection has nearly used up: what comes here is cut off for it, and nothing else. */
static void a_shared_budget_holds_and_is_given_back(void)
{
    struct both b;
    static struct stream stuck[8];
    struct budget all = {.max = 1024 * KIB}, ours = {.max = 512 * KIB, .outer = &all};
    struct budget_share others = {.of = &all};
    both_init_with(&b, NULL,
                   &(struct http_link_options){.line = {.stream_window = 64 * KIB,
                                                        .conn_window = 64 * KIB,
                                                        .held_max = 4096 * KIB,
                                                        .budget = &ours}});
    W.tunnel = pour;
    for (int i = 0; i < 4; i++)
        tunnel_open(&b, &stuck[i]);
    const struct h2_conn *c = conn_of(&stuck[0]);
    until_still(c);
    CHECK(c->held >= 4 * 60 * KIB && ours.used == c->held && all.used == c->held, "%zu %zu %zu",
          c->held, ours.used, all.used);
    CHECK(budget_set(&others, all.max - all.used - 40 * KIB), "the others take nearly all");
    for (int i = 4; i < 8; i++)
        tunnel_open(&b, &stuck[i]);
    until_still(c);
    CHECK(all.used <= all.max && ours.used == c->held, "%zu %zu %zu", all.used, ours.used, c->held);
    int cut = 0;
    for (int i = 0; i < 8; i++)
        cut += ((const struct h2_stream *)stuck[i].impl)->error != 0;
    CHECK(cut > 0 && cut < 8, "%d were cut off", cut);
    another_one_works(&b);
    for (int i = 0; i < 8; i++)
        stream_done(&stuck[i]);
    CHECK(c->held == 0 && ours.used == 0 && all.used == others.n, "%zu %zu", ours.used, all.used);
    budget_end(&others);
    until_equal(&W.served, 9);
    both_left(&b);
}
H2_CASE(a_shared_budget_holds_and_is_given_back)

/* Windows are smaller while much is held, and large again afterwards; nothing is lost over it. */
static void windows_follow_what_is_held(void)
{
    struct both b;
    static struct stream stuck[10];
    time_test_set(time_mono_ns(), 0);
    both_init_with(&b, NULL,
                   &(struct http_link_options){.line = {.stream_window = 256 * KIB,
                                                        .conn_window = 256 * KIB,
                                                        .held_max = 4096 * KIB}});
    W.tunnel = pour;
    tunnel_open(&b, &stuck[0]);
    struct h2_conn *c = conn_of(&stuck[0]);
    size_t n = 1;
    for (; n < ARRAY_LEN(stuck) && c->window == 256 * KIB; n++) {
        tunnel_open(&b, &stuck[n]);
        for (int i = 0; i < 2000; i++)
            (void)!fiber_yield();
    }
    CHECK(c->window == 64 * KIB, "%u with %zu streams, held %zu", c->window, n, c->held);
    CHECK(c->held > 1024 * KIB && c->held < 2048 * KIB, "%zu", c->held);
    ssize_t code = 0;
    size_t got = read_until_it_ends(&stuck[1], 1 << 20, &code);
    CHECK(got >= 1 << 20, "goes on: %zu, %zd", got, code);
    for (size_t i = 1; i < n; i++)
        stream_done(&stuck[i]);
    CHECK(c->window == 64 * KIB && c->settings_out == 0, "%u %u", c->window, c->settings_out);
    time_test_advance(2 * NS_PER_S);
    got = read_until_it_ends(&stuck[0], 1 << 20, &code);
    CHECK(got >= 1 << 20, "%zu, %zd", got, code);
    CHECK(c->window == 256 * KIB, "%u, held %zu", c->window, c->held);
    stream_done(&stuck[0]);
    until_equal(&W.served, (int)n);
    both_left(&b);
    time_test_reset();
}
H2_CASE(windows_follow_what_is_held)

static void echoed(struct stream *s)
{
    char bytes[100];
    for (int i = 0; i < 10; i++)
        CHECK(stream_write(s, "hello", 5) == 0 && stream_read(s, bytes, sizeof(bytes)) == 5, "%d",
              i);
}

/* Streams that are read have wide windows; each whose reader does not keep up makes those of all smaller, at
 * once, and a second after it has left they are wide again. */
static void windows_are_wide_while_streams_are_read(void)
{
    struct both b;
    static struct stream stuck[3], read;
    time_test_set(time_mono_ns(), 0);
    both_init_with(&b, NULL,
                   &(struct http_link_options){.line = {.stream_window = 64 * KIB,
                                                        .stream_window_most = 1024 * KIB,
                                                        .conn_window = 256 * KIB,
                                                        .held_max = 4096 * KIB}});
    W.tunnel = echo_bytes;
    tunnel_open(&b, &read);
    echoed(&read);
    struct h2_conn *c = conn_of(&read);
    CHECK(c->window == 1024 * KIB && c->n_laden == 0, "%u, %zu", c->window, c->n_laden);
    W.tunnel = pour;
    /* 1024 KiB for two, three, four, as powers of two */
    static const uint32_t then[] = {512 * KIB, 256 * KIB, 256 * KIB};
    size_t held = 0;
    for (size_t i = 0; i < ARRAY_LEN(stuck); i++) {
        tunnel_open(&b, &stuck[i]);
        for (int n = 0; n < 5000; n++)
            (void)!fiber_yield();
        CHECK(c->n_laden == i + 1 && c->window == then[i], "%zu laden, %u", c->n_laden, c->window);
        CHECK(c->held > held && c->held <= 1536 * KIB, "%zu", c->held);
        held = c->held;
        echoed(&read);
    }
    ssize_t code = 0;
    size_t got = read_until_it_ends(&stuck[0], 4 << 20, &code);
    CHECK(got >= 4 << 20, "nothing is lost: %zu, %zd", got, code);
    for (size_t i = 0; i < ARRAY_LEN(stuck); i++)
        stream_done(&stuck[i]);
    CHECK(c->n_laden == 0 && c->held == 0 && c->owed == 0, "%zu %zu %zu", c->n_laden, c->held,
          c->owed);
    echoed(&read);
    CHECK(c->window == 256 * KIB, "%u", c->window);
    time_test_advance(2 * NS_PER_S);
    echoed(&read);
    CHECK(c->window == 1024 * KIB, "%u", c->window);
    stream_done(&read);
    until_equal(&W.served, 4);
    both_left(&b);
    time_test_reset();
}
H2_CASE(windows_are_wide_while_streams_are_read)

/* ---- many ---- */

#define MANY (SANITIZED ? 1000 : 3000)

static struct stream many[3000], *next_of_many;

static int open_many(void *arg)
{
    for (int i = 0; i < MANY / 4; i++) {
        struct stream *s = next_of_many++;
        char byte;
        tunnel_open(arg, s);
        CHECK(stream_read(s, &byte, 1) == 1, "%d", i);
    }
    return 0;
}

/* Thousands on one connection, all of which leave at once. */
static void thousands_of_streams_come_and_leave(void)
{
    struct both b;
    both_init_with(&b, &(struct http_serve_options){.streams_max = 5000},
                   &(struct http_link_options){.streams_max = 4000});
    W.tunnel = keep;
    struct http_pipe *first = asked(&b, "GET", "/", HTTP_BODY_NONE);
    CHECK(status_of(first) == 200, "the server's settings");
    http_pipe_close(first);
    CHECK(http_link_room(b.l) == 4000, "%zu", http_link_room(b.l));
    struct scope s;
    next_of_many = many;
    scope_init(&s);
    for (int i = 0; i < 4; i++)
        CHECK(fiber_spawn(&s, "opener", open_many, &b, NULL) == 0, "spawn");
    CHECK(scope_join(&s) == 0, "join");
    scope_done(&s);
    for (int i = 0; i < MANY; i++)
        stream_done(&many[i]);
    until_equal(&W.served, MANY + 1);
    CHECK(b.w.result == 1 && !http_link_ended(b.l), "%d %s", b.w.result, b.w.e.msg);
    another_one_works(&b);
    until_equal(&W.served, MANY + 2);
    both_left(&b);
}
H2_CASE(thousands_of_streams_come_and_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(stuck_streams_hold_up_nobody),
        CASE(nor_at_the_server),
        CASE(the_ceiling_holds_and_the_others_go_on),
        CASE(windows_follow_what_is_held),
        CASE(windows_are_wide_while_streams_are_read),
        CASE(a_shared_budget_holds_and_is_given_back),
        CASE(thousands_of_streams_come_and_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
