/* The scheduler: order, nesting, cancellation, deadlines, shields, numbers. */
#include "base/log.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "fiber/switch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A trace that fibers append to. */
static char trace[256];
static char a_[] = "a", b_[] = "b", c_[] = "c"; /* names that fibers get as argument */
static void note(const char *what)
{
    size_t n = strlen(trace);
    (void)snprintf(trace + n, sizeof(trace) - n, "%s", what);
}
static int reset(void **state)
{
    (void)state;
    trace[0] = '\0';
    return 0;
}

static void run(fiber_fn *fn, void *arg)
{
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "test", fn, arg, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(s.first_error, 0);
}

/* ---- order ---- */

static int three_steps(void *arg)
{
    const char *letter = arg;
    for (int i = 0; i < 3; i++) {
        note(letter);
        assert_int_equal(fiber_yield(), 0);
    }
    return 0;
}

static void fibers_take_turns_in_order(void **state)
{
    (void)state;
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "a", three_steps, a_, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "b", three_steps, b_, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "c", three_steps, c_, NULL), 0);
    assert_string_equal(trace, "");
    assert_int_equal(fiber_count(), 3);
    assert_int_equal(scope_join(&s), 0);
    assert_string_equal(trace, "abcabcabc");
    assert_int_equal(fiber_count(), 0);
}

static int nest(void *arg)
{
    int depth = *(int *)arg;
    char text[8];
    (void)snprintf(text, sizeof(text), "<%d", depth);
    note(text);
    if (depth > 0) {
        AUTO(scope) s;
        scope_init(&s);
        int inner = depth - 1;
        assert_int_equal(fiber_spawn(&s, "inner", nest, &inner, NULL), 0);
        assert_int_equal(scope_join(&s), 0);
    }
    (void)snprintf(text, sizeof(text), "%d>", depth);
    note(text);
    return 0;
}

static void scopes_nest(void **state)
{
    (void)state;
    int depth = 3;
    run(nest, &depth);
    assert_string_equal(trace, "<3<2<1<00>1>2>3>");
}

/* ---- identity ---- */

static int identity(void *arg)
{
    uint64_t *id = arg;
    assert_non_null(fiber_self());
    assert_string_equal(fiber_name(fiber_self()), "test");
    *id = fiber_id(fiber_self());
    fiber_set_context("req_0123456789012345678901234567890123456789012345678901234567890");
    assert_int_equal(strlen(fiber_context()), 47);
    return 0;
}

static int context_child(void *arg)
{
    (void)arg;
    assert_string_equal(fiber_context(), "sesn_1");
    fiber_set_context("sesn_2");
    return 0;
}

static int context_parent(void *arg)
{
    (void)arg;
    fiber_set_context("sesn_1");
    run(context_child, NULL);
    assert_string_equal(fiber_context(), "sesn_1");
    return 0;
}

static void every_fiber_has_an_id_and_a_context(void **state)
{
    (void)state;
    uint64_t a = 0, b = 0;
    assert_null(fiber_self());
    run(identity, &a);
    run(identity, &b);
    assert_true(a != 0 && b > a);
    assert_string_equal(fiber_context(), "");
    run(context_parent, NULL);
}

/* ---- results ---- */

static int fail_with(void *arg)
{
    return *(int *)arg;
}

