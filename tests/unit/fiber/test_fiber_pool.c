/* test_fiber_pool.c - what the stacks of finished fibers keep. */
#include "unit/unit.h"
#include "base/time.h"
#include "fiber/fiber.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 100, KIB = 100 };

/* Uses about `depth` KiB; not a tail call. */
static int use_kib(int depth)
{
    volatile char frame[1024];
    frame[depth % 1024] = 1;
    return depth == 0 ? 0 : use_kib(depth - 1) + frame[depth % 1024];
}

static int use_stack(void *arg)
{
    *(int *)arg = use_kib(KIB);
    return 0;
}

static size_t resident_bytes(void)
{
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    return strtoul(strchr(text, ' '), NULL, 10) << 12;
}

static void run_many(void)
{
    int used[MANY];
    struct scope s;
    scope_init(&s);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(fiber_spawn(&s, "deep", use_stack, &used[i], NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(used[i], KIB);
}

/* Many at once leave their stacks for the next ones; those that nobody wants give their memory back. */
static void stacks_at_rest_give_their_memory_back(void **state)
{
    struct fiber_stats st;
    const size_t before = resident_bytes();
    (void)state;
    run_many();
    fiber_get_stats(&st);
    assert_int_equal(st.pooled_stacks, MANY);
    const size_t used = resident_bytes();
    assert_true(used > before + (size_t)MANY * 80 * 1024);
    int64_t at = fiber_next_timer_ns();
    assert_true(at > time_mono_ns() && at <= time_mono_ns() + 1100 * NS_PER_MS);
    run_many(); /* meanwhile they are used again as they are */
    assert_int_equal(fiber_next_timer_ns(), at);
    while (time_mono_ns() < at + 20 * NS_PER_MS)
        (void)poll(NULL, 0, 20);
    assert_false(fiber_run_ready());
    assert_true(resident_bytes() < used - (size_t)(MANY - 16) * 60 * 1024);
    assert_true(fiber_next_timer_ns() == FIBER_NO_DEADLINE);
    run_many();
    fiber_get_stats(&st);
    assert_int_equal(st.pooled_stacks, MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_at_rest_give_their_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
