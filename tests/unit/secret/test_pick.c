/* test_pick.c - which bytes are a value, and which part of a document. */
#include "unit/unit.h"
#include "base/err.h"
#include "secret/pick.h"
#include "secret/source.h"

#include <string.h>

#define DEEP "{\"a\":{\"b.c\":[\"x\",{\"d\":\"deep\"}]},\"n\":42,\"neg\":-7,\"t\":true,\"f\":1.5}"

static const struct {
    const char *raw, *key;
    bool lines;
    int result;
    const char *want; /* the value, or what the words hold */
} rows[] = {
    {"s3cret", NULL, false, 0, "s3cret"},
    {"s3cret\n", NULL, false, 0, "s3cret"},
    {"s3cret\n\n", NULL, false, -E_PARSE, "more than one line"},
    {"s3cret\r\n", NULL, false, -E_PARSE, "carriage return"},
    {"s3\rcret", NULL, false, -E_PARSE, "carriage return"},
    {"two\nlines", NULL, false, -E_PARSE, "more than one line"},
    {"two\nlines\n", NULL, true, 0, "two\nlines"},
    {"", NULL, false, -E_PARSE, "empty"},
    {"\n", NULL, false, -E_PARSE, "empty"},
    {" \t", NULL, false, 0, " \t"},
    {DEEP, "a.b\\.c.1.d", false, 0, "deep"},
    {DEEP, "a.b\\.c.0", false, 0, "x"},
    {DEEP, "a.b\\.c.2", false, -ENOENT, "no member \"2\""},
    {DEEP, "a.b\\.c.01x", false, -ENOENT, "no member"},
    {DEEP, "a.b.c", false, -ENOENT, "no member \"b\""},
    {DEEP, "n", false, 0, "42"},
    {DEEP, "neg", false, 0, "-7"},
    {DEEP, "n.x", false, -ENOENT, "no member \"x\""},
    {DEEP, "a", false, -E_PARSE, "not a text or a whole number"},
    {DEEP, "t", false, -E_PARSE, "not a text or a whole number"},
    {DEEP, "f", false, -E_PARSE, "not a text or a whole number"},
    {"{\"k\":\"v\\n\"}", "k", false, 0, "v"},
    {"{\"k\":\"v\\r\"}", "k", false, -E_PARSE, "carriage return"},
    {"{\"k\":\"v\\u0000w\"}", "k", false, -E_PARSE, "not JSON"},
    {"{\"k\":\"\"}", "k", false, -E_PARSE, "empty"},
    {"{\"k\":\"v\",\"k\":\"w\"}", "k", false, -E_PARSE, "not JSON"},
    {"hunter2-not-json", "k", false, -E_PARSE, "not JSON"},
    {"[\"one\"]", "0", false, 0, "one"},
};

static void a_value_is_picked_or_refused_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        char **path = NULL;
        AUTO(secret) got = {0};
        if (rows[i].key)
            assert_int_equal(pick_path_parse(rows[i].key, &path, &e), 0);
        int r = pick_value(rows[i].raw, strlen(rows[i].raw), path, rows[i].lines, &got, &e);
        pick_path_free(path);
        if (r != rows[i].result)
            fail_msg("row %zu: %d %s", i, r, e.msg);
        if (r == 0)
            assert_string_equal(secret_borrow(&got), rows[i].want);
        else if (!strstr(e.msg, rows[i].want) || got.data)
            fail_msg("row %zu: %s", i, e.msg);
        assert_null(strstr(e.msg, "cret"));
        assert_null(strstr(e.msg, "hunter2"));
    }
}

static void a_value_has_a_ceiling_and_no_nul(void **state)
{
    (void)state;
    char *big = mem_zalloc(SECRET_VALUE_MAX + 2);
    memset(big, 'k', SECRET_VALUE_MAX + 1);
    struct err e = {0};
    AUTO(secret) a = {0};
    AUTO(secret) b = {0};
    assert_int_equal(pick_value(big, SECRET_VALUE_MAX, NULL, false, &a, &e), 0);
    assert_int_equal(a.len, SECRET_VALUE_MAX);
    assert_int_equal(pick_value(big, SECRET_VALUE_MAX + 1, NULL, false, &b, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, "longer than 65536"));
    assert_int_equal(pick_value("a\0b", 3, NULL, true, &b, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, "NUL"));
    free(big);
}

static void a_path_is_names_between_dots(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", ".", "a.", ".a", "a..b", "a\\b", "a\\", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        char **path = NULL;
        assert_int_equal(pick_path_parse(bad[i], &path, &e), -EINVAL);
        assert_non_null(strstr(e.msg, "between dots"));
        assert_null(path);
    }
    char **path = NULL;
    assert_int_equal(pick_path_parse("a\\.b.\\\\c.0", &path, NULL), 0);
    assert_string_equal(path[0], "a.b");
    assert_string_equal(path[1], "\\c");
    assert_string_equal(path[2], "0");
    assert_null(path[3]);
    pick_path_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_picked_or_refused_in_words),
        cmocka_unit_test(a_value_has_a_ceiling_and_no_nul),
        cmocka_unit_test(a_path_is_names_between_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