static void the_first_error_is_kept(void **state)
{
    (void)state;
    static const struct {
        int results[3], expected;
    } cases[] = {
        {{0, 0, 0}, 0},
        {{5, 0, 0}, 0},
        {{0, -EIO, -EPERM}, -EIO},
        {{-ECANCELED, -EPERM, 0}, -EPERM},
        {{-ECANCELED, 0, 0}, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(scope) s;
        scope_init(&s);
        int results[3];
        for (size_t k = 0; k < 3; k++) {
            results[k] = cases[i].results[k];
            assert_int_equal(fiber_spawn(&s, "r", fail_with, &results[k], NULL), 0);
        }
        assert_int_equal(scope_join(&s), 0);
        assert_int_equal(s.first_error, cases[i].expected);
    }
}

/* ---- cancellation ---- */

struct seen {
    bool ran, cleaned;
    int first, second;
};

static int park_twice(void *arg)
{
    struct seen *seen = arg;
    seen->ran = true;
    seen->first = fiber_park();
    seen->second = fiber_yield();
    return seen->first;
}

static void cancel_before_the_first_run(void **state)
{
    (void)state;
    struct seen seen = {.first = 1, .second = 1};
    AUTO(scope) s;
    scope_init(&s);
    struct fiber *f;
    assert_int_equal(fiber_spawn(&s, "c", park_twice, &seen, &f), 0);
    fiber_cancel(f);
    assert_int_equal(scope_join(&s), 0);
    /* It ran (it may own its argument), and could not wait. */
    assert_true(seen.ran);
    assert_int_equal(seen.first, -ECANCELED);
    assert_int_equal(seen.second, -ECANCELED);
    assert_int_equal(s.first_error, 0);
}

static void a_cancel_ends_a_wait_and_stays(void **state)
{
    (void)state;
    struct seen seen = {.first = 1, .second = 1};
    AUTO(scope) s;
    scope_init(&s);
    struct fiber *f;
    assert_int_equal(fiber_spawn(&s, "c", park_twice, &seen, &f), 0);
    assert_false(fiber_run_ready());
    assert_true(seen.ran);
    assert_int_equal(seen.first, 1);
    fiber_cancel(f);
    fiber_cancel(f);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(seen.first, -ECANCELED);
    assert_int_equal(seen.second, -ECANCELED); /* sticky */
}

static void a_cancelled_scope_starts_fibers_cancelled(void **state)
{
    (void)state;
    struct seen seen = {.first = 1};
    AUTO(scope) s;
    scope_init(&s);
    scope_cancel(&s);
    assert_int_equal(fiber_spawn(&s, "late", park_twice, &seen, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(seen.first, -ECANCELED);
}

static int clean_up_shielded(void *arg)
{
    struct seen *seen = arg;
    seen->first = fiber_park();
    assert_true(fiber_cancelled());
    {
        AUTO(fiber_shield) outer = fiber_shield_begin(1000);
        assert_false(fiber_cancelled());
        assert_int_equal(fiber_yield(), 0);
        {
            AUTO(fiber_shield) inner = fiber_shield_begin(60000);
            assert_int_equal(fiber_yield(), 0);
            /* An inner shield cannot outlast the outer one. */
            assert_true(fiber_deadline_ns() <= time_mono_ns() + 1000 * NS_PER_MS);
        }
        assert_int_equal(fiber_sleep_ms(1), 0);
        seen->cleaned = true;
    }
    seen->second = fiber_yield();
    return 0;
}

static void a_shield_lets_cleanup_wait(void **state)
{
    (void)state;
    struct seen seen = {0};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "c", clean_up_shielded, &seen, NULL), 0);
    assert_false(fiber_run_ready());
    scope_done(&s);
    assert_true(seen.cleaned);
    assert_int_equal(seen.first, -ECANCELED);
    assert_int_equal(seen.second, -ECANCELED);
}

static int shield_runs_out(void *arg)
{
    struct seen *seen = arg;
    seen->first = fiber_park();
    AUTO(fiber_shield) shield = fiber_shield_begin(5);
    seen->second = fiber_park();
    return 0;
}

static void a_shield_is_bounded(void **state)
{
    (void)state;
    struct seen seen = {0};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "c", shield_runs_out, &seen, NULL), 0);
    assert_false(fiber_run_ready());
    scope_done(&s);
    assert_int_equal(seen.second, -ETIMEDOUT);
}

/* A parent that is cancelled takes its children along and waits for their cleanup. */
static int family(void *arg)
{
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "child", clean_up_shielded, arg, NULL), 0);
    int r = fiber_park();
    assert_int_equal(r, -ECANCELED);
    return r;
}

static void cancel_reaches_grandchildren(void **state)
{
    (void)state;
    struct seen seen = {0};
    {
        AUTO(scope) s;
        scope_init(&s);
        assert_int_equal(fiber_spawn(&s, "parent", family, &seen, NULL), 0);
        (void)fiber_run_ready();
        (void)fiber_run_ready();
    }
    assert_true(seen.cleaned);
}

/* ---- deadlines ---- */

static int report_deadline(void *arg)
{
    *(int64_t *)arg = fiber_deadline_ns();
    return fiber_park() == -ETIMEDOUT ? 0 : -EINVAL;
}

