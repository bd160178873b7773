/* carry: bytes both ways, whole; what waits for a slow reader is counted, and cut off where there is no room. */
#include "base/budget.h"
#include "fiber/scheduler.h"
#include "io/sock.h"
#include "tunnel/edge/carry.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/loop.h"
#include "unit/unit.h"

#define KIB 1024u

/* A caller, the edge's two ends, a gateway. */
struct world {
    struct stream caller, left, right, gateway;
    struct budget memory;
    struct scope scope;
    int result;
    bool over;
};

static void pair_of(struct stream *a, struct stream *b)
{
    int fd[2], small = 4096;
    assert_true(sock_pair(SOCK_STREAM, fd) == 0);
    for (int i = 0; i < 2; i++)
        assert_true(setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
    assert_true(stream_from_fd(a, fd[0]) == 0 && stream_from_fd(b, fd[1]) == 0);
}

static int carrier(void *arg)
{
    struct world *w = arg;
    w->result = carry(&w->left, &w->right, &w->memory);
    w->over = true;
    if (w->result < 0) {
        stream_reset(&w->left);
        stream_reset(&w->right);
    }
    return 0;
}

static void world_open(struct world *w, size_t most)
{
    *w = (struct world){.memory = {.max = most}};
    pair_of(&w->caller, &w->left);
    pair_of(&w->right, &w->gateway);
    scope_init(&w->scope);
    assert_true(fiber_spawn(&w->scope, "carrier", carrier, w, NULL) == 0);
}

static void world_close(struct world *w)
{
    assert_true(scope_join(&w->scope) == 0);
    scope_done(&w->scope);
    stream_done(&w->left);
    stream_done(&w->right);
    stream_done(&w->caller);
    stream_done(&w->gateway);
    assert_true(w->memory.used == 0);
}

static int speak(void *arg)
{
    struct stream *s = arg;
    static const char bytes[1024 * KIB];
    int r = stream_write(s, bytes, sizeof(bytes));
    return r < 0 ? r : stream_finish(s);
}

static size_t hear_all(struct stream *s, ssize_t *ret_code)
{
    static char bytes[10000];
    size_t n = 0;
    while ((*ret_code = stream_read(s, bytes, sizeof(bytes))) > 0)
        n += (size_t)*ret_code;
    return n;
}

static int what_waits_is_counted_and_nothing_is_lost(void *arg)
{
    (void)arg;
    struct world w;
    struct scope writer;
    ssize_t code = 0;
    world_open(&w, 256 * KIB);
    scope_init(&writer);
    assert_true(fiber_spawn(&writer, "writer", speak, &w.caller, NULL) == 0);
    for (int i = 0; i < 1000 && w.memory.used == 0; i++)
        assert_true(fiber_sleep_ms(1) == 0);
    assert_true(w.memory.used > 0 && w.memory.used <= 64 * KIB);
    assert_true(hear_all(&w.gateway, &code) == 1024 * KIB && code == 0);
    assert_true(scope_join(&writer) == 0);
    scope_done(&writer);
    assert_true(stream_finish(&w.gateway) == 0);
    assert_true(hear_all(&w.caller, &code) == 0 && code == 0);
    world_close(&w);
    assert_true(w.result == 0);
    return 0;
}
ON_LOOP(what_waits_is_counted_and_nothing_is_lost)

/* The fuller it is, the less of it one takes. */
static int little_is_read_where_little_is_left(void *arg)
{
    (void)arg;
    struct world w;
    struct scope writer;
    ssize_t code = 0;
    world_open(&w, 64 * KIB);
    struct budget_share others = {.of = &w.memory};
    assert_true(budget_set(&others, 59 * KIB));
    scope_init(&writer);
    assert_true(fiber_spawn(&writer, "writer", speak, &w.caller, NULL) == 0);
    for (int i = 0; i < 1000 && w.memory.used == others.n; i++)
        assert_true(fiber_sleep_ms(1) == 0);
    assert_true(w.memory.used > others.n && w.memory.used - others.n <= 4 * KIB);
    assert_true(hear_all(&w.gateway, &code) == 1024 * KIB && code == 0);
    assert_true(scope_join(&writer) == 0);
    scope_done(&writer);
    assert_true(stream_finish(&w.gateway) == 0);
    assert_true(w.memory.used == others.n);
    budget_end(&others);
    world_close(&w);
    assert_true(w.result == 0);
    return 0;
}
ON_LOOP(little_is_read_where_little_is_left)

static int who_finds_no_room_is_cut_off(void *arg)
{
    (void)arg;
    struct world w;
    struct scope writer;
    world_open(&w, 64 * KIB);
    struct budget_share others = {.of = &w.memory};
    assert_true(budget_set(&others, 64 * KIB));
    scope_init(&writer);
    assert_true(fiber_spawn(&writer, "writer", speak, &w.caller, NULL) == 0);
    for (int i = 0; i < 1000 && !w.over; i++)
        assert_true(fiber_sleep_ms(1) == 0);
    assert_true(w.over && w.result == -ENOBUFS);
    assert_true(w.memory.used == others.n);
    assert_true(scope_join(&writer) <= 0);
    scope_done(&writer);
    budget_end(&others);
    world_close(&w);
    return 0;
}
ON_LOOP(who_finds_no_room_is_cut_off)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_waits_is_counted_and_nothing_is_lost),
        CASE(little_is_read_where_little_is_left),
        CASE(who_finds_no_room_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
