/* test_accept.c - what each input does in each state of a session: state + input -> events, status,
 * inbox, refusal. Runs over a real store, without a brain. */
#include "unit/brain/world.h"

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"

enum state { FRESH, RUNNING, PARKED, RESCHEDULING, DONE, TERMINATED, ARCHIVED };

/* PARKED has four calls: $bash (allowed), $edit (asked), $lookup (custom), $write (asked and
 * already allowed). */
static char call_ids[4][64];
static const char *const call_names[4] = {"bash", "edit", "lookup", "write"};

static int make_calls(struct tx *tx, struct log_session *s, struct log_batch *b)
{
    static const char *const permissions[4] = {"allow", "ask", "allow", "ask"};
    for (int i = 0; i < 4; i++) {
        bool custom = i == 2;
        int r = log_append_tx(tx, s, b, custom ? "agent.custom_tool_use" : "agent.tool_use", NULL,
                              J("{'name':'x','input':{}}"), NULL, call_ids[i]);
        if (r == 0)
            r = log_call_tx(tx, s, call_ids[i], custom ? "custom" : "builtin", call_names[i],
                            permissions[i], NULL);
        if (r < 0)
            return r;
    }
    int r = tx_exec(tx, "UPDATE calls SET decision = 'allow' WHERE id = $1", "t", call_ids[3]);
    return r < 0 ? r : log_settle_tx(tx, s, b);
}

static int enter(struct tx *tx, struct log_session *s, struct log_batch *b, enum state state)
{
    int r = state == FRESH ? 0 : log_running_tx(tx, s, b);
    if (r < 0)
        return r;
    switch (state) {
    case FRESH:
    case RUNNING:
        return 0;
    case PARKED:
        return make_calls(tx, s, b);
    case RESCHEDULING:
        return log_rescheduled_tx(tx, s, b);
    case DONE:
    case ARCHIVED:
        r = log_idle_tx(tx, s, b, J("{'type':'end_turn'}"));
        if (r == 0 && state == ARCHIVED)
            r = tx_exec(tx, "UPDATE sessions SET archived_at = 5 WHERE id = $1", "t", s->id);
        return r;
    case TERMINATED:
        return log_terminated_tx(tx, s, b);
    }
    return -EINVAL;
}

struct prepare {
    enum state state;
    struct log_batch batch;
};

static int prepare_tx(struct tx *tx, void *arg)
{
    struct prepare *q = arg;
    AUTO(log_session) s = {0};
    int r = log_session_load_tx(tx, SESSION, &s);
    if (r == 0)
        r = enter(tx, &s, &q->batch, q->state);
    if (r == 0)
        r = log_session_store_tx(tx, &s);
    return r < 0 ? r : tx_exec(tx, "DELETE FROM work", "");
}

#define MSG        "{'type':'user.message','content':[{'type':'text','text':'m'}]}"
#define INT        "{'type':'user.interrupt'}"
#define RES(c)     "{'type':'user.tool_result','tool_use_id':'$" c "'}"
#define CUS(c)     "{'type':'user.custom_tool_result','custom_tool_use_id':'$" c "'}"
#define YES(c)     "{'type':'user.tool_confirmation','tool_use_id':'$" c "','result':'allow'}"
#define NAY(c)     "{'type':'user.tool_confirmation','tool_use_id':'$" c "','result':'deny'}"
#define IDLE(what) "t-idle usage idle:" what
#define RUN        "running t-running"

