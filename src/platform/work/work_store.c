/* work_store.c - work items as rows: loading, claiming, and what the end of one means for its
 * session.
 *
 * Everything runs inside transaction functions on a store thread. A claim is one UPDATE by the
 * single writer, so an item goes to one poller. When an item ends while its session has calls only
 * a worker can answer, the session would wait for ever (the hosted service leaves it so); here it
 * is offered again as a new item. A worker that fails on a session at once would make that a hot
 * loop, so an item that follows others without any progress is held back, longer each time. */
#include "platform/work/work_store.h"

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>

/* How far back in a session's log to look for a sign of progress. */
#define PROGRESS_EVENTS 400

static bool text_col(struct stmt *s, int col, char *dst, size_t cap)
{
    const char *v = stmt_text(s, col, NULL);
    return str_copy(dst, cap, v ? v : "");
}

#define AS_NUMBER(name, sql) COL_##name,
enum { COL_ID, WORK_COLUMN_LIST(AS_NUMBER) };

int work_read(struct stmt *s, struct work_item *ret)
{
    struct work_item w = {0};
    size_t n;
    bool ok = text_col(s, COL_ID, w.id, sizeof(w.id)) &&
              text_col(s, COL_ENVIRONMENT_ID, w.environment_id, sizeof(w.environment_id)) &&
              text_col(s, COL_SESSION_ID, w.session_id, sizeof(w.session_id)) &&
              text_col(s, COL_STATE, w.state, sizeof(w.state)) &&
              text_col(s, COL_LAST_HEARTBEAT, w.last_heartbeat, sizeof(w.last_heartbeat)) &&
              text_col(s, COL_PREV_HEARTBEAT, w.prev_heartbeat, sizeof(w.prev_heartbeat));
    const char *metadata = stmt_text(s, COL_METADATA, &n);
    int r = ok ? json_parse_stored(metadata, n, &w.metadata) : -E_CORRUPT;
    if (r < 0)
        return r;
    /* null reads as 0 */
    w.created_at = stmt_int(s, COL_CREATED_AT);
    w.queued_at = stmt_int(s, COL_QUEUED_AT);
    w.acknowledged_at = stmt_int(s, COL_ACKNOWLEDGED_AT);
    w.started_at = stmt_int(s, COL_STARTED_AT);
    w.heartbeat_at = stmt_int(s, COL_HEARTBEAT_AT);
    w.stop_requested_at = stmt_int(s, COL_STOP_REQUESTED_AT);
    w.stopped_at = stmt_int(s, COL_STOPPED_AT);
    w.claimed_at = stmt_int(s, COL_CLAIMED_AT);
    w.lease_expires_at = stmt_int(s, COL_LEASE_EXPIRES_AT);
    w.ttl_seconds = stmt_int(s, COL_TTL_SECONDS);
    w.requeues = stmt_int(s, COL_REQUEUES);
    w.holder = stmt_int(s, COL_HOLDER);
    *ret = w;
    return 0;
}

int work_load_tx(struct tx *tx, const char *environment_id, const char *work_id,
                 struct work_item *ret)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT " WORK_COLUMNS " FROM work WHERE id = $1 AND environment_id = $2");
    stmt_bind_text(s, 1, work_id);
    stmt_bind_text(s, 2, environment_id);
    int r = stmt_step(s);
    if (r > 0)
        r = work_read(s, ret);
    else if (r == 0)
        r = -ENOENT;
    stmt_reset(s);
    return r;
}

static void bind_time(struct stmt *s, int i, int64_t t)
{
    if (t)
        stmt_bind_int(s, i, t);
    else
        stmt_bind_null(s, i);
}

/* The last of a deleted session: its other rows went with it. */
static int forget_orphan(struct tx *tx, const struct work_item *w)
{
    return tx_exec(tx,
                   "DELETE FROM work WHERE id = $1 AND NOT EXISTS"
                   " (SELECT 1 FROM sessions WHERE sessions.id = work.session_id)",
                   "t", w->id);
}

