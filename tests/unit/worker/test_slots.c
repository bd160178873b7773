/* test_slots.c - who gets a slot, and who has to go for it. */
#include "unit/loop.h"
#include "base/err.h"
#include "worker/slots.h"

struct session {
    struct slot slot;
    struct waitq wake;
    bool stays; /* it was given something to do in the moment it was asked */
    bool left;
};

static void start(struct slots *s, struct session *x)
{
    *x = (struct session){0};
    waitq_init(&x->wake);
    slot_init(&x->slot, s, &x->wake);
}

/* A session at rest: waits, and answers when it is asked. */
static int rest(void *arg)
{
    struct session *x = arg;
    slot_rest(&x->slot, true);
    while (!x->slot.asked) {
        int r = waitq_wait(&x->wake);
        if (r < 0)
            return r;
    }
    if (x->stays) {
        slot_rest(&x->slot, false);
    } else {
        slot_give_up(&x->slot);
        x->left = true;
    }
    return 0;
}

static void spin(void)
{
    for (int i = 0; i < 5; i++)
        assert_int_equal(fiber_yield(), 0);
}

static int a_free_slot_costs_nobody_his(void *arg)
{
    (void)arg;
    struct slots s;
    struct session x;
    slots_init(&s, 2);
    assert_int_equal(slots_take(&s), 0);
    start(&s, &x);
    slot_rest(&x.slot, true);
    assert_int_equal(slots_take(&s), 0);
    assert_false(x.slot.asked);
    slot_give_up(&x.slot);
    slot_give_up(&x.slot); /* again: nothing */
    slots_give(&s);
    assert_int_equal(s.held, 0);
    assert_int_equal(s.n_resting, 0);
    return 0;
}

static int the_longest_at_rest_goes_first(void *arg)
{
    (void)arg;
    struct slots s;
    static struct session x[3];
    struct scope scope;
    slots_init(&s, 3);
    scope_init(&scope);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(slots_take(&s), 0);
        start(&s, &x[i]);
    }
    x[1].stays = true;
    size_t order[] = {2, 1, 0};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fiber_spawn(&scope, "rest", rest, &x[order[i]], NULL), 0);
        spin();
    }
    assert_int_equal(slots_take(&s), 0);
    assert_true(x[2].left && !x[1].left && !x[0].left);
    /* The next one has something to do and stays; the one after it goes. */
    assert_int_equal(slots_take(&s), 0);
    assert_true(x[0].left && !x[1].left);
    assert_int_equal(s.held, 3);
    /* Nobody rests any more: never more than there are. */
    assert_int_equal(slots_take(&s), -EBUSY);
    assert_int_equal(s.held, 3);
    scope_done(&scope);
    return 0;
}

static int waiter(void *arg)
{
    struct slots *s = arg;
    return slots_wait(s) < 0 ? -EIO : 0;
}

static int rest_and_leaving_make_room(void *arg)
{
    (void)arg;
    struct slots s;
    struct session x;
    slots_init(&s, 1);
    assert_int_equal(slots_take(&s), 0);
    start(&s, &x);
    for (int round = 0; round < 2; round++) {
        struct scope scope;
        scope_init(&scope);
        assert_int_equal(fiber_spawn(&scope, "waiter", waiter, &s, NULL), 0);
        spin();
        assert_int_equal(scope.n_children, 1);
        if (round == 0)
            slot_rest(&x.slot, true);
        else
            slot_give_up(&x.slot);
        assert_int_equal(scope_join(&scope), 0);
        assert_int_equal(scope.first_error, 0);
        scope_done(&scope);
        if (round == 0)
            slot_rest(&x.slot, false);
    }
    return 0;
}

ON_LOOP(a_free_slot_costs_nobody_his)
ON_LOOP(the_longest_at_rest_goes_first)
ON_LOOP(rest_and_leaving_make_room)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_free_slot_costs_nobody_his),
        CASE(the_longest_at_rest_goes_first),
        CASE(rest_and_leaving_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
