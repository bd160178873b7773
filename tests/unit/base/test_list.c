/* test_list.c - order, removal (also of what is not linked, and while walking). */
#include "unit/unit.h"
#include "base/list.h"

struct item {
    int v;
    struct list node;
};

static int digits(struct list *h)
{
    int n = 0;
    LIST_FOREACH (it, h, struct item, node) {
        n = n * 10 + it->v;
    }
    return n;
}

static void a_list_keeps_its_order(void **state)
{
    (void)state;
    struct list h = LIST_INIT(h);
    struct item a = {.v = 1}, b = {.v = 2}, c = {.v = 3}, loose = {.v = 9};
    assert_true(list_empty(&h));
    assert_null(list_pop_front(&h));
    assert_false(list_linked(&a.node));
    list_push_back(&h, &b.node);
    list_push_back(&h, &c.node);
    list_push_front(&h, &a.node);
    assert_int_equal(digits(&h), 123);
    list_remove(&loose.node);
    list_remove(&b.node);
    list_remove(&b.node);
    assert_false(list_linked(&b.node));
    assert_int_equal(digits(&h), 13);
    list_insert(&a.node, &b.node);
    assert_int_equal(digits(&h), 123);
    LIST_FOREACH_SAFE (it, &h, struct item, node) {
        if (it->v != 2)
            list_remove(&it->node);
    }
    assert_int_equal(digits(&h), 2);
    assert_ptr_equal(LIST_ENTRY(list_pop_front(&h), struct item, node), &b);
    assert_true(list_empty(&h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_list_keeps_its_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
