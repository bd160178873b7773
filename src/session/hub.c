/* hub.c - in-process notification.
 *
 * Called on the loop thread by log_publish and the brain (producers, which must not suspend) and by
 * the fibers that serve event streams and long polls (consumers). A frame is made once, when the
 * first subscriber has room for it, and shared by all of a session. Nothing here is durable and
 * nothing waits for a slow reader.
 *
 * A subscriber is at a place of the log (`next`). A published event with exactly that place goes to
 * its queue; one before it is known already (it was read from the log while its publication was
 * under way); one behind it, or one that finds no room, leaves the reader behind, and its own fiber
 * reads the log until it has met what was published last. So a reader gets each event once and in
 * order, whichever way it comes, and a queue need not be long: it saves a read of the log for those
 * who keep up. Deltas are in no log. Who is behind gets none, and the whole event later. */
#include "session/hub.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/str.h"

#include <string.h>

struct topic {
    struct list subscribers;
};

struct bell {
    struct waitq waiting;
};

struct hub {
    struct map sessions; /* session id -> struct topic *, while it has subscribers */
    struct map work;     /* environment id -> struct bell * */
    struct waitq any_work;
    uint64_t work_rings;
    bool ended; /* the server stops */
};

#define BELLS_BEFORE_SWEEP 256

METRIC_GAUGE(readers, "sallyport_server_stream_readers", "", "Event streams that are open.")

struct hub *hub_new(void)
{
    struct hub *h = mem_new(struct hub);
    map_init(&h->sessions);
    map_init(&h->work);
    waitq_init(&h->any_work);
    return h;
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(&h->sessions, &pos, &key, &value)) {
        MUST(list_empty(&((struct topic *)value)->subscribers));
        free(value);
    }
    pos = 0;
    while (map_next(&h->work, &pos, &key, &value))
        free(value);
    map_done(&h->sessions);
    map_done(&h->work);
    free(h);
}

void hub_subscriber_init(struct hub_subscriber *s, struct sse_writer *w)
{
    memset(s, 0, sizeof(*s));
    s->w = w;
    w->behind = true;
    list_init(&s->node);
    map_init(&s->started);
}

bool hub_reached(struct hub_subscriber *s, int64_t next)
{
    s->next = next;
    if (s->seen < next)
        s->w->behind = false;
    return s->w->behind;
}

/* Without what the reader has not fetched yet: it can resume. */
static void end_now(struct hub_subscriber *s)
{
    s->w->behind = false;
    sse_end(s->w);
}

void hub_subscribe(struct hub *h, const char *session_id, struct hub_subscriber *s)
{
    struct topic *t = map_get(&h->sessions, session_id);
    if (!t) {
        t = mem_new(struct topic);
        list_init(&t->subscribers);
        map_put(&h->sessions, session_id, t);
    }
    list_push_back(&t->subscribers, &s->node);
    metric_add(&readers, 1);
    if (h->ended)
        end_now(s);
}

void hub_unsubscribe(struct hub *h, const char *session_id, struct hub_subscriber *s)
{
    struct topic *t = map_get(&h->sessions, session_id);
    metric_add(&readers, -1);
    list_remove(&s->node);
    map_done(&s->started);
    if (t && list_empty(&t->subscribers)) {
        map_remove(&h->sessions, session_id);
        free(t);
    }
}

static struct sse_frame *frame_of(const char *type, const char *id, const json_t *j)
{
    size_t n;
    AUTO_FREE char *text = json_text(j, &n);
    return sse_frame_new(type, id, text, n);
}

static void forget_started(struct hub_subscriber *s, const char *id)
{
    if (id && s->started.n)
        map_remove(&s->started, id);
}

/* Whether the reader's queue is where this event belongs next. */
static bool wants(struct hub_subscriber *s, int64_t place)
{
    if (s->w->ended)
        return false;
    s->seen = place > s->seen ? place : s->seen;
    if (s->w->behind || place < s->next)
        return false;
    if (place == s->next)
        return true;
    sse_fall_behind(s->w);
    return false;
}

static void last_word(struct topic *t, const json_t *event)
{
    struct sse_frame *frame =
        frame_of(json_get_str(event, "type"), json_get_str(event, "id"), event);
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node) {
        sse_push_last(s->w, frame);
    }
    sse_frame_unref(frame);
}

void hub_event(struct hub *h, const char *session_id, int64_t place, const json_t *event)
{
    struct topic *t = map_get(&h->sessions, session_id);
    if (!t)
        return;
    const char *type = json_get_str(event, "type"), *id = json_get_str(event, "id");
    bool whole = json_object_get(event, "processed_at") != NULL;
    MUST(type && (place > 0 || whole));
    if (place == 0) {
        last_word(t, event);
        return;
    }
    struct sse_frame *frame = NULL;
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node) {
        forget_started(s, id);
        if (!wants(s, place))
            continue;
        if (!frame && whole)
            frame = frame_of(type, id, event);
        if (frame && sse_push(s->w, frame) == 0)
            s->next = place + 1;
        else
            sse_fall_behind(s->w);
    }
    sse_frame_unref(frame);
}

