/* work_reaper.c - the clock of leases, and the fiber that ends those that run out.
 *
 * One fiber per server. It asks the table for the earliest end of a lease and sleeps until then; a
 * handler that makes an earlier one wakes it (work_lease_changed). A heartbeat that extends a lease
 * leaves it alone: it wakes at the old time, finds nothing to do and sleeps on. Leases are measured
 * on a clock of our own, the wall clock at start counted on by the monotonic one, so that setting
 * the wall clock neither kills all leases nor makes one immortal; a restart renews every lease,
 * because no worker could. A store that fails (disk full) leaves leases as they are: the fiber
 * waits a little and tries again. */
#include "platform/work/work.h"

#include "base/err.h"
#include "base/log.h"
#include "base/time.h"
#include "fiber/sync.h"
#include "platform/api/state.h"
#include "session/hub.h"

#include <stdio.h>
#include <string.h>

#define AT_ONCE          16 /* leases ended in one transaction */
#define RETRY_MS         1000
#define SEEN_US          (30 * US_PER_S) /* api.md section 4: workers_polling */
#define MAX_WORKERS_SEEN 4096

struct sighting {
    char environment_id[64];
    int64_t at; /* work clock */
};

struct work_state {
    int64_t offset_us; /* work clock minus monotonic clock */
    struct waitq reaper;
    bool asleep;
    int64_t reaper_until; /* work clock: when it wakes by itself, while asleep */
    uint64_t changes;     /* leases changed while it was awake: look again before sleeping */
    struct map workers;   /* environment and worker id -> struct sighting * */
};

static struct work_state *state(struct platform *p)
{
    struct platform_state *all = platform_state(p);
    if (!all->work) {
        struct work_state *s = mem_new(struct work_state);
        s->offset_us = time_real_us() - time_mono_ns() / 1000;
        waitq_init(&s->reaper);
        map_init(&s->workers);
        all->work = s;
    }
    return all->work;
}

void work_state_free(struct work_state *s)
{
    if (!s)
        return;
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(&s->workers, &pos, &key, &value))
        free(value);
    map_done(&s->workers);
    free(s);
}

int64_t work_now_us(struct platform *p)
{
    return time_mono_ns() / 1000 + state(p)->offset_us;
}

struct work_time work_time_now(struct platform *p)
{
    return (struct work_time){.wall_us = time_real_us(), .lease_us = work_now_us(p)};
}

void work_lease_changed(struct platform *p, int64_t lease_us)
{
    struct work_state *s = state(p);
    if (!s->asleep)
        s->changes++;
    else if (lease_us < s->reaper_until)
        waitq_wake_all(&s->reaper);
}

/* ---- workers seen ---- */

static void forget_old(struct work_state *s, int64_t now)
{
    for (;;) {
        size_t pos = 0;
        const char *key, *old = NULL;
        void *value;
        while (!old && map_next(&s->workers, &pos, &key, &value))
            if (now - ((struct sighting *)value)->at > SEEN_US)
                old = key;
        if (!old)
            return;
        AUTO_FREE char *copy = mem_strdup(old);
        free(map_remove(&s->workers, copy));
    }
}

void work_saw_worker(struct platform *p, const char *environment_id, const char *worker)
{
    struct work_state *s = state(p);
    int64_t now = work_now_us(p);
    if (!worker || !worker[0])
        return;
    char key[256]; /* an over-long worker id is cut: it only has to tell workers apart */
    snprintf(key, sizeof(key), "%.64s %.180s", environment_id, worker);
    struct sighting *seen = map_get(&s->workers, key);
    if (!seen) {
        if (s->workers.n >= MAX_WORKERS_SEEN)
            forget_old(s, now);
        if (s->workers.n >= MAX_WORKERS_SEEN)
            return;
        seen = mem_new(struct sighting);
        snprintf(seen->environment_id, sizeof(seen->environment_id), "%.63s", environment_id);
        (void)map_put(&s->workers, key, seen);
    }
    seen->at = now;
}

int64_t work_workers_polling(struct platform *p, const char *environment_id)
{
    struct work_state *s = state(p);
    int64_t now = work_now_us(p), n = 0;
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(&s->workers, &pos, &key, &value)) {
        const struct sighting *seen = value;
        if (now - seen->at <= SEEN_US && !strcmp(seen->environment_id, environment_id))
            n++;
    }
    return n;
}

/* ---- start ---- */

