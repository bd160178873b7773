/* feed.c - what a session's events tell the worker.
 *
 * Fed by the follower's fibers (follow.c) with events of the platform; read by the session fiber. All
 * run on one thread and no function here suspends. The platform controls every byte of an event: ids
 * may be of any length and text (they are bounded by the event they came in), events may come twice,
 * late, or before what they speak of. Anything but an explicit permission to run keeps a call waiting
 * (worker.md, rule 4).
 *
 * An interrupt cuts the calls that stand before it in the log: live, those that are open; in a
 * listing, those that this listing has already shown. */
#include "worker/feed.h"
#include "base/str.h"

#include <string.h>

#define KEPT_BYTES_MAX (8u << 20) /* of refused results, for one session */

static const char interrupted[] =
    "The call was interrupted before it was complete, and was not run to its end.";
static const char withdrawn[] = "The call was not run: its permission was taken back.";
static const char unkept[] = "The tool ran, but the platform did not accept its result.";
static const char unfit[] =
    "The call was not run: its input is not a JSON object that can be read.";

void feed_init(struct feed *f, const char *const *tools, const char *const *custom_tools)
{
    *f = (struct feed){.tools = tools, .custom_tools = custom_tools};
    map_init(&f->calls);
    map_init(&f->interrupts);
    map_init(&f->listed_interrupts);
    map_init(&f->dead);
    map_init(&f->losses);
    list_init(&f->open);
}

static void drop_kept(struct feed *f, struct feed_call *c)
{
    if (!c->kept)
        return;
    size_t n = json_weight(c->kept, SIZE_MAX);
    f->kept_bytes -= n < f->kept_bytes ? n : f->kept_bytes;
    json_decref(TAKE(c->kept));
}

void feed_done(struct feed *f)
{
    size_t pos = 0;
    void *value;
    while (map_next(&f->calls, &pos, NULL, &value)) {
        struct feed_call *c = value;
        json_decref(c->input);
        json_decref(c->kept);
        free(c->id);
        free(c->name);
        free(c->thread);
        free(c);
    }
    map_done(&f->calls);
    map_done(&f->interrupts);
    map_done(&f->listed_interrupts);
    map_done(&f->dead);
    map_done(&f->losses);
    free(TAKE(f->primary));
    list_init(&f->open);
}

/* ---- calls ---- */

static void close_call(struct feed_call *c)
{
    c->closed = true;
    list_remove(&c->node);
    json_decref(TAKE(c->input));
}

/* The entry of an id, made when this is the first that is heard of it. */
static struct feed_call *entry(struct feed *f, const char *id)
{
    struct feed_call *c = map_get(&f->calls, id);
    if (c)
        return c;
    c = mem_new(struct feed_call);
    c->id = mem_strdup(id);
    list_init(&c->node);
    map_put(&f->calls, id, c);
    return c;
}

struct feed_call *feed_find(struct feed *f, const char *id)
{
    struct feed_call *c = id ? map_get(&f->calls, id) : NULL;
    return c && c->name ? c : NULL;
}

void feed_expect_status(struct feed *f)
{
    f->idle = false;
}

void feed_mark_answered(struct feed *f, struct feed_call *c)
{
    c->answered = true;
    drop_kept(f, c);
    close_call(c);
}

void feed_mark_refused(struct feed *f, struct feed_call *c, json_t *result)
{
    size_t n = json_weight(result, SIZE_MAX);
    drop_kept(f, c);
    if (f->kept_bytes + n < KEPT_BYTES_MAX) {
        f->kept_bytes += n;
        c->kept = json_incref(result);
    } else {
        c->refusal = unkept;
    }
    json_decref(result);
    c->refused = true;
    close_call(c);
}

enum feed_todo feed_todo(const struct feed_call *c)
{
    if (c->closed || !c->may_run || !c->whole)
        return FEED_WAIT;
    if (c->refused)
        return c->kept ? FEED_RESEND : FEED_REFUSE;
    return c->refusal ? FEED_REFUSE : FEED_RUN;
}

struct feed_call *feed_next(struct feed *f)
{
    if (f->listing)
        return NULL;
    LIST_FOREACH (c, &f->open, struct feed_call, node)
        if (feed_todo(c) != FEED_WAIT)
            return c;
    return NULL;
}

bool feed_holds(const struct feed *f)
{
    LIST_FOREACH (c, &f->open, struct feed_call, node)
        /* One that is held and was interrupted waits for nothing that still has to come. */
        if (c->whole && (c->may_run || !c->refusal))
            return true;
    return false;
}

