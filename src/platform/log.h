/* log - the session log: the one durable truth about a session, and the functions that may change it.
 *
 * Events have a place (seq) and a stamp (processed_at, strictly rising within a session). Inputs that arrive while a turn
 * runs wait in the inbox and get their place at delivery (api.md 6.3). Tool calls are indexed in `calls` so that one
 * result is recorded exactly once. Functions ending in _tx run inside a transaction function, on a store thread. */
#pragma once

#include "platform/platform.h"

/* Events of one transaction, published to the hub after its commit. */
struct log_batch {
    char session_id[64];
    json_t *events;           /* array of whole wire events, in order */
    bool work_ready;          /* a work item was queued: ring hub_work_ready(environment_id) */
    bool wake;                /* the brain has something to do */
    bool ended;               /* terminated or deleted: end streams after publishing */
    char environment_id[64];
};
void log_batch_init(struct log_batch *b, const char *session_id);
void log_batch_done(struct log_batch *b);
/* On the loop thread, after db_write returned 0: hub events in order, work, wake. Does not suspend. */
void log_publish(struct platform *p, struct log_batch *b);

/* What a transaction needs to know of a session; strings are owned. */
struct log_session {
    char id[64], thread_id[64], agent_id[64], environment_id[64];
    int64_t agent_version;
    char status[16];
    json_t *stop_reason;      /* or NULL */
    json_t *agent;            /* snapshot */
    json_t *usage;
    int64_t next_seq, last_stamp, active_us, running_since /* 0: not running */, created_at, updated_at, archived_at /* 0 */;
    char *title;              /* or NULL */
    json_t *metadata;
    bool environment_self_hosted;
};
int log_session_load_tx(struct tx *tx, const char *session_id, struct log_session *ret) WARN_UNUSED; /* -ENOENT */
void log_session_done(struct log_session *s);

/* Appends one event: `body` is stolen (without id / processed_at / type). Assigns seq and a stamp later than the last.
 * `id` NULL: a new sevt_ id. Adds it to the batch. `hidden` may be NULL. The id goes to ret_id (may be NULL). */
int log_append_tx(struct tx *tx, struct log_session *s, struct log_batch *b, const char *type, const char *id, json_t *body,
                  const json_t *hidden, char ret_id[64]) WARN_UNUSED;
/* Writes back status, stop_reason, next_seq, stamps, usage of `s`. Last call of every transaction that appended. */
int log_session_store_tx(struct tx *tx, struct log_session *s) WARN_UNUSED;

/* Status changes, each with its events in the order of api.md 6.3. */
int log_running_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;   /* session.status_running + thread */
int log_idle_tx(struct tx *tx, struct log_session *s, struct log_batch *b, json_t *stop_reason /* stolen */) WARN_UNUSED;
int log_terminated_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;

/* Takes one POSTed batch of already validated inbound events (array of event params), applies all or nothing: places or
 * queues each, answers calls, re-emits idle pairs, wakes the brain, queues work for self_hosted environments. The echo
 * (array for the response's data) goes to *ret_echo. A rule that is broken fills `r` and returns -E_DENIED. */
struct refusal;
struct caller;
int log_accept_tx(struct tx *tx, struct log_session *s, struct log_batch *b, const json_t *events, json_t **ret_echo,
                  struct refusal *r) WARN_UNUSED;

/* Ensures a live work item for the session (one per session), queued when there is none. */
int log_queue_work_tx(struct tx *tx, struct log_session *s, struct log_batch *b) WARN_UNUSED;

/* Event row -> wire JSON (new reference). */
json_t *log_event_json(const char *id, const char *type, int64_t processed_at, const char *body_text);
