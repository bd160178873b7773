/* Work items in a real store: taking, ending, and what the session's log says about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "platform/platform.h"
#include "platform/work/work_clock.h"
#include "platform/work/work_reaper.h"
#include "platform/work/work_store.h"
#include "store/db.h"
#include "unit/store/scratch.h"
#include "platform/api/state.h"
#include "session/refusal.h"

#define S  1000000LL
#define T0 (1800000000LL * S)

struct world {
    struct scratch dir;
    struct db *d;
    struct work_time t;
    struct log_batch batch;
    int (*step)(struct tx *tx, struct world *w); /* what the next transaction does */
    const char *sql;                             /* or just this */
    struct work_item item;
    int taken;
    int64_t next, number;
};

static int run_tx(struct tx *tx, void *arg)
{
    struct world *w = arg;
    if (w->sql)
        return tx_exec(tx, w->sql, "");
    return w->step(tx, w);
}

static void sql(struct world *w, const char *text)
{
    w->sql = text;
    assert_int_equal(db_write(w->d, run_tx, w), 0);
    w->sql = NULL;
}

static int tell(struct world *w, int (*step)(struct tx *, struct world *))
{
    w->step = step;
    return db_write(w->d, run_tx, w);
}

static int number_step(struct tx *tx, void *arg)
{
    struct world *w = arg;
    struct stmt *s = tx_prepare(tx, w->sql);
    int r = stmt_step(s);
    w->number = r > 0 ? stmt_int(s, 0) : -1;
    return r < 0 ? r : 0;
}

static int64_t number(struct world *w, const char *text)
{
    w->sql = text;
    assert_int_equal(db_read(w->d, number_step, w), 0);
    w->sql = NULL;
    return w->number;
}

static void begin(struct world *w)
{
    *w = (struct world){.t = {.wall_us = T0, .lease_us = T0}};
    scratch_init(&w->dir);
    assert_int_equal(db_open(w->dir.dir, &w->d, NULL), 0);
    log_batch_init(&w->batch, "sesn_1");
    sql(w, "INSERT INTO environments (id, type, body, created_at, updated_at)"
           " VALUES ('env_1', 'self_hosted', '{}', 1, 1), ('env_2', 'self_hosted', '{}', 1, 1)");
    sql(w, "INSERT INTO sessions (id, thread_id, agent_id, agent_version, environment_id, status, "
           "stop_reason, metadata,"
           " agent, usage, next_seq, last_stamp, active_us, wake, created_at, updated_at) VALUES"
           " ('sesn_1', 'sthr_1', 'agent_1', 1, 'env_1', 'idle', NULL, '{}', '{}', '{}', 1, 1, 0, "
           "0, 1, 1),"
           " ('sesn_2', 'sthr_2', 'agent_1', 1, 'env_1', 'idle', NULL, '{}', '{}', '{}', 1, 1, 0, "
           "0, 1, 1)");
    sql(w,
        "INSERT INTO work (id, environment_id, session_id, state, metadata, created_at, queued_at, "
        "ttl_seconds) VALUES"
        " ('work_1', 'env_1', 'sesn_1', 'queued', '{}', 1800000000000000, 1800000000000000, 90),"
        " ('work_2', 'env_1', 'sesn_2', 'queued', '{}', 1800000000000001, 1800000000000001, 90)");
}

static void end(struct world *w)
{
    work_item_done(&w->item);
    log_batch_done(&w->batch);
    db_close(w->d);
    scratch_done(&w->dir);
}

/* ---- taking ---- */

static int claim_from(struct tx *tx, struct world *w, const char *env, int64_t reclaim_us)
{
    char hash[32];
    snprintf(hash, sizeof(hash), "hash%lld", (long long)w->number++);
    struct work_claim c = {.environment_id = env,
                           .now = w->t.lease_us,
                           .reclaim_us = reclaim_us,
                           .ttl_seconds = 90,
                           .token_hash = hash,
                           .claimed_by = "envkey_1"};
    work_item_done(&w->item);
    w->taken = work_claim_tx(tx, &c, &w->item);
    return w->taken < 0 ? w->taken : 0;
}