/* Also puts right what a clock set back while the server was down would make wait. */
static int start_tx(struct tx *tx, void *arg)
{
    int64_t now = *(const int64_t *)arg;
    int r = tx_exec(tx,
                    "UPDATE work SET lease_expires_at = $1 + ttl_seconds * 1000000 WHERE "
                    "lease_expires_at IS NOT NULL",
                    "i", now);
    if (r == 0)
        r = tx_exec(tx,
                    "UPDATE work SET claimed_at = $1 WHERE state = 'queued' AND claimed_at > $2",
                    "ii", now, now);
    if (r == 0)
        r = tx_exec(tx, "UPDATE work SET queued_at = $1 WHERE state = 'queued' AND queued_at > $2",
                    "ii", now, now);
    return r;
}

int work_start(struct platform *p, struct err *e)
{
    int64_t now = work_now_us(p);
    int r = db_write(p->log.db, start_tx, &now);
    return r < 0 ? err_set(e, r, "the leases of work items could not be renewed: %s", err_text(r))
                 : 0;
}

/* ---- the reaper ---- */

struct expiry {
    struct work_time t;
    struct log_batch batches[AT_ONCE];
    size_t n;
    int64_t next; /* end of the earliest lease that is left; INT64_MAX: none */
};

static void forget_batches(struct expiry *x)
{
    for (size_t i = 0; i < x->n; i++)
        log_batch_done(&x->batches[i]);
    x->n = 0;
}

/* The item whose lease ends first. 1, 0, or negative. */
static int first_lease(struct tx *tx, struct work_item *ret)
{
    struct stmt *s =
        tx_prepare(tx, "SELECT " WORK_COLUMNS " FROM work WHERE lease_expires_at IS NOT NULL"
                       " ORDER BY lease_expires_at LIMIT 1");
    int r = stmt_step(s);
    if (r > 0)
        r = work_read(s, ret) < 0 ? -E_CORRUPT : 1;
    stmt_reset(s);
    return r;
}

static int expire_tx(struct tx *tx, void *arg)
{
    struct expiry *x = arg;
    forget_batches(x);
    for (;;) {
        AUTO(work_item) w = {0};
        int r = first_lease(tx, &w);
        x->next = r > 0 ? w.lease_expires_at : INT64_MAX;
        if (r <= 0 || w.lease_expires_at > x->t.lease_us || x->n == AT_ONCE)
            return r < 0 ? r : 0;
        struct log_batch *b = &x->batches[x->n++];
        log_batch_init(b, w.session_id);
        r = work_expire_tx(tx, &w, b, &x->t);
        if (r < 0)
            return r;
    }
}

static int next_tx(struct tx *tx, void *arg)
{
    struct expiry *x = arg;
    AUTO(work_item) w = {0};
    int r = first_lease(tx, &w);
    x->next = r > 0 ? w.lease_expires_at : INT64_MAX;
    return r < 0 ? r : 0;
}

/* Sleeps until `until` on the work clock, or until somebody makes an earlier lease. 0 or
 * -ECANCELED. */
static int sleep_until(struct platform *p, int64_t until)
{
    struct work_state *s = state(p);
    int64_t mono = INT64_MAX;
    if (until != INT64_MAX && __builtin_mul_overflow(until - s->offset_us, (int64_t)1000, &mono))
        mono = INT64_MAX;
    struct fiber_deadline d = fiber_deadline_push(mono);
    s->reaper_until = until;
    s->asleep = true;
    int r = waitq_wait(&s->reaper);
    s->asleep = false;
    fiber_deadline_pop(&d);
    return r == -ETIMEDOUT ? 0 : r;
}

/* Ends what has run out and tells when the next lease ends. */
static int reap(struct platform *p, struct expiry *x)
{
    for (;;) {
        int r = db_read(p->log.db, next_tx, x);
        x->t = work_time_now(p);
        if (r < 0 || x->next > x->t.lease_us)
            return r;
        r = db_write(p->log.db, expire_tx, x);
        if (r < 0)
            return r;
        for (size_t i = 0; i < x->n; i++) {
            log_info("lease ended", "session=%s", x->batches[i].session_id);
            log_publish(&p->log, &x->batches[i]);
        }
        forget_batches(x);
    }
}

int work_reaper(void *arg)
{
    struct platform *p = arg;
    struct expiry *x = mem_new(struct expiry);
    bool failing = false;
    int r = 0;
    while (r != -ECANCELED && r != -ETIMEDOUT) {
        uint64_t changes = state(p)->changes;
        r = reap(p, x);
        if (r < 0) {
            if (!failing)
                log_error("leases can not be ended", "code=%s", err_name(r));
            failing = true;
            forget_batches(x);
            r = fiber_sleep_ms(RETRY_MS);
            continue;
        }
        failing = false;
        if (changes == state(p)->changes)
            r = sleep_until(p, x->next);
    }
    forget_batches(x);
    free(x);
    return r;
}
