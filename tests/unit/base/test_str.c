/* test_str.c - numbers to the last digit, UTF-8 by table, cutting and escaping. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/str.h"

#include <string.h>

static void unsigned_numbers_are_whole_and_in_range(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        uint64_t max;
        int want;
        uint64_t v;
    } rows[] = {
        {"0", UINT64_MAX, 0, 0},
        {"007", UINT64_MAX, 0, 7},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999", UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999x", UINT64_MAX, -EINVAL, 0},
        {"65535", 65535, 0, 65535},
        {"65536", 65535, -ERANGE, 0},
        {"", 9, -EINVAL, 0},
        {"-1", 9, -EINVAL, 0},
        {"+1", 9, -EINVAL, 0},
        {" 1", 9, -EINVAL, 0},
        {"1 ", 9, -EINVAL, 0},
        {"0x1", 9, -EINVAL, 0},
        {"1.0", 9, -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t v = 0;
        assert_int_equal(str_to_u64(rows[i].s, strlen(rows[i].s), rows[i].max, &v), rows[i].want);
        assert_true(v == rows[i].v);
    }
}

static void signed_numbers_are_whole_and_in_range(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        int64_t min, max;
        int want;
        int64_t v;
    } rows[] = {
        {"-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN},
        {"-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX},
        {"9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"-0", -5, 5, 0, 0},
        {"-5", -5, 5, 0, -5},
        {"-6", -5, 5, -ERANGE, 0},
        {"6", -5, 5, -ERANGE, 0},
        {"-", -5, 5, -EINVAL, 0},
        {"--1", -5, 5, -EINVAL, 0},
        {"", -5, 5, -EINVAL, 0},
        {"+1", -5, 5, -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t v = 0;
        assert_int_equal(str_to_i64(rows[i].s, strlen(rows[i].s), rows[i].min, rows[i].max, &v),
                         rows[i].want);
        assert_true(v == rows[i].v);
    }
}

static void hex_numbers_are_whole_and_in_range(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        int want;
        uint64_t v;
    } rows[] = {
        {"0", 0, 0},
        {"fF", 0, 255},
        {"ffffffffffffffff", 0, UINT64_MAX},
        {"0ffffffffffffffff", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"g", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"0x1", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t v = 0;
        assert_int_equal(str_hex_to_u64(rows[i].s, strlen(rows[i].s), &v), rows[i].want);
        assert_true(v == rows[i].v);
    }
}

static void comparing_knows_null_and_only_ascii_case(void **state)
{
    (void)state;
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_true(str_eq("a", "a"));
    assert_false(str_eq("a", "A"));
    assert_true(str_ieq("Content-Type", "content-TYPE"));
    assert_false(str_ieq("a", "ab"));
    assert_false(str_ieq("@", "`")); /* 32 apart, not letters */
    assert_false(str_ieq("[", "{"));
    assert_false(str_ieq("K", "\xe2\x84\xaa")); /* Kelvin sign */
    assert_false(str_ieq(NULL, "x"));
    assert_true(str_ieq_n("abX", 2, "ABY", 2));
    assert_true(str_starts("abc", ""));
    assert_true(str_starts("abc", "ab"));
    assert_false(str_starts("a", "ab"));
    assert_true(str_ends("abc", "bc"));
    assert_true(str_ends("abc", ""));
    assert_false(str_ends("c", "bc"));
}

static void only_well_formed_utf8_is_text(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        bool valid;
        size_t points;
    } rows[] = {
        {"", true, 0},
        {"plain", true, 5},
        {"\xc3\xa9", true, 1},
        {"\xe2\x82\xac", true, 1},
        {"\xf0\x9f\x98\x80z", true, 2},
        {"\xf4\x8f\xbf\xbf", true, 1},
        {"\xed\x9f\xbf\xee\x80\x80", true, 2},
        {"\xc0\x80", false, 0}, /* overlong NUL */
        {"\xc1\xbf", false, 0},
        {"\xe0\x9f\xbf", false, 0},     /* overlong */
        {"\xf0\x8f\xbf\xbf", false, 0}, /* overlong */
        {"\xed\xa0\x80", false, 0},     /* surrogate */
        {"\xf4\x90\x80\x80", false, 0}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", false, 0},
        {"\x80", false, 0},
        {"\xc3", false, 0},
        {"\xe2\x82", false, 0},
        {"\xf0\x9f\x98", false, 0},
        {"\xc3z", false, 0},
        {"\xff", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].s);
        assert_int_equal(str_is_utf8(rows[i].s, n), rows[i].valid);
        if (rows[i].valid)
            assert_int_equal(str_utf8_len(rows[i].s, n), rows[i].points);
    }
    assert_int_equal(str_utf8_sequence("\xe2\x82\xacx", 4), 3);
    assert_int_equal(str_utf8_sequence("", 0), 0);
    assert_int_equal(str_utf8_sequence("\xff", 1), 0);
}

static void a_cut_never_splits_a_character(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"; /* 1 2 3 4 1 bytes */
    static const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    for (size_t max = 0; max < ARRAY_LEN(want); max++) {
        size_t cut = str_utf8_cut(text, sizeof(text) - 1, max);
        assert_int_equal(cut, want[max]);
        assert_true(str_is_utf8(text, cut));
    }
    /* Not text: cut where asked, never run backwards through the whole of it. */
    assert_int_equal(str_utf8_cut("\x80\x80\x80\x80\x80\x80\x80\x80", 8, 6), 6);
    assert_int_equal(str_utf8_cut("x\x80\x80\x80\x80\x80", 6, 4), 4);
}

static void escaped_text_is_printable_and_capped(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t n, max;
        const char *want;
    } rows[] = {
        {"plain \"text\"", 12, 99, "plain \"text\""},
        {"a\nb\x7f\xff\0", 6, 99, "a\\x0ab\\x7f\\xff\\x00"},
        {"\\x41", 4, 99, "\\\\x41"},
        {"abcdef", 6, 6, "abcdef"},
        {"abcdef", 6, 5, "abcde..."},
        {"abcdef", 6, 0, "..."},
        {"", 0, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) b = BUF_INIT(200);
        str_escape(&b, rows[i].s, rows[i].n, rows[i].max);
        assert_string_equal(buf_str(&b), rows[i].want);
    }
}

static void a_copy_that_does_not_fit_is_told(void **state)
{
    (void)state;
    char dst[4] = "xyz";
    assert_true(str_copy(dst, sizeof(dst), "abc"));
    assert_string_equal(dst, "abc");
    assert_false(str_copy(dst, sizeof(dst), "wxyz"));
    assert_string_equal(dst, "wxy");
    assert_false(str_copy(dst, 0, ""));
    assert_string_equal(dst, "wxy");
    assert_true(str_copy(dst, 1, ""));
    assert_string_equal(dst, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_numbers_are_whole_and_in_range),
        cmocka_unit_test(signed_numbers_are_whole_and_in_range),
        cmocka_unit_test(hex_numbers_are_whole_and_in_range),
        cmocka_unit_test(only_well_formed_utf8_is_text),
        cmocka_unit_test(comparing_knows_null_and_only_ascii_case),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(a_copy_that_does_not_fit_is_told),
        cmocka_unit_test(escaped_text_is_printable_and_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