static int deadlines(void *arg)
{
    (void)arg;
    assert_true(fiber_deadline_ns() == FIBER_NO_DEADLINE);
    int64_t now = time_mono_ns(), child = 0;
    {
        AUTO(fiber_deadline) outer = fiber_deadline_push(now + 1000);
        assert_true(fiber_deadline_ns() == now + 1000);
        struct fiber_deadline longer = fiber_deadline_push(now + 5000);
        assert_true(fiber_deadline_ns() == now + 1000); /* only ever shorter */
        struct fiber_deadline shorter = fiber_deadline_push(now + 500);
        assert_true(fiber_deadline_ns() == now + 500);
        fiber_deadline_pop(&shorter);
        fiber_deadline_pop(&longer);
        assert_true(fiber_deadline_ns() == now + 1000);

        AUTO(scope) s;
        scope_init(&s);
        assert_int_equal(fiber_spawn(&s, "heir", report_deadline, &child, NULL), 0);
        assert_int_equal(fiber_yield(), 0);
        assert_true(child == now + 1000); /* inherited */
        time_test_advance(999);
        assert_int_equal(fiber_yield(), 0);
        time_test_advance(1);
        assert_int_equal(fiber_yield(), -ETIMEDOUT);
        assert_int_equal(fiber_sleep_ms(1), -ETIMEDOUT);
        assert_int_equal(fiber_park(), -ETIMEDOUT);
        assert_int_equal(scope_join(&s), -ETIMEDOUT);
        AUTO(fiber_shield) shield = fiber_shield_begin(1000);
        assert_int_equal(scope_join(&s), 0); /* the child saw the end of its time as well */
        assert_int_equal(s.first_error, 0);
    }
    assert_true(fiber_deadline_ns() == FIBER_NO_DEADLINE);
    return fiber_yield();
}

static void deadlines_shorten_and_are_inherited(void **state)
{
    (void)state;
    time_test_set(1000000, 0);
    run(deadlines, NULL);
    time_test_reset();
}

struct sleeper {
    int64_t ms;
    const char *name;
};

static int sleep_and_note(void *arg)
{
    const struct sleeper *s = arg;
    int r = fiber_sleep_ms(s->ms);
    note(s->name);
    return r;
}

static void timers_fire_in_order_of_time(void **state)
{
    (void)state;
    time_test_set(5, 0);
    AUTO(scope) s;
    scope_init(&s);
    static struct sleeper sleepers[] = {{30, "d"}, {10, "b"}, {20, "c"}, {5, "a"}, {40, "e"}};
    for (size_t i = 0; i < ARRAY_LEN(sleepers); i++)
        assert_int_equal(fiber_spawn(&s, "sleeper", sleep_and_note, &sleepers[i], NULL), 0);
    assert_false(fiber_run_ready());
    assert_true(fiber_next_timer_ns() == 5 + 5 * NS_PER_MS);
    time_test_advance(19 * NS_PER_MS);
    (void)fiber_run_ready();
    assert_string_equal(trace, "ab");
    assert_true(fiber_next_timer_ns() == 5 + 20 * NS_PER_MS);
    time_test_advance(100 * NS_PER_MS);
    (void)fiber_run_ready();
    assert_string_equal(trace, "abcde");
    assert_true(fiber_next_timer_ns() == FIBER_NO_DEADLINE);
    time_test_reset();
}

/* Many timers with pseudo-random ends, some cancelled: the heap stays a heap. */
struct timed {
    int64_t at;
    int result;
};
static int64_t last_fired;
static int sleep_until_and_check(void *arg)
{
    struct timed *t = arg;
    t->result = fiber_sleep_until(t->at);
    if (t->result == 0) {
        assert_true(t->at >= last_fired);
        last_fired = t->at;
    }
    return 0;
}

