/* hub - in-process notification: which fiber waits for what. Nothing durable; the log and the
 * tables hold the state, a wake-up only says "look again". (With several server processes the
 * store's NOTIFY will feed the same functions.) */
#pragma once

#include "fiber/sync.h"
#include "base/map.h"
#include "http/server/sse.h"

struct hub;
struct hub *hub_new(void);
void hub_free(struct hub *h);

/* Sessions. A subscriber is one open event stream. */
struct hub_subscriber {
    struct list node;
    struct sse_writer *w;
    bool delta_message, delta_thinking; /* event_deltas[] of this connection */
    struct map started;                 /* event ids for which this connection got event_start */
    /* While `held`, frames wait here: the reader is still being given what the log holds
     * (Last-Event-ID). */
    char work_id[64]; /* of the sessions token it reads with; "" for other callers */
    bool held, end_held;
    struct list held_frames;
    size_t held_bytes;
    char after_stamp[40]; /* events not after this were given from the log; "" when none were */
};
/* Prepares the struct; the writer must outlive the subscription. */
void hub_subscriber_init(struct hub_subscriber *s, struct sse_writer *w);
/* Lets held frames go, without those whose processed_at is not after `last_stamp` (RFC 3339 text;
 * "": all go): the reader has them from the log. From now on frames go straight to the writer,
 * under the same rule. */
void hub_release(struct hub_subscriber *s, const char *last_stamp);
void hub_subscribe(struct hub *h, const char *session_id, struct hub_subscriber *s);
void hub_unsubscribe(struct hub *h, const char *session_id, struct hub_subscriber *s);
/* A persisted event, after its commit. `event` is the whole wire form (id, type, processed_at, …).
 * Does not suspend. */
void hub_event(struct hub *h, const char *session_id, const json_t *event);
/* Stream-only frames while a model answers: kind "agent.message" or "agent.thinking". */
void hub_event_start(struct hub *h, const char *session_id, const char *event_id, const char *type);
void hub_event_delta(struct hub *h, const char *session_id, const char *event_id, int index,
                     const char *text, size_t n);
/* Ends every stream of a session after what is queued (deleted, terminated). */
void hub_end(struct hub *h, const char *session_id);
/* Ends the streams that were opened with the sessions token of this work item: its worker is to let
 * go of it. */
void hub_end_work(struct hub *h, const char *session_id, const char *work_id);
/* Every stream of every session, and every long poll looks again: the server stops. Streams opened
 * later end at once. */
void hub_end_all(struct hub *h);
bool hub_ended(const struct hub *h);

/* Work queues: pollers of one environment park on its wait list. The list exists as long as
 * somebody waits. */
struct waitq *hub_work_queue(struct hub *h, const char *environment_id);
void hub_work_ready(struct hub *h, const char *environment_id);
/* Rung with each of them, for who looks after all environments. */
struct waitq *hub_any_work(struct hub *h);
/* How often any of them rang: a poller compares before and after looking at the table, so that work
 * which arrives while it looks is not missed. */
uint64_t hub_work_rings(const struct hub *h);
