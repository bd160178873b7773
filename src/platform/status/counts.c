/* counts.c - two statements over indexes that hold what is not over.
 *
 * Called when an operator looks, on the caller's fiber; the statements run on a reader's thread, so
 * the writer does not wait for them. Sessions are counted along an index without touching their
 * rows. Items: as many as sessions that somebody works on or that wait, which the number of
 * workers and clients bounds, not time. */
#include "platform/status/counts.h"

#include "base/err.h"
#include "base/str.h"
#include "session/log.h"

const char *const count_status_names[COUNT_STATUSES] = {"idle", "running", "rescheduling",
                                                        "terminated"};
const char *const count_state_names[COUNT_STATES] = {"waiting",  "resting", "claimed",
                                                     "starting", "active",  "stopping"};

static int count_sessions(struct tx *tx, struct counts *c)
{
    struct stmt *s = tx_prepare(
        tx, "SELECT status, COUNT(*) FROM sessions WHERE archived_at IS NULL GROUP BY status");
    int r;
    while ((r = stmt_step(s)) > 0)
        for (size_t i = 0; i < COUNT_STATUSES; i++)
            if (str_eq(stmt_text(s, 0, NULL), count_status_names[i]))
                c->sessions[i] = stmt_int(s, 1);
    return r;
}

static struct env_counts *env_of(struct counts *c, const char *id)
{
    for (size_t i = 0; i < c->n_envs; i++)
        if (str_eq(c->envs[i].id, id))
            return &c->envs[i];
    if (!id || c->n_envs == COUNTS_ENVIRONMENTS_MAX)
        return NULL;
    struct env_counts *e = &c->envs[c->n_envs];
    *e = (struct env_counts){0};
    if (!str_copy(e->id, sizeof(e->id), id))
        return NULL;
    c->n_envs++;
    return e;
}

static void add(struct counts *c, struct env_counts *e, int state, int64_t n)
{
    c->states[state] += n;
    if (e)
        e->states[state] += n;
}

static void earlier(int64_t *oldest, int64_t t)
{
    if (t > 0 && (*oldest == 0 || t < *oldest))
        *oldest = t;
}

/* A worker that holds an idle session gives it up for any call that waits: it is no work. */
static int held_state(const char *state, bool call, bool idle)
{
    if (str_eq(state, "starting"))
        return COUNT_STARTING;
    if (!str_eq(state, "active"))
        return COUNT_STOPPING;
    return idle && !call ? COUNT_RESTING : COUNT_ACTIVE;
}

/* Those of one environment, state and rank, whose sessions are idle or are not. */
static void add_group(struct counts *c, struct env_counts *e, struct stmt *s)
{
    const char *state = stmt_text(s, 1, NULL);
    const bool call = stmt_int(s, 2) < WORK_RANK_REST;
    const int64_t n = stmt_int(s, 3), claimed = stmt_int(s, 4);
    if (!str_eq(state, "queued")) {
        add(c, e, held_state(state, call, stmt_int(s, 6)), n);
        return;
    }
    add(c, e, COUNT_CLAIMED, claimed);
    add(c, e, call ? COUNT_WAITING : COUNT_RESTING, n - claimed);
    if (!call)
        return;
    earlier(&c->oldest_us, stmt_int(s, 5));
    if (e)
        earlier(&e->oldest_us, stmt_int(s, 5));
}

static int count_items(struct tx *tx, struct counts *c)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT w.environment_id, w.state, w.rank, COUNT(*), COUNT(w.claimed_at),"
                       " MIN(CASE WHEN w.claimed_at IS NULL THEN w.queued_at END),"
                       " COALESCE(s.status = 'idle', 0) AS idle"
                       " FROM work w LEFT JOIN sessions s ON s.id = w.session_id"
                       " WHERE w.state <> 'stopped'"
                       " GROUP BY w.environment_id, w.state, w.rank, idle");
    int r;
    while ((r = stmt_step(s)) > 0)
        add_group(c, env_of(c, stmt_text(s, 0, NULL)), s);
    return r;
}

static int counts_tx(struct tx *tx, void *arg)
{
    struct counts *c = arg;
    *c = (struct counts){.n_envs = 0};
    int r = count_sessions(tx, c);
    return r < 0 ? r : count_items(tx, c);
}

int counts_read(struct platform *p, struct counts *ret)
{
    int r = db_read(p->log.db, counts_tx, ret);
    return r < 0 ? r : upkeep_get_size(p->log.db, &ret->database);
}
