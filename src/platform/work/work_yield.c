/* work_yield.c - calls that wait come before sessions at rest.
 *
 * A worker serves so many sessions at once (the SDK's: one) and cannot know what waits while it
 * holds them; a session that asks for nothing could keep its hands for ever. So this fiber, one per
 * server, looks when an item with open calls has been in the queue for a moment and nobody took it:
 * then every worker of the environment has its hands full. It takes back as many items as calls
 * wait, those first that have rested longest, and ends the event streams of their workers, which
 * is what these notice at once: a stream that ends is opened again, and that is refused. (The next
 * heartbeat tells it, too.) Our own workers let go by themselves what is idle (worker/slots), so here it is
 * the rest: other workers, and sessions whose model is thinking.
 *
 * While nobody of the environment has begun with an item there is nobody to ask, and no look: who begins
 * rings. When those do not help, because their worker is dead, twice as many are asked, and so on. Nothing
 * is lost: a session that makes a call gets a new item at once. What its worker had in memory (the
 * SDK's shell) is, so a turn under way in which calls have run is left alone for a while, unless
 * the worker has said that it keeps sandboxes. */
#include "platform/work/work_yield.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "platform/work/work_clock.h"
#include "platform/work/work_store.h"
#include "session/hub.h"

#include <string.h>

#define WAITED_MS     50  /* a worker that polls has taken it by then */
#define LOOK_MS       100 /* while calls wait: for sessions that come to rest */
#define LOOK_LATER_MS 950 /* after LOOKS_SOON times in vain: nobody may be there at all */
#define LOOKS_SOON    80
#define ASKED_MS      700 /* in which the SDK's worker lets go: it opens its stream again after 500 ms */
#define ENVS_MAX      64 /* looked at in one round; the others in the next */
#define AT_ONCE       32 /* taken back in one transaction */
#define DOUBLED_MAX   6

/* An environment in which calls wait, and which has workers. */
struct env_wait {
    char id[64];
    int64_t waiting; /* items */
    int64_t asked, asked_until_ns;
    int doubled;
};

struct yielder {
    struct platform *p;
    struct work_time t;
    struct env_wait envs[ENVS_MAX], before[ENVS_MAX]; /* this round's, the last one's */
    size_t n, n_before;
    /* of one transaction */
    const char *environment_id;
    int64_t wanted;
    struct work_resting taken[WORK_RESTING_MAX];
    size_t n_taken;
};

/* ---- what waits ---- */

struct look {
    struct work_time t;
    char after[64]; /* the environment before the first one that is looked for */
    struct env_wait found[ENVS_MAX];
    size_t n;
};

static int look_tx(struct tx *tx, void *arg)
{
    struct look *l = arg;
    struct stmt *s = tx_prepare(
        tx, "SELECT environment_id, COUNT(*) FROM work WHERE state = 'queued' AND rank < 2"
            " AND environment_id > $4"
            " AND (requeues < 2 OR queued_at <= $1) AND (claimed_at IS NULL OR claimed_at <= $2)"
            " AND EXISTS (SELECT 1 FROM work h WHERE h.environment_id = work.environment_id"
            " AND h.state = 'active') GROUP BY environment_id ORDER BY environment_id LIMIT $3");
    stmt_bind_int(s, 1, l->t.lease_us);
    stmt_bind_int(s, 2, l->t.lease_us - WORK_RECLAIM_DEFAULT_MS * 1000);
    stmt_bind_int(s, 3, ENVS_MAX);
    stmt_bind_text(s, 4, l->after);
    l->n = 0;
    int r = 0;
    while (l->n < ENVS_MAX && (r = stmt_step(s)) > 0) {
        struct env_wait *e = &l->found[l->n];
        *e = (struct env_wait){.waiting = stmt_int(s, 1)};
        const char *id = stmt_text(s, 0, NULL);
        if (id && str_copy(e->id, sizeof(e->id), id))
            l->n++;
    }
    stmt_reset(s);
    return l->n == ENVS_MAX || r >= 0 ? 0 : r;
}

