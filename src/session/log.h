/* log - the session log: the one durable truth about a session, and the functions that may change
 * it.
 *
 * Events have a place (seq) and a stamp (processed_at, strictly rising within a session). Inputs
 * that arrive while a turn runs wait in the inbox and get their place at delivery (api.md 6.3).
 * Tool calls are indexed in `calls` so that one result is recorded exactly once. Functions ending
 * in _tx run inside a transaction function, on a store thread. */
#pragma once

#include "base/json.h"
#include "store/db.h"

/* What the log needs of the server it runs in. The platform embeds one; the brain is given that one
 * and knows nothing else of the platform. */
struct session_log {
    struct db *db;
    struct hub *hub;
    /* The brain's doorbell, set by the server: the session has something to do. Never suspends;
     * NULL: no client listens. */
    void (*wake)(void *arg, const char *session_id);
    void *wake_arg;
};

/* Events of one transaction, published to the hub after its commit. */
struct log_batch {
    char session_id[64];
    json_t *events;  /* array of wire events, in order; of large ones id and type (hub_event) */
    int64_t place;   /* of the first of them in the log; 0: they are in no log */
    bool work_ready; /* a work item was queued: ring hub_work_ready(environment_id) */
    bool wake;       /* the brain has something to do */
    bool ended;      /* terminated or deleted: end streams after publishing */
    char environment_id[64];
};
void log_batch_init(struct log_batch *b, const char *session_id);
/* Empties the batch but keeps its session: the first line of every transaction function that fills
 * one, because the store may run such a function again from its start. */
void log_batch_reset(struct log_batch *b);
void log_batch_done(struct log_batch *b);
/* On the loop thread, after db_write returned 0: hub events in order, work, wake.
 * Does not suspend. */
void log_publish(struct session_log *log, struct log_batch *b);

/* What a transaction needs to know of a session; strings are owned. */
struct log_session {
    char id[64], thread_id[64], agent_id[64], environment_id[64];
    int64_t agent_version;
    char status[16];
    json_t *stop_reason; /* or NULL */
    char *agent_text;    /* the agent's snapshot as stored: parsed when asked for */
    json_t *agent;       /* through log_session_agent */
    json_t *usage;
    int64_t next_seq, last_stamp, active_us, running_since /* 0: not running */, created_at,
        updated_at, archived_at /* 0 */;
    char *title; /* or NULL */
    json_t *metadata;
    bool environment_self_hosted;
    bool stamped; /* this transaction has drawn its time: what follows takes the next microsecond */
};
/* -ENOENT when there is none. */
int log_session_load_tx(struct tx *tx, const char *session_id, struct log_session *ret) WARN_UNUSED;
void log_session_done(struct log_session *s);
/* The agent's snapshot, borrowed from `s`. Never NULL: an unreadable one is an agent without tools;
 * without the memory to read it the process ends. */
json_t *log_session_agent(struct log_session *s);

/* Appends one event: `body` is stolen (without id / processed_at / type). Assigns seq and a stamp
 * later than the last. `id` NULL: a new sevt_ id. Adds it to the batch. `hidden` may be NULL. The
 * id goes to ret_id (may be NULL). */
int log_append_tx(struct tx *tx, struct log_session *s, struct log_batch *b, const char *type,
                  const char *id, json_t *body, const json_t *hidden, char ret_id[64]) WARN_UNUSED;
/* Writes back status, stop_reason, next_seq, stamps, usage of `s`. Last call of every transaction
 * that appended. */
int log_session_store_tx(struct tx *tx, struct log_session *s) WARN_UNUSED;

/* Status changes, each with its events in the order of api.md 6.3. */
/* session.status_running and the thread's. */
int log_running_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;
int log_idle_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                json_t *stop_reason /* stolen */) WARN_UNUSED;
/* Idle because the model refused. `stop_details` {type: refusal, category, explanation}; NULL: the
 * provider gave none. */
int log_refused_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                   const json_t *stop_details) WARN_UNUSED;
int log_terminated_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;