/* ---- threads ---- */

/* Whether a call belongs to the thread of this id. */
static bool is_of_thread(const struct feed *f, const struct feed_call *c, const char *thread)
{
    return str_eq(c->thread ? c->thread : f->primary, thread);
}

static const char *thread_of(const json_t *ev)
{
    const char *id = json_get_str(ev, "session_thread_id");
    return id && *id ? id : NULL;
}

/* The first status of a thread in the log is the primary one's: others are begun by it. */
static void note_primary(struct feed *f, const json_t *ev, bool listed)
{
    const char *id = thread_of(ev);
    if (!f->primary && id && (listed || f->history_read))
        f->primary = mem_strdup(id);
}

static void on_thread_end(struct feed *f, const char *thread)
{
    if (!thread)
        return;
    map_put(&f->dead, thread, f);
    LIST_FOREACH_SAFE (c, &f->open, struct feed_call, node)
        if (is_of_thread(f, c, thread))
            close_call(c); /* its thread takes no input any more */
}

/* ---- events ---- */

static bool is_one_of(const char *const *tools, const char *name)
{
    for (size_t i = 0; tools[i]; i++)
        if (str_eq(tools[i], name))
            return true;
    return false;
}

/* Fills the entry of a call that is seen for the first time. */
static void take_call(struct feed *f, struct feed_call *c, const json_t *ev, bool custom)
{
    const char *thread = thread_of(ev);
    c->name = mem_strdup(json_get_str(ev, "name"));
    c->thread = thread ? mem_strdup(thread) : NULL;
    c->custom = custom;
    json_t *input = json_object_get(ev, "input");
    if (json_is_object(input))
        c->input = json_incref(input);
    else
        c->refusal = unfit;
    /* Absent means allowed. "ask" and any value we do not know, null too, wait for a confirmation,
     * which may have come before. */
    const json_t *permission = json_object_get(ev, "evaluated_permission");
    if (!permission || str_eq(json_string_value(permission), "allow"))
        c->may_run = true;
    c->denied = c->denied || str_eq(json_string_value(permission), "deny");
    const char *owner = thread ? thread : f->primary;
    if (c->answered || c->denied || (owner && map_get(&f->dead, owner)))
        close_call(c);
    else
        list_push_back(&f->open, &c->node);
}

static void on_tool_use(struct feed *f, const json_t *ev, bool listed)
{
    const char *id = json_get_str(ev, "id"), *name = json_get_str(ev, "name");
    bool custom = str_eq(json_get_str(ev, "type"), "agent.custom_tool_use");
    if (!id || !name || !is_one_of(custom ? f->custom_tools : f->tools, name))
        return;
    struct feed_call *c = entry(f, id);
    if (!c->name)
        take_call(f, c, ev, custom);
    if (listed)
        c->listed = f->listings;
    else
        c->whole = true; /* an answer can only come later, and the stream will bring it */
}

static void on_result(struct feed *f, const char *call_id)
{
    if (!call_id)
        return;
    struct feed_call *c = entry(f, call_id);
    if (!c->answered)
        feed_mark_answered(f, c);
}

static void on_confirmation(struct feed *f, const json_t *ev)
{
    const char *id = json_get_str(ev, "tool_use_id");
    struct feed_call *c = id ? entry(f, id) : NULL;
    if (!c || c->closed)
        return;
    if (str_eq(json_get_str(ev, "result"), "allow")) {
        c->may_run = c->may_run || !c->denied;
    } else if (!c->may_run) {
        c->denied = true; /* the platform answers it */
        if (c->name)
            close_call(c);
    } else if (!c->started) {
        /* The platform takes the first verdict, and waits for a result; we take the careful one. */
        c->refusal = withdrawn;
    }
}

static void on_interrupt(struct feed *f, const json_t *ev, bool listed)
{
    const char *id = json_get_str(ev, "id"), *thread = thread_of(ev);
    const json_t *named = json_object_get(ev, "session_thread_id");
    if (named && !json_is_null(named) && !json_is_string(named))
        return; /* meant for a thread, but not said which */
    /* What comes after it is not meant when it comes again. */
    if (id && map_put(listed ? &f->listed_interrupts : &f->interrupts, id, f))
        return;
    LIST_FOREACH (c, &f->open, struct feed_call, node)
        if ((!listed || c->listed == f->listings) && (!thread || is_of_thread(f, c, thread)) &&
            !c->refusal)
            c->refusal = interrupted;
}