static int claim(struct tx *tx, struct world *w)
{
    return claim_from(tx, w, "env_1", 5 * S);
}

static int claim_elsewhere(struct tx *tx, struct world *w)
{
    return claim_from(tx, w, "env_2", 5 * S);
}

static int peek(struct tx *tx, struct world *w)
{
    w->taken = work_peek_tx(tx, "env_1", w->t.lease_us, 5 * S, &w->next);
    return w->taken < 0 ? w->taken : 0;
}

static void items_are_taken_once_oldest_first(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    assert_int_equal(tell(&w, claim_elsewhere), 0);
    assert_int_equal(w.taken, 0);
    assert_int_equal(tell(&w, peek), 0);
    assert_int_equal(w.taken, 1);
    const char *want[] = {"work_1", "work_2"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tell(&w, claim), 0);
        assert_int_equal(w.taken, 1);
        assert_string_equal(w.item.id, want[i]);
        assert_string_equal(w.item.state, "queued");
    }
    assert_int_equal(tell(&w, claim), 0);
    assert_int_equal(w.taken, 0);
    assert_int_equal(tell(&w, peek), 0);
    assert_int_equal(w.taken, 0);
    /* When the first claim lapses: a poll sleeps until exactly then. */
    assert_true(w.next == T0 + 5 * S);

    /* One microsecond before it lapses nobody gets it, then the next one does, and the old token is
     * void. */
    w.t.lease_us = T0 + 5 * S - 1;
    assert_int_equal(tell(&w, claim), 0);
    assert_int_equal(w.taken, 0);
    int64_t before = number(&w, "SELECT COUNT(*) FROM work WHERE token_hash IS NOT NULL");
    assert_int_equal(before, 2);
    w.number = 100;
    w.t.lease_us++;
    assert_int_equal(tell(&w, claim), 0);
    assert_int_equal(w.taken, 1);
    assert_string_equal(w.item.id, "work_1");
    assert_int_equal(
        number(&w, "SELECT COUNT(*) FROM work WHERE id = 'work_1' AND token_hash = 'hash100'"), 1);
    end(&w);
}

static void open_calls_are_taken_before_sessions_that_ask_for_nothing(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    sql(&w, "UPDATE work SET rank = 0 WHERE id = 'work_2'"); /* the younger one */
    const char *want[] = {"work_2", "work_1"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tell(&w, claim), 0);
        assert_int_equal(w.taken, 1);
        assert_string_equal(w.item.id, want[i]);
    }
    end(&w);
}

/* ---- ending ---- */

static int load_1(struct tx *tx, struct world *w)
{
    work_item_done(&w->item);
    return work_load_tx(tx, "env_1", "work_1", &w->item);
}

/* Claims, acknowledges and beats once. */
static int serve(struct tx *tx, struct world *w)
{
    struct refusal r = {0};
    bool extended;
    int e = claim(tx, w);
    if (e == 0)
        e = work_rule_ack(&w->item, &w->t, &r);
    if (e == 0)
        e = work_rule_heartbeat(&w->item, &w->t, &(struct work_beat){.expected = "NO_HEARTBEAT"},
                                &extended, &r);
    return e < 0 ? e : work_store_tx(tx, &w->item);
}

static int stop(struct tx *tx, struct world *w)
{
    struct refusal r = {0};
    log_batch_reset(&w->batch);
    int e = work_rule_stop(&w->item, &w->t, true, &r);
    if (e == 0)
        e = work_store_tx(tx, &w->item);
    return e < 0 ? e : work_requeue_tx(tx, &w->item, &w->batch, &w->t);
}

static const char *last_error(struct world *w)
{
    size_t n = json_array_size(w->batch.events);
    if (n == 0)
        return "";
    const json_t *e = json_object_get(json_array_get(w->batch.events, n - 1), "error");
    assert_string_equal(json_get_str(json_object_get(e, "retry_status"), "type"), "retrying");
    return json_get_str(e, "type");
}