/* Takes one POSTed batch of already validated inbound events (array of event params), applies all
 * or nothing: places or queues each, answers calls, re-emits idle pairs, wakes the brain, queues
 * work for self_hosted environments. The echo (array for the response's data) goes to *ret_echo. A
 * rule that is broken fills `r` and returns -E_DENIED. */
struct refusal;
int log_accept_tx(struct tx *tx, struct log_session *s, struct log_batch *b, const json_t *events,
                  json_t **ret_echo, struct refusal *r) WARN_UNUSED;

/* How urgently a session wants a worker: the queue goes by it first, then by age. */
enum work_rank {
    WORK_RANK_CALL,   /* a call waits that only a worker answers */
    WORK_RANK_CUSTOM, /* a call of a custom tool waits: a worker may serve it, or a client */
    WORK_RANK_REST,   /* nothing waits */
};
/* By the calls that are open now: allowed, and without a result. */
int log_work_rank_tx(struct tx *tx, const char *session_id, enum work_rank *ret) WARN_UNUSED;
/* Ensures a live work item for the session (one per session), queued when there is none, and that
 * its rank is right. */
int log_queue_work_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;

/* Session.usage as the API shows it (new reference). Token sums are those of the finished model
 * requests; active_seconds counts up to `now_us` while the session runs. There is no `list_cost`:
 * this server has no price list. */
json_t *log_usage_json(const struct log_session *s, int64_t now_us);
/* Seconds as a JSON number with at most three decimals (new reference). */
json_t *log_seconds_json(int64_t us);

/* ---- for the brain ---- */

/* session.status_rescheduled and its thread: a model request failed and will be made again. */
int log_rescheduled_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;
/* Adds one model request's usage to the session's sums; -1 never, negative counts
 * are taken as 0. */
void log_usage_add(struct log_session *s, int64_t input, int64_t output, int64_t cache_creation,
                   int64_t cache_read);

/* Indexes the tool call whose event was appended last. kind: "builtin" or "custom"; permission:
 * "allow", "ask" or "deny". With "deny", `refusal` is the text of the error result that
 * log_settle_tx gives it (NULL: the usual words of a rejection). */
int log_call_tx(struct tx *tx, struct log_session *s, const char *call_id, const char *kind,
                const char *name, const char *permission, const char *refusal) WARN_UNUSED;
/* Appends the server's own result of an open call (agent.tool_result, an error text) and marks it
 * answered. */
int log_call_error_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                      const char *call_id, const char *text) WARN_UNUSED;
/* Ids of the calls that a worker or a client must still answer, in log order (new reference; empty
 * when none). Denied calls are not among them: log_settle_tx gives them their result. */
int log_pending_tx(struct tx *tx, struct log_session *s, json_t **ret) WARN_UNUSED;
/* After calls were made or answered: parks the session in requires_action when some are pending,
 * else makes it run and gives the denied ones their results. */
int log_settle_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;
/* Gives every open call an error result; `text` NULL: to each the words it was denied with. */
int log_close_calls_tx(struct tx *tx, struct log_session *s, struct log_batch *b, const char *text)
    WARN_UNUSED;

/* Inputs that wait. Delivery appends them in order of arrival, under the ids their senders were
 * given. -EMSGSIZE when the log would not take it (LIMIT_EVENT_BYTES). */
int log_inbox_push_tx(struct tx *tx, struct log_session *s, const char *id, const char *type,
                      const json_t *body) WARN_UNUSED;
/* Delivers those up to the last user.interrupt (`through_interrupt`) or all of them. Returns how
 * many. */
int log_deliver_tx(struct tx *tx, struct log_session *s, struct log_batch *b,
                   bool through_interrupt) WARN_UNUSED;
/* 1 when an interrupt waits, 0 when not. */
int log_interrupted_tx(struct tx *tx, const char *session_id) WARN_UNUSED;
/* Number of waiting inputs. */
int log_inbox_count_tx(struct tx *tx, const char *session_id) WARN_UNUSED;
/* Records the waiting inputs without acting on them: they were acknowledged, so they stay in the
 * log, but the model never sees them (hidden: {"dropped": true}). Returns how many. */
int log_inbox_drop_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;
