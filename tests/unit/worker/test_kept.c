/* test_kept.c - which sandboxes are closed when there are too many. (NULL is a sandbox whose closing
 * does nothing.) */
#include "base/base.h"
#include "worker/kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static bool has(struct kept *k, const char *id)
{
    size_t n = k->n;
    assert_null(kept_take(k, id));
    return k->n < n;
}

static void those_at_rest_go_first_and_the_oldest_of_them(void **state)
{
    (void)state;
    struct kept k;
    kept_init(&k, 2, 1000);
    kept_put(&k, "busy1", NULL, true);
    kept_put(&k, "rest1", NULL, false);
    kept_put(&k, "busy2", NULL, true);
    kept_put(&k, "rest2", NULL, false);
    kept_put(&k, "rest3", NULL, false);
    assert_int_equal(k.n, 4);
    assert_int_equal(k.n_busy, 2);
    assert_false(has(&k, "rest1"));
    assert_true(has(&k, "rest2") && has(&k, "rest3") && has(&k, "busy1") && has(&k, "busy2"));
    assert_int_equal(k.n, 0);
    assert_int_equal(k.n_busy, 0);
    kept_done(&k);
}

static void also_those_at_work_have_a_ceiling(void **state)
{
    (void)state;
    struct kept k;
    char id[32];
    kept_init(&k, 2, 1000);
    kept_put(&k, "rest", NULL, false);
    for (int i = 0; i < 2 * KEPT_BUSY_FACTOR + 1; i++) {
        snprintf(id, sizeof(id), "busy%d", i);
        kept_put(&k, id, NULL, true);
    }
    assert_int_equal(k.n_busy, 2 * KEPT_BUSY_FACTOR);
    assert_false(has(&k, "busy0"));
    assert_true(has(&k, "busy1") && has(&k, "rest"));
    kept_done(&k);
    assert_int_equal(k.n, 0);
}

static void nothing_is_kept_when_that_is_wanted(void **state)
{
    (void)state;
    struct kept k;
    kept_init(&k, 2, 0);
    kept_put(&k, "rest", NULL, false);
    kept_put(&k, "busy", NULL, true);
    assert_int_equal(k.n, 0);
    kept_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_at_rest_go_first_and_the_oldest_of_them),
        cmocka_unit_test(also_those_at_work_have_a_ceiling),
        cmocka_unit_test(nothing_is_kept_when_that_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
