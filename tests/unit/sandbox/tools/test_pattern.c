/* test_pattern.c - glob patterns: one name, whole paths, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "sandbox/tools/pattern.h"

static void patterns_match_one_name_as_in_a_shell(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool want;
    } table[] = {
        {"*", "a", true},        {"*", "", true},
        {"*", ".a", false},      {".*", ".a", true},
        {"\\.a", ".a", true},    {"?", "a", true},
        {"?", "", false},        {"?", "ab", false},
        {"?", "\xc3\xa9", true}, {"??", "\xc3\xa9", false},
        {"a*b", "ab", true},     {"a*b", "axxb", true},
        {"a*b", "axxbc", false}, {"*a*b*", "xxaxxbxx", true},
        {"*.c", "a.c", true},    {"*.c", "a.h", false},
        {"*.c", ".c", false},    {"[abc]", "b", true},
        {"[a-c]x", "bx", true},  {"[!a-c]x", "bx", false},
        {"[^a-c]x", "dx", true}, {"[]a]", "]", true},
        {"[", "[", true},        {"[a", "[a", true},
        {"[a-]", "-", true},     {"[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true},
        {"\\*", "*", true},      {"\\*", "a", false},
        {"", "", true},          {"", "a", false},
        {"a", "A", false},       {"?.c", ".c", false},
        {"[.]c", ".c", false},   {"***", "abc", true},
        {"a\\", "a\\", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (pattern_match_name(table[i].pattern, table[i].name) != table[i].want)
            fail_msg("\"%s\" against \"%s\" should be %d", table[i].pattern, table[i].name,
                     table[i].want);
}

/* Runs the automaton over a path. */
static bool matches(const char *pattern, const char *path)
{
    const char *error = NULL;
    struct pattern *p = pattern_new(pattern, &error);
    if (!p)
        fail_msg("%s: %s", pattern, error);
    size_t words = pattern_state_words(p);
    uint64_t *a = mem_array(words, sizeof(*a)), *b = mem_array(words, sizeof(*b));
    pattern_start(p, a);
    AUTO_FREE char *copy = mem_strdup(path);
    char *save = NULL;
    struct pattern_step s = {.matches = false};
    bool deeper = true;
    for (char *n = strtok_r(copy, "/", &save); n && deeper; n = strtok_r(NULL, "/", &save)) {
        s = pattern_advance(p, a, n, b);
        deeper = s.deeper;
        if (!deeper && save && *save)
            s.matches = false;
        uint64_t *t = a;
        a = b;
        b = t;
    }
    free(a);
    free(b);
    pattern_free(p);
    return s.matches;
}

static void patterns_match_whole_paths(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool want;
    } table[] = {
        {"*.c", "a.c", true},
        {"*.c", "d/a.c", false},
        {"**/*.c", "a.c", true},
        {"**/*.c", "d/e/a.c", true},
        {"**/*.c", ".d/a.c", false},
        {"**", "a/b/c", true},
        {"**", "a/.b", false},
        {"a/**", "a/b", true},
        {"a/**", "a", false},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/x/y/b", true},
        {"a/**/b", "a/x/y/c", false},
        {"**/a/**/b", "x/a/y/a/z/b", true},
        {"./a", "a", true},
        {"a//b", "a/b", true},
        {"a/", "a", false},
        {"{a,b}/c", "b/c", true},
        {"{a,b}/c", "d/c", false},
        {"{a,{b,c}d}.x", "cd.x", true},
        {"{a,{b,c}d}.x", "c.x", false},
        {"{a}", "{a}", true},
        {"{1..3}", "2", true},
        {"{1..3}", "4", false},
        {"{3..1}", "2", true},
        {"{b..d}", "c", true},
        {"x{,y}", "x", true},
        {"x{,y}", "xy", true},
        {"\\{a,b}", "{a,b}", true},
        {"**/**/**/x", "x", true},
        {".*/x", ".d/x", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (matches(table[i].pattern, table[i].path) != table[i].want)
            fail_msg("\"%s\" against \"%s\" should be %d", table[i].pattern, table[i].path,
                     table[i].want);
}

static void a_step_without_wildcards_is_literal(void **state)
{
    (void)state;
    const char *error;
    struct pattern *p = pattern_new("a/*/c", &error);
    uint64_t s[2], n[2];
    pattern_start(p, s);
    assert_true(pattern_advance(p, s, "a", n).literal);
    assert_false(pattern_advance(p, n, "b", s).literal);
    pattern_free(p);
}

static void too_large_patterns_are_refused_and_stars_are_quick(void **state)
{
    (void)state;
    const char *error = NULL;
    assert_null(pattern_new("{1..99999}", &error));
    assert_non_null(error);
    assert_null(pattern_new("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", &error));
    struct pattern *p = pattern_new("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", &error);
    assert_non_null(p);
    assert_int_equal(pattern_state_words(p), 256);
    pattern_free(p);
    AUTO_FREE char *deep = mem_array(300, 1);
    memset(deep, '/', 256);
    for (int i = 0; i < 256; i += 2)
        deep[i] = 'a';
    assert_null(pattern_new(deep, &error));
    AUTO_FREE char *longer = mem_array(PATTERN_MAX_BYTES + 2, 1);
    memset(longer, 'a', PATTERN_MAX_BYTES + 1);
    assert_null(pattern_new(longer, &error));
    /* 40 stars against 4000 characters: over at once, or the test times out. */
    AUTO_FREE char *text = mem_array(4001, 1);
    memset(text, 'a', 4000);
    assert_false(
        pattern_match_name("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_one_name_as_in_a_shell),
        cmocka_unit_test(patterns_match_whole_paths),
        cmocka_unit_test(a_step_without_wildcards_is_literal),
        cmocka_unit_test(too_large_patterns_are_refused_and_stars_are_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
