/* test_lines.c - a stdio server's output, however it is cut into reads. */
#include "unit/unit.h"
#include "mcp/stdio/lines.h"

#include <string.h>

#define MAX 64

static void feed(struct mcp_lines *l, const char *text, size_t n)
{
    char *room = mcp_lines_room(l, n);
    assert_non_null(room);
    memcpy(room, text, n);
    mcp_lines_take(l, n);
}

static void expect(struct mcp_lines *l, const char *want)
{
    struct span line;
    assert_true(mcp_lines_next(l, &line));
    assert_int_equal(line.n, strlen(want));
    assert_memory_equal(line.p, want, line.n);
}

static void lines_are_the_same_however_they_come(void **state)
{
    static const char text[] = "{\"a\":1}\n\n{\"b\":2}\r\n\rx\n";
    (void)state;
    for (size_t step = 1; step <= sizeof(text); step++) {
        struct mcp_lines l;
        struct span none;
        char got[64] = "";
        mcp_lines_init(&l, MAX);
        for (size_t at = 0; at < sizeof(text) - 1; at += step) {
            struct span line;
            size_t n = sizeof(text) - 1 - at < step ? sizeof(text) - 1 - at : step;
            feed(&l, text + at, n);
            while (mcp_lines_next(&l, &line)) {
                (void)strncat(got, line.p, line.n);
                (void)strcat(got, "|");
            }
        }
        assert_string_equal(got, "{\"a\":1}||{\"b\":2}|\rx|");
        assert_false(mcp_lines_next(&l, &none));
        assert_false(mcp_lines_too_long(&l));
        mcp_lines_done(&l);
    }
}

static void a_line_stays_until_there_is_room_for_more(void **state)
{
    struct mcp_lines l;
    struct span line;
    (void)state;
    mcp_lines_init(&l, MAX);
    feed(&l, "one\ntwo\nthr", 11);
    assert_true(mcp_lines_next(&l, &line));
    expect(&l, "two");
    assert_memory_equal(line.p, "one", 3);
    feed(&l, "ee\n", 3);
    expect(&l, "three");
    mcp_lines_done(&l);
}

static void a_line_has_a_ceiling(void **state)
{
    static char text[2 * MAX + 2];
    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t n = MAX - 1; n <= MAX + 1; n++) {
        struct mcp_lines l;
        struct span line;
        mcp_lines_init(&l, MAX);
        feed(&l, text, n);
        assert_false(mcp_lines_next(&l, &line));
        assert_false(mcp_lines_too_long(&l)); /* its end may be the next byte */
        feed(&l, "\n", 1);
        if (n <= MAX) {
            assert_true(mcp_lines_next(&l, &line));
            assert_int_equal(line.n, n);
        }
        mcp_lines_done(&l);
    }
    struct mcp_lines l;
    struct span line;
    mcp_lines_init(&l, MAX);
    feed(&l, text, sizeof(text));
    assert_false(mcp_lines_next(&l, &line));
    assert_true(mcp_lines_too_long(&l));
    mcp_lines_done(&l);
}

static void a_large_buffer_is_given_back(void **state)
{
    static char text[200 << 10];
    struct mcp_lines l;
    struct span line;
    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\n';
    mcp_lines_init(&l, sizeof(text));
    feed(&l, text, sizeof(text));
    assert_true(mcp_lines_held(&l) >= sizeof(text));
    assert_true(mcp_lines_next(&l, &line));
    feed(&l, "{}\n", 3);
    assert_true(mcp_lines_held(&l) <= 64 << 10);
    expect(&l, "{}");
    mcp_lines_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_however_they_come),
        cmocka_unit_test(a_line_stays_until_there_is_room_for_more),
        cmocka_unit_test(a_line_has_a_ceiling),
        cmocka_unit_test(a_large_buffer_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