int work_store_tx(struct tx *tx, const struct work_item *w)
{
    AUTO_FREE char *metadata = json_text(w->metadata, NULL);
    struct stmt *s =
        tx_prepare(tx,
                   "UPDATE work SET state = $1, metadata = $2, last_heartbeat = $3, queued_at = $4,"
                   " acknowledged_at = $5, started_at = $6, heartbeat_at = $7, stop_requested_at = "
                   "$8, stopped_at = $9,"
                   " claimed_at = $10, lease_expires_at = $11, ttl_seconds = $12, requeues = $13,"
                   " token_hash = CASE WHEN $14 = 1 THEN NULL ELSE token_hash END, holder = $15,"
                   " prev_heartbeat = $16 WHERE id = $17");
    stmt_bind_text(s, 1, w->state);
    stmt_bind_text(s, 2, metadata);
    stmt_bind_text(s, 3, w->last_heartbeat[0] ? w->last_heartbeat : NULL);
    bind_time(s, 4, w->queued_at);
    bind_time(s, 5, w->acknowledged_at);
    bind_time(s, 6, w->started_at);
    bind_time(s, 7, w->heartbeat_at);
    bind_time(s, 8, w->stop_requested_at);
    bind_time(s, 9, w->stopped_at);
    bind_time(s, 10, w->claimed_at);
    bind_time(s, 11, w->lease_expires_at);
    stmt_bind_int(s, 12, w->ttl_seconds);
    stmt_bind_int(s, 13, w->requeues);
    stmt_bind_int(s, 14, w->drop_token);
    stmt_bind_int(s, 15, w->holder);
    stmt_bind_text(s, 16, w->prev_heartbeat[0] ? w->prev_heartbeat : NULL);
    stmt_bind_text(s, 17, w->id);
    int r = stmt_step(s);
    stmt_reset(s);
    if (r >= 0 && strcmp(w->state, "stopped") == 0)
        r = forget_orphan(tx, w);
    return r < 0 ? r : 0;
}

/* ---- taking ---- */

/* May be taken: not claimed, or claimed so long ago that the claim has lapsed; held-back items when
 * their time has come. (Of others queued_at is wall-clock time, which must not decide.) */
#define FREE_ITEM                                                                                  \
    " FROM work WHERE environment_id = $1 AND state = 'queued' AND (requeues < 2 OR queued_at <= " \
    "$2)"                                                                                          \
    " AND (claimed_at IS NULL OR claimed_at <= $3)"

int work_claim_tx(struct tx *tx, const struct work_claim *c, struct work_item *ret)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT " WORK_COLUMNS FREE_ITEM " ORDER BY rank, queued_at, id LIMIT 1");
    stmt_bind_text(s, 1, c->environment_id);
    stmt_bind_int(s, 2, c->now);
    stmt_bind_int(s, 3, c->now - c->reclaim_us);
    int r = stmt_step(s);
    if (r <= 0)
        return r;
    struct work_item w;
    r = work_read(s, &w);
    stmt_reset(s);
    if (r < 0)
        return r;
    w.claimed_at = c->now;
    w.ttl_seconds = c->ttl_seconds;
    r = tx_exec(tx,
                "UPDATE work SET claimed_at = $1, token_hash = $2, claimed_by = $3, ttl_seconds = "
                "$4, holder = $5 WHERE id = $6",
                "ittiit", c->now, c->token_hash, c->claimed_by, c->ttl_seconds, c->holder, w.id);
    if (r < 0) {
        work_item_done(&w);
        return r;
    }
    *ret = w;
    return 1;
}

static int min_of(struct tx *tx, const char *sql, const char *environment_id, int64_t now,
                  int64_t *ret)
{
    struct stmt *s = tx_prepare(tx, sql);
    stmt_bind_text(s, 1, environment_id);
    stmt_bind_int(s, 2, now);
    int r = stmt_step(s);
    *ret = r > 0 && !stmt_is_null(s, 0) ? stmt_int(s, 0) : INT64_MAX;
    stmt_reset(s);
    return r < 0 ? r : 0;
}

