/* hub.c - in-process notification.
 *
 * Called on the loop thread by log_publish and the brain (producers, which must not suspend) and by
 * the fibers that serve event streams and long polls (consumers). A frame is made once and shared
 * by all subscribers of a session. Nothing here is durable and nothing waits for a slow reader: its
 * bounded queue (http/server/sse) overflows, the connection ends, and the reader resumes from the
 * log by event id.
 *
 * A subscriber that resumes is `held` at first: it subscribed before its fiber began to read the
 * log, so an event can come both ways. Stamps rise strictly within a session, so comparing
 * processed_at tells which ones it has; equal-length RFC 3339 text compares like the time. */
#include "session/hub.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
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

struct held_frame {
    struct list node;
    struct sse_frame *frame;
    char stamp[40]; /* "" for frames that are in no log */
};

#define BELLS_BEFORE_SWEEP 256

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
    list_init(&s->node);
    list_init(&s->held_frames);
    map_init(&s->started);
}

static void end(struct hub_subscriber *s)
{
    if (s->held)
        s->end_held = true;
    else
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
    if (h->ended)
        end(s);
}

static void drop_held(struct hub_subscriber *s)
{
    struct list *n;
    while ((n = list_pop_front(&s->held_frames))) {
        struct held_frame *f = LIST_ENTRY(n, struct held_frame, node);
        sse_frame_unref(f->frame);
        free(f);
    }
    s->held_bytes = 0;
}

void hub_unsubscribe(struct hub *h, const char *session_id, struct hub_subscriber *s)
{
    struct topic *t = map_get(&h->sessions, session_id);
    list_remove(&s->node);
    drop_held(s);
    map_done(&s->started);
    if (t && list_empty(&t->subscribers)) {
        map_remove(&h->sessions, session_id);
        free(t);
    }
}

/* Whether the reader has the event already; frames that are in no log have no stamp. */
static bool known(const struct hub_subscriber *s, const char *stamp)
{
    return stamp && stamp[0] && s->after_stamp[0] && strcmp(stamp, s->after_stamp) <= 0;
}

/* The frame stays the caller's; queues keep references of their own. */
static void give(struct hub_subscriber *s, struct sse_frame *frame, const char *stamp)
{
    if (!s->held) {
        if (!known(s, stamp))
            (void)sse_push(s->w, frame);
        return;
    }
    if (s->end_held)
        return;
    if (s->held_bytes && s->held_bytes + frame->len > LIMIT_SSE_QUEUE_BYTES) {
        /* Too much happened while it caught up: it gets what the log holds and
         * resumes from there. */
        s->end_held = true;
        drop_held(s);
        return;
    }
    struct held_frame *f = mem_new(struct held_frame);
    f->frame = sse_frame_ref(frame);
    str_copy(f->stamp, sizeof(f->stamp), stamp ? stamp : "");
    s->held_bytes += frame->len;
    list_push_back(&s->held_frames, &f->node);
}

void hub_release(struct hub_subscriber *s, const char *last_stamp)
{
    struct list *n;
    s->held = false;
    str_copy(s->after_stamp, sizeof(s->after_stamp), last_stamp);
    while ((n = list_pop_front(&s->held_frames))) {
        struct held_frame *f = LIST_ENTRY(n, struct held_frame, node);
        if (!known(s, f->stamp))
            (void)sse_push(s->w, f->frame);
        sse_frame_unref(f->frame);
        free(f);
    }
    s->held_bytes = 0;
    if (s->end_held)
        sse_end(s->w);
}

static struct sse_frame *frame_of(const char *type, const char *id, const json_t *j)
{
    size_t n;
    AUTO_FREE char *text = json_text(j, &n);
    return sse_frame_new(type, id, text, n);
}

void hub_event(struct hub *h, const char *session_id, const json_t *event)
{
    struct topic *t = map_get(&h->sessions, session_id);
    if (!t)
        return;
    const char *type = json_get_str(event, "type"), *id = json_get_str(event, "id");
    const char *stamp = json_get_str(event, "processed_at");
    MUST(type);
    struct sse_frame *frame = frame_of(type, id, event);
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node) {
        if (id)
            map_remove(&s->started, id);
        give(s, frame, stamp);
    }
    sse_frame_unref(frame);
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
        if (!(thinking ? s->delta_thinking : s->delta_message) || map_get(&s->started, event_id))
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
        map_put(&s->started, event_id, &started_mark);
        give(s, frame, NULL);
    }
    if (frame)
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
        if (!map_get(&s->started, event_id))
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
        give(s, frame, NULL);
    }
    if (frame)
        sse_frame_unref(frame);
}

void hub_end(struct hub *h, const char *session_id)
{
    struct topic *t = map_get(&h->sessions, session_id);
    if (!t)
        return;
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node)
        end(s);
}

void hub_end_work(struct hub *h, const char *session_id, const char *work_id)
{
    struct topic *t = map_get(&h->sessions, session_id);
    if (!t)
        return;
    LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node)
        if (str_eq(s->work_id, work_id))
            end(s);
}

void hub_end_all(struct hub *h)
{
    size_t pos = 0;
    const char *key;
    void *value;
    h->ended = true;
    while (map_next(&h->sessions, &pos, &key, &value)) {
        struct topic *t = value;
        LIST_FOREACH (s, &t->subscribers, struct hub_subscriber, node)
            end(s);
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

struct waitq *hub_any_work(struct hub *h)
{
    return &h->any_work;
}

uint64_t hub_work_rings(const struct hub *h)
{
    return h->work_rings;
}
