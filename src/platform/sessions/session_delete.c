/* session_delete.c - the end of sessions: by DELETE, or because their time is over.
 *
 * What must go with a session is one list here. An item that a worker holds stays, stopping, until
 * the worker has learnt it from its next heartbeat (work_store.c removes it then). A session that
 * runs is never removed.
 *
 * Sessions that are kept for a limited time are found by walking along their time of making up to
 * the limit, which an index answers; the few old ones that are still used are passed over each
 * time. */
#include "platform/sessions/session_delete.h"

#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/wire.h"

#include <string.h>

#define PORTION 64 /* sessions looked at, and deleted, in one transaction */

static int delete_rows(struct tx *tx, const char *id, int64_t now)
{
    static const char *const rows[] = {
        "DELETE FROM events WHERE session_id = $1",
        "DELETE FROM inbox WHERE session_id = $1",
        "DELETE FROM calls WHERE session_id = $1",
        "DELETE FROM work WHERE session_id = $1 AND state IN ('queued', 'stopped')",
        "DELETE FROM sessions WHERE id = $1",
    };
    int r = tx_exec(tx,
                    "UPDATE work SET state = 'stopping', stop_requested_at = $1"
                    " WHERE session_id = $2 AND state IN ('starting', 'active')",
                    "it", now, id);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++)
        r = tx_exec(tx, rows[i], "t", id);
    return r;
}

int session_delete_tx(struct tx *tx, const struct log_session *s, struct log_batch *b)
{
    int64_t now = time_real_us();
    int r = delete_rows(tx, s->id, now);
    if (r < 0)
        return r;
    char event_id[ID_MAX];
    json_t *event = json_object();
    json_put_str(event, "id", id_make(event_id, "sevt_"));
    json_put_str(event, "type", "session.deleted");
    json_put(event, "processed_at", time_json(now > s->last_stamp ? now : s->last_stamp + 1));
    json_array_append_new(b->events, event);
    b->ended = true;
    return 0;
}

/* ---- sessions whose time is over ---- */

struct sweep {
    int64_t limit_us; /* what was made and used before goes */
    int64_t cursor_time;
    char cursor_id[64];
    char old[PORTION][64]; /* found */
    size_t n_old;
    bool done;
    struct log_batch batches[PORTION];
    size_t n_batches;
};

static int find_tx(struct tx *tx, void *arg)
{
    struct sweep *w = arg;
    struct stmt *s =
        tx_prepare(tx,
                   "SELECT id, created_at, updated_at, status FROM sessions WHERE created_at <= $1"
                   " AND (created_at > $2 OR (created_at = $2 AND id > $3)) ORDER BY created_at, id"
                   " LIMIT $4");
    stmt_bind_int(s, 1, w->limit_us);
    stmt_bind_int(s, 2, w->cursor_time);
    stmt_bind_text(s, 3, w->cursor_id);
    stmt_bind_int(s, 4, PORTION);
    int r;
    size_t n = 0;
    for (w->n_old = 0; (r = stmt_step(s)) > 0; n++) {
        const char *status = stmt_text(s, 3, NULL);
        str_copy(w->cursor_id, sizeof(w->cursor_id), stmt_text(s, 0, NULL));
        w->cursor_time = stmt_int(s, 1);
        bool rests = str_eq(status, "idle") || str_eq(status, "terminated");
        if (rests && stmt_int(s, 2) <= w->limit_us)
            str_copy(w->old[w->n_old++], sizeof(w->old[0]), w->cursor_id);
    }
    w->done = n < PORTION;
    return r;
}

static void forget_batches(struct sweep *w)
{
    while (w->n_batches > 0)
        log_batch_done(&w->batches[--w->n_batches]);
}

/* Looks at each again: it may have been used since it was found. */
static int delete_found_tx(struct tx *tx, void *arg)
{
    struct sweep *w = arg;
    int r = 0;
    forget_batches(w);
    for (size_t i = 0; r >= 0 && i < w->n_old; i++) {
        AUTO(log_session) s = {0};
        r = log_session_load_tx(tx, w->old[i], &s);
        if (r == -ENOENT) {
            r = 0;
            continue;
        }
        bool rests = r == 0 && (str_eq(s.status, "idle") || str_eq(s.status, "terminated"));
        if (!rests || s.updated_at > w->limit_us)
            continue;
        struct log_batch *b = &w->batches[w->n_batches++];
        log_batch_init(b, s.id);
        r = session_delete_tx(tx, &s, b);
    }
    return r;
}

int64_t sessions_delete_older(struct platform *p, int64_t age_us)
{
    struct sweep *w = mem_new(struct sweep);
    w->limit_us = time_real_us() - age_us;
    w->cursor_time = INT64_MIN;
    int64_t deleted = 0;
    int r = 0;
    while (r == 0 && !w->done) {
        r = db_read(p->log.db, find_tx, w);
        if (r == 0 && w->n_old > 0)
            r = db_write(p->log.db, delete_found_tx, w);
        for (size_t i = 0; r == 0 && i < w->n_batches; i++) {
            log_info("session deleted, its time is over", "session=%s", w->batches[i].session_id);
            log_publish(&p->log, &w->batches[i]);
            deleted++;
        }
        forget_batches(w);
    }
    free(w);
    return r < 0 ? r : deleted;
}
