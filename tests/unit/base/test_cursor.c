/* test_cursor.c - every getter either consumes and succeeds or moves nothing. */
#include "unit/unit.h"
#include "base/cursor.h"

static void numbers_are_read_within_bounds(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0x89, 0xab, 0xcd, 0xef};
    struct cursor c = cursor_of(bytes, sizeof(bytes));
    uint32_t d;
    assert_int_equal(cursor_u32be(&c, &d), 0);
    assert_int_equal(d, 0x89abcdef);
    assert_int_equal(cursor_left(&c), 0);
    for (size_t n = 0; n < 4; n++) { /* too short by one to four bytes: nothing moves */
        c = cursor_of(bytes, n);
        d = 77;
        assert_int_equal(cursor_u32be(&c, &d), -EAGAIN);
        assert_int_equal(d, 77);
        assert_int_equal(cursor_left(&c), n);
    }
}

static void a_short_cursor_does_not_move(void **state)
{
    (void)state;
    struct cursor c = cursor_of("key:value", 9);
    const unsigned char *p = NULL;
    size_t n = 0;
    assert_int_equal(cursor_until(&c, ':', &p, &n), 0);
    assert_int_equal(n, 3);
    assert_memory_equal(p, "key", 3);
    assert_int_equal(cursor_until(&c, ':', &p, &n), -EAGAIN);
    assert_int_equal(cursor_left(&c), 5);
    assert_int_equal(cursor_take(&c, 6, &p), -EAGAIN);
    assert_int_equal(cursor_take(&c, SIZE_MAX, &p), -EAGAIN);
    assert_int_equal(cursor_take(&c, 5, &p), 0);
    assert_memory_equal(p, "value", 5);
    assert_int_equal(cursor_take(&c, 0, &p), 0);
    assert_int_equal(cursor_until(&c, 0, &p, &n), -EAGAIN);
    c = cursor_of(NULL, 0);
    assert_int_equal(cursor_until(&c, 'x', &p, &n), -EAGAIN);
    assert_int_equal(cursor_literal(&c, "a"), -EAGAIN);
    assert_int_equal(cursor_literal(&c, ""), 0);
}

static void a_literal_matches_differs_or_needs_more(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *lit;
        int want;
    } rows[] = {
        {"HTTP/1.1", 8, "HTTP/", 0}, {"HTTP", 4, "HTTP/", -EAGAIN}, {"HTTX/", 5, "HTTP/", -ENOENT},
        {"X", 1, "HTTP/", -ENOENT},  {"H", 1, "HTTP/", -EAGAIN},    {"HTTP/", 5, "HTTP/", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cursor c = cursor_of(rows[i].text, rows[i].n);
        assert_int_equal(cursor_literal(&c, rows[i].lit), rows[i].want);
        assert_int_equal(cursor_left(&c), rows[i].want == 0 ? rows[i].n - 5 : rows[i].n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_within_bounds),
        cmocka_unit_test(a_short_cursor_does_not_move),
        cmocka_unit_test(a_literal_matches_differs_or_needs_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
