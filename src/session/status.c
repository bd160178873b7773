/* status.c - what a session is doing, written as events: running, idle, rescheduled,
 * terminated; and the calls, inputs and work items those states hang on.
 *
 * Everything here runs inside transaction functions, on a store thread, between log_session_load_tx
 * and log_session_store_tx. The states:
 *
 *   idle     --input-->          running
 *   running  --answer-->         idle
 *   running  --calls pending-->  idle (requires_action)  --all answered-->   running
 *   running  --model failed-->   rescheduling            --back-off over-->  running
 *   any      ------------------>  terminated
 *
 * Opening a state names the session first and the thread second; closing one goes the other way
 * round (api.md 6.3).
 *
 * `calls` is what makes results exactly-once: answered_by is set by an UPDATE that only matches
 * while it is null, in the transaction that appends the result. */
#include "session/log.h"

#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/time.h"

#include <string.h>

/* What a work item's lease lasts until its first claim says otherwise (platform.lease_ttl_seconds
 * decides then). */
#define WORK_TTL_SECONDS 90

/* The body of every session.thread_* event of the primary thread. */
static json_t *thread_body(struct log_session *s)
{
    json_t *o = json_new_object();
    json_put_str(o, "session_thread_id", s->thread_id);
    const char *name = json_get_str(log_session_agent(s), "name");
    json_put_str(o, "agent_name", name ? name : "");
    return o;
}

static void set_status(struct log_session *s, const char *status)
{
    MUST(str_copy(s->status, sizeof(s->status), status));
}

static void set_stop_reason(struct log_session *s, json_t *stop_reason)
{
    json_decref(s->stop_reason);
    s->stop_reason = stop_reason;
}

static void stop_clock(struct log_session *s)
{
    if (s->running_since && s->last_stamp > s->running_since)
        s->active_us += s->last_stamp - s->running_since;
    s->running_since = 0;
}

/* ---- work ---- */

int log_work_rank_tx(struct tx *tx, const char *session_id, enum work_rank *ret)
{
    struct stmt *st =
        tx_prepare(tx, "SELECT MIN(CASE WHEN kind = 'builtin' THEN 0 ELSE 1 END) FROM calls"
                       " WHERE session_id = $1 AND answered_by IS NULL"
                       " AND (permission = 'allow' OR decision = 'allow')");
    stmt_bind_text(st, 1, session_id);
    int r = stmt_step(st);
    if (r > 0)
        *ret = stmt_is_null(st, 0)    ? WORK_RANK_REST
               : stmt_int(st, 0) == 0 ? WORK_RANK_CALL
                                      : WORK_RANK_CUSTOM;
    stmt_reset(st);
    return r < 0 ? r : r == 0 ? -E_CORRUPT : 0;
}

static void ring(struct log_session *s, struct log_batch *b)
{
    b->work_ready = true;
    MUST(str_copy(b->environment_id, sizeof(b->environment_id), s->environment_id));
}

/* Gives the session's live item the rank its open calls ask for. One that waits and becomes more
 * urgent takes its place in the queue anew: it has waited since now. (One that is held back keeps
 * its time.) */
static int rank_live_item(struct tx *tx, struct log_session *s, struct log_batch *b, bool *ret_live)
{
    enum work_rank rank;
    *ret_live = false;
    int r = log_work_rank_tx(tx, s->id, &rank);
    if (r < 0)
        return r;
    struct stmt *st =
        tx_prepare(tx, "SELECT rank, state FROM work WHERE session_id = $1 AND state <> 'stopped'");
    stmt_bind_text(st, 1, s->id);
    r = stmt_step(st);
    if (r <= 0)
        return r;
    *ret_live = true;
    int64_t was = stmt_int(st, 0);
    bool waits = str_eq(stmt_text(st, 1, NULL), "queued");
    stmt_reset(st);
    if (was == (int64_t)rank)
        return 0;
    bool hurries = waits && (int64_t)rank < was;
    if (hurries)
        ring(s, b);
    return tx_exec(tx,
                   "UPDATE work SET rank = $1, queued_at = CASE WHEN $2 = 1 AND requeues < 2"
                   " THEN $3 ELSE queued_at END WHERE session_id = $4 AND state <> 'stopped'",
                   "iiit", (int64_t)rank, (int64_t)hurries, time_real_us(), s->id);
}

