/* work_watch.c - why sessions do not go on, for whoever reads the log.
 *
 * One fiber per server. It sleeps while nothing is queued; afterwards it looks every second for calls
 * that have waited for a worker longer than WAITED_US, and says so for each environment: a line at
 * first, one a minute while it lasts, and one when it is over. It changes nothing (that is
 * work_yield's part). A read of the store's index of queued items is what it costs while calls
 * wait, and one in WAITED_US when they are taken as they come. At most ENVS_MAX environments are
 * followed at a time: more are heard of when some of these are over. Times are stamps of the wall
 * clock, which only these lines believe. Items held back after failures have theirs in the future,
 * so they do not count. */
#include "platform/work/work_watch.h"

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "platform/work/work_clock.h"
#include "platform/work/work_sightings.h"
#include "session/hub.h"

#include <string.h>

#define WAITED_US (5 * US_PER_S)
#define AGAIN_US  (60 * US_PER_S)
#define LOOK_MS   1000
#define ENVS_MAX  64

struct watcher {
    struct platform *p;
    struct work_wait envs[ENVS_MAX], found[ENVS_MAX];
    size_t n, n_found;
    bool queued; /* something waits, though not for long yet */
    int64_t now;
};

/* ---- what waits ---- */

static int look_tx(struct tx *tx, void *arg)
{
    struct watcher *w = arg;
    struct stmt *s = tx_prepare(
        tx, "SELECT environment_id, COUNT(CASE WHEN queued_at <= $1 THEN 1 END), MIN(queued_at)"
            " FROM work WHERE state = 'queued' AND rank < 2"
            " AND claimed_at IS NULL AND queued_at <= $2"
            " GROUP BY environment_id LIMIT $3");
    stmt_bind_int(s, 1, w->now - WAITED_US);
    stmt_bind_int(s, 2, w->now);
    stmt_bind_int(s, 3, ENVS_MAX);
    w->n_found = 0;
    w->queued = false;
    int r;
    while ((r = stmt_step(s)) > 0 && w->n_found < ENVS_MAX) {
        struct work_wait *e = &w->found[w->n_found];
        *e = (struct work_wait){.calls = stmt_int(s, 1), .oldest_at = stmt_int(s, 2)};
        const char *id = stmt_text(s, 0, NULL);
        w->queued = true;
        if (e->calls > 0 && id && str_copy(e->environment_id, sizeof(e->environment_id), id))
            w->n_found++;
    }
    stmt_reset(s);
    return r < 0 ? r : 0;
}

static struct work_wait *known(struct watcher *w, const char *id)
{
    for (size_t i = 0; i < w->n; i++)
        if (str_eq(w->envs[i].environment_id, id))
            return &w->envs[i];
    return NULL;
}

/* Brings what is known up to what was found. */
static void take_over(struct watcher *w)
{
    for (size_t i = 0; i < w->n; i++)
        w->envs[i].calls = 0;
    for (size_t i = 0; i < w->n_found; i++) {
        const struct work_wait *f = &w->found[i];
        struct work_wait *e = known(w, f->environment_id);
        if (!e && w->n < ENVS_MAX) {
            e = &w->envs[w->n++];
            *e = *f;
            e->since = f->oldest_at;
        }
        if (e) {
            e->calls = f->calls;
            e->oldest_at = f->oldest_at;
        }
    }
}

/* ---- saying it ---- */

enum work_wait_word work_wait_judge(struct work_wait *w, int64_t now)
{
    if (w->calls == 0)
        return WORK_WAIT_OVER;
    if (w->said_at && now - w->said_at < AGAIN_US && now >= w->said_at)
        return WORK_WAIT_SILENT;
    w->said_at = now;
    return WORK_WAIT_SAY;
}

static long long seconds(int64_t us)
{
    return us > 0 ? us / US_PER_S : 0;
}

static void say(struct watcher *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct work_wait *e = &w->envs[i];
        enum work_wait_word word = work_wait_judge(e, w->now);
        if (word == WORK_WAIT_SAY)
            log_warn("calls wait for a worker",
                     "environment=%s calls=%lld oldest_s=%lld workers_polling=%lld",
                     e->environment_id, (long long)e->calls, seconds(w->now - e->oldest_at),
                     (long long)work_workers_polling(w->p, e->environment_id));
        if (word == WORK_WAIT_OVER)
            log_info("calls do not wait for a worker any more", "environment=%s after_s=%lld",
                     e->environment_id, seconds(w->now - e->since));
        else
            w->envs[kept++] = *e;
    }
    w->n = kept;
}

/* Until something is queued. 0 or -ECANCELED. */
static int sleep_until_work(struct watcher *w, uint64_t rings)
{
    struct hub *hub = w->p->log.hub;
    int r = 0;
    while (r == 0 && rings == hub_work_rings(hub))
        r = waitq_wait(hub_any_work(hub));
    return r == 0 ? fiber_sleep_ms(WAITED_US / 1000) : r;
}

int work_watcher(void *arg)
{
    struct watcher *w = mem_new(struct watcher);
    w->p = arg;
    int r = 0;
    while (r != -ECANCELED) {
        uint64_t rings = hub_work_rings(w->p->log.hub);
        w->now = time_real_us();
        r = db_read(w->p->log.db, look_tx, w);
        if (r < 0) {
            log_warn("calls that wait not looked at", "code=%s", err_name(r));
            r = fiber_sleep_ms(WAITED_US / 1000);
            continue;
        }
        take_over(w);
        say(w);
        r = w->queued || w->n > 0 ? fiber_sleep_ms(LOOK_MS) : sleep_until_work(w, rings);
    }
    free(w);
    return r;
}
