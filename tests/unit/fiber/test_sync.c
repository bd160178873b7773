/* Wait lists, mutexes, semaphores: who waits, who is woken, and what a cancel in between leaves. */
#include "fiber/sync.h"
#include "fiber/sync.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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

/* ---- waitq ---- */

struct wait_arg {
    struct waitq *q;
    const char *name;
    int result;
};

static int wait_and_note(void *arg)
{
    struct wait_arg *w = arg;
    w->result = waitq_wait(w->q);
    if (w->result == 0)
        note(w->name);
    return 0;
}

static void waitq_wakes_in_order(void **state)
{
    (void)state;
    struct waitq q;
    waitq_init(&q);
    struct wait_arg w[] = {{&q, "a", 1}, {&q, "b", 1}, {&q, "c", 1}, {&q, "d", 1}};
    struct fiber *f[4];
    AUTO(scope) s;
    scope_init(&s);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(fiber_spawn(&s, "w", wait_and_note, &w[i], &f[i]), 0);
    (void)fiber_run_ready();
    assert_false(waitq_empty(&q));
    waitq_wake_one(&q);
    (void)fiber_run_ready();
    assert_string_equal(trace, "a");
    fiber_cancel(f[1]);
    (void)fiber_run_ready();
    assert_int_equal(w[1].result, -ECANCELED);
    /* Released and then cancelled before it ran: the release counts. */
    waitq_wake_one(&q);
    fiber_cancel(f[2]);
    (void)fiber_run_ready();
    assert_int_equal(w[2].result, 0);
    waitq_wake_all(&q);
    (void)fiber_run_ready();
    assert_string_equal(trace, "acd");
    assert_true(waitq_empty(&q));
}

static void waitq_goes_away_under_who_waits(void **state)
{
    (void)state;
    struct waitq *q = mem_new(struct waitq);
    waitq_init(q);
    struct wait_arg w[] = {{q, "a", 1}, {q, "b", 1}};
    struct fiber *f[2];
    AUTO(scope) s;
    scope_init(&s);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(fiber_spawn(&s, "w", wait_and_note, &w[i], &f[i]), 0);
    (void)fiber_run_ready();
    fiber_cancel(f[1]); /* which has not looked yet */
    waitq_wake_all_with(q, -EBADF);
    assert_true(waitq_empty(q));
    free(q);
    (void)fiber_run_ready();
    assert_int_equal(w[0].result, -EBADF);
    assert_int_equal(w[1].result, -EBADF);
    assert_string_equal(trace, "");
}

static void an_interrupt_ends_one_wait(void **state)
{
    (void)state;
    struct waitq q;
    waitq_init(&q);
    struct wait_arg w = {&q, "a", 1};
    struct fiber *f;
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "w", wait_and_note, &w, &f), 0);
    fiber_interrupt(f); /* does not wait yet */
    (void)fiber_run_ready();
    assert_int_equal(w.result, 1);
    fiber_interrupt(f);
    fiber_interrupt(f);
    (void)fiber_run_ready();
    assert_int_equal(w.result, -EINTR);
    assert_true(waitq_empty(&q));
}

/* ---- mutex ---- */

static struct fmutex mutex;
static int inside, entered;

static int lock_twice(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int r = fmutex_lock(&mutex);
        if (r < 0)
            return r;
        assert_int_equal(inside++, 0);
        entered++;
        for (int k = 0; k < 3; k++)
            assert_int_equal(fiber_yield(), 0);
        inside--;
        fmutex_unlock(&mutex);
    }
    return 0;
}