int log_queue_work_tx(struct tx *tx, struct log_session *s, struct log_batch *b)
{
    bool live;
    enum work_rank rank;
    int r = rank_live_item(tx, s, b, &live);
    if (r < 0 || live)
        return r;
    r = log_work_rank_tx(tx, s->id, &rank);
    if (r < 0)
        return r;
    char id[ID_MAX];
    int64_t now = time_real_us();
    r = tx_exec(tx,
                "INSERT INTO work (id, environment_id, session_id, state, metadata, created_at, "
                "queued_at, ttl_seconds, rank)"
                " VALUES ($1, $2, $3, 'queued', '{}', $4, $5, $6, $7)",
                "tttiiii", id_make(id, "work_"), s->environment_id, s->id, now, now,
                (int64_t)WORK_TTL_SECONDS, (int64_t)rank);
    if (r == 0)
        ring(s, b);
    return r;
}

/* ---- states ---- */

int log_running_tx(struct tx *tx, struct log_session *s, struct log_batch *b)
{
    int r = log_append_tx(tx, s, b, "session.status_running", NULL, json_new_object(), NULL, NULL);
    if (r < 0)
        return r;
    s->running_since = s->last_stamp;
    set_status(s, "running");
    set_stop_reason(s, NULL);
    b->wake = true;
    return log_append_tx(tx, s, b, "session.thread_status_running", NULL, thread_body(s), NULL,
                         NULL);
}

int log_rescheduled_tx(struct tx *tx, struct log_session *s, struct log_batch *b)
{
    int r =
        log_append_tx(tx, s, b, "session.status_rescheduled", NULL, json_new_object(), NULL, NULL);
    if (r < 0)
        return r;
    stop_clock(s);
    set_status(s, "rescheduling");
    b->wake = true;
    return log_append_tx(tx, s, b, "session.thread_status_rescheduled", NULL, thread_body(s), NULL,
                         NULL);
}

static void put_stop(json_t *body, const json_t *stop_reason, const json_t *details)
{
    json_put(body, "stop_reason", json_deep_copy(stop_reason));
    json_put(body, "stop_details", details ? json_deep_copy(details) : json_null());
}

static int rest(struct tx *tx, struct log_session *s, struct log_batch *b, json_t *stop_reason,
                const json_t *details)
{
    set_stop_reason(s, stop_reason);
    json_t *body = thread_body(s);
    put_stop(body, stop_reason, details);
    int r = log_append_tx(tx, s, b, "session.thread_status_idle", NULL, body, NULL, NULL);
    if (r < 0)
        return r;
    stop_clock(s);
    set_status(s, "idle");

    body = json_new_object();
    json_put(body, "usage", log_usage_json(s, s->last_stamp));
    json_put_null(body, "budget");
    r = log_append_tx(tx, s, b, "session.usage", NULL, body, NULL, NULL);
    if (r < 0)
        return r;

    body = json_new_object();
    put_stop(body, stop_reason, details);
    r = log_append_tx(tx, s, b, "session.status_idle", NULL, body, NULL, NULL);
    if (r < 0)
        return r;
    if (!s->environment_self_hosted)
        return 0;
    bool parked = str_eq(json_get_str(stop_reason, "type"), "requires_action");
    return parked ? log_queue_work_tx(tx, s, b) : rank_live_item(tx, s, b, &(bool){false});
}

int log_idle_tx(struct tx *tx, struct log_session *s, struct log_batch *b, json_t *stop_reason)
{
    return rest(tx, s, b, stop_reason, NULL);
}

int log_refused_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                   const json_t *stop_details)
{
    AUTO_JSON json_t *unknown = json_typed("refusal");
    json_put_null(unknown, "category");
    json_put_null(unknown, "explanation");
    return rest(tx, s, b, json_typed("refusal"), stop_details ? stop_details : unknown);
}

int log_terminated_tx(struct tx *tx, struct log_session *s, struct log_batch *b)
{
    int r = log_inbox_drop_tx(tx, s, b);
    if (r < 0)
        return r;
    r = log_append_tx(tx, s, b, "session.thread_status_terminated", NULL, thread_body(s), NULL,
                      NULL);
    if (r < 0)
        return r;
    stop_clock(s);
    set_status(s, "terminated");
    set_stop_reason(s, NULL);
    r = log_append_tx(tx, s, b, "session.status_terminated", NULL, json_new_object(), NULL, NULL);
    /* nobody has claimed a queued item, so it just ends; a worker that holds one learns it from its
     * next heartbeat */
    if (r == 0)
        r = tx_exec(tx,
                    "UPDATE work SET state = 'stopped', stop_requested_at = $1, stopped_at = $2"
                    " WHERE session_id = $3 AND state = 'queued'",
                    "iit", s->last_stamp, s->last_stamp, s->id);
    if (r == 0)
        r = tx_exec(tx,
                    "UPDATE work SET state = 'stopping', stop_requested_at = $1"
                    " WHERE session_id = $2 AND state IN ('starting', 'active')",
                    "it", s->last_stamp, s->id);
    b->ended = true;
    b->wake = false;
    return r;
}

/* ---- calls ---- */

