/* work_store - work items as rows. Transaction functions. */
#pragma once

#include "platform/work/work_rules.h"
#include "session/log.h"

int work_load_tx(struct tx *tx, const char *environment_id, const char *work_id,
                 struct work_item *ret) WARN_UNUSED; /* -ENOENT */
int work_store_tx(struct tx *tx, const struct work_item *w) WARN_UNUSED;
/* The columns every SELECT of items names; work_read reads such a row. */
#define WORK_COLUMNS "id" WORK_COLUMN_LIST(WORK_AS_SQL)
#define WORK_COLUMN_LIST(C)                                                                        \
    C(ENVIRONMENT_ID, "environment_id")                                                            \
    C(SESSION_ID, "session_id")                                                                    \
    C(STATE, "state")                                                                              \
    C(METADATA, "metadata")                                                                        \
    C(LAST_HEARTBEAT, "last_heartbeat")                                                            \
    C(CREATED_AT, "created_at")                                                                    \
    C(QUEUED_AT, "queued_at")                                                                      \
    C(ACKNOWLEDGED_AT, "acknowledged_at")                                                          \
    C(STARTED_AT, "started_at")                                                                    \
    C(HEARTBEAT_AT, "heartbeat_at")                                                                \
    C(STOP_REQUESTED_AT, "stop_requested_at")                                                      \
    C(STOPPED_AT, "stopped_at")                                                                    \
    C(CLAIMED_AT, "claimed_at")                                                                    \
    C(LEASE_EXPIRES_AT, "lease_expires_at")                                                        \
    C(TTL_SECONDS, "ttl_seconds")                                                                  \
    C(REQUEUES, "requeues")                                                                        \
    C(HOLDER, "holder")                                                                            \
    C(PREV_HEARTBEAT, "prev_heartbeat")
#define WORK_AS_SQL(name, sql) ", " sql
int work_read(struct stmt *s, struct work_item *ret) WARN_UNUSED;

/* Takes the item that is next (the most urgent rank, then the oldest) and puts `token_hash` on it. 1 taken, 0 none. `now` and
 * `reclaim_us` on the work clock. */
struct work_claim {
    const char *environment_id;
    int64_t now, reclaim_us, ttl_seconds;
    const char *token_hash, *claimed_by;
    int64_t holder; /* WORK_HOLDER_KEEPS or 0 */
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
/* Ends the lease of `w`, which has run out. With calls open the session is offered again, with
 * a line in its log. The item of a session in which nothing has happened yet goes back as it was.
 * Else nothing is left behind. */
int work_expire_tx(struct tx *tx, struct work_item *w, struct log_batch *b,
                   const struct work_time *t) WARN_UNUSED;
/* An environment key is revoked: what was handed out for it ends. Then call work_lease_changed and
 * hub_work_ready. */
int work_drop_key_tx(struct tx *tx, const char *key_id, int64_t lease_now) WARN_UNUSED;
