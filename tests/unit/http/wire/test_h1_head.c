/* test_h1_head.c - lists in field values, and where the parts of a field line lie. Field lines are
 * judged in test_h1.c and test_h1_response.c. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/wire/h1_head.h"

#include <string.h>

static void lists_are_cut_at_commas_and_trimmed(void **state)
{
    (void)state;
    static const struct {
        const char *list, *elements;
    } rows[] = {
        {"", ""},
        {"a", "[a]"},
        {"a,b", "[a][b]"},
        {" a\t,\t b ", "[a][b]"},
        {",a,,b,", "[][a][][b][]"},
        {" ", "[]"},
        {"a b,c", "[a b][c]"},
        {"\"a,b\"", "[\"a][b\"]"}, /* options and codings are tokens: quotes mean nothing */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].list);
        AUTO_FREE char *copy = malloc(n ? n : 1);
        memcpy(copy, rows[i].list, n);
        AUTO(buf) got = BUF_INIT(200);
        struct h1_part part;
        for (size_t at = 0; h1_list_next(copy, n, &at, &part);)
            (void)buf_addf(&got, "[%.*s]", (int)part.n, copy + part.at);
        assert_string_equal(buf_str(&got), rows[i].elements);
    }
}

static void parts_lie_where_they_are_said_to(void **state)
{
    (void)state;
    static const char line[] = "X-Name: \t a value \t\r\nnext";
    static struct h1_head h;
    static const struct h1_limits limits = {.bytes = 1000, .fields = 1};
    struct h1_scan s;
    h1_scan_begin(&s, line, 0, sizeof(line) - 1, &limits, &h);
    struct h1_field f;
    assert_int_equal(h1_scan_field(&s, &f), 0);
    struct h1_part name = h1_field_name(&f), value = h1_field_value(&f);
    assert_int_equal(name.n, 6);
    assert_memory_equal(line + name.at, "X-Name", 6);
    assert_int_equal(value.n, 7);
    assert_memory_equal(line + value.at, "a value", 7);
    assert_string_equal(line + s.at, "next");
    assert_true(h1_part_is(line, name, "x-NAME"));
    assert_false(h1_part_is(line, name, "x-nam"));
}

/* Their lengths are noted in 16 bits. */
static void names_and_gaps_beyond_64_kib_are_refused(void **state)
{
    (void)state;
    enum { LONG = UINT16_MAX + 1 };
    static char line[LONG + 100];
    static struct h1_head h;
    static const struct h1_limits limits = {.bytes = 1 << 20, .fields = 1};
    for (int gap = 0; gap < 2; gap++) {
        for (size_t over = 0; over < 2; over++) {
            size_t n = LONG - 1 + over, at = 0;
            if (gap) {
                line[at++] = 'x';
                line[at++] = ':';
                memset(line + at, ' ', n - 1); /* the colon is part of the gap */
                at += n - 1;
            } else {
                memset(line, 'x', n);
                at += n;
                line[at++] = ':';
            }
            memcpy(line + at, "v\r\n", 3);
            struct h1_scan s;
            h1_scan_begin(&s, line, 0, at + 3, &limits, &h);
            struct h1_field f;
            int r = h1_scan_field(&s, &f);
            assert_int_equal(r, over ? -E_PARSE : 0);
            assert_int_equal(s.status, over ? 431 : 0);
            if (r == 0)
                assert_int_equal(line[h1_field_value(&f).at], 'v');
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_cut_at_commas_and_trimmed),
        cmocka_unit_test(parts_lie_where_they_are_said_to),
        cmocka_unit_test(names_and_gaps_beyond_64_kib_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