static void many_timers_fire_in_order(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct timed timed[N];
    static struct fiber *fibers[N];
    time_test_set(1, 0);
    last_fired = 0;
    AUTO(scope) s;
    scope_init(&s);
    uint32_t x = 12345;
    for (int i = 0; i < N; i++) {
        x = x * 1664525u + 1013904223u;
        timed[i] = (struct timed){.at = 2 + (x >> 16) % 1000, .result = 1};
        assert_int_equal(fiber_spawn(&s, "t", sleep_until_and_check, &timed[i], &fibers[i]), 0);
    }
    assert_false(fiber_run_ready());
    for (int i = 0; i < N; i += 7)
        fiber_cancel(fibers[i]);
    while (fiber_count() > 0) {
        (void)fiber_run_ready();
        int64_t next = fiber_next_timer_ns();
        if (next != FIBER_NO_DEADLINE)
            time_test_advance(next - time_mono_ns());
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(timed[i].result, i % 7 ? 0 : -ECANCELED);
    time_test_reset();
}

/* ---- spurious wake-ups ---- */

struct slot {
    struct waitq q;
    const void *value;
};

static int wait_for_value(void *arg)
{
    struct slot *slot = arg;
    while (!slot->value)
        assert_int_equal(waitq_wait(&slot->q), 0);
    int64_t start = time_mono_ns();
    assert_int_equal(fiber_sleep_until(start + 100), 0);
    assert_true(time_mono_ns() >= start + 100);
    note("done");
    return 0;
}

static void a_wake_without_cause_changes_nothing(void **state)
{
    (void)state;
    time_test_set(1, 0);
    struct slot slot = {.value = NULL};
    waitq_init(&slot.q);
    AUTO(scope) s;
    scope_init(&s);
    struct fiber *f;
    assert_int_equal(fiber_spawn(&s, "w", wait_for_value, &slot, &f), 0);
    for (int i = 0; i < 3; i++) {
        (void)fiber_run_ready();
        fiber_wake(f); /* nothing arrived */
    }
    slot.value = a_;
    waitq_wake_one(&slot.q);
    (void)fiber_run_ready();
    for (int i = 0; i < 3; i++) {
        fiber_wake(f); /* it is not time yet */
        (void)fiber_run_ready();
        assert_string_equal(trace, "");
    }
    time_test_advance(100);
    (void)fiber_run_ready();
    assert_string_equal(trace, "done");
    time_test_reset();
}

/* ---- numbers ---- */

static int park_until_cancelled(void *arg)
{
    size_t *n = arg;
    ++*n;
    int r = fiber_park();
    --*n;
    return r;
}

static void a_hundred_thousand_fibers(void **state)
{
    (void)state;
    /* TSAN keeps a table of at most 8128 threads, fibers included. */
    const size_t n = SWITCH_TSAN ? 4000 : 100000;
    size_t parked = 0;
    AUTO(scope) s;
    scope_init(&s);
    for (size_t i = 0; i < n; i++) {
        int r = fiber_spawn(&s, "one of many", park_until_cancelled, &parked, NULL);
        if (r == -EAGAIN) {
            print_message("guards cost mappings here; the ceiling came at %zu fibers\n", i);
            assert_true(i > 1000);
            break;
        }
        assert_int_equal(r, 0);
    }
    size_t made = fiber_count();
    (void)fiber_run_ready();
    assert_int_equal(parked, made);
    scope_done(&s);
    assert_int_equal(parked, 0);
    assert_int_equal(fiber_count(), 0);
    struct fiber_stats st;
    fiber_get_stats(&st);
    assert_true(st.pooled_stacks <= 128);
    print_message("%zu fibers created and joined\n", made);
}

static void the_pool_reuses_stacks(void **state)
{
    (void)state;
    struct fiber_stats before, after;
    uint64_t id;
    run(identity, &id);
    fiber_get_stats(&before);
    for (int i = 0; i < 1000; i++)
        run(identity, &id);
    fiber_get_stats(&after);
    assert_int_equal(after.created, before.created + 1000);
    assert_int_equal(after.pooled_stacks, before.pooled_stacks);
}

/* Uses about `depth` KiB; not a tail call. */
static int use_kib(int depth)
{
    volatile char frame[1024];
    frame[depth % 1024] = 1;
    return depth == 0 ? 0 : use_kib(depth - 1) + frame[depth % 1024];
}

static int use_stack(void *arg)
{
    *(int *)arg = use_kib(100);
    return 0;
}

static void the_high_water_mark_is_exported(void **state)
{
    (void)state;
    struct fiber_stats st;
    int one = 0;
    run(use_stack, &one);
    assert_int_equal(one, 100);
    fiber_get_stats(&st);
    assert_in_range(st.stack_high_water_bytes, 100 << 10, 1 << 20);
}

/* ---- the watchdog ---- */

static int identity_quiet(void *arg)
{
    (void)arg;
    return 0;
}

static int64_t processor_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int hog(void *arg)
{
    (void)arg;
    int64_t end = processor_ns() + 60 * NS_PER_MS;
    while (processor_ns() < end)
        ;
    return 0;
}

static int sleep_on_the_thread(void *arg)
{
    (void)arg;
    struct timespec ts = {.tv_nsec = 150 * NS_PER_MS};
    return nanosleep(&ts, NULL);
}

/* What the log says while two fibers run, one of them `fn`. */
static void watch(fiber_fn *fn, const char *name, char *text, size_t cap)
{
    int p[2];
    assert_int_equal(pipe(p), 0);
    log_test_set_fd(p[1]);
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "innocent", identity_quiet, NULL, NULL), 0);
    assert_int_equal(fiber_spawn(&s, name, fn, NULL, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    log_test_set_fd(STDERR_FILENO);
    (void)close(p[1]);
    ssize_t n = read(p[0], text, cap - 1);
    (void)close(p[0]);
    assert_true(n > 0);
    text[n] = '\0';
}

static void a_fiber_that_does_not_let_go_is_reported(void **state)
{
    (void)state;
    char text[2048]; /* on a busy machine others are reported as well */
    struct fiber_stats before, after;
    fiber_get_stats(&before);
    watch(hog, "the hog", text, sizeof(text));
    assert_non_null(strstr(text, "fiber=the hog"));
    fiber_get_stats(&after);
    assert_int_equal(after.holds, before.holds + 1);
    assert_true(after.longest_hold_ns >= 55 * NS_PER_MS);
}

/* A blocking call takes no processor time, and holds the thread all the same. */
static void a_fiber_that_blocks_the_thread_is_reported(void **state)
{
    (void)state;
    char text[2048];
    struct fiber_stats before, after;
    fiber_get_stats(&before);
    watch(sleep_on_the_thread, "the sleeper", text, sizeof(text));
    assert_non_null(strstr(text, "fiber=the sleeper"));
    fiber_get_stats(&after);
    assert_int_equal(after.holds, before.holds);
}

/* ---- what aborts ---- */

static int recurse(int depth, const volatile char *above)
{
    volatile char frame[1024];
    frame[0] = above[0];
    frame[1023] = (char)depth;
    return depth == 0 ? 0 : recurse(depth - 1, frame) + frame[1023] % 2;
}

static int overflow(void *arg)
{
    (void)arg;
    char c = 1;
    return recurse(1 << 20, &c);
}

static int suspend_in_callback(void *arg)
{
    (void)arg;
    fiber_no_suspend_begin();
    return fiber_yield();
}

/* What a re-execution of this program does instead of testing, by name: the test runner has
 * handlers of its own for SIGSEGV and SIGABRT. */
static const struct {
    const char *name;
    fiber_fn *fn;
} culprits[] = {{"overflow", overflow}, {"suspend_in_callback", suspend_in_callback}};

static int be_culprit(const char *name)
{
    struct scope s;
    scope_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(culprits); i++) {
        if (strcmp(culprits[i].name, name) == 0 &&
            fiber_spawn(&s, "the culprit", culprits[i].fn, NULL, NULL) == 0)
            (void)fiber_run_ready();
    }
    return 0;
}

