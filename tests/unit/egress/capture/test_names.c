/* test_names.c - names, their addresses, and who is forgotten. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/limits.h"
#include "egress/capture/names.h"

#include <stdio.h>
#include <string.h>

static struct host host(const char *text)
{
    struct host h;
    assert_int_equal(host_parse(text, strlen(text), 0, &h, NULL), 0);
    return h;
}

static struct host numbered(unsigned i)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "h%u.example", i);
    return host(text);
}

static struct name *take(struct names *n, struct host h, bool *fresh)
{
    struct name *name = NULL;
    assert_int_equal(names_take(n, &h, &name, fresh), 0);
    return name;
}

static void a_name_keeps_its_address_while_it_is_kept(void **state)
{
    struct names *n = names_new(0);
    struct host a = host("a.example"), b = host("b.example");
    bool fresh = false;
    (void)state;
    struct name *first = take(n, a, &fresh);
    assert_true(fresh);
    assert_true(take(n, b, NULL)->index != first->index);
    assert_ptr_equal(take(n, a, &fresh), first);
    assert_false(fresh);
    assert_ptr_equal(names_get(n, &a), first);
    assert_ptr_equal(names_of_index(n, first->index), first);
    assert_int_equal(names_count(n), 2);
    names_free(n);
}

static void fixed_addresses_begin_at_198_18_0_10_in_order(void **state)
{
    struct names *n = names_new(0);
    struct host a = host("a.example"), b = host("b.example"), c = host("c.example");
    uint32_t ia, ib, again, ic;
    (void)state;
    assert_int_equal(names_reserve(n, &a, &ia), 0);
    assert_int_equal(names_reserve(n, &b, &ib), 0);
    assert_int_equal(names_reserve(n, &a, &again), 0);
    assert_int_equal(ia, 10);
    assert_int_equal(ib, 11);
    assert_int_equal(again, 10);
    assert_int_equal(take(n, a, NULL)->index, 10);
    /* A name that has an address does not change it. */
    uint32_t taken = take(n, c, NULL)->index;
    assert_int_equal(names_reserve(n, &c, &ic), -EEXIST);
    assert_int_equal(names_get(n, &c)->index, taken);
    names_free(n);
}

static void fixed_addresses_have_a_ceiling(void **state)
{
    struct names *n = names_new(0);
    uint32_t index = 0;
    (void)state;
    for (unsigned i = 0; i < LIMIT_CAPTURE_FIXED; i++) {
        struct host h = numbered(i);
        assert_int_equal(names_reserve(n, &h, &index), 0);
    }
    struct host h = host("last.example");
    assert_int_equal(names_reserve(n, &h, &index), -E_LIMIT);
    assert_true(take(n, h, NULL)->index > index);
    names_free(n);
}

static void the_one_asked_for_longest_ago_makes_room(void **state)
{
    struct names *n = names_new(3);
    struct host a = host("a.example"), b = host("b.example"), c = host("c.example"),
                d = host("d.example");
    (void)state;
    take(n, a, NULL);
    take(n, b, NULL);
    take(n, c, NULL);
    take(n, a, NULL);
    take(n, d, NULL);
    assert_int_equal(names_count(n), 3);
    assert_null(names_get(n, &b));
    assert_non_null(names_get(n, &a));
    assert_non_null(names_get(n, &c));
    names_free(n);
}

static void names_that_are_fixed_or_held_are_not_forgotten(void **state)
{
    struct names *n = names_new(3);
    struct host a = host("a.example"), b = host("b.example"), c = host("c.example"),
                d = host("d.example");
    uint32_t index;
    struct name *name;
    (void)state;
    assert_int_equal(names_reserve(n, &a, &index), 0);
    struct name *held = take(n, b, NULL);
    names_hold(n, held);
    names_hold(n, held);
    take(n, c, NULL);
    take(n, d, NULL); /* instead of c */
    assert_null(names_get(n, &c));
    assert_ptr_equal(names_get(n, &b), held);
    struct name *also = names_get(n, &d);
    names_hold(n, also);
    assert_int_equal(names_take(n, &c, &name, NULL), -E_LIMIT);
    names_release(n, held);
    assert_int_equal(names_take(n, &c, &name, NULL), -E_LIMIT);
    names_release(n, held);
    take(n, c, NULL); /* instead of b */
    assert_null(names_get(n, &b));
    names_release(n, also);
    names_free(n);
}

static void a_forgotten_address_means_nothing_for_long(void **state)
{
    struct names *n = names_new(8);
    (void)state;
    uint32_t first = take(n, numbered(0), NULL)->index;
    unsigned i = 1;
    while (!names_of_index(n, first) || i <= 8)
        take(n, numbered(i++), NULL);
    assert_true(i > 100000);
    struct host now = numbered(i - 1);
    assert_int_equal(names_get(n, &now)->index, first);
    names_free(n);
}

