/* test_escape.c - every unit of every family, what is none, what may become one, and the way
 * back. */
#include "unit/unit.h"
#include "base/buf.h"
#include "scrub/escape.h"

#include <string.h>

static void units_stand_for_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int length; /* ESCAPE_INCOMPLETE: when more may come; 0 when not */
        const char *want;
    } rows[] = {
        {"%41", 3, "A"},
        {"%4f", 3, "O"},
        {"%4F1", 3, "O"},
        {"%e9", 3, "\xe9"},
        {"%", ESCAPE_INCOMPLETE, ""},
        {"%4", ESCAPE_INCOMPLETE, ""},
        {"%g", 0, ""},
        {"%4g", 0, ""},
        {"%%41", 0, ""},
        {"\\\"", 2, "\""},
        {"\\\\", 2, "\\"},
        {"\\/", 2, "/"},
        {"\\'", 2, "'"},
        {"\\n", 2, "\n"},
        {"\\r", 2, "\r"},
        {"\\t", 2, "\t"},
        {"\\b", 2, "\b"},
        {"\\f", 2, "\f"},
        {"\\", ESCAPE_INCOMPLETE, ""},
        {"\\q", 0, ""},
        {"\\x4A", 4, "J"},
        {"\\x4", ESCAPE_INCOMPLETE, ""},
        {"\\x4q", 0, ""},
        {"\\u0041", 6, "A"},
        {"\\u00e9", 6, "\xc3\xa9"},
        {"\\u20AC", 6, "\xe2\x82\xac"},
        {"\\ud83d\\ude00", 12, "\xf0\x9f\x98\x80"},
        {"\\ud83d\\ude0", ESCAPE_INCOMPLETE, ""},
        {"\\ud83d\\u", ESCAPE_INCOMPLETE, ""},
        {"\\ud83d", ESCAPE_INCOMPLETE, ""},
        {"\\ud83dx", 0, ""},
        {"\\ud83d\\n", 0, ""},
        {"\\ud83d\\u0041", 0, ""},
        {"\\ude00", 0, ""},
        {"\\u004", ESCAPE_INCOMPLETE, ""},
        {"\\u004x", 0, ""},
        {"&amp;", 5, "&"},
        {"&lt;", 4, "<"},
        {"&gt;", 4, ">"},
        {"&quot;", 6, "\""},
        {"&apos;", 6, "'"},
        {"&am", ESCAPE_INCOMPLETE, ""},
        {"&a", ESCAPE_INCOMPLETE, ""},
        {"&", ESCAPE_INCOMPLETE, ""},
        {"&nbsp;", 0, ""},
        {"&ampx", 0, ""},
        {"&#65;", 5, "A"},
        {"&#0000065;", 10, "A"},
        {"&#00000065;", 0, ""},
        {"&#x41;", 6, "A"},
        {"&#X00e9;", 8, "\xc3\xa9"},
        {"&#x10ffff;", 10, "\xf4\x8f\xbf\xbf"},
        {"&#x110000;", 0, ""},
        {"&#xd83d;", 0, ""},
        {"&#;", 0, ""},
        {"&#x;", 0, ""},
        {"&#", ESCAPE_INCOMPLETE, ""},
        {"&#6", ESCAPE_INCOMPLETE, ""},
        {"&#6a;", 0, ""},
        {"a", 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t bytes[4];
        size_t n = strlen(rows[i].in), k = 0;
        const uint8_t *p = (const uint8_t *)rows[i].in;
        int r = escape_unit(p, n, ESCAPE_FAMILIES, false, bytes, &k);
        if (r != rows[i].length)
            fail_msg("%s: %d, want %d", rows[i].in, r, rows[i].length);
        if (r > 0) {
            assert_int_equal(k, strlen(rows[i].want));
            assert_memory_equal(bytes, rows[i].want, k);
        }
        r = escape_unit(p, n, ESCAPE_FAMILIES, true, bytes, &k);
        assert_int_equal(r, rows[i].length < 0 ? 0 : rows[i].length);
        assert_int_equal(escape_unit(p, n, 0, true, bytes, &k), 0);
    }
}

