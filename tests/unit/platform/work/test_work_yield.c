/* Which items may be taken back for calls that wait, in a real store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "platform/work/work_store.h"
#include "platform/work/work_yield.h"
#include "store/db.h"
#include "unit/store/scratch.h"

#define S   1000000LL
#define NOW (1800000000LL * S)

struct world {
    struct scratch dir;
    struct db *d;
    const char *sql;
    struct work_resting found[WORK_RESTING_MAX];
    size_t n, max;
};

static int sql_tx(struct tx *tx, void *arg)
{
    return tx_exec(tx, ((struct world *)arg)->sql, "");
}

static void sql(struct world *w, const char *text)
{
    w->sql = text;
    assert_int_equal(db_write(w->d, sql_tx, w), 0);
}

static int find_tx(struct tx *tx, void *arg)
{
    struct world *w = arg;
    struct work_time t = {.wall_us = NOW, .lease_us = NOW};
    return work_resting_tx(tx, "env_1", &t, w->max, w->found, &w->n);
}

static void begin(struct world *w)
{
    *w = (struct world){.max = WORK_RESTING_MAX};
    scratch_init(&w->dir);
    assert_int_equal(db_open(w->dir.dir, &w->d, NULL), 0);
    sql(w, "INSERT INTO sessions (id, thread_id, agent_id, agent_version, environment_id, status, "
           "metadata, agent, usage, next_seq, last_stamp, active_us, wake, created_at, updated_at)"
           " VALUES ('sesn_1', 'sthr_1', 'a', 1, 'env_1', 'idle', '{}', '{}', '{}', 9, "
           "1799999999999999, 0, 0, 1, 1)");
    sql(w, "INSERT INTO work (id, environment_id, session_id, state, metadata, created_at, "
           "queued_at, acknowledged_at, ttl_seconds, holder) VALUES ('work_1', 'env_1', 'sesn_1', "
           "'active', '{}', 1, 1, 1000, 90, 2)");
}

static void end(struct world *w)
{
    db_close(w->d);
    scratch_done(&w->dir);
}

#define CALL(kind, permission, decision)                                                           \
    "INSERT INTO calls (id, session_id, seq, kind, name, permission, decision) VALUES"             \
    " ('c', 'sesn_1', 1, '" kind "', 'bash', '" permission "', " decision ")"
#define AGO(status, seconds)                                                                       \
    "UPDATE sessions SET status = '" status "', last_stamp = 1800000000000000 - " seconds
#define KEEPS "UPDATE work SET holder = 3"
#define RAN                                                                                        \
    "INSERT INTO events (session_id, seq, id, type, processed_at, body)"                           \
    " VALUES ('sesn_1', 8, 'r', 'user.tool_result', 2000, '{}')"

static void only_what_nobody_runs_is_taken_back(void **state)
{
    (void)state;
    const struct {
        const char *sql[3];
        bool may;
    } t[] = {
        {{NULL}, true}, /* idle, a microsecond ago */
        {{"UPDATE work SET state = 'starting'"}, false},
        {{"UPDATE work SET state = 'stopping'"}, false},
        {{"UPDATE work SET environment_id = 'env_2'"}, false},
        {{CALL("builtin", "allow", "NULL")}, false},
        {{CALL("builtin", "ask", "'allow'")}, false},
        {{CALL("builtin", "ask", "NULL")}, true}, /* a person is asked */
        {{CALL("builtin", "ask", "'deny'")}, true},
        {{CALL("builtin", "allow", "NULL"), "UPDATE calls SET answered_by = 'r'"}, true},
        /* a custom tool: may run for so long, if a worker serves it at all */
        {{CALL("custom", "allow", "NULL"), AGO("idle", "149000000")}, false},
        {{CALL("custom", "allow", "NULL"), AGO("idle", "151000000")}, true},
        {{CALL("custom", "allow", "NULL"), AGO("idle", "151000000"), KEEPS}, false},
        /* the model thinks */
        {{AGO("running", "40000")}, false},
        {{AGO("running", "300000")}, true},
        {{AGO("rescheduling", "300000")}, true},
        {{AGO("running", "9000000"), RAN}, false}, /* a shell would be lost */
        {{AGO("running", "11000000"), RAN}, true},
        {{AGO("running", "300000"), RAN, KEEPS}, true},
        {{AGO("running", "300000"), RAN, "UPDATE events SET processed_at = 999"}, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        static struct world w; /* too large for a frame */
        begin(&w);
        for (size_t k = 0; k < 3 && t[i].sql[k]; k++)
            sql(&w, t[i].sql[k]);
        assert_int_equal(db_read(w.d, find_tx, &w), 0);
        if (w.n != t[i].may)
            fail_msg("row %zu: %zu found", i, w.n);
        if (w.n > 0) {
            assert_string_equal(w.found[0].work_id, "work_1");
            assert_string_equal(w.found[0].session_id, "sesn_1");
        }
        end(&w);
    }
}

static void the_longest_at_rest_come_first_then_those_that_think(void **state)
{
    (void)state;
    static struct world w; /* too large for a frame */
    begin(&w);
    for (int i = 2; i <= 4; i++) {
        AUTO_FREE char *session = mem_printf(
            "INSERT INTO sessions SELECT 'sesn_%d', 'sthr_%d', agent_id, agent_version, "
            "environment_id, '%s', stop_reason, title, metadata, agent, usage, next_seq, %lld, "
            "active_us, running_since, wake, created_at, updated_at, archived_at FROM sessions"
            " WHERE id = 'sesn_1'",
            i, i, i == 4 ? "running" : "idle", (long long)(NOW - i * S));
        AUTO_FREE char *work = mem_printf(
            "INSERT INTO work (id, environment_id, session_id, state, metadata, created_at, "
            "queued_at, ttl_seconds) VALUES ('work_%d', 'env_1', 'sesn_%d', 'active', '{}', 1, 1, "
            "90)",
            i, i);
        sql(&w, session);
        sql(&w, work);
    }
    const char *want[] = {"work_3", "work_2", "work_1", "work_4"};
    assert_int_equal(db_read(w.d, find_tx, &w), 0);
    assert_int_equal(w.n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(w.found[i].work_id, want[i]);
    w.max = 2;
    assert_int_equal(db_read(w.d, find_tx, &w), 0);
    assert_int_equal(w.n, 2);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_nobody_runs_is_taken_back),
        cmocka_unit_test(the_longest_at_rest_come_first_then_those_that_think),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
