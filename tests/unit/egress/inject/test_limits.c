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

/* Looking often must not lose what comes in between looks. */
static void time_in_small_steps_counts_in_full(void **state)
{
    (void)state;
    struct inject_limits *l = inject_limits_new();
    const struct policy_limits of = {.requests = {7, 86400000}};
    int uses = 0;
    for (int i = 0; i < 7; i++)
        assert_int_equal(use(l, "A", &of, 0), 0);
    for (int64_t now = 0; now <= 86400000; now += 97)
        uses += use(l, "A", &of, now) == 0;
    assert_in_range(uses, 6, 7);
    inject_limits_free(l);
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