static const struct {
    enum state state;
    const char *input;
    const char *words;   /* events appended; NULL: refused */
    const char *refusal; /* part of the message */
    const char *status;
    int inbox;
    bool work; /* a work item is queued (self_hosted) */
} table[] = {
    {FRESH, MSG, RUN, NULL, "running", 1, true},
    {FRESH, MSG "," MSG, RUN, NULL, "running", 2, true},
    {FRESH, INT, "interrupt", NULL, "idle", 0, true},
    {FRESH, INT "," MSG, "interrupt " RUN, NULL, "running", 1, true},
    {FRESH, RES("bash"), NULL, "events.0: tool_use_id: no tool call", NULL, 0, false},
    {FRESH, "{'type':'user.define_outcome'}", NULL, "not built yet", NULL, 0, false},
    {DONE, MSG, RUN, NULL, "running", 1, true},
    {RUNNING, MSG, "", NULL, "running", 1, true},
    {RUNNING, INT, "", NULL, "running", 1, true},
    {RUNNING, INT "," MSG, "", NULL, "running", 2, true},
    {RESCHEDULING, MSG, "", NULL, "rescheduling", 1, true},
    {RESCHEDULING, INT, "", NULL, "rescheduling", 1, true},
    {TERMINATED, MSG, NULL, "is terminated", NULL, 0, false},
    {TERMINATED, INT, NULL, "is terminated", NULL, 0, false},
    {ARCHIVED, MSG, NULL, "is archived", NULL, 0, false},
    {ARCHIVED, INT, NULL, "is archived", NULL, 0, false},
    {PARKED, MSG, NULL, "waits for the results or confirmations", NULL, 0, false},
    {PARKED, RES("bash"), "u-result " IDLE("requires_action3"), NULL, "idle", 0, true},
    {PARKED, RES("bash") "," RES("bash"), NULL,
     "events.1: tool_use_id: call $bash already has its result", NULL, 0, false},
    {PARKED, RES("write"), "u-result " IDLE("requires_action3"), NULL, "idle", 0, true},
    {PARKED, RES("edit"), NULL, "waits for a user.tool_confirmation first", NULL, 0, false},
    {PARKED, RES("lookup"), NULL, "no tool call", NULL, 0, false},
    {PARKED, CUS("bash"), NULL, "no custom tool call", NULL, 0, false},
    {PARKED, CUS("lookup"), "u-custom " IDLE("requires_action3"), NULL, "idle", 0, true},
    {PARKED, YES("bash"), NULL, "does not ask for a confirmation", NULL, 0, false},
    {PARKED, YES("lookup"), NULL, "does not ask for a confirmation", NULL, 0, false},
    {PARKED, YES("edit"), "confirms " IDLE("requires_action4"), NULL, "idle", 0, true},
    {PARKED, YES("write"), NULL, "has ended and waits for no confirmation", NULL, 0, false},
    {PARKED, YES("edit") "," YES("edit") "," NAY("edit"), "confirms " IDLE("requires_action4"),
     NULL, "idle", 0, true},
    {PARKED, NAY("edit") "," YES("edit"), "confirms " IDLE("requires_action3"), NULL, "idle", 0,
     true},
    {PARKED, YES("edit") "," INT "," NAY("edit"),
     "confirms " IDLE("requires_action4") " interrupt result result result result " IDLE(
         "end_turn"),
     NULL, "idle", 0, true},
    {PARKED, INT "," YES("edit"), NULL, "events.1: tool_use_id: call $edit has ended", NULL, 0,
     false},
    {PARKED, NAY("edit"), "confirms " IDLE("requires_action3"), NULL, "idle", 0, true},
    {PARKED, NAY("edit") "," RES("edit"), NULL, "events.1: tool_use_id: call $edit was denied",
     NULL, 0, false},
    {PARKED, YES("edit") "," RES("edit"), "confirms u-result " IDLE("requires_action3"), NULL,
     "idle", 0, true},
    {PARKED, NAY("edit") "," RES("bash") "," CUS("lookup") "," RES("write"),
     "confirms u-result u-custom u-result " RUN " result", NULL, "running", 0, true},
    {PARKED, YES("edit") "," RES("edit") "," RES("bash") "," CUS("lookup") "," RES("write") "," MSG,
     "confirms u-result u-result u-custom u-result " RUN, NULL, "running", 1, true},
    {PARKED, RES("bash") "," MSG, NULL, "events.1: session", NULL, 0, false},
    {PARKED, INT, "interrupt result result result result " IDLE("end_turn"), NULL, "idle", 0, true},
    {PARKED, RES("bash") "," INT,
     "u-result " IDLE("requires_action3") " interrupt result result result " IDLE("end_turn"), NULL,
     "idle", 0, true},
    {PARKED, INT "," MSG, "interrupt result result result result " IDLE("end_turn") " " RUN, NULL,
     "running", 1, true},
    {PARKED, INT "," RES("bash"), NULL, "events.1: tool_use_id: call $bash already has its result",
     NULL, 0, false},
    {PARKED, "{'type':'user.interrupt','session_thread_id':'sthr_other'}", NULL,
     "no thread sthr_other", NULL, 0, false},
};

