/* work_rules - one work item and what may happen to it (api.md section 4): the state machine
 * without a database. Pure.
 *
 *   queued --poll--> queued (claimed) --ack--> starting --heartbeat--> active
 *
 *   starting, active --stop--> stopping
 *   queued           --stop--> stopped
 *   any state        --stop, force--> stopped
 *
 * A claim that is not acknowledged lapses; a lease that runs out turns starting and active into
 * queued, stopping into stopped. Times shown to people are wall-clock microseconds; claims and
 * leases are measured on the work clock (work_now_us), which no change of the wall clock moves. 0
 * stands for "not set". */
#pragma once

#include "platform/work/work_clock.h"
#include "session/refusal.h"

#define WORK_TTL_MAX_SECONDS    3600
#define WORK_RECLAIM_DEFAULT_MS 5000
#define WORK_RECLAIM_MAX_MS     (24 * 3600 * 1000LL)
#define WORK_BLOCK_MAX_MS       999
#define WORK_HOLD_BACK_MAX_S    60 /* longest wait before an item is offered that keeps failing */

/* What is known of the worker that has an item. */
#define WORK_HOLDER_KEEPS                                                                          \
    1 /* it said that it keeps the sandbox of a session it is asked to leave */
#define WORK_HOLDER_TOKEN 2 /* it beats with the sessions token: without that it can do nothing */

struct work_item {
    char id[64], environment_id[64], session_id[64];
    char state[16];
    json_t *metadata;
    char last_heartbeat[40]; /* the very text the worker must echo; "" for none */
    char prev_heartbeat[40]; /* what the last accepted beat echoed; "" for none */
    int64_t created_at, queued_at, acknowledged_at, started_at, heartbeat_at, stop_requested_at,
        stopped_at;                       /* wall clock */
    int64_t claimed_at, lease_expires_at; /* work clock */
    int64_t ttl_seconds, requeues;
    int64_t holder;  /* WORK_HOLDER_* */
    bool unbegun;    /* its worker left it at rest: it has begun none of the calls that are open */
    bool drop_token; /* the sessions token of the last claim ends with this change */
};
void work_item_done(struct work_item *w);

/* Each changes `w`, or fills `r` and returns -E_DENIED. */
int work_rule_ack(struct work_item *w, const struct work_time *t, struct refusal *r) WARN_UNUSED;
/* One heartbeat as it came. */
struct work_beat {
    const char *expected; /* NULL: unconditional */
    int64_t ttl_seconds;  /* 0: as before */
    bool by_token;        /* with the sessions token, which belongs to this claim alone */
    bool again; /* the client says that it repeats a request whose answer it did not get */
};
/* *ret_extended tells whether the lease was extended. */
int work_rule_heartbeat(struct work_item *w, const struct work_time *t, const struct work_beat *b,
                        bool *ret_extended, struct refusal *r) WARN_UNUSED;
int work_rule_stop(struct work_item *w, const struct work_time *t, bool force, struct refusal *r)
    WARN_UNUSED;
/* The lease has run out. True when the item is offered again, false when that was its end. */
bool work_rule_expire(struct work_item *w, const struct work_time *t);
/* Takes an item at rest away from its worker, for others. Ended at once when the worker can do
 * nothing without its token, which from then on only tells it the end; else it is asked to stop. */
void work_rule_take_back(struct work_item *w, const struct work_time *t);
/* Ends it at once. */
void work_rule_end(struct work_item *w, const struct work_time *t);

/* Seconds an item is held back that follows `requeues` items in a row which ended
 * without progress. */
int64_t work_hold_back_s(int64_t requeues);

/* The Work object; `secret` NULL: null. */
json_t *work_json(const struct work_item *w, const char *secret);
json_t *work_heartbeat_json(const struct work_item *w, bool extended);
/* What poll hands out: base64url of {"sessions_token", "api_base_url"?}. malloc'ed; wipe it after
 * use. */
char *work_secret(const char *token, const char *api_base_url);