/* Runs the culprit in a child; returns its standard error and wait status. */
static int in_child(const char *name, char *text, size_t cap)
{
    int p[2], status;
    char self[256];
    /* valgrind gives the right one. */
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(len > 0);
    self[len] = '\0';
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(p[1], STDERR_FILENO);
        (void)execl(self, "test_fiber", name, NULL);
        _exit(0);
    }
    (void)close(p[1]);
    size_t n = 0;
    ssize_t got;
    while (n + 1 < cap && (got = read(p[0], text + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    (void)close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_stack_overflow_is_named(void **state)
{
    (void)state;
    char text[2048];
    int status = in_child("overflow", text, sizeof(text));
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    assert_non_null(strstr(text, "(the culprit) overflowed its stack"));
}

static void suspending_in_a_callback_aborts(void **state)
{
    (void)state;
    char text[2048];
    int status = in_child("suspend_in_callback", text, sizeof(text));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "no_suspend"));
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return be_culprit(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fibers_take_turns_in_order, reset),
        cmocka_unit_test_setup(scopes_nest, reset),
        cmocka_unit_test(every_fiber_has_an_id_and_a_context),
        cmocka_unit_test(the_first_error_is_kept),
        cmocka_unit_test(cancel_before_the_first_run),
        cmocka_unit_test(a_cancel_ends_a_wait_and_stays),
        cmocka_unit_test(a_cancelled_scope_starts_fibers_cancelled),
        cmocka_unit_test(a_shield_lets_cleanup_wait),
        cmocka_unit_test(a_shield_is_bounded),
        cmocka_unit_test(cancel_reaches_grandchildren),
        cmocka_unit_test(deadlines_shorten_and_are_inherited),
        cmocka_unit_test_setup(timers_fire_in_order_of_time, reset),
        cmocka_unit_test(many_timers_fire_in_order),
        cmocka_unit_test_setup(a_wake_without_cause_changes_nothing, reset),
        cmocka_unit_test(a_hundred_thousand_fibers),
        cmocka_unit_test(the_pool_reuses_stacks),
        cmocka_unit_test(the_high_water_mark_is_exported),
        cmocka_unit_test(a_fiber_that_does_not_let_go_is_reported),
        cmocka_unit_test(a_fiber_that_blocks_the_thread_is_reported),
        cmocka_unit_test(a_stack_overflow_is_named),
        cmocka_unit_test(suspending_in_a_callback_aborts),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fiber_thread_done();
    return failed;
}