#define CALL(permission, decision, kind, answered)                                                 \
    "INSERT INTO calls (id, session_id, seq, kind, name, permission, decision, answered_by) "      \
    "VALUES"                                                                                       \
    " ('sevt_c', 'sesn_1', 1, '" kind "', 'bash', '" permission "', " decision ", " answered ")"

static void only_unfinished_work_is_offered_again(void **state)
{
    (void)state;
    const struct {
        const char *call;
        bool again;
    } t[] = {
        {NULL, false}, /* a worker that left after an idle minute */
        {CALL("allow", "NULL", "builtin", "NULL"), true},
        {CALL("ask", "'allow'", "builtin", "NULL"), true},
        {CALL("ask", "NULL", "builtin", "NULL"), false}, /* waits for a person */
        {CALL("ask", "'deny'", "builtin", "NULL"), false},
        {CALL("deny", "NULL", "builtin", "NULL"), false},
        {CALL("allow", "NULL", "custom", "NULL"), false},      /* waits for a client */
        {CALL("allow", "NULL", "builtin", "'sevt_r'"), false}, /* has its result */
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct world w;
        begin(&w);
        if (t[i].call)
            sql(&w, t[i].call);
        assert_int_equal(tell(&w, serve), 0);
        assert_int_equal(tell(&w, stop), 0);
        assert_string_equal(last_error(&w), t[i].again ? "sallyport_work_requeued" : "");
        assert_int_equal(w.batch.work_ready, t[i].again);
        assert_int_equal(
            number(&w,
                   "SELECT COUNT(*) FROM work WHERE session_id = 'sesn_1' AND state = 'queued'"),
            t[i].again);
        assert_int_equal(
            number(&w, "SELECT COUNT(*) FROM work WHERE id = 'work_1' AND state = 'stopped'"
                       " AND token_hash IS NULL AND lease_expires_at IS NULL"),
            1);
        end(&w);
    }
}

static int stop_at_rest(struct tx *tx, struct world *w)
{
    w->item.unbegun = true;
    return stop(tx, w);
}

/* A call that came while its worker left a session at rest: offered again, without a word. */
static void a_call_that_crosses_a_leave_is_offered_silently(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    sql(&w, CALL("allow", "NULL", "builtin", "NULL"));
    assert_int_equal(tell(&w, serve), 0);
    assert_int_equal(tell(&w, stop_at_rest), 0);
    assert_string_equal(last_error(&w), "");
    assert_true(w.batch.work_ready);
    assert_int_equal(number(&w, "SELECT COUNT(*) FROM work WHERE session_id = 'sesn_1' AND state = "
                                "'queued' AND rank = 0 AND requeues = 0"),
                     1);
    end(&w);
}

static int stop_again(struct tx *tx, struct world *w)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT " WORK_COLUMNS
                       " FROM work WHERE session_id = 'sesn_1' AND state <> 'stopped'");
    int r = stmt_step(s);
    assert_int_equal(r, 1);
    work_item_done(&w->item);
    r = work_read(s, &w->item);
    stmt_reset(s);
    return r < 0 ? r : stop(tx, w);
}

static void a_worker_that_always_fails_is_held_back(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    sql(&w, "UPDATE work SET state = 'stopped' WHERE id = 'work_2'");
    sql(&w, CALL("allow", "NULL", "builtin", "NULL"));
    const int64_t wait_s[] = {0, 2, 4, 8, 16, 32, 60, 60};
    for (size_t i = 0; i < ARRAY_LEN(wait_s); i++) {
        assert_int_equal(tell(&w, stop_again), 0);
        assert_string_equal(last_error(&w), "sallyport_work_requeued");
        assert_int_equal(tell(&w, peek), 0);
        assert_int_equal(w.taken, wait_s[i] == 0);
        if (wait_s[i] > 0) {
            assert_true(w.next == w.t.lease_us + wait_s[i] * S);
            w.t.lease_us = w.next;
            assert_int_equal(tell(&w, peek), 0);
            assert_int_equal(w.taken, 1);
        }
    }
    /* An answer since then is progress: offered at once. */
    sql(&w, "INSERT INTO events (session_id, seq, id, type, processed_at, body)"
            " VALUES ('sesn_1', 1000, 'sevt_r', 'user.tool_result', 9000000000000000, '{}')");
    assert_int_equal(tell(&w, stop_again), 0);
    assert_int_equal(tell(&w, peek), 0);
    assert_int_equal(w.taken, 1);
    end(&w);
}