int log_call_tx(struct tx *tx, struct log_session *s, const char *call_id, const char *kind,
                const char *name, const char *permission, const char *refusal)
{
    return tx_exec(tx,
                   "INSERT INTO calls (id, session_id, seq, kind, name, permission, deny_message)"
                   " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                   "ttitttt", call_id, s->id, s->next_seq - 1, kind, name, permission, refusal);
}

int log_call_error_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                      const char *call_id, const char *text)
{
    json_t *body = json_new_object(), *content = json_array(), *block = json_typed("text");
    MUST(content);
    json_put_str(block, "text", text);
    json_array_append_new(content, block);
    json_put_str(body, "tool_use_id", call_id);
    json_put(body, "content", content);
    json_put_bool(body, "is_error", true);
    char id[64];
    int r = log_append_tx(tx, s, b, "agent.tool_result", NULL, body, NULL, id);
    if (r < 0)
        return r;
    r = tx_exec(tx,
                "UPDATE calls SET answered_by = $1 WHERE id = $2 AND session_id = $3 AND "
                "answered_by IS NULL",
                "ttt", id, call_id, s->id);
    if (r < 0)
        return r;
    return tx_changes(tx) == 1 ? 0 : -E_CONFLICT;
}

int log_pending_tx(struct tx *tx, struct log_session *s, json_t **ret)
{
    struct stmt *st =
        tx_prepare(tx, "SELECT id FROM calls WHERE session_id = $1 AND answered_by IS NULL"
                       " AND permission <> 'deny' AND (decision IS NULL OR decision <> 'deny')"
                       " ORDER BY seq");
    stmt_bind_text(st, 1, s->id);
    AUTO_JSON json_t *ids = json_array();
    MUST(ids);
    int r;
    while ((r = stmt_step(st)) > 0)
        json_array_append_new(ids, json_string(stmt_text(st, 0, NULL)));
    if (r == 0)
        *ret = TAKE(ids);
    return r;
}

/* One open call at a time, because appending uses the connection in between. 1 with a call, 0 when
 * there is none. */
struct open_call {
    char id[64];
    char *text; /* what its error result says when it was denied; owned */
};

static char *denial(const char *name, const char *permission, const char *message)
{
    if (message && str_eq(permission, "deny"))
        return mem_strdup(message); /* the server's own refusal, a whole sentence */
    if (message)
        return mem_printf("Permission to use %s has been rejected. Rejection message: %s", name,
                          message);
    return mem_printf("Permission to use %s has been rejected.", name);
}

static int first_open(struct tx *tx, struct log_session *s, struct open_call *ret)
{
    struct stmt *st =
        tx_prepare(tx, "SELECT id, name, permission, deny_message FROM calls WHERE session_id = $1"
                       " AND answered_by IS NULL ORDER BY seq LIMIT 1");
    stmt_bind_text(st, 1, s->id);
    int r = stmt_step(st);
    if (r > 0) {
        const char *id = stmt_text(st, 0, NULL), *name = stmt_text(st, 1, NULL),
                   *perm = stmt_text(st, 2, NULL);
        if (id && name && perm && str_copy(ret->id, sizeof(ret->id), id))
            ret->text = denial(name, perm, stmt_text(st, 3, NULL));
        else
            r = -E_CORRUPT;
    }
    stmt_reset(st);
    return r;
}

/* `text` NULL: the words of a denial. */
static int answer_open(struct tx *tx, struct log_session *s, struct log_batch *b, const char *text)
{
    for (;;) {
        struct open_call call = {0};
        int r = first_open(tx, s, &call);
        if (r <= 0)
            return r;
        r = log_call_error_tx(tx, s, b, call.id, text ? text : call.text);
        free(call.text);
        if (r < 0)
            return r;
    }
}

int log_close_calls_tx(struct tx *tx, struct log_session *s, struct log_batch *b, const char *text)
{
    return answer_open(tx, s, b, text);
}

int log_settle_tx(struct tx *tx, struct log_session *s, struct log_batch *b)
{
    AUTO_JSON json_t *pending = NULL;
    int r = log_pending_tx(tx, s, &pending);
    if (r < 0)
        return r;
    if (json_array_size(pending) > 0) {
        json_t *stop = json_typed("requires_action");
        json_put(stop, "event_ids", TAKE(pending));
        return log_idle_tx(tx, s, b, stop);
    }
    if (!str_eq(s->status, "running")) {
        r = log_running_tx(tx, s, b);
        if (r < 0)
            return r;
    }
    b->wake = true;
    return answer_open(tx, s, b, NULL); /* nobody answers what is still open: it was denied */
}

/* ---- the inbox ---- */

