/* test_buf.c - growth, the ceiling, the sticky error and the NUL behind the bytes. */
#include "unit/unit.h"
#include "base/buf.h"

#include <string.h>

static void what_is_appended_is_there(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(1000);
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_adds(&b, "one"), 0);
    assert_int_equal(buf_addc(&b, ' '), 0);
    assert_int_equal(buf_addf(&b, "%d %s", 2, "three"), 0);
    assert_int_equal(buf_add(&b, "\0x", 2), 0);
    assert_int_equal(b.len, 13);
    assert_memory_equal(b.data, "one 2 three\0x", 14);
    buf_consume(&b, 4);
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.data, "2 three\0x", 10);
    buf_consume(&b, 9);
    assert_string_equal(buf_str(&b), "");
    buf_consume(&b, 0);
}

static void a_buffer_never_passes_its_ceiling(void **state)
{
    (void)state;
    static const struct {
        size_t max, first, second;
        int want;
    } rows[] = {
        {10, 10, 0, 0}, {10, 9, 1, 0},          {10, 10, 1, -EMSGSIZE},
        {1, 1, 0, 0},   {1, 2, 0, -EMSGSIZE},   {100, 50, 51, -EMSGSIZE},
        {65, 64, 1, 0}, {64, 64, 1, -EMSGSIZE}, {0, 1, 0, -EMSGSIZE},
    };
    char text[200];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) b = {.max = rows[i].max};
        (void)buf_add(&b, text, rows[i].first);
        (void)buf_add(&b, text, rows[i].second);
        assert_int_equal(buf_err(&b), rows[i].want);
        assert_true(b.len <= rows[i].max);
        /* The same through the formatter. */
        AUTO(buf) f = {.max = rows[i].max};
        (void)buf_addf(&f, "%.*s", (int)rows[i].first, text);
        (void)buf_addf(&f, "%.*s", (int)rows[i].second, text);
        assert_int_equal(buf_err(&f), rows[i].want);
        assert_int_equal(f.len, b.len);
        assert_string_equal(buf_str(&f), buf_str(&b));
    }
}

static void a_failed_append_sticks_until_reset(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(4);
    assert_int_equal(buf_adds(&b, "abc"), 0);
    assert_int_equal(buf_adds(&b, "de"), -EMSGSIZE);
    assert_string_equal(buf_str(&b), "abc");
    assert_int_equal(buf_addc(&b, 'd'), -EMSGSIZE); /* would fit, must not */
    assert_int_equal(buf_addf(&b, "%s", ""), -EMSGSIZE);
    assert_null(buf_room(&b, 0));
    buf_reset(&b);
    assert_int_equal(buf_adds(&b, "wxyz"), 0);
    assert_string_equal(buf_str(&b), "wxyz");
    AUTO(buf) huge = BUF_INIT(100);
    assert_null(buf_room(&huge, SIZE_MAX));
    assert_int_equal(buf_err(&huge), -EMSGSIZE);
}

static void room_keeps_what_was_committed(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(1u << 20);
    for (int round = 0; round < 300; round++) {
        char *to = buf_room(&b, 1000);
        assert_non_null(to);
        memset(to, 'a' + round % 26, 1000);
        buf_commit(&b, 700);
        assert_int_equal(b.data[b.len], 0);
    }
    assert_int_equal(b.len, 210000);
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.data[i], 'a' + (int)(i / 700) % 26);
}

static void taking_hands_the_memory_over(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(100);
    size_t n = 99;
    AUTO_FREE
    char *empty = buf_take(&b, &n);
    assert_string_equal(empty, "");
    assert_int_equal(n, 0);
    assert_int_equal(buf_adds(&b, "text"), 0);
    AUTO_FREE
    char *text = buf_take(&b, &n);
    assert_string_equal(text, "text");
    assert_int_equal(n, 4);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_adds(&b, "again"), 0);
    assert_string_equal(buf_str(&b), "again");
    buf_done(NULL);
}

static void a_quoted_word_is_one_word(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(64);
    assert_int_equal(buf_add_quoted(&b, ""), 0);
    buf_addc(&b, ' ');
    assert_int_equal(buf_add_quoted(&b, "it's $HOME"), 0);
    assert_string_equal(buf_str(&b), "'' 'it'\\''s $HOME'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_is_there),
        cmocka_unit_test(a_buffer_never_passes_its_ceiling),
        cmocka_unit_test(a_failed_append_sticks_until_reset),
        cmocka_unit_test(a_quoted_word_is_one_word),
        cmocka_unit_test(room_keeps_what_was_committed),
        cmocka_unit_test(taking_hands_the_memory_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