/* $name -> the call's id */
static char *named(const char *text)
{
    struct buf b = BUF_INIT(65536);
    for (const char *p = text; *p;) {
        size_t i = 0;
        for (; *p == '$' && i < 4; i++)
            if (str_starts(p + 1, call_names[i]))
                break;
        if (*p != '$' || i == 4) {
            buf_addc(&b, *p++);
            continue;
        }
        buf_adds(&b, call_ids[i]);
        p += 1 + strlen(call_names[i]);
    }
    return buf_take(&b, NULL);
}

static void check_row(struct world *w, size_t row)
{
    struct prepare q = {.state = table[row].state};
    log_batch_init(&q.batch, SESSION);
    assert_int_equal(db_write(w->log.db, prepare_tx, &q), 0);
    log_batch_done(&q.batch);
    AUTO_JSON json_t *before = world_log(w);

    AUTO_FREE char *list = mem_printf("[%s]", table[row].input);
    AUTO_FREE char *input = named(list);
    char why[600] = "";
    AUTO_JSON json_t *echo = world_post(w, input, why);
    AUTO_JSON json_t *after = world_log(w);
    size_t old = json_array_size(before);
    if (!table[row].words) {
        AUTO_FREE char *want = named(table[row].refusal);
        if (echo || !strstr(why, want))
            fail_msg("row %zu: '%s' instead of '%s'", row, echo ? "accepted" : why, want);
        assert_true(json_equal(before, after)); /* nothing of a refused request stays */
        return;
    }
    if (!echo)
        fail_msg("row %zu: refused: %s", row, why);
    AUTO_JSON json_t *added = json_array();
    for (size_t i = old; i < json_array_size(after); i++)
        json_array_append(added, json_array_get(after, i));
    AUTO_FREE char *words = world_words(added);
    if (!str_eq(words, table[row].words))
        fail_msg("row %zu: '%s' instead of '%s'", row, words, table[row].words);
    assert_int_equal(world_sql(w, "SELECT COUNT(*) FROM inbox WHERE session_id = $1", SESSION),
                     table[row].inbox);
    assert_int_equal(world_sql(w, "SELECT COUNT(*) FROM work WHERE session_id = $1", SESSION),
                     table[row].work);
    /* The queue knows whether calls wait for a worker. */
    assert_int_equal(
        world_sql(w,
                  "SELECT COUNT(*) FROM work WHERE session_id = $1 AND rank <>"
                  " COALESCE((SELECT MIN(CASE WHEN kind = 'builtin' THEN 0 ELSE 1 END) FROM calls"
                  " WHERE session_id = work.session_id AND answered_by IS NULL"
                  " AND (permission = 'allow' OR decision = 'allow')), 2)",
                  SESSION),
        0);
    AUTO_FREE char *sql =
        mem_printf("SELECT COUNT(*) FROM sessions WHERE id = $1 AND status = '%s'",
                   table[row].status);
    if (world_sql(w, sql, SESSION) != 1)
        fail_msg("row %zu: status is not %s", row, table[row].status);
    bool wake = !str_eq(table[row].status, "idle");
    assert_int_equal(world_sql(w, "SELECT wake FROM sessions WHERE id = $1", SESSION), wake);
    /* every input has its echo, with an id; what is in the log is there under that id */
    AUTO_JSON json_t *inputs = J(input);
    assert_int_equal(json_array_size(echo), json_array_size(inputs));
}

static void play_table(struct world *w)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        world_open(w, NULL, true);
        check_row(w, i);
        world_close(w);
        world_remove(w);
    }
}

static void every_input_in_every_state(void **state)
{
    (void)state;
    struct world w = {0};
    world_run(play_table, &w);
}