static void on_status(struct feed *f, bool idle, bool at_rest, bool listed)
{
    if (listed) {
        f->listed_status = true;
        f->listed_idle = idle;
        f->listed_at_rest = at_rest;
        return;
    }
    f->idle = idle;
    f->untouched = false;
    f->rests += at_rest && !f->at_rest;
    f->at_rest = at_rest;
    f->status_is_live = true;
}

/* Our platform names the calls that a worker may have begun before it was lost (lease.md). */
static void on_loss(struct feed *f, const json_t *ev)
{
    const char *id = json_get_str(ev, "id");
    const json_t *calls = json_object_get(json_object_get(ev, "error"), "event_ids");
    if (!id || !json_is_array(calls) || map_put(&f->losses, id, f))
        return;
    size_t i;
    json_t *call;
    json_array_foreach (calls, i, call)
        if (json_is_string(call))
            entry(f, json_string_value(call))->begun_before++;
}

/* There is a turn: a session that rested for want of any does not, until a status says so. */
static void on_turn(struct feed *f, bool listed)
{
    if (listed)
        f->listed_idle = false;
    else if (f->untouched)
        f->idle = f->at_rest = f->untouched = false;
}

static void take_event(struct feed *f, const json_t *ev, bool listed)
{
    const char *type = json_get_str(ev, "type");
    if (!type)
        return;
    if (str_starts(type, "session.thread_status_"))
        note_primary(f, ev, listed);
    if (str_starts(type, "agent.") || str_starts(type, "span."))
        on_turn(f, listed);

    if (str_eq(type, "agent.tool_use") || str_eq(type, "agent.custom_tool_use")) {
        on_tool_use(f, ev, listed);
    } else if (str_eq(type, "user.tool_result") || str_eq(type, "agent.tool_result")) {
        on_result(f, json_get_str(ev, "tool_use_id"));
    } else if (str_eq(type, "user.custom_tool_result")) {
        on_result(f, json_get_str(ev, "custom_tool_use_id"));
    } else if (str_eq(type, "user.tool_confirmation")) {
        on_confirmation(f, ev);
    } else if (str_eq(type, "user.interrupt")) {
        on_interrupt(f, ev, listed);
    } else if (str_eq(type, "session.thread_status_terminated")) {
        on_thread_end(f, thread_of(ev));
    } else if (str_eq(type, "session.status_terminated") || str_eq(type, "session.deleted")) {
        f->ended = true;
        on_turn(f, listed);
    } else if (str_eq(type, "session.status_idle")) {
        const char *why = json_get_str(json_object_get(ev, "stop_reason"), "type");
        on_status(f, true, !str_eq(why, "requires_action"), listed);
    } else if (str_starts(type, "session.status_")) {
        on_status(f, false, false, listed);
    } else if (str_eq(type, "session.error")) {
        on_loss(f, ev);
    }
}

void feed_event(struct feed *f, const json_t *ev)
{
    take_event(f, ev, false);
}

/* ---- the history ---- */

void feed_begin_list(struct feed *f, bool blocking)
{
    f->listings++;
    map_done(&f->listed_interrupts);
    map_init(&f->listed_interrupts);
    f->listing = blocking;
    f->status_is_live = false;
    f->listed_at_rest = f->listed_status = false;
    f->listed_idle = true; /* before a first status there was no turn */
}

void feed_list(struct feed *f, const json_t *ev)
{
    take_event(f, ev, true);
}

void feed_fail_list(struct feed *f)
{
    f->listing = false;
}

void feed_end_list(struct feed *f)
{
    f->listing = false;
    f->history_read = true;
    if (!f->status_is_live) {
        f->at_rest = f->listed_status ? f->listed_at_rest : f->listed_idle;
        f->idle = f->listed_idle;
        f->untouched = f->idle && !f->listed_status;
        f->rests += f->at_rest; /* what happened meanwhile nobody saw */
    }
    size_t pos = 0;
    void *value;
    while (map_next(&f->calls, &pos, NULL, &value)) {
        struct feed_call *c = value;
        if (c->listed != f->listings)
            continue;
        c->whole = true;
        if (c->closed && c->refused && !c->answered && !c->denied &&
            !map_get(&f->dead, c->thread    ? c->thread
                               : f->primary ? f->primary
                                            : "")) {
            c->closed = false;
            list_push_back(&f->open, &c->node);
        }
    }
}