int log_inbox_push_tx(struct tx *tx, struct log_session *s, const char *id, const char *type,
                      const json_t *body)
{
    size_t n = 0;
    AUTO_FREE char *text = json_text(body, &n);
    if (n > LIMIT_EVENT_BYTES)
        return -EMSGSIZE; /* the log would not take it, at every later step */
    return tx_exec(tx,
                   "INSERT INTO inbox (session_id, n, id, type, body, created_at) SELECT $1, "
                   "COALESCE(MAX(n), 0) + 1, $2,"
                   " $3, $4, $5 FROM inbox WHERE session_id = $6",
                   "ttttit", s->id, id, type, text, time_real_us(), s->id);
}

/* Where delivery ends: the place of the last waiting interrupt, or of the last input. 0 when
 * nothing waits. */
static int64_t deliver_until(struct tx *tx, const char *session_id, bool through_interrupt)
{
    struct stmt *st =
        tx_prepare(tx, through_interrupt
                           ? "SELECT COALESCE(MAX(n), 0) FROM inbox WHERE session_id = $1"
                             " AND type = 'user.interrupt'"
                           : "SELECT COALESCE(MAX(n), 0) FROM inbox WHERE session_id = $1");
    stmt_bind_text(st, 1, session_id);
    int r = stmt_step(st);
    int64_t n = r > 0 ? stmt_int(st, 0) : r;
    stmt_reset(st);
    return n;
}

/* One waiting input. */
#define SELECT_INPUT                                                                               \
    "SELECT n, id, type, body FROM inbox WHERE session_id = $1 AND n <= $2 ORDER BY n LIMIT 1"
enum { COL_N, COL_ID, COL_TYPE, COL_BODY };

static int copy_input(struct stmt *st, char ret_id[64], char ret_type[64], json_t **ret_body)
{
    size_t n = 0;
    const char *id = stmt_text(st, COL_ID, NULL), *type = stmt_text(st, COL_TYPE, NULL);
    if (!id || !type || !str_copy(ret_id, 64, id) || !str_copy(ret_type, 64, type))
        return -E_CORRUPT;
    const char *body = stmt_text(st, COL_BODY, &n);
    int r = json_parse_stored(body, n, ret_body);
    return r < 0 ? r : json_is_object(*ret_body) ? 0 : -E_CORRUPT;
}

static int deliver_one(struct tx *tx, struct log_session *s, struct log_batch *b, int64_t until,
                       const json_t *hidden)
{
    struct stmt *st = tx_prepare(tx, SELECT_INPUT);
    stmt_bind_text(st, 1, s->id);
    stmt_bind_int(st, 2, until);
    int r = stmt_step(st);
    if (r <= 0)
        return r;
    int64_t n = stmt_int(st, COL_N);
    char id[64], type[64];
    json_t *body = NULL;
    r = copy_input(st, id, type, &body);
    stmt_reset(st);
    if (r < 0) {
        json_decref(body);
        return r;
    }
    r = log_append_tx(tx, s, b, type, id, body, hidden, NULL);
    if (r < 0)
        return r;
    r = tx_exec(tx, "DELETE FROM inbox WHERE session_id = $1 AND n = $2", "ti", s->id, n);
    return r < 0 ? r : 1;
}

static int deliver(struct tx *tx, struct log_session *s, struct log_batch *b,
                   bool through_interrupt, const json_t *hidden)
{
    int64_t until = deliver_until(tx, s->id, through_interrupt);
    if (until <= 0)
        return (int)until;
    int count = 0, r;
    while ((r = deliver_one(tx, s, b, until, hidden)) > 0)
        count++;
    return r < 0 ? r : count;
}

int log_deliver_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                   bool through_interrupt)
{
    return deliver(tx, s, b, through_interrupt, NULL);
}

int log_inbox_drop_tx(struct tx *tx, struct log_session *s, struct log_batch *b)
{
    AUTO_JSON json_t *hidden = json_new_object();
    json_put_bool(hidden, "dropped", true);
    return deliver(tx, s, b, false, hidden);
}

static int count_rows(struct tx *tx, const char *sql, const char *session_id)
{
    struct stmt *st = tx_prepare(tx, sql);
    stmt_bind_text(st, 1, session_id);
    int r = stmt_step(st);
    if (r > 0)
        r = (int)stmt_int(st, 0);
    stmt_reset(st);
    return r;
}

int log_interrupted_tx(struct tx *tx, const char *session_id)
{
    int n =
        count_rows(tx,
                   "SELECT COUNT(*) FROM inbox WHERE session_id = $1 AND type = 'user.interrupt'",
                   session_id);
    return n > 0 ? 1 : n;
}

int log_inbox_count_tx(struct tx *tx, const char *session_id)
{
    return count_rows(tx, "SELECT COUNT(*) FROM inbox WHERE session_id = $1", session_id);
}
