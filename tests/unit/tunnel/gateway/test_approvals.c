/* test_approvals.c - a call waits until it is decided, once, or nobody can decide it any more. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "io/loop.h"
#include "tunnel/gateway/approvals.h"

#include <stdio.h>
#include <string.h>

static struct approvals list;

struct held {
    struct approval a;
    enum approval_state end;
    bool over;
};

static int hold(void *arg)
{
    struct held *h = arg;
    h->end = approvals_wait(&list, &h->a, FIBER_NO_DEADLINE);
    h->over = true;
    return 0;
}

static void make(struct held *h, const char *route, const char *key, int64_t within_ms)
{
    *h = (struct held){.a = {.route = route, .rule = "tools.confirm: x"}};
    h->a.tool = mem_strdup("x");
    h->a.arguments = mem_strdup("{}");
    h->a.key = mem_strdup(key);
    h->a.until_ns = time_mono_ns() + within_ms * NS_PER_MS;
}

static int decided_once(void *arg)
{
    struct held h, other;
    struct err e = {0};
    (void)arg;
    AUTO(scope) s;
    scope_init(&s);
    make(&h, "r", "k", 60000);
    make(&other, "r", "k2", 60000);
    assert_int_equal(approvals_ask(&list, &h.a, &e), 0);
    assert_int_equal(approvals_ask(&list, &other.a, &e), 0);
    assert_true(id_is(h.a.id, "appr_"));
    assert_string_not_equal(h.a.id, other.a.id);
    assert_int_equal(approvals_count(&list), 2);
    assert_int_equal(fiber_spawn(&s, "h", hold, &h, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "o", hold, &other, NULL), 0);
    assert_int_equal(fiber_yield(), 0);
    assert_int_equal(approvals_decide(&list, "appr_01none", true, 7, NULL, &e), -ENOENT);
    assert_int_equal(approvals_decide(&list, h.a.id, true, 7, NULL, &e), 0);
    /* Before it has run: it is decided already. */
    assert_int_equal(approvals_decide(&list, h.a.id, false, 8, "late", &e), -ENOENT);
    approvals_take_back(&list, &h.a, "late");
    approvals_withdraw(&list, "k", "late");
    assert_int_equal(fiber_yield(), 0);
    assert_true(h.over);
    assert_false(other.over);
    assert_int_equal(h.end, APPROVAL_GIVEN);
    assert_int_equal(h.a.uid, 7);
    approvals_withdraw(&list, "k3", "of another");
    assert_int_equal(fiber_yield(), 0);
    assert_false(other.over);
    char reason[400];
    memset(reason, 'y', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    assert_int_equal(approvals_decide(&list, other.a.id, false, 9, reason, &e), 0);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(other.end, APPROVAL_DENIED);
    assert_true(strlen(other.a.reason) < APPROVAL_REASON_MAX);
    assert_int_equal(approvals_count(&list), 0);
    approval_done(&h.a);
    approval_done(&other.a);
    return 0;
}

static int ends_otherwise(void *arg)
{
    struct held h;
    struct err e = {0};
    (void)arg;
    make(&h, "r", "k", 20);
    assert_int_equal(approvals_ask(&list, &h.a, &e), 0);
    assert_int_equal(approvals_wait(&list, &h.a, FIBER_NO_DEADLINE), APPROVAL_EXPIRED);
    assert_int_equal(approvals_decide(&list, h.a.id, true, 7, NULL, &e), -ENOENT);
    approval_done(&h.a);
    make(&h, "r", "k", 60000);
    assert_int_equal(approvals_ask(&list, &h.a, &e), 0);
    for (int i = 0; i < 3; i++) /* a look at the clock changes nothing */
        assert_int_equal(approvals_wait(&list, &h.a, time_mono_ns() + NS_PER_MS), APPROVAL_WAITS);
    assert_int_equal(approvals_decide(&list, h.a.id, true, 7, NULL, &e), 0);
    assert_int_equal(approvals_wait(&list, &h.a, 0), APPROVAL_GIVEN);
    approval_done(&h.a);
    const char *keys[] = {"k", NULL};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        make(&h, "r", "k", 60000);
        assert_int_equal(approvals_ask(&list, &h.a, &e), 0);
        approvals_withdraw(&list, keys[i], "why");
        assert_int_equal(approvals_wait(&list, &h.a, FIBER_NO_DEADLINE), APPROVAL_WITHDRAWN);
        assert_string_equal(h.a.reason, "why");
        approval_done(&h.a);
    }
    AUTO(scope) s;
    scope_init(&s);
    make(&h, "r", "k", 60000);
    assert_int_equal(approvals_ask(&list, &h.a, &e), 0);
    assert_int_equal(fiber_spawn(&s, "h", hold, &h, NULL), 0);
    assert_int_equal(fiber_yield(), 0);
    scope_cancel(&s);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(h.end, APPROVAL_WITHDRAWN);
    assert_int_equal(approvals_count(&list), 0);
    approval_done(&h.a);
    return 0;
}

static int bounded(void *arg)
{
    static struct held all[APPROVALS_MAX + 1];
    char routes[APPROVALS_MAX / APPROVALS_ROUTE_MAX + 1][8];
    struct err e = {0};
    size_t n = 0;
    (void)arg;
    for (size_t r = 0; r < ARRAY_LEN(routes); r++) {
        (void)snprintf(routes[r], sizeof(routes[r]), "r%zu", r);
        for (size_t i = 0; i <= APPROVALS_ROUTE_MAX && n < ARRAY_LEN(all); i++) {
            make(&all[n], routes[r], "k", 60000);
            int got = approvals_ask(&list, &all[n].a, &e);
            const bool room = i < APPROVALS_ROUTE_MAX && r + 1 < ARRAY_LEN(routes);
            assert_int_equal(got, room ? 0 : -E_LIMIT);
            if (room)
                n++;
            else
                approval_done(&all[n].a);
        }
    }
    assert_int_equal(n, APPROVALS_MAX);
    AUTO_JSON json_t *j = approvals_json(&list);
    assert_int_equal(json_array_size(j), APPROVALS_MAX);
    approvals_withdraw(&list, NULL, "over");
    assert_int_equal(approvals_count(&list), 0);
    for (size_t i = 0; i < n; i++)
        approval_done(&all[i].a);
    return 0;
}

static void on_a_loop(fiber_fn *fn)
{
    approvals_init(&list);
    assert_int_equal(loop_init(), 0);
    assert_int_equal(loop_run(fn, NULL), 0);
    loop_done();
    approvals_done(&list);
}

static void case_decided_once(void **state)
{
    (void)state;
    on_a_loop(decided_once);
}
static void case_ends_otherwise(void **state)
{
    (void)state;
    on_a_loop(ends_otherwise);
}
static void case_bounded(void **state)
{
    (void)state;
    on_a_loop(bounded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(decided_once), CASE(ends_otherwise), CASE(bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