/* ---- late confirmations ---- */

static void play_late(struct world *w)
{
    world_open(w, NULL, true);
    struct prepare q = {.state = PARKED};
    log_batch_init(&q.batch, SESSION);
    assert_int_equal(db_write(w->log.db, prepare_tx, &q), 0);
    log_batch_done(&q.batch);
    AUTO_FREE char *yes = named("[" YES("edit") "]");
    AUTO_FREE char *nay = named("[" NAY("edit") "]");
    AUTO_JSON json_t *first = world_post(w, yes, NULL);
    AUTO_JSON json_t *before = world_log(w);
    AUTO_JSON json_t *again = world_post(w, yes, NULL);
    AUTO_JSON json_t *other = world_post(w, nay, NULL);
    AUTO_JSON json_t *after = world_log(w);
    assert_true(json_equal(before, after));
    const json_t *stands = json_array_get(other, 0);
    assert_true(json_equal(json_array_get(again, 0), stands));
    assert_string_equal(json_get_str(stands, "id"), json_get_str(json_array_get(first, 0), "id"));
    assert_string_equal(json_get_str(stands, "result"), "allow");
    assert_non_null(json_get_str(stands, "processed_at"));
    world_close(w);
    world_remove(w);
}

static void a_call_is_confirmed_once(void **state)
{
    (void)state;
    struct world w = {0};
    world_run(play_late, &w);
}

/* ---- stamps ---- */

static int64_t stamp_of(const json_t *log, size_t i)
{
    int64_t us = 0;
    assert_int_equal(time_parse(json_get_str(json_array_get(log, i), "processed_at"), &us), 0);
    return us;
}

static void play_clock(struct world *w)
{
    time_test_set(0, 5000000000000000);
    world_open(w, NULL, true);
    world_send(w, "[" MSG "]");         /* running, t-running */
    time_test_set(0, 1000000000000000); /* the clock is set back by years */
    struct prepare q = {.state = DONE};
    log_batch_init(&q.batch, SESSION);
    assert_int_equal(db_write(w->log.db, prepare_tx, &q), 0);
    log_batch_done(&q.batch);
    time_test_set(0, 5000000000001000); /* and on again */
    world_send(w, "[" INT "]");
    AUTO_JSON json_t *log = world_log(w);
    size_t n = json_array_size(log);
    assert_int_equal(n, 8);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(stamp_of(log, i), 5000000000000000 + (int64_t)i);
    assert_int_equal(stamp_of(log, 7), 5000000000001000);
    world_close(w);
    world_remove(w);
}

static void stamps_rise_under_any_clock(void **state)
{
    (void)state;
    struct world w = {0};
    world_run(play_clock, &w);
    time_test_reset();
}

/* ---- usage ---- */

static void usage_adds_up_and_never_goes_back(void **state)
{
    (void)state;
    struct log_session s = {.usage = json_object(), .active_us = 1234567, .running_since = 1000000};
    AUTO_JSON json_t *empty = log_usage_json(&s, 3500000);
    assert_null(json_object_get(empty, "cache_creation"));
    assert_null(json_object_get(empty, "list_cost"));
    assert_int_equal(json_get_int(empty, "input_tokens", -1), 0);
    assert_true(json_number_value(json_object_get(empty, "active_seconds")) > 3.73);
    log_usage_add(&s, 5, 6, 7, 8);
    log_usage_add(&s, 5, -1, INT64_MAX, 8);
    AUTO_JSON json_t *some = log_usage_json(&s, 0);
    assert_int_equal(json_get_int(some, "input_tokens", -1), 10);
    assert_int_equal(json_get_int(some, "output_tokens", -1), 6);
    assert_int_equal(
        json_get_int(json_object_get(some, "cache_creation"), "ephemeral_5m_input_tokens", -1), 7);
    assert_int_equal(json_get_int(some, "cache_read_input_tokens", -1), 16);
    json_decref(s.usage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_in_every_state),
        cmocka_unit_test(a_call_is_confirmed_once),
        cmocka_unit_test(stamps_rise_under_any_clock),
        cmocka_unit_test(usage_adds_up_and_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
