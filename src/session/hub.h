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

/* Sessions. A subscriber is one open event stream: a reader of the log that is told of new events.
 * Frames of small events go to its writer's queue as they are published; whatever does not (the
 * queue is full, the event is large, the reader resumes) it reads from the log by place. */
struct hub_subscriber {
    struct list node;
    struct sse_writer *w;
    bool delta_message, delta_thinking; /* event_deltas[] of this connection */
    struct map started;                 /* event ids for which this connection got event_start */
    int64_t next;                       /* place in the log of the reader's next event */
    int64_t seen;                       /* the last place that was published since it subscribed */
    char work_id[64]; /* of the sessions token it reads with; "" for other callers */
};
/* Prepares the struct; the writer must outlive the subscription. The reader is behind until
 * hub_reached says from where it goes on. */
void hub_subscriber_init(struct hub_subscriber *s, struct sse_writer *w);
/* The reader has, or does not want, everything before place `next`. It is no longer behind, unless
 * more has been published since. Returns whether it is. */
bool hub_reached(struct hub_subscriber *s, int64_t next);
void hub_subscribe(struct hub *h, const char *session_id, struct hub_subscriber *s);
void hub_unsubscribe(struct hub *h, const char *session_id, struct hub_subscriber *s);
/* A persisted event, after its commit, with its place in the log. `event` is the whole wire form
 * (id, type, processed_at, ...), or only id and type when it is large: readers take it from the
 * log. Place 0 is for the last word of a session that has no log any more. Does not suspend. */
void hub_event(struct hub *h, const char *session_id, int64_t place, const json_t *event);
/* Many events at once, up to this place: all readers take them from the log. */
void hub_skip(struct hub *h, const char *session_id, int64_t place);
/* Stream-only frames while a model answers: kind "agent.message" or "agent.thinking". */
void hub_event_start(struct hub *h, const char *session_id, const char *event_id, const char *type);
void hub_event_delta(struct hub *h, const char *session_id, const char *event_id, int index,
                     const char *text, size_t n);
/* Ends every stream of a session when its reader has everything (deleted, terminated). */
void hub_end(struct hub *h, const char *session_id);
/* Ends the streams that were opened with the sessions token of this work item: its worker is to let
 * go of it. */
void hub_end_work(struct hub *h, const char *session_id, const char *work_id);
/* Every stream of every session after what is queued, and every long poll looks again: the server
 * stops. Streams opened later end at once. */
void hub_end_all(struct hub *h);
bool hub_ended(const struct hub *h);

/* Work queues: pollers of one environment park on its wait list. The list exists as long as
 * somebody waits. */
struct waitq *hub_work_queue(struct hub *h, const char *environment_id);
void hub_work_ready(struct hub *h, const char *environment_id);
/* Rung with each of them, for who looks after all environments. */
struct waitq *hub_any_work(struct hub *h);
/* Rings that one alone: a worker has begun with an item, so whoever can be asked for it may be there now. */
void hub_work_begun(struct hub *h);
/* How often any of them rang: a poller compares before and after looking at the table, so that work
 * which arrives while it looks is not missed. */
uint64_t hub_work_rings(const struct hub *h);