static void a_mutex_admits_one(void **state)
{
    (void)state;
    fmutex_init(&mutex);
    entered = 0;
    AUTO(scope) s;
    scope_init(&s);
    for (int i = 0; i < 5; i++)
        assert_int_equal(fiber_spawn(&s, "m", lock_twice, NULL, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(entered, 10);
    assert_null(mutex.owner);
    assert_int_equal(s.first_error, 0);
}

static int lock_note(void *arg)
{
    int r = fmutex_lock(&mutex);
    if (r < 0)
        return r;
    note(arg);
    (void)!fiber_yield();
    (void)!fiber_yield();
    fmutex_unlock(&mutex);
    return 0;
}

static void a_cancelled_waiter_does_not_keep_the_mutex(void **state)
{
    (void)state;
    fmutex_init(&mutex);
    struct fiber *f[3];
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "m", lock_note, a_, &f[0]), 0);
    assert_int_equal(fiber_spawn(&s, "m", lock_note, b_, &f[1]), 0);
    assert_int_equal(fiber_spawn(&s, "m", lock_note, c_, &f[2]), 0);
    (void)fiber_run_ready(); /* a holds it, b and c wait */
    fiber_cancel(f[1]);
    assert_int_equal(scope_join(&s), 0);
    assert_string_equal(trace, "ac");
    assert_null(mutex.owner);
}

static void a_cancel_after_the_handover_still_unlocks(void **state)
{
    (void)state;
    fmutex_init(&mutex);
    struct fiber *f[2];
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "m", lock_note, a_, &f[0]), 0);
    assert_int_equal(fiber_spawn(&s, "m", lock_note, b_, &f[1]), 0);
    (void)fiber_run_ready();
    (void)fiber_run_ready();
    (void)fiber_run_ready(); /* a unlocked: b owns it, ready but not yet run */
    assert_ptr_equal(mutex.owner, f[1]);
    fiber_cancel(f[1]);
    assert_int_equal(scope_join(&s), 0);
    assert_string_equal(trace, "ab");
    assert_null(mutex.owner);
}

/* ---- semaphore ---- */

static struct fsem sem;
static int held, most_held;

static int take_give(void *arg)
{
    (void)arg;
    int r = fsem_take(&sem);
    if (r < 0)
        return r;
    if (++held > most_held)
        most_held = held;
    for (int i = 0; i < 3; i++)
        assert_int_equal(fiber_yield(), 0);
    held--;
    fsem_give(&sem);
    return 0;
}

static void a_semaphore_admits_n(void **state)
{
    (void)state;
    fsem_init(&sem, 3);
    most_held = 0;
    AUTO(scope) s;
    scope_init(&s);
    for (int i = 0; i < 10; i++)
        assert_int_equal(fiber_spawn(&s, "s", take_give, NULL, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(most_held, 3);
    assert_int_equal(sem.free, 3);
    assert_true(fsem_try(&sem) && fsem_try(&sem) && fsem_try(&sem));
    assert_false(fsem_try(&sem));
    fsem_give(&sem);
    assert_true(fsem_try(&sem));
}

static int take_deadline(void *arg)
{
    (void)arg;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(3);
    int r = fsem_take(&sem);
    return r == -ETIMEDOUT ? 0 : -EINVAL;
}

static void a_wait_ends_at_the_deadline(void **state)
{
    (void)state;
    fsem_init(&sem, 0);
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "s", take_deadline, NULL, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(s.first_error, 0);
    assert_true(waitq_empty(&sem.q));
    fsem_give(&sem);
    assert_int_equal(sem.free, 1); /* nobody was waiting any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(waitq_wakes_in_order, reset),
        cmocka_unit_test_setup(waitq_goes_away_under_who_waits, reset),
        cmocka_unit_test_setup(an_interrupt_ends_one_wait, reset),
        cmocka_unit_test(a_mutex_admits_one),
        cmocka_unit_test_setup(a_cancelled_waiter_does_not_keep_the_mutex, reset),
        cmocka_unit_test_setup(a_cancel_after_the_handover_still_unlocks, reset),
        cmocka_unit_test(a_semaphore_admits_n),
        cmocka_unit_test(a_wait_ends_at_the_deadline),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fiber_thread_done();
    return failed;
}
