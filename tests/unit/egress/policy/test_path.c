/* test_path.c - canonical paths, patterns, and whether two patterns meet. */
#include "unit/unit.h"
#include "base/err.h"
#include "egress/policy/path.h"

#include <string.h>

static void equal_spellings_become_one(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"/", "/"},
        {"/a/b?x=/../y", "/a/b"},
        {"/%61%62", "/ab"},
        {"/a%2fb", "/a%2Fb"},
        {"/a/", "/a/"},
        {"/%7Euser", "/~user"},
        {"/%20x", "/%20x"},
        {"/\xc3\xbc", "/%C3%BC"},
        {"/%c3%bc", "/%C3%BC"},
        {"/a%3Bb", "/a%3Bb"},
        {"/a%3fb", "/a%3Fb"},
        {"/100%25", "/100%25"},
        {"/%2a", "/*"},
        {"*", "*"},
        {"/...", "/..."},
        {"/.git/config", "/.git/config"},
        {"/a..b", "/a..b"},
        {"/%e9", "/%E9"},
        {"/a?", "/a"},
        {"/a%5bb", "/a[b"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[200];
        size_t n;
        const char *why = NULL;
        if (path_canonical(rows[i].in, strlen(rows[i].in), out, &n, &why) < 0)
            fail_msg("%s %s", rows[i].in, why);
        assert_string_equal(out, rows[i].out);
        assert_int_equal(n, strlen(out));
    }
}

static void ambiguous_paths_are_refused_with_a_reason(void **state)
{
    static const char *const rows[] = {
        "",
        "a",
        "http://x/",
        "//",
        "//a",
        "/a//b",
        "/a//",
        "/.",
        "/..",
        "/./",
        "/../",
        "/a/./b",
        "/a/../b",
        "/a/..",
        "/%2e%2e/a",
        "/a/%2E./b",
        "/.%2e",
        "/a/..;/b",
        "/a;x/b",
        "/;",
        "/a/..%3b/b",
        "/a/..%2fb",
        "/a%2f..%2fb",
        "/a%2f..",
        "/a%2f./b",
        "/a\\b",
        "/a%5cb",
        "/%252e",
        "/%25%32%65",
        "/%c0%af",
        "/%c0%2e",
        "/\xc0\xae",
        "/%e0%80%af",
        "/%f0%80%80%af",
        "/%",
        "/%4",
        "/%zz",
        "/%4g",
        "/a b",
        "/a\tb",
        "/a%00",
        "/a%0d%0ab",
        "/a%09",
        "/a\x7f",
        "/a#b",
        "/%c1",
        "*a",
        "/%c0",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[200];
        size_t n;
        const char *why = NULL;
        if (path_canonical(rows[i], strlen(rows[i]), out, &n, &why) != -E_PARSE)
            fail_msg("%s is a path: %s", rows[i], out);
        assert_non_null(why);
    }
    static char out[3 * PATH_TARGET_MAX + 10];
    static char big[PATH_TARGET_MAX + 2];
    size_t n;
    const char *why;
    memset(big, 'a', sizeof(big));
    big[0] = '/';
    assert_int_equal(path_canonical(big, PATH_TARGET_MAX, out, &n, &why), 0);
    assert_int_equal(path_canonical(big, PATH_TARGET_MAX + 1, out, &n, &why), -E_PARSE);
    assert_int_equal(path_canonical("/a\0b", 4, out, &n, &why), -E_PARSE);
}

static void pattern(const char *text, char *ret, size_t *ret_n)
{
    struct err e = {0};
    if (path_pattern(text, strlen(text), ret, ret_n, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
}

static void stars_stay_in_segments_and_double_ones_cross_them(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool matches;
    } rows[] = {
        {"/a", "/a", true},
        {"/a", "/A", false},
        {"/a", "/a/", false},
        {"/a/", "/a", false},
        {"/*", "/a", true},
        {"/*", "/", false},
        {"/*", "/a/b", false},
        {"/a*c", "/abbc", true},
        {"/a*c", "/abbd", false},
        {"/a*b*c", "/axbxbxc", true},
        {"/*/b", "/a/b", true},
        {"/**", "/", true},
        {"/**", "/a/b/c", true},
        {"/a/**", "/a", false},
        {"/a/**", "/a/", true},
        {"/a/**", "/a/b/c/", true},
        {"/a/**", "/ab/c", false},
        {"/a/**/z", "/a/z", true},
        {"/a/**/z", "/a/b/c/z", true},
        {"/a/**/z", "/a/b/z/c", false},
        {"/**/z", "/z", true},
        {"/**/b/**/d", "/a/b/c/b/d", true},
        {"/**/b/**/d", "/b/d/e", false},
        {"/**/b/*", "/a/b/c/b/x", true},
        {"/p/acme%2fweb/**", "/p/acme%2Fweb/x", true},
        {"/p/*/x", "/p/acme%2Fweb/x", false},
        {"/p/**", "/p/acme%2Fweb/x", false},
        {"/p/**/x", "/p/a%2Fb/x", false},
        {"/p/a*", "/p/a%2Fb", false},
        {"/p/*%2Fweb", "/p/acme%2Fweb", true},
        {"/a", "*", false},
        {"/**", "*", false},
        {"/a%20b", "/a%20b", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char p[3 * PATH_PATTERN_MAX + 1];
        size_t n;
        pattern(rows[i].pattern, p, &n);
        if (path_matches(p, n, rows[i].path, strlen(rows[i].path)) != rows[i].matches)
            fail_msg("%s and %s", rows[i].pattern, rows[i].path);
    }
    static const char *const wrong[] = {"",      "a",       "**",       "/a**",
                                        "/**a",  "/a/***",  "/a/**b/c", "/a?b",
                                        "/a//b", "/a/../b", "/%2a",     "/*/*/*/*/*/*/*/*/*"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char p[3 * PATH_PATTERN_MAX + 1];
        size_t n;
        if (path_pattern(wrong[i], strlen(wrong[i]), p, &n, NULL) != -E_PARSE)
            fail_msg("%s is a pattern", wrong[i]);
    }
}

static void patterns_that_share_a_path_meet(void **state)
{
    static const struct {
        const char *a, *b;
        bool meet;
    } rows[] = {
        {"/a", "/a", true},         {"/a", "/b", false},
        {"/*", "/a", true},         {"/a/**", "/a/b/c", true},
        {"/a/**", "/b/**", false},  {"/**", "/x/y", true},
        {"/a/**", "/a", false},     {"/a/**/z", "/a/b/**", true},
        {"/a/**/z", "/a/b", false}, {"/a/*", "/*/b", true},
        {"/a/*", "/*/b/c", false},  {"/a*", "/b*", false},
        {"/*a", "/*b", false},      {"/repos/acme/**", "/repos/other/**", false},
        {"/**/x", "/**/y", false},  {"/**/x", "/y/**", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char a[3 * PATH_PATTERN_MAX + 1], b[3 * PATH_PATTERN_MAX + 1];
        size_t na, nb;
        pattern(rows[i].a, a, &na);
        pattern(rows[i].b, b, &nb);
        if (path_patterns_meet(a, na, b, nb) != rows[i].meet ||
            path_patterns_meet(b, nb, a, na) != rows[i].meet)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_spellings_become_one),
        cmocka_unit_test(ambiguous_paths_are_refused_with_a_reason),
        cmocka_unit_test(stars_stay_in_segments_and_double_ones_cross_them),
        cmocka_unit_test(patterns_that_share_a_path_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