/* Takes over what was found, and what is known of these environments already. */
static void remember(struct yielder *y, const struct look *l)
{
    const struct env_wait *old = y->before;
    y->n_before = y->n;
    memcpy(y->before, y->envs, y->n * sizeof(*old));
    for (y->n = 0; y->n < l->n; y->n++) {
        struct env_wait *e = &y->envs[y->n];
        *e = l->found[y->n];
        for (size_t i = 0; i < y->n_before; i++) {
            if (!str_eq(old[i].id, e->id))
                continue;
            e->asked = old[i].asked;
            e->asked_until_ns = old[i].asked_until_ns;
            e->doubled = old[i].doubled;
        }
    }
}

static int look(struct yielder *y)
{
    struct look *l = mem_new(struct look);
    l->t = y->t;
    if (y->n == ENVS_MAX) /* there may be more */
        str_copy(l->after, sizeof(l->after), y->envs[y->n - 1].id);
    int r = db_read(y->p->log.db, look_tx, l);
    if (r == 0 && l->n == 0 && l->after[0]) {
        l->after[0] = '\0';
        r = db_read(y->p->log.db, look_tx, l);
    }
    if (r == 0)
        remember(y, l);
    free(l);
    return r;
}

/* ---- taking back ---- */

/* Which items may be taken back. Times are stamps of the session's last event.
 *  - No call is open that their worker may be running. A custom tool may be a client's, and then
 *    nobody runs it here: the SDK's worker is through with any call after 150 s.
 *  - The session is idle; or its model thinks, and either nothing would be lost or it has thought
 *    for long. (Not at the first moment: the next call may come at once.) */
#define CUSTOM_US (150 * US_PER_S)
#define THINKS_US (US_PER_S / 20)
#define LOSES_US  (10 * US_PER_S)
#define AT_REST                                                                                    \
    " w.environment_id = $1 AND w.state = 'active'"                                                \
    " AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.session_id = w.session_id"                     \
    " AND c.answered_by IS NULL AND (c.permission = 'allow' OR c.decision = 'allow')"              \
    " AND (c.kind = 'builtin' OR w.holder % 2 = 1 OR s.last_stamp > $2))"                          \
    " AND (s.status = 'idle' OR s.last_stamp < $3"                                                 \
    " OR (s.last_stamp < $4 AND (w.holder % 2 = 1 OR NOT EXISTS (SELECT 1 FROM events e"           \
    " WHERE e.session_id = s.id AND e.seq >= s.next_seq - 400"                                     \
    " AND e.processed_at >= w.acknowledged_at"                                                     \
    " AND e.type IN ('user.tool_result', 'user.custom_tool_result')))))"

int work_resting_tx(struct tx *tx, const char *environment_id, const struct work_time *t,
                    size_t max, struct work_resting ret[WORK_RESTING_MAX], size_t *ret_n)
{
    _Static_assert(WORK_HOLDER_KEEPS == 1, "holder %% 2 in AT_REST");
    struct stmt *s =
        tx_prepare(tx, "SELECT w.id, w.session_id FROM work w JOIN sessions s ON s.id = "
                       "w.session_id WHERE" AT_REST " ORDER BY CASE WHEN s.status = 'idle' THEN 0 "
                       "ELSE 1 END, s.last_stamp LIMIT $5");
    stmt_bind_text(s, 1, environment_id);
    stmt_bind_int(s, 2, t->wall_us - CUSTOM_US);
    stmt_bind_int(s, 3, t->wall_us - LOSES_US);
    stmt_bind_int(s, 4, t->wall_us - THINKS_US);
    stmt_bind_int(s, 5, (int64_t)max);
    int r = 0;
    size_t n = 0;
    while (n < max && n < WORK_RESTING_MAX && (r = stmt_step(s)) > 0) {
        const char *work_id = stmt_text(s, 0, NULL), *session_id = stmt_text(s, 1, NULL);
        if (work_id && session_id && str_copy(ret[n].work_id, sizeof(ret[n].work_id), work_id) &&
            str_copy(ret[n].session_id, sizeof(ret[n].session_id), session_id))
            n++;
    }
    stmt_reset(s);
    *ret_n = n;
    return r < 0 ? r : 0;
}

