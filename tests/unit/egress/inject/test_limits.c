/* test_limits.c - a bucket fills evenly, holds no more than its size, and a session's sum is final. */
#include "unit/unit.h"
#include "egress/inject/limits.h"

#include <limits.h>

static int use(struct inject_limits *l, const char *name, const struct policy_limits *of,
               int64_t now)
{
    int64_t wait = inject_limits_wait(l, name, of, now);
    if (wait == 0)
        inject_limits_take(l, name, of, now);
    return (int)wait;
}

static void a_minute_holds_as_many_uses_as_it_says(void **state)
{
    (void)state;
    struct inject_limits *l = inject_limits_new();
    const struct policy_limits of = {.requests = {3, 60000}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(use(l, "A", &of, 1000), 0);
    assert_int_equal(use(l, "A", &of, 1000), 20001);
    assert_int_equal(use(l, "B", &of, 1000), 0);
    assert_int_equal(use(l, "A", &of, 20999), 2);
    assert_int_equal(use(l, "A", &of, 21001), 0);
    assert_true(use(l, "A", &of, 21001) > 0);
    /* an hour of rest is worth one full bucket */
    for (int i = 0; i < 3; i++)
        assert_int_equal(use(l, "A", &of, 3600000), 0);
    assert_true(use(l, "A", &of, 3600000) > 0);
    assert_int_equal(inject_limits_used(l, "A"), 7);
    inject_limits_free(l);
}

/* Looking often must not lose what comes in between looks, nor bring more. */
static void time_in_small_steps_counts_in_full(void **state)
{
    (void)state;
    static const struct {
        struct policy_limits of;
        int64_t step, steps;
    } rows[] = {
        {{.requests = {7, 3600000}}, 1, 1000000},
        {{.requests = {1000, 60000}}, 1, 100000},
        {{.requests = {3, 86400000}}, 10, 360000}, /* less than a millionth each */
        {{.requests = {7, 86400000}}, 97, 800000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inject_limits *l = inject_limits_new();
        const struct policy_rate *rate = &rows[i].of.requests;
        int64_t passed = rows[i].step * rows[i].steps, uses = 0;
        for (uint32_t k = 0; k < rate->count; k++)
            assert_int_equal(use(l, "A", &rows[i].of, 0), 0);
        for (int64_t k = 1; k <= rows[i].steps; k++)
            uses += use(l, "A", &rows[i].of, k * rows[i].step) == 0;
        int64_t want = passed * rate->count / rate->window_ms;
        assert_in_range(uses, want - want / 50, want);
        int64_t next = (uses + 1) * rate->window_ms / rate->count - passed;
        int64_t wait = inject_limits_wait(l, "A", &rows[i].of, passed);
        assert_in_range(wait, next, next + rate->window_ms / rate->count / 10 + 2);
        inject_limits_free(l);
    }
}

static void a_session_has_so_many_in_all(void **state)
{
    (void)state;
    struct inject_limits *l = inject_limits_new();
    const struct policy_limits of = {.per_session = 2};
    assert_int_equal(use(l, "A", &of, 0), 0);
    assert_int_equal(use(l, "A", &of, 0), 0);
    assert_int_equal(use(l, "A", &of, INT64_MAX), -1);
    inject_limits_free(l);
}

static void what_has_no_limit_is_not_counted(void **state)
{
    (void)state;
    struct inject_limits *l = inject_limits_new();
    const struct policy_limits none = {.per_session = 0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(use(l, "A", &none, 0), 0);
    assert_int_equal(inject_limits_used(l, "A"), 0);
    inject_limits_free(l);
}

static void a_policy_that_changes_changes_the_bucket(void **state)
{
    (void)state;
    struct inject_limits *l = inject_limits_new();
    const struct policy_limits wide = {.requests = {1000, 1000}}, narrow = {.requests = {2, 60000}};
    const struct policy_limits huge = {.requests = {UINT32_MAX, 86400000}};
    assert_int_equal(use(l, "A", &wide, 0), 0);
    assert_int_equal(use(l, "A", &narrow, 0), 0);
    assert_int_equal(use(l, "A", &narrow, 0), 0);
    assert_true(use(l, "A", &narrow, 0) > 0);
    assert_int_equal(use(l, "A", &huge, 1), 0);
    assert_int_equal(use(l, "A", &huge, INT64_MAX), 0);
    inject_limits_free(l);
}

static void a_clock_that_stands_still_gives_nothing(void **state)
{
    (void)state;
    struct inject_limits *l = inject_limits_new();
    const struct policy_limits of = {.requests = {1, 1000}};
    assert_int_equal(use(l, "A", &of, 5000), 0);
    assert_true(use(l, "A", &of, 5000) > 0);
    assert_true(use(l, "A", &of, 4000) > 0); /* nor one that goes back */
    assert_int_equal(use(l, "A", &of, 6000), 0);
    inject_limits_free(l);
    inject_limits_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minute_holds_as_many_uses_as_it_says),
        cmocka_unit_test(time_in_small_steps_counts_in_full),
        cmocka_unit_test(a_session_has_so_many_in_all),
        cmocka_unit_test(what_has_no_limit_is_not_counted),
        cmocka_unit_test(a_policy_that_changes_changes_the_bucket),
        cmocka_unit_test(a_clock_that_stands_still_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