int work_peek_tx(struct tx *tx, const char *environment_id, int64_t now, int64_t reclaim_us,
                 int64_t *ret_next)
{
    struct stmt *s = tx_prepare(tx, "SELECT 1" FREE_ITEM " LIMIT 1");
    stmt_bind_text(s, 1, environment_id);
    stmt_bind_int(s, 2, now);
    stmt_bind_int(s, 3, now - reclaim_us);
    int r = stmt_step(s);
    stmt_reset(s);
    if (r != 0)
        return r;
    int64_t claimed, held;
    r = min_of(tx,
               "SELECT MIN(claimed_at) FROM work WHERE environment_id = $1 AND state = 'queued' "
               "AND $2 = $2",
               environment_id, now, &claimed);
    if (r == 0)
        r = min_of(tx,
                   "SELECT MIN(queued_at) FROM work WHERE environment_id = $1 AND state = 'queued' "
                   "AND requeues >= 2"
                   " AND queued_at > $2",
                   environment_id, now, &held);
    if (r < 0)
        return r;
    int64_t lapse = claimed == INT64_MAX ? INT64_MAX : claimed + reclaim_us;
    *ret_next = lapse < held ? lapse : held;
    return 0;
}

/* ---- ending ---- */

/* 1 when a worker has answered a call since `since`. */
static int made_progress(struct tx *tx, const struct log_session *ls, int64_t since)
{
    struct stmt *s =
        tx_prepare(tx,
                   "SELECT 1 FROM events WHERE session_id = $1 AND seq >= $2 AND processed_at >= $3"
                   " AND type = 'user.tool_result' LIMIT 1");
    stmt_bind_text(s, 1, ls->id);
    stmt_bind_int(s, 2, ls->next_seq - PROGRESS_EVENTS);
    stmt_bind_int(s, 3, since);
    int r = stmt_step(s);
    stmt_reset(s);
    return r;
}

/* Ids of the calls that a worker may have begun to run, in log order (new reference). */
static int open_calls(struct tx *tx, const char *session_id, json_t **ret)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT id FROM calls WHERE session_id = $1 AND answered_by IS NULL"
                       " AND (permission = 'allow' OR decision = 'allow') ORDER BY seq");
    stmt_bind_text(s, 1, session_id);
    AUTO_JSON json_t *ids = json_array();
    MUST(ids);
    int r;
    while ((r = stmt_step(s)) > 0)
        json_array_append_new(ids, json_string(stmt_text(s, 0, NULL)));
    if (r == 0)
        *ret = TAKE(ids);
    return r;
}

/* `began`: the worker had the lease, so it may have begun with the open calls, which then run once
 * more: the event names them (event_ids), and workers count by that. */
static int append_error(struct tx *tx, struct log_session *ls, struct log_batch *b,
                        const char *type, const char *message, bool began)
{
    AUTO_JSON json_t *ids = NULL;
    int r = began ? open_calls(tx, ls->id, &ids) : 0;
    if (r < 0)
        return r;
    json_t *body = json_object(), *error = json_object(), *retry = json_object();
    json_put_str(retry, "type", "retrying");
    json_put_str(error, "type", type);
    json_put_str(error, "message", message);
    json_put(error, "retry_status", retry);
    if (json_array_size(ids) > 0)
        json_put(error, "event_ids", TAKE(ids));
    json_put(body, "error", error);
    return log_append_tx(tx, ls, b, "session.error", NULL, body, NULL, NULL);
}

/* 1 when the session can still use a worker (then *ret is loaded), 0 when it is over (or its row
 * cannot be read: the leases of others must not wait for a repair). */
static int load_live(struct tx *tx, const char *session_id, struct log_session *ret)
{
    int r = log_session_load_tx(tx, session_id, ret);
    if (r < 0)
        return r == -ENOENT || r == -E_CORRUPT ? 0 : r;
    if (!ret->archived_at && !str_eq(ret->status, "terminated"))
        return 1;
    log_session_done(ret);
    return 0;
}