static void a_family_that_is_not_asked_for_is_text(void **state)
{
    (void)state;
    static const struct {
        unsigned families;
        const char *want;
    } rows[] = {
        {0, "%41\\u0042&#67;"},          {ESCAPE_PERCENT, "A\\u0042&#67;"},
        {ESCAPE_BACKSLASH, "%41B&#67;"}, {ESCAPE_ENTITY, "%41\\u0042C"},
        {ESCAPE_FAMILIES, "ABC"},
    };
    const char *in = "%41\\u0042&#67;";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t out[40];
        size_t n = escape_undo((const uint8_t *)in, strlen(in), rows[i].families, out);
        assert_int_equal(n, strlen(rows[i].want));
        assert_memory_equal(out, rows[i].want, n);
    }
}

static void the_next_escape_is_found_wherever_it_is(void **state)
{
    (void)state;
    uint8_t text[200];
    for (size_t n = 0; n <= sizeof(text); n += 13)
        for (size_t at = 0; at < n; at++)
            for (size_t from = 0; from <= n; from += 7) {
                memset(text, '$', sizeof(text));
                text[at] = (uint8_t) "%\\&"[at % 3];
                assert_int_equal(escape_next(text, from, n), from <= at ? at : n);
            }
}

static void a_place_within_a_unit_is_moved_to_its_beginning(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t at, want;
    } rows[] = {
        {"ab%41c", 2, 2},         {"ab%41c", 3, 2},  {"ab%41c", 4, 2},  {"ab%41c", 5, 5},
        {"\\\\n", 1, 0},          {"\\\\n", 2, 2},   {"\\\\\\n", 3, 2}, {"x\\\\\\\\n", 5, 5},
        {"&#x41;", 5, 0},         {"&#x41;", 6, 6},  {"&nbsp;", 3, 3},  {"\\ud83d\\ude00", 11, 0},
        {"\\ud83d\\ude00", 6, 0}, {"\\ude00", 3, 3}, {"ab%4", 4, 2},    {"", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t r =
            escape_unit_around((const uint8_t *)rows[i].in, strlen(rows[i].in), rows[i].at, false);
        if (r != rows[i].want)
            fail_msg("%s at %zu: %zu, want %zu", rows[i].in, rows[i].at, r, rows[i].want);
    }
    assert_int_equal(escape_unit_around((const uint8_t *)"ab%4", 4, 4, true), 4);
}

static void what_is_escaped_comes_back(void **state)
{
    (void)state;
    uint8_t all[256];
    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    static const unsigned families[] = {ESCAPE_PERCENT, ESCAPE_BACKSLASH, ESCAPE_ENTITY};
    for (size_t f = 0; f < ARRAY_LEN(families); f++)
        for (unsigned times = 1; times <= 3; times++) {
            AUTO(buf) b = BUF_INIT(1 << 20);
            (void)buf_adds(&b, "before ");
            assert_int_equal(escape_add(&b, all, sizeof(all), families[f], times), 0);
            assert_memory_equal(b.data, "before ", 7);
            for (unsigned i = 0; i < times; i++)
                b.len = 7 + escape_undo((uint8_t *)b.data + 7, b.len - 7, families[f],
                                        (uint8_t *)b.data + 7);
            assert_int_equal(b.len, 7 + sizeof(all));
            assert_memory_equal(b.data + 7, all, sizeof(all));
        }
    AUTO(buf) plain = BUF_INIT(1000), small = BUF_INIT(10);
    assert_int_equal(escape_add(&plain, all, sizeof(all), 0, 2), 0);
    assert_memory_equal(plain.data, all, sizeof(all));
    assert_int_equal(escape_add(&small, all, sizeof(all), ESCAPE_PERCENT, 2), -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_stand_for_bytes),
        cmocka_unit_test(a_family_that_is_not_asked_for_is_text),
        cmocka_unit_test(the_next_escape_is_found_wherever_it_is),
        cmocka_unit_test(a_place_within_a_unit_is_moved_to_its_beginning),
        cmocka_unit_test(what_is_escaped_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
