/* work - the work queue of self_hosted environments (api.md section 4). The state machine is work_rules, the tables are work_store, leases that run out are
 * work_reaper. */
#pragma once

#include "platform/api/api.h"
#include "session/log.h"
#include "platform/work/work_rules.h"

api_handler work_poll, work_ack, work_heartbeat, work_stop, work_list, work_retrieve, work_update,
    work_stats;

/* ---- for the server ---- */

/* At start, before the first request: every lease gets a whole time to live from now on, because no
 * worker could renew one while the server was down. Suspends. */
int work_start(struct platform *p, struct err *e) WARN_UNUSED;
/* The fiber that ends leases when they run out; `arg` is the struct platform. Sleeps exactly until
 * the next one. Runs until it is cancelled. */
int work_reaper(void *arg);

/* ---- for the handlers ---- */

/* The work clock: microseconds since 1970 as of the start of the process, counted on by the
 * monotonic clock. */
int64_t work_now_us(struct platform *p);
struct work_time work_time_now(struct platform *p);
/* Some lease now ends at `lease_us`: wakes the reaper if it sleeps longer. Does not suspend. */
void work_lease_changed(struct platform *p, int64_t lease_us);

/* Workers that polled lately, per environment. `worker` NULL or "": not counted. */
void work_saw_worker(struct platform *p, const char *environment_id, const char *worker);
int64_t work_workers_polling(struct platform *p, const char *environment_id);

/* The part of struct platform_state that belongs to this file; freed with it. */
struct work_state;
void work_state_free(struct work_state *s);

/* ---- transaction functions (work_store.c) ---- */

int work_load_tx(struct tx *tx, const char *environment_id, const char *work_id,
                 struct work_item *ret) WARN_UNUSED; /* -ENOENT */
int work_store_tx(struct tx *tx, const struct work_item *w) WARN_UNUSED;
/* The columns every SELECT of items names, in the order work_read wants them. */
#define WORK_COLUMNS                                                                               \
    "id, environment_id, session_id, state, metadata, last_heartbeat, created_at, queued_at, "     \
    "acknowledged_at,"                                                                             \
    " started_at, heartbeat_at, stop_requested_at, stopped_at, claimed_at, lease_expires_at, "     \
    "ttl_seconds, requeues"
int work_read(struct stmt *s, struct work_item *ret) WARN_UNUSED;

/* Takes the oldest item that may be taken and puts `token_hash` on it. 1 taken, 0 none. `now` and
 * `reclaim_us` on the work clock. */
struct work_claim {
    const char *environment_id;
    int64_t now, reclaim_us, ttl_seconds;
    const char *token_hash, *claimed_by;
};
int work_claim_tx(struct tx *tx, const struct work_claim *c, struct work_item *ret) WARN_UNUSED;
/* 1 when an item may be taken now; 0 when not, then *ret_next is when one may become free by itself
 * (work clock; INT64_MAX: never). */
int work_peek_tx(struct tx *tx, const char *environment_id, int64_t now, int64_t reclaim_us,
                 int64_t *ret_next) WARN_UNUSED;

/* After `w` has ended: when its session still has tool calls for a worker to run, offers the
 * session again as a new item and says so in its log. The batch is published by the caller. */
int work_requeue_tx(struct tx *tx, const struct work_item *w, struct log_batch *b,
                    const struct work_time *t) WARN_UNUSED;
/* Ends the lease of `w`, which has run out, with a line in the session's log. */
int work_expire_tx(struct tx *tx, struct work_item *w, struct log_batch *b,
                   const struct work_time *t) WARN_UNUSED;
/* An environment key is revoked: what was handed out for it ends. Then call work_lease_changed and
 * hub_work_ready. */
int work_drop_key_tx(struct tx *tx, const char *key_id, int64_t lease_now) WARN_UNUSED;
