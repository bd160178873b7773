/* budget: ceilings within ceilings, and that a refusal takes nothing. */
#include "base/budget.h"

#include "unit/unit.h"

static void a_share_grows_to_the_ceiling_and_no_further(void **state)
{
    (void)state;
    struct budget b = {.max = 100};
    struct budget_share one = {.of = &b}, two = {.of = &b};
    assert_true(budget_set(&one, 60));
    assert_false(budget_set(&two, 41));
    assert_int_equal(two.n, 0);
    assert_true(budget_set(&two, 40));
    assert_int_equal(b.used, 100);
    assert_false(budget_set(&one, 61));
    assert_int_equal(one.n, 60);
    assert_true(budget_set(&one, 10)); /* less is always granted */
    assert_true(budget_set(&two, 90));
    budget_end(&one);
    budget_end(&two);
    budget_end(&two); /* a second time does nothing */
    assert_int_equal(b.used, 0);
}

static void what_is_taken_is_taken_from_the_outer_one_too(void **state)
{
    (void)state;
    struct budget all = {.max = 100};
    struct budget a = {.max = 80, .outer = &all}, b = {.max = 80, .outer = &all};
    struct budget_share x = {.of = &a}, y = {.of = &b};
    assert_true(budget_set(&x, 80));
    assert_false(budget_set(&x, 81)); /* its own ceiling */
    assert_false(budget_set(&y, 21)); /* the outer one's */
    assert_int_equal(b.used, 0);
    assert_true(budget_set(&y, 20));
    assert_int_equal(all.used, 100);
    budget_end(&x);
    assert_int_equal(all.used, 20);
    budget_end(&y);
}

static void what_is_left_is_the_least_of_all(void **state)
{
    struct budget all = {.max = 100}, part = {.max = 60, .outer = &all};
    struct budget_share s = {.of = &part}, other = {.of = &all}, free_one = {0};
    (void)state;
    assert_true(budget_left(&free_one) == SIZE_MAX);
    assert_int_equal(budget_left(&s), 60);
    assert_true(budget_set(&s, 20));
    assert_int_equal(budget_left(&s), 40);
    assert_int_equal(budget_left(&other), 80);
    assert_true(budget_set(&other, 75));
    assert_int_equal(budget_left(&s), 5);
    assert_true(budget_set(&s, 25));
    assert_int_equal(budget_left(&s), 0);
    part.max = 10; /* a ceiling that has come down */
    assert_int_equal(budget_left(&s), 0);
    budget_end(&s);
    budget_end(&other);
}

static void enormous_shares_do_not_wrap(void **state)
{
    (void)state;
    struct budget b = {.max = SIZE_MAX};
    struct budget_share one = {.of = &b}, two = {.of = &b}, free_one = {0};
    assert_true(budget_set(&one, SIZE_MAX - 1));
    assert_false(budget_set(&two, 2));
    assert_true(budget_set(&two, 1));
    assert_true(budget_set(&free_one, SIZE_MAX)); /* of nothing: no ceiling */
    budget_end(&free_one);
    budget_end(&one);
    budget_end(&two);
    b.max = 10;
    assert_true(budget_set(&one, 10));
    b.max = 5; /* lowered while in use */
    assert_false(budget_set(&two, 1));
    budget_end(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_grows_to_the_ceiling_and_no_further),
        cmocka_unit_test(what_is_taken_is_taken_from_the_outer_one_too),
        cmocka_unit_test(what_is_left_is_the_least_of_all),
        cmocka_unit_test(enormous_shares_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