static int expire(struct tx *tx, struct world *w)
{
    log_batch_reset(&w->batch);
    int r = load_1(tx, w);
    return r < 0 ? r : work_expire_tx(tx, &w->item, &w->batch, &w->t);
}

/* Ids in the last event's error.event_ids, or -1 without one. */
static int last_named(struct world *w)
{
    size_t n = json_array_size(w->batch.events);
    const json_t *ids =
        n ? json_object_get(json_object_get(json_array_get(w->batch.events, n - 1), "error"),
                            "event_ids")
          : NULL;
    return ids ? (int)json_array_size(ids) : -1;
}

/* With calls open the session is offered again and the log says which calls may have run; without
 * any, nothing is left behind: no event, no item (E1). */
static void an_expired_lease_offers_open_calls_and_nothing_else(void **state)
{
    (void)state;
#define OPEN CALL("allow", "NULL", "builtin", "NULL")
    const struct {
        const char *call, *before, *state, *error;
        int64_t live; /* items of the session that are not stopped */
        int named;
    } t[] = {
        {OPEN, NULL, "queued", "sallyport_lease_expired", 1, 1},
        {CALL("allow", "NULL", "custom", "NULL"), NULL, "queued", "sallyport_lease_expired", 1, 1},
        {CALL("ask", "'allow'", "builtin", "NULL"), NULL, "queued", "sallyport_lease_expired", 1,
         1},
        /* its worker never had the lease, so it has run nothing */
        {OPEN, "UPDATE work SET state = 'starting', started_at = NULL WHERE id = 'work_1'",
         "queued", "sallyport_lease_expired", 1, -1},
        {NULL, NULL, "queued", "", 1, -1}, /* nothing has happened in it yet */
        {NULL, "UPDATE sessions SET next_seq = 9", "stopped", "", 0, -1},
        {CALL("ask", "NULL", "builtin", "NULL"), "UPDATE sessions SET next_seq = 9", "stopped", "",
         0, -1},
        {CALL("allow", "NULL", "builtin", "'sevt_r'"), "UPDATE sessions SET next_seq = 9",
         "stopped", "", 0, -1},
        {NULL, "UPDATE sessions SET status = 'running', next_seq = 9", "stopped", "", 0, -1},
        {NULL, "UPDATE work SET state = 'stopping' WHERE id = 'work_1'", "stopped", "", 0, -1},
        {OPEN, "UPDATE sessions SET status = 'terminated'", "stopped", "", 0, -1},
        {OPEN, "UPDATE sessions SET archived_at = 5", "stopped", "", 0, -1},
        {OPEN, "DELETE FROM sessions", "stopped", "", 0, -1},
        /* must not hold up the leases of others */
        {OPEN, "UPDATE sessions SET agent = 'no json'", "stopped", "", 0, -1},
    };
#undef OPEN
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct world w;
        begin(&w);
        const bool deleted = t[i].before && str_starts(t[i].before, "DELETE FROM sessions");
        assert_int_equal(tell(&w, serve), 0);
        assert_true(w.item.lease_expires_at == T0 + 90 * S);
        if (t[i].call)
            sql(&w, t[i].call);
        if (t[i].before)
            sql(&w, t[i].before);
        assert_int_equal(tell(&w, expire), 0);
        assert_string_equal(w.item.state, t[i].state);
        assert_string_equal(last_error(&w), t[i].error);
        assert_int_equal(last_named(&w), t[i].named);
        assert_int_equal(
            number(&w,
                   "SELECT COUNT(*) FROM work WHERE session_id = 'sesn_1' AND state <> 'stopped'"),
            t[i].live);
        assert_int_equal(
            number(&w,
                   "SELECT COUNT(*) FROM work WHERE id = 'work_1' AND token_hash IS NULL"
                   " AND lease_expires_at IS NULL AND (state = 'stopped' OR claimed_at IS NULL)"),
            !deleted); /* the item of a deleted session goes with its end */
        end(&w);
    }
}

