/* test_tools.c - which names are allowed. */
#include "unit/unit.h"
#include "base/str.h"
#include "mcp/policy/tools.h"

static void a_star_is_any_number_of_characters(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"search", "search", true},
        {"search", "Search", false},
        {"search", "search2", false},
        {"get_*", "get_x", true},
        {"get_*", "get_", true},
        {"get_*", "get", false},
        {"*", "", true},
        {"*", "x", true},
        {"*_all", "drop_all", true},
        {"*_all", "drop_all_x", false},
        {"a*b*c", "axxbyyc", true},
        {"a*b*c", "acb", false},
        {"a*bc", "abcbc", true},
        {"**x", "yx", true},
        {"", "", true},
        {"", "x", false},
        {"a*", "ba", false},
        {"?", "a", false},
        {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (tool_pattern_matches(rows[i].pattern, rows[i].name, false) != rows[i].matches)
            fail_msg("%s %s", rows[i].pattern, rows[i].name);
}

static void denied_wins_and_does_not_look_at_case(void **state)
{
    const char *allow[] = {"get_*", "drop_one"}, *deny[] = {"*_secret", "drop_*"}, *rule, *pattern;
    struct tool_policy p = {.has_allow = true, .allow = {allow, 2}, .deny = {deny, 2}};
    (void)state;
    assert_true(tool_policy_allows(&p, "get_page", &rule, &pattern));
    assert_false(tool_policy_allows(&p, "GET_page", &rule, &pattern));
    assert_string_equal(rule, "tools.allow");
    assert_null(pattern);
    assert_false(tool_policy_allows(&p, "get_Secret", &rule, &pattern));
    assert_string_equal(rule, "tools.deny");
    assert_string_equal(pattern, "*_secret");
    assert_false(tool_policy_allows(&p, "drop_one", NULL, NULL));
    p.has_allow = false;
    p.allow.n = 0;
    assert_true(tool_policy_allows(&p, "anything", NULL, NULL));
    assert_false(tool_policy_allows(&p, "DROP_x", NULL, NULL));
    p = (struct tool_policy){.has_allow = true};
    assert_false(tool_policy_allows(&p, "x", NULL, NULL));
}

static void a_person_is_asked_about_some(void **state)
{
    const char *confirm[] = {"close_*", "drop"};
    const struct tool_policy p = {.confirm = {confirm, 2}}, none = {.has_allow = false};
    (void)state;
    assert_string_equal(tool_policy_confirms(&p, "close_ticket"), "close_*");
    assert_string_equal(tool_policy_confirms(&p, "CLOSE_ticket"), "close_*");
    assert_string_equal(tool_policy_confirms(&p, "drop"), "drop");
    assert_null(tool_policy_confirms(&p, "drop_it"));
    assert_null(tool_policy_confirms(&none, "drop"));
    assert_false(tool_policy_hides(&p)); /* it is listed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_star_is_any_number_of_characters),
        cmocka_unit_test(denied_wins_and_does_not_look_at_case),
        cmocka_unit_test(a_person_is_asked_about_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
