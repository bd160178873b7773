/* test_ledger.c - what is remembered of calls, and for how long. */
#include "base/limits.h"
#include "base/str.h"
#include "worker/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static json_t *text(size_t n)
{
    AUTO_FREE char *s = mem_zalloc(n + 1);
    memset(s, 'x', n);
    return json_pack("[s]", s);
}

static bool take(struct ledger *l, const char *id)
{
    json_t *content = NULL;
    bool is_error;
    bool had = ledger_take(l, id, &content, &is_error);
    json_decref(content);
    return had;
}

static void a_result_waits_until_it_is_taken(void **state)
{
    (void)state;
    struct ledger l;
    ledger_init(&l);
    assert_false(take(&l, "a"));
    assert_int_equal(ledger_begin(&l, "a"), 1);
    assert_false(take(&l, "a")); /* begun, not finished */
    AUTO_JSON json_t *content = text(5);
    ledger_keep(&l, "a", content, true);
    json_t *got = NULL;
    bool is_error = false;
    assert_true(ledger_take(&l, "a", &got, &is_error));
    assert_true(is_error && json_equal(got, content));
    json_decref(got);
    assert_int_equal(l.bytes, 0);
    assert_false(take(&l, "a"));
    assert_int_equal(ledger_begin(&l, "a"), 2);
    ledger_keep(&l, "a", content, false);
    ledger_forget(&l, "a");
    assert_false(take(&l, "a"));
    assert_int_equal(ledger_begin(&l, "a"), 1);
    ledger_done(&l);
}

static void results_have_a_ceiling_and_the_oldest_go(void **state)
{
    (void)state;
    struct ledger l;
    ledger_init(&l);
    AUTO_JSON json_t *half = text(LIMIT_LEDGER_BYTES / 2 - 100);
    ledger_begin(&l, "a");
    ledger_keep(&l, "a", half, false);
    ledger_keep(&l, "b", half, false);
    ledger_keep(&l, "c", half, false);
    assert_true(l.bytes <= LIMIT_LEDGER_BYTES);
    assert_false(take(&l, "a"));
    assert_int_equal(ledger_begin(&l, "a"), 2); /* that it was begun is still known */
    assert_true(take(&l, "b") && take(&l, "c"));
    AUTO_JSON json_t *huge = text(LIMIT_LEDGER_BYTES);
    ledger_keep(&l, "d", half, false);
    ledger_keep(&l, "d", huge, false); /* too large by itself: the older one would be wrong */
    assert_false(take(&l, "d"));
    ledger_done(&l);
}

static void calls_have_a_ceiling_too(void **state)
{
    (void)state;
    struct ledger l;
    ledger_init(&l);
    char id[32];
    for (int i = 0; i < LIMIT_LEDGER_CALLS + 1; i++) {
        snprintf(id, sizeof(id), "call%d", i);
        ledger_begin(&l, id);
    }
    assert_int_equal(l.calls.n, LIMIT_LEDGER_CALLS);
    assert_int_equal(ledger_begin(&l, "call0"), 1); /* forgotten */
    assert_int_equal(ledger_begin(&l, id), 2);
    ledger_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_waits_until_it_is_taken),
        cmocka_unit_test(results_have_a_ceiling_and_the_oldest_go),
        cmocka_unit_test(calls_have_a_ceiling_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
