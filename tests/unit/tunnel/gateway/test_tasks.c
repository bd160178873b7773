/* test_tasks.c - which tasks are known, to whom, and for how long. */
#include "unit/unit.h"
#include "base/time.h"
#include "tunnel/gateway/tasks.h"

#include <stdio.h>
#include <string.h>

#define MS(n) ((n)*NS_PER_MS)

static bool put(struct tasks *t, const char *route, const char *id, const char *who, int64_t ttl_ms,
                int64_t now_ns)
{
    const struct task_made m = {.route = route,
                                .id = id,
                                .who = who,
                                .tool = "search",
                                .upstream = "10.0.0.7",
                                .ttl_ms = ttl_ms};
    return tasks_put(t, &m, now_ns);
}

static void one_is_its_callers(void **state)
{
    struct tasks t;
    (void)state;
    tasks_init(&t);
    assert_true(put(&t, "r", "a", "CN=ada", 1000, 0));
    const struct task *k = tasks_get(&t, "r", "a", 0);
    assert_non_null(k);
    assert_string_equal(k->tool, "search");
    assert_string_equal(k->upstream, "10.0.0.7");
    assert_true(task_is_of(k, "r", "CN=ada"));
    assert_false(task_is_of(k, "r", "CN=bob"));
    assert_false(task_is_of(k, "r", ""));
    assert_null(tasks_get(&t, "other", "a", 0));
    assert_null(tasks_get(&t, "r", "b", 0));
    assert_true(put(&t, "r", "a", "CN=bob", 1000, 0));
    assert_int_equal(tasks_count(&t), 1);
    assert_true(task_is_of(tasks_get(&t, "r", "a", 0), "r", "CN=bob"));
    tasks_done(&t);
}

static void its_time_begins_anew_with_each_use(void **state)
{
    struct tasks t;
    (void)state;
    tasks_init(&t);
    assert_true(put(&t, "r", "short", "", 1, 0)); /* the least */
    assert_true(put(&t, "r", "none", "", -1, 0));
    assert_non_null(tasks_use(&t, "r", "short", MS(TASK_TTL_LEAST - 1)));
    assert_non_null(tasks_use(&t, "r", "short", MS(2 * TASK_TTL_LEAST - 2)));
    assert_null(tasks_use(&t, "r", "short", MS(3 * TASK_TTL_LEAST)));
    assert_int_equal(tasks_count(&t), 1);
    assert_non_null(tasks_use(&t, "r", "none", MS(TASK_TTL_MOST - 1)));
    assert_null(tasks_get(&t, "r", "none", MS(2 * TASK_TTL_MOST)));
    tasks_done(&t);
}

/* A stranger who asks for it, and is refused, must not keep it alive. */
static void a_look_is_no_use(void **state)
{
    struct tasks t;
    (void)state;
    tasks_init(&t);
    assert_true(put(&t, "r", "a", "ada", 1, 0));
    assert_non_null(tasks_get(&t, "r", "a", MS(TASK_TTL_LEAST - 1)));
    assert_null(tasks_get(&t, "r", "a", MS(TASK_TTL_LEAST)));
    tasks_done(&t);
}

static void who_makes_many_loses_its_own(void **state)
{
    struct tasks t;
    char id[32], who[32];
    (void)state;
    tasks_init(&t);
    assert_true(put(&t, "r", "kept", "CN=ada", -1, 0));
    for (int i = 0; i <= TASKS_OWNER_MAX; i++) {
        (void)snprintf(id, sizeof(id), "m%d", i);
        assert_true(put(&t, "r", id, "CN=many", -1, i));
    }
    assert_int_equal(tasks_count(&t), TASKS_OWNER_MAX + 1);
    assert_null(tasks_get(&t, "r", "m0", 0));
    assert_non_null(tasks_get(&t, "r", "m1", 0));
    assert_non_null(tasks_get(&t, "r", "kept", 0));
    for (int i = 0; i < TASKS_MAX; i++) {
        (void)snprintf(who, sizeof(who), "CN=%d", i);
        (void)snprintf(id, sizeof(id), "n%d", i);
        assert_true(put(&t, "r", id, who, -1, 0));
    }
    assert_int_equal(tasks_count(&t), TASKS_MAX);
    tasks_done(&t);
}

static void what_does_not_fit_is_not_remembered(void **state)
{
    struct tasks t;
    char tool[TASK_TOOL + 1], id[2000];
    (void)state;
    tasks_init(&t);
    memset(tool, 'x', sizeof(tool) - 1);
    tool[sizeof(tool) - 1] = '\0';
    memset(id, 'y', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    const struct task_made m = {.route = "r", .id = "a", .who = "", .tool = tool, .upstream = ""};
    assert_false(tasks_put(&t, &m, 0));
    assert_true(put(&t, "r", id, "", -1, 0)); /* an id of any length */
    assert_non_null(tasks_get(&t, "r", id, 0));
    id[1500] = 'z';
    assert_null(tasks_get(&t, "r", id, 0));
    tasks_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_its_callers),
        cmocka_unit_test(its_time_begins_anew_with_each_use),
        cmocka_unit_test(a_look_is_no_use),
        cmocka_unit_test(who_makes_many_loses_its_own),
        cmocka_unit_test(what_does_not_fit_is_not_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