static int take_tx(struct tx *tx, void *arg)
{
    struct yielder *y = arg;
    size_t max = y->wanted < WORK_RESTING_MAX ? (size_t)y->wanted : WORK_RESTING_MAX;
    int r = work_resting_tx(tx, y->environment_id, &y->t, max, y->taken, &y->n_taken);
    for (size_t i = 0; r == 0 && i < y->n_taken; i++) {
        AUTO(work_item) w = {0};
        r = work_load_tx(tx, y->environment_id, y->taken[i].work_id, &w);
        if (r < 0)
            break;
        work_rule_take_back(&w, &y->t);
        r = work_store_tx(tx, &w);
    }
    return r;
}

/* Asks for as many as wait and have not been asked for yet. */
static int take_back(struct yielder *y, struct env_wait *e)
{
    int64_t now_ns = time_mono_ns();
    if (e->asked > 0 && now_ns >= e->asked_until_ns) { /* they did not come */
        e->doubled += e->doubled < DOUBLED_MAX;
        e->asked = 0;
    }
    y->wanted = (e->waiting << e->doubled) - e->asked;
    if (y->wanted <= 0)
        return 0;
    y->environment_id = e->id;
    int r = db_write(y->p->log.db, take_tx, y);
    if (r < 0 || y->n_taken == 0)
        return r;
    if (e->asked == 0)
        e->asked_until_ns = now_ns + ASKED_MS * NS_PER_MS;
    e->asked += (int64_t)y->n_taken;
    for (size_t i = 0; i < y->n_taken; i++) {
        const struct work_resting *t = &y->taken[i];
        log_info("work taken back for calls that wait", "work=%s session=%s waiting=%lld",
                 t->work_id, t->session_id, (long long)e->waiting);
        hub_end_work(y->p->log.hub, t->session_id, t->work_id);
    }
    return 0;
}

/* Sleeps until work is queued, at most `ms` (negative: without end). 0 or -ECANCELED. */
static int sleep_until_work(struct yielder *y, uint64_t rings, int64_t ms)
{
    struct hub *hub = y->p->log.hub;
    int64_t end_ns = ms < 0 ? FIBER_NO_DEADLINE : time_mono_ns() + ms * NS_PER_MS;
    int r = 0;
    struct fiber_deadline d = fiber_deadline_push(end_ns);
    while (r == 0 && rings == hub_work_rings(hub) && time_mono_ns() < end_ns)
        r = waitq_wait(hub_any_work(hub));
    fiber_deadline_pop(&d);
    return r == -ETIMEDOUT ? 0 : r;
}

int work_yielder(void *arg)
{
    struct yielder *y = mem_new(struct yielder);
    y->p = arg;
    int looks = 0, r = 0;
    while (r != -ECANCELED) {
        uint64_t rings = hub_work_rings(y->p->log.hub);
        y->t = work_time_now(y->p);
        r = look(y);
        for (size_t i = 0; r == 0 && i < y->n; i++)
            r = take_back(y, &y->envs[i]);
        if (r < 0 && r != -ECANCELED)
            log_warn("sessions at rest not looked at", "code=%s", err_name(r));
        looks = y->n > 0 ? looks + 1 : 0;
        bool again = r < 0 || y->n > 0;
        r = sleep_until_work(y, rings, !again ? -1 : looks <= LOOKS_SOON ? LOOK_MS : LOOK_LATER_MS);
        if (r == 0)
            r = fiber_sleep_ms(WAITED_MS);
    }
    free(y);
    return r;
}