static void stopping_with_a_dead_worker_and_open_calls_is_offered_again(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    sql(&w, CALL("allow", "NULL", "builtin", "NULL"));
    assert_int_equal(tell(&w, serve), 0);
    sql(&w, "UPDATE work SET state = 'stopping' WHERE id = 'work_1'");
    assert_int_equal(tell(&w, expire), 0);
    assert_string_equal(w.item.state, "stopped");
    assert_string_equal(last_error(&w), "sallyport_work_requeued");
    assert_int_equal(
        number(&w, "SELECT COUNT(*) FROM work WHERE session_id = 'sesn_1' AND state = 'queued'"
                   " AND id <> 'work_1'"),
        1);
    end(&w);
}

static int drop_key(struct tx *tx, struct world *w)
{
    return work_drop_key_tx(tx, "envkey_1", w->t.lease_us);
}

static int drop_other_key(struct tx *tx, struct world *w)
{
    return work_drop_key_tx(tx, "envkey_2", w->t.lease_us);
}

static void a_revoked_key_takes_its_claims_and_leases_along(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    assert_int_equal(tell(&w, serve), 0); /* work_1 is active */
    assert_int_equal(tell(&w, claim), 0); /* work_2 is claimed */
    assert_int_equal(tell(&w, drop_other_key), 0);
    assert_int_equal(number(&w, "SELECT COUNT(*) FROM work WHERE token_hash IS NOT NULL"), 2);
    assert_int_equal(tell(&w, drop_key), 0);
    assert_int_equal(number(&w, "SELECT COUNT(*) FROM work WHERE token_hash IS NOT NULL"), 0);
    assert_int_equal(number(&w, "SELECT COUNT(*) FROM work WHERE id = 'work_1' AND "
                                "lease_expires_at = 1800000000000000"),
                     1);
    assert_int_equal(tell(&w, peek), 0);
    assert_int_equal(w.taken, 1); /* work_2 can be taken by another worker now */
    end(&w);
}

static void a_restart_gives_every_worker_a_whole_lease(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    sql(&w, "UPDATE work SET state = 'active', ttl_seconds = 40, lease_expires_at = 5 WHERE id = "
            "'work_1'");
    /* Claimed and held back by a clock that was far ahead. */
    sql(&w, "UPDATE work SET requeues = 3, claimed_at = 9000000000000000, queued_at = "
            "9000000000000000 WHERE id = 'work_2'");
    struct platform p = {.log.db = w.d};
    struct err e = {0};
    int64_t before = work_now_us(&p);
    assert_int_equal(work_start(&p, &e), 0);
    int64_t after = work_now_us(&p);
    int64_t lease = number(&w, "SELECT lease_expires_at FROM work WHERE id = 'work_1'");
    assert_true(lease >= before + 40 * S && lease <= after + 40 * S);
    int64_t claimed = number(&w, "SELECT claimed_at FROM work WHERE id = 'work_2'");
    assert_true(claimed >= before && claimed <= after);
    assert_true(number(&w, "SELECT queued_at FROM work WHERE id = 'work_2'") <= after);
    platform_done(&p);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_taken_once_oldest_first),
        cmocka_unit_test(open_calls_are_taken_before_sessions_that_ask_for_nothing),
        cmocka_unit_test(only_unfinished_work_is_offered_again),
        cmocka_unit_test(a_call_that_crosses_a_leave_is_offered_silently),
        cmocka_unit_test(a_worker_that_always_fails_is_held_back),
        cmocka_unit_test(an_expired_lease_offers_open_calls_and_nothing_else),
        cmocka_unit_test(stopping_with_a_dead_worker_and_open_calls_is_offered_again),
        cmocka_unit_test(a_revoked_key_takes_its_claims_and_leases_along),
        cmocka_unit_test(a_restart_gives_every_worker_a_whole_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