static int requeue(struct tx *tx, struct log_session *ls, const struct work_item *w,
                   struct log_batch *b, const struct work_time *t)
{
    int r = w->unbegun ? log_queue_work_tx(tx, ls, b) : made_progress(tx, ls, w->created_at);
    if (r < 0 || w->unbegun) /* the call came while the worker left: nothing has happened to it */
        return r;
    int64_t requeues = r > 0 ? 1 : w->requeues + 1;
    int64_t wait = work_hold_back_s(requeues);
    char message[256];
    snprintf(message, sizeof(message),
             "The worker stopped serving this session while tool calls were unanswered. The "
             "session is offered to workers "
             "again%s as a new work item.",
             wait ? " after a pause" : "");
    r = append_error(tx, ls, b, "sallyport_work_requeued", message, w->started_at != 0);
    if (r == 0)
        r = log_queue_work_tx(tx, ls, b);
    if (r == 0)
        r = tx_exec(tx,
                    "UPDATE work SET requeues = $1, queued_at = $2 WHERE session_id = $3 AND state "
                    "= 'queued'",
                    "iit", requeues, wait ? t->lease_us + wait * US_PER_S : t->wall_us, ls->id);
    return r < 0 ? r : log_session_store_tx(tx, ls);
}

int work_requeue_tx(struct tx *tx, const struct work_item *w, struct log_batch *b,
                    const struct work_time *t)
{
    enum work_rank rank;
    int r = log_work_rank_tx(tx, w->session_id, &rank);
    if (r < 0 || rank != WORK_RANK_CALL) /* custom tools may be somebody else's */
        return r;
    AUTO(log_session) ls = {0};
    r = load_live(tx, w->session_id, &ls);
    if (r <= 0 || !ls.environment_self_hosted)
        return r < 0 ? r : 0;
    return requeue(tx, &ls, w, b, t);
}

/* The session goes back into the queue, as the same item. */
static int offer_again(struct tx *tx, struct log_session *ls, struct work_item *w,
                       struct log_batch *b, const struct work_time *t)
{
    int64_t ttl = w->ttl_seconds;
    bool began = w->started_at != 0;
    MUST(work_rule_expire(w, t));
    int r = work_store_tx(tx, w);
    if (r < 0)
        return r;
    char message[256];
    snprintf(message, sizeof(message),
             "The worker that served this session was not heard of for %lld seconds, so its lease "
             "has ended. The session is "
             "offered to workers again.",
             (long long)ttl);
    r = append_error(tx, ls, b, "sallyport_lease_expired", message, began);
    if (r == 0)
        r = log_session_store_tx(tx, ls);
    b->work_ready = true;
    str_copy(b->environment_id, sizeof(b->environment_id), w->environment_id);
    return r;
}

int work_expire_tx(struct tx *tx, struct work_item *w, struct log_batch *b,
                   const struct work_time *t)
{
    AUTO(log_session) ls = {0};
    enum work_rank rank = WORK_RANK_REST;
    int live = load_live(tx, w->session_id, &ls);
    int r = live > 0 ? log_work_rank_tx(tx, w->session_id, &rank) : live;
    if (r < 0)
        return r;
    bool stopping = str_eq(w->state, "stopping");
    if (live > 0 && rank != WORK_RANK_REST && !stopping)
        return offer_again(tx, &ls, w, b, t);
    if (live > 0 && ls.next_seq == 1 && !stopping) { /* as if it had not been claimed */
        MUST(work_rule_expire(w, t));
        return work_store_tx(tx, w);
    }
    work_rule_end(w, t);
    r = work_store_tx(tx, w);
    return r < 0 || !stopping || live == 0 ? r : work_requeue_tx(tx, w, b, t);
}

int work_drop_key_tx(struct tx *tx, const char *key_id, int64_t lease_now)
{
    int r = tx_exec(tx,
                    "UPDATE work SET token_hash = NULL, claimed_at = NULL"
                    " WHERE claimed_by = $1 AND state <> 'stopped' AND state = 'queued'",
                    "t", key_id);
    if (r < 0)
        return r;
    return tx_exec(tx,
                   "UPDATE work SET token_hash = NULL, lease_expires_at = $1"
                   " WHERE claimed_by = $2 AND state <> 'stopped' AND state <> 'queued'",
                   "it", lease_now, key_id);
}
