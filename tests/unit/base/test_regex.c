/* test_regex.c - patterns, groups, limits. */
#include "base/err.h"
#include "base/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

static void a_pattern_finds_its_first_match(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        unsigned flags;
        int want;
        ptrdiff_t from, to;
    } t[] = {
        {"b+", "abbc", 0, 1, 1, 3},
        {"^x", "yx", 0, 0, 0, 0},
        {"", "abc", 0, 1, 0, 0},
        {"HELLO", "say hello", 0, 0, 0, 0},
        {"HELLO", "say hello", REGEX_ICASE, 1, 4, 9},
        {"\\d+$", "line 12\nline 34", 0, 1, 13, 15},
        {"ü.", "grün", 0, 1, 2, 5},
        {"b",
         "a\xff"
         "b",
         0, 1, 2, 3}, /* a byte that is no UTF-8 hides nothing behind it */
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct err e = {0};
        struct regex *r = regex_new(t[i].pattern, t[i].flags, &e);
        assert_non_null(r);
        struct regex_match m;
        assert_int_equal(regex_find(r, t[i].text, strlen(t[i].text), 0, &m), t[i].want);
        if (t[i].want) {
            assert_int_equal(m.from[0], t[i].from);
            assert_int_equal(m.to[0], t[i].to);
        }
        regex_free(r);
    }
}

static void groups_tell_where_they_matched(void **state)
{
    (void)state;
    struct regex *r = regex_new("(\\w+)=(?:(\\d+)|(\\w+))", 0, NULL);
    const char *text = "k=v";
    struct regex_match m;
    assert_int_equal(regex_find(r, text, 3, 0, &m), 1);
    assert_int_equal(m.from[1], 0);
    assert_int_equal(m.to[1], 1);
    assert_int_equal(m.from[2], -1);
    assert_int_equal(m.from[3], 2);
    assert_int_equal(m.from[4], -1);
    regex_free(r);
}

static void a_bad_pattern_is_refused_with_its_place(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(regex_new("(a", 0, &e));
    assert_int_equal(e.code, -E_PARSE);
    assert_non_null(strstr(e.msg, "position 2"));
    char deep[2002];
    memset(deep, '(', 1000);
    memset(deep + 1000, ')', 1000);
    deep[2000] = '\0';
    assert_null(regex_new(deep, 0, &e));
}

static void runaway_pattern_ends(void **state)
{
    (void)state;
    struct regex *r = regex_new("(a|aa)+$", 0, NULL);
    char text[65];
    memset(text, 'a', 63);
    text[63] = 'b';
    text[64] = '\0';
    assert_int_equal(regex_find(r, text, 64, 0, NULL), -E_LIMIT);
    regex_free(r);
}

/* Each place of the text takes few steps, all of them together too many. */
static void a_meter_counts_the_whole_match(void **state)
{
    static char text[4096];
    struct regex *r = regex_new("\\s+$", REGEX_METERED, NULL);
    size_t steps = 1000000, one;
    (void)state;
    memset(text, ' ', sizeof(text));
    assert_int_equal(regex_find_metered(r, text, sizeof(text), &steps), 1);
    assert_true(steps > 900000 && steps < 1000000);
    text[sizeof(text) - 1] = 'x';
    assert_int_equal(regex_find_metered(r, text, sizeof(text), &steps), -E_LIMIT);
    assert_int_equal(steps, 0);
    assert_int_equal(regex_find_metered(r, "  ", 2, &steps), -E_LIMIT);
    steps = 1000;
    assert_int_equal(regex_find_metered(r, "a b", 3, &steps), 0);
    one = 1000 - steps;
    assert_true(one > 0);
    assert_int_equal(regex_find_metered(r, "a b", 3, &steps), 0);
    assert_int_equal(steps, 1000 - 2 * one);
    regex_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_finds_its_first_match),
        cmocka_unit_test(groups_tell_where_they_matched),
        cmocka_unit_test(a_bad_pattern_is_refused_with_its_place),
        cmocka_unit_test(runaway_pattern_ends),
        cmocka_unit_test(a_meter_counts_the_whole_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
