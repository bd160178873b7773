/* test_h2_body.c - bytes that came in pieces of any size are read in pieces of any size. */
#include "unit/unit.h"
#include "http/pipe/h2_body.h"

#include <string.h>

static unsigned char at(size_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

static void add(struct h2_body *b, size_t *sent, size_t n)
{
    AUTO_FREE char *p = mem_array(n + 1, 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)at((*sent)++);
    h2_body_add(b, p, n);
}

static size_t take(struct h2_body *b, size_t *got, size_t room)
{
    AUTO_FREE char *p = mem_array(room + 1, 1);
    size_t n = h2_body_take(b, p, room);
    assert_true(n <= room && p[room] == 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal((unsigned char)p[i], at((*got)++));
    return n;
}

static void it_comes_out_as_it_went_in(void **state)
{
    static const size_t sizes[] = {1, 0, 300, 16384, 16375, 5, 65536, 255, 256, 40000, 16360, 1};
    struct h2_body b = {0};
    size_t sent = 0, got = 0;
    (void)state;
    assert_int_equal(take(&b, &got, 10), 0);
    for (size_t round = 0; round < 50; round++) {
        add(&b, &sent, sizes[round % ARRAY_LEN(sizes)]);
        assert_int_equal(b.n, sent - got);
        size_t room = sizes[(round * 5 + 3) % ARRAY_LEN(sizes)], there = b.n;
        assert_int_equal(take(&b, &got, room), room < there ? room : there);
        assert_int_equal(b.n, sent - got);
    }
    while (b.n > 0)
        assert_true(take(&b, &got, 777) > 0);
    assert_int_equal(got, sent);
    assert_true(got > 300000 && !b.first && !b.last && b.held == 0);
}

/* A peer chooses how small its frames are. */
static void small_pieces_take_little(void **state)
{
    struct h2_body b = {0};
    size_t sent = 0, got = 0;
    (void)state;
    add(&b, &sent, 1);
    assert_true(b.held <= 1024);
    while (sent < 200000) {
        add(&b, &sent, 1);
        assert_true(b.held <= 2 * b.n + 1024);
    }
    while (b.n > 0) {
        (void)take(&b, &got, 999);
        assert_true(b.held <= 2 * b.n + 2 * H2_PIECE_BYTES);
    }
    assert_int_equal(got, sent);
    assert_int_equal(b.held, 0);
}

static void what_was_dropped_is_gone(void **state)
{
    struct h2_body b = {0};
    size_t sent = 0, got = 0;
    (void)state;
    add(&b, &sent, 50000);
    (void)take(&b, &got, 100);
    h2_body_done(&b);
    assert_true(b.n == 0 && b.held == 0 && !b.first);
    assert_int_equal(h2_body_take(&b, &got, 1), 0);
    sent = got = 0;
    add(&b, &sent, 20);
    assert_int_equal(take(&b, &got, 100), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_out_as_it_went_in),
        cmocka_unit_test(small_pieces_take_little),
        cmocka_unit_test(what_was_dropped_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
