/* work_reaper.c - the fiber that ends leases that run out.
 *
 * One fiber per server. It asks the table for the earliest end of a lease and sleeps until then; a
 * handler that makes an earlier one wakes it (work_lease_changed). A heartbeat that extends a lease
 * leaves it alone: it wakes at the old time, finds nothing to do and sleeps on. A restart renews
 * every lease, because no worker could. A store that fails (disk full) leaves leases as they are:
 * the fiber waits a little and tries again. */
#include "platform/work/work_reaper.h"

#include "base/err.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "platform/work/work_store.h"

#define AT_ONCE  16 /* leases ended in one transaction */
#define RETRY_MS 1000

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
    if (r > 0) {
        r = work_read(s, ret);
        r = r < 0 ? r : 1;
    }
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
        uint64_t changes = work_lease_changes(p);
        r = reap(p, x);
        if (r < 0) {
            if (!failing)
                log_error("leases cannot be ended", "code=%s", err_name(r));
            failing = true;
            forget_batches(x);
            r = fiber_sleep_ms(RETRY_MS);
            continue;
        }
        failing = false;
        if (changes == work_lease_changes(p))
            r = work_sleep_until(p, x->next);
    }
    forget_batches(x);
    free(x);
    return r;
}