static void the_circle_steps_over_addresses_in_use(void **state)
{
    struct names *n = names_new(4);
    (void)state;
    struct name *held = take(n, numbered(0), NULL);
    names_hold(n, held);
    for (unsigned i = 1; i < NAMES_INDEXES + 100; i++)
        assert_true(take(n, numbered(i), NULL)->index != held->index);
    assert_ptr_equal(names_of_index(n, held->index), held);
    names_release(n, held);
    names_free(n);
}

static void a_full_table_finds_all_of_its_names(void **state)
{
    struct names *n = names_new(0);
    (void)state;
    for (unsigned i = 0; i < 2 * LIMIT_CAPTURE_NAMES; i++)
        take(n, numbered(i), NULL);
    assert_int_equal(names_count(n), LIMIT_CAPTURE_NAMES);
    for (unsigned i = 0; i < 2 * LIMIT_CAPTURE_NAMES; i++) {
        struct host h = numbered(i);
        const struct name *name = names_get(n, &h);
        assert_int_equal(name != NULL, i >= LIMIT_CAPTURE_NAMES);
        if (name) {
            assert_true(host_eq(&name->host, &h));
            assert_ptr_equal(names_of_index(n, name->index), name);
        }
    }
    names_free(n);
}

static void indexes_start_where_they_are_told_to(void **state)
{
    static const uint32_t seeds[] = {0, 1, 130037, UINT32_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
        struct names *n = names_new(0);
        names_start_at(n, seeds[i]);
        uint32_t first = take(n, numbered(0), NULL)->index;
        uint32_t second = take(n, numbered(1), NULL)->index;
        assert_true(first >= NAMES_FIRST_FIXED + LIMIT_CAPTURE_FIXED && first < NAMES_INDEXES - 1);
        assert_true(second >= NAMES_FIRST_FIXED + LIMIT_CAPTURE_FIXED &&
                    second < NAMES_INDEXES - 1);
        assert_int_not_equal(first, second);
        if (i == 1)
            assert_int_equal(first, NAMES_FIRST_FIXED + LIMIT_CAPTURE_FIXED + 1);
        names_free(n);
    }
}

static void both_addresses_have_the_index(void **state)
{
    static const struct {
        uint32_t index;
        const char *v4, *v6;
    } rows[] = {
        {10, "198.18.0.10", "fd73:616c:6c79::a"},
        {1034, "198.18.4.10", "fd73:616c:6c79::40a"},
        {65536, "198.19.0.0", "fd73:616c:6c79::1:0"},
        {131070, "198.19.255.254", "fd73:616c:6c79::1:fffe"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char four[4], sixteen[16];
        char text[ADDRESS_TEXT_MAX];
        uint32_t index = 0;
        names_ipv4(rows[i].index, four);
        names_ipv6(rows[i].index, sixteen);
        struct address v4 = address_of_ipv4(four), v6 = address_of_ipv6(sixteen);
        assert_string_equal(address_text(&v4, text), rows[i].v4);
        assert_string_equal(address_text(&v6, text), rows[i].v6);
        assert_int_equal(names_index_of(&v4, &index), 0);
        assert_int_equal(index, rows[i].index);
        assert_int_equal(names_index_of(&v6, &index), 0);
        assert_int_equal(index, rows[i].index);
    }
}

static void other_addresses_have_no_index(void **state)
{
    static const char *const rows[] = {
        "198.17.255.255",        "198.20.0.0", "127.0.0.1", "0.0.0.10", "::1", "::a",
        "fd73:616c:6c79::2:0",   /* beyond the last */
        "fd73:616c:6c79::1:0:a", /* in the /64, and not one of ours */
        "fd73:616c:6c79:1::a",   /* beside the /64 */
        "fd73:616c:6c79:0:1::a", /* in the /64 */
        "fd73:616c:6c7a::a",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct address a;
        uint32_t index;
        assert_int_equal(address_parse(rows[i], strlen(rows[i]), &a, NULL), 0);
        if (names_index_of(&a, &index) != -ENOENT)
            fail_msg("%s has index %u", rows[i], index);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_keeps_its_address_while_it_is_kept),
        cmocka_unit_test(fixed_addresses_begin_at_198_18_0_10_in_order),
        cmocka_unit_test(fixed_addresses_have_a_ceiling),
        cmocka_unit_test(the_one_asked_for_longest_ago_makes_room),
        cmocka_unit_test(names_that_are_fixed_or_held_are_not_forgotten),
        cmocka_unit_test(a_forgotten_address_means_nothing_for_long),
        cmocka_unit_test(the_circle_steps_over_addresses_in_use),
        cmocka_unit_test(a_full_table_finds_all_of_its_names),
        cmocka_unit_test(indexes_start_where_they_are_told_to),
        cmocka_unit_test(both_addresses_have_the_index),
        cmocka_unit_test(other_addresses_have_no_index),
    };
    return cmocka_run_group_tests_name("egress/capture/names", tests, NULL, NULL);
}
