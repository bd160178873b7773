/* test_scope.c - sets of scopes. */
#include "unit/unit.h"
#include "oauth/scope.h"

#include <string.h>

static void scopes_are_sets(void **state)
{
    (void)state;
    AUTO_FREE char *both = auth_scope_union("a  b", " b c a");
    assert_string_equal(both, "a b c");
    assert_null(auth_scope_union(NULL, " "));
    assert_null(auth_scope_union("a", "\"b\"")); /* no scope at all, so none that is wrong */
    assert_true(auth_scope_has("aa a", "a", 1));
    assert_false(auth_scope_has("aa ab", "a", 1));
    assert_false(auth_scope_has(NULL, "a", 1));
    assert_true(auth_scope_within("c a", "a b c"));
    assert_true(auth_scope_within(NULL, NULL));
    assert_false(auth_scope_within("d", "a b c"));
    assert_false(auth_scope_within("a", NULL));
}

static void a_set_has_a_ceiling(void **state)
{
    (void)state;
    AUTO_FREE char *large = mem_zalloc(AUTH_SCOPE_MAX + 2);
    memset(large, 'x', AUTH_SCOPE_MAX + 1);
    assert_false(auth_scope_is_valid(large));
    assert_null(auth_scope_union(large, NULL));
    large[AUTH_SCOPE_MAX] = '\0';
    assert_true(auth_scope_is_valid(large));
    assert_false(auth_scope_is_valid("a\tb"));
    assert_false(auth_scope_is_valid("\xc3\xa4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes_are_sets),
        cmocka_unit_test(a_set_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