void hub_skip(struct hub *h, const char *session_id, int64_t place)
{
    struct topic *t = map_get(&h->sessions, session_id);
    if (!t)
        return;
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node) {
        map_done(&s->started);
        map_init(&s->started);
        if (wants(s, place))
            sse_fall_behind(s->w);
    }
}

/* Marks are not freed; any non-NULL pointer will do. */
static char started_mark;

void hub_event_start(struct hub *h, const char *session_id, const char *event_id, const char *type)
{
    struct topic *t = map_get(&h->sessions, session_id);
    struct sse_frame *frame = NULL;
    if (!t)
        return;
    bool thinking = !strcmp(type, "agent.thinking");
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node) {
        if (!(thinking ? s->delta_thinking : s->delta_message) || s->w->behind ||
            map_get(&s->started, event_id))
            continue;
        if (!frame) {
            AUTO_JSON json_t *j = json_object();
            json_t *event = json_object();
            json_put_str(event, "type", type);
            json_put_str(event, "id", event_id);
            json_put_str(j, "type", "event_start");
            json_put(j, "event", event);
            frame = frame_of("event_start", NULL, j);
        }
        if (sse_push(s->w, frame) == 0)
            map_put(&s->started, event_id, &started_mark);
    }
    sse_frame_unref(frame);
}

void hub_event_delta(struct hub *h, const char *session_id, const char *event_id, int index,
                     const char *text, size_t n)
{
    struct topic *t = map_get(&h->sessions, session_id);
    struct sse_frame *frame = NULL;
    if (!t || n == 0)
        return;
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node) {
        if (!s->started.n || !map_get(&s->started, event_id))
            continue;
        if (!frame) {
            AUTO_JSON json_t *j = json_object();
            json_t *delta = json_object(), *content = json_object();
            json_put_str(content, "type", "text");
            json_put(content, "text", json_stringn(text, n));
            json_put_str(delta, "type", "content_delta");
            json_put_int(delta, "index", index);
            json_put(delta, "content", content);
            json_put_str(j, "type", "event_delta");
            json_put_str(j, "event_id", event_id);
            json_put(j, "delta", delta);
            frame = frame_of("event_delta", NULL, j);
        }
        /* Deltas without a hole: after one that is missing come no more, but the event. */
        if (s->w->behind || sse_push(s->w, frame) < 0)
            map_remove(&s->started, event_id);
    }
    sse_frame_unref(frame);
}

void hub_end(struct hub *h, const char *session_id)
{
    struct topic *t = map_get(&h->sessions, session_id);
    if (!t)
        return;
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node) {
        sse_end(s->w);
    }
}

void hub_end_work(struct hub *h, const char *session_id, const char *work_id)
{
    struct topic *t = map_get(&h->sessions, session_id);
    if (!t)
        return;
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node)
        if (str_eq(s->work_id, work_id))
            sse_end(s->w);
}

void hub_end_all(struct hub *h)
{
    size_t pos = 0;
    const char *key;
    void *value;
    h->ended = true;
    while (map_next(&h->sessions, &pos, &key, &value)) {
        struct topic *t = value;
        LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node) {
            end_now(s);
        }
    }
    h->work_rings++; /* for a poll that is between looking and waiting */
    pos = 0;
    while (map_next(&h->work, &pos, &key, &value))
        waitq_wake_all(&((struct bell *)value)->waiting);
}

bool hub_ended(const struct hub *h)
{
    return h->ended;
}

/* Bells nobody waits at are swept now and then, so that the table follows the pollers. */
static void sweep_bells(struct hub *h)
{
    for (;;) {
        size_t pos = 0;
        const char *key, *idle = NULL;
        void *value;
        while (!idle && map_next(&h->work, &pos, &key, &value))
            if (waitq_empty(&((struct bell *)value)->waiting))
                idle = key;
        if (!idle)
            return;
        AUTO_FREE char *name = mem_strdup(idle);
        free(map_remove(&h->work, name));
    }
}

struct waitq *hub_work_queue(struct hub *h, const char *environment_id)
{
    struct bell *b = map_get(&h->work, environment_id);
    if (!b) {
        if (h->work.n >= BELLS_BEFORE_SWEEP)
            sweep_bells(h);
        b = mem_new(struct bell);
        waitq_init(&b->waiting);
        map_put(&h->work, environment_id, b);
    }
    return &b->waiting;
}

void hub_work_ready(struct hub *h, const char *environment_id)
{
    struct bell *b = map_get(&h->work, environment_id);
    h->work_rings++;
    waitq_wake_all(&h->any_work);
    if (b)
        waitq_wake_all(&b->waiting);
}

void hub_work_begun(struct hub *h)
{
    h->work_rings++;
    waitq_wake_all(&h->any_work);
}

struct waitq *hub_any_work(struct hub *h)
{
    return &h->any_work;
}

uint64_t hub_work_rings(const struct hub *h)
{
    return h->work_rings;
}
