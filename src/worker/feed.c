/* feed.c - what a session's events tell the worker.
 *
 * Fed by the follower fiber of a session (runner.c) with events of the platform; read by the
 * session fiber. Both run on one thread and no function here suspends. The platform controls every
 * byte of an event: ids and names longer than ours can be are ignored, an input that is no object
 * is not run. Anything but an explicit permission to run keeps a call waiting (worker.md, rule 4:
 * "anything but an explicit allow does not run"). */
#include "worker/feed.h"
#include "base/str.h"

#include <string.h>

void feed_init(struct feed *f, const char *const *tools, const char *const *custom_tools)
{
    *f = (struct feed){.tools = tools, .custom_tools = custom_tools};
    map_init(&f->calls);
    map_init(&f->interrupts);
    list_init(&f->open);
}

void feed_done(struct feed *f)
{
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(&f->calls, &pos, &key, &value)) {
        struct feed_call *c = value;
        json_decref(c->input);
        free(c);
    }
    map_done(&f->calls);
    map_done(&f->interrupts);
    list_init(&f->open);
}

void feed_begin_list(struct feed *f)
{
    f->listing = true;
    f->at_rest = false;
}

void feed_end_list(struct feed *f)
{
    f->listing = false;
}

struct feed_call *feed_find(struct feed *f, const char *id)
{
    return id ? map_get(&f->calls, id) : NULL;
}

void feed_mark_answered(struct feed *f, struct feed_call *c)
{
    (void)f;
    c->answered = true;
    list_remove(&c->node);
    json_decref(c->input);
    c->input = NULL;
}

struct feed_call *feed_next(struct feed *f)
{
    if (f->listing)
        return NULL;
    LIST_FOREACH (c, &f->open, struct feed_call, node)
        if (c->may_run && !c->denied && !c->interrupted)
            return c;
    return NULL;
}

static bool is_one_of(const char *const *tools, const char *name)
{
    for (size_t i = 0; tools[i]; i++)
        if (str_eq(tools[i], name))
            return true;
    return false;
}

static void on_tool_use(struct feed *f, const json_t *ev, const char *id, bool custom)
{
    const char *name = json_get_str(ev, "name");
    json_t *input = json_object_get(ev, "input");
    if (!name || !is_one_of(custom ? f->custom_tools : f->tools, name) || !json_is_object(input) ||
        feed_find(f, id))
        return;
    struct feed_call *c = mem_new(struct feed_call);
    if (!str_copy(c->id, sizeof(c->id), id) || !str_copy(c->name, sizeof(c->name), name)) {
        free(c);
        return;
    }
    /* Absent means allowed; "ask" and any value we do not know wait for a confirmation. */
    const json_t *permission = json_object_get(ev, "evaluated_permission");
    const char *word = json_string_value(permission);
    c->may_run = !permission || json_is_null(permission) || str_eq(word, "allow");
    c->denied = str_eq(word, "deny");
    c->custom = custom;
    c->input = json_incref(input);
    map_put(&f->calls, id, c);
    list_push_back(&f->open, &c->node);
}

static void on_result(struct feed *f, const char *call_id)
{
    struct feed_call *c = feed_find(f, call_id);
    if (c && !c->answered)
        feed_mark_answered(f, c);
}

static void on_confirmation(struct feed *f, const json_t *ev)
{
    struct feed_call *c = feed_find(f, json_get_str(ev, "tool_use_id"));
    if (!c)
        return;
    if (str_eq(json_get_str(ev, "result"), "allow"))
        c->may_run = true;
    else
        c->denied = true;
}

static void on_interrupt(struct feed *f, const char *id)
{
    if (map_put(&f->interrupts, id, f)) /* seen before */
        return;
    LIST_FOREACH (c, &f->open, struct feed_call, node)
        c->interrupted = true;
}

void feed_event(struct feed *f, const json_t *ev)
{
    const char *type = json_get_str(ev, "type");
    const char *id = json_get_str(ev, "id");
    if (!type || !id || strlen(id) >= sizeof(((struct feed_call *)0)->id))
        return;

    if (str_eq(type, "session.status_idle")) {
        const char *why = json_get_str(json_object_get(ev, "stop_reason"), "type");
        f->at_rest = !str_eq(why, "requires_action");
        return;
    }
    if (str_eq(type, "session.status_terminated") || str_eq(type, "session.deleted")) {
        f->ended = true;
        return;
    }
    if (str_eq(type, "user.tool_confirmation")) {
        on_confirmation(f, ev); /* by itself no sign of activity: late ones have no effect */
        return;
    }
    if (str_eq(type, "session.thread_status_idle") || str_eq(type, "session.usage"))
        return;

    f->at_rest = false;
    if (str_eq(type, "agent.tool_use") || str_eq(type, "agent.custom_tool_use"))
        on_tool_use(f, ev, id, str_eq(type, "agent.custom_tool_use"));
    else if (str_eq(type, "user.tool_result") || str_eq(type, "agent.tool_result"))
        on_result(f, json_get_str(ev, "tool_use_id"));
    else if (str_eq(type, "user.custom_tool_result"))
        on_result(f, json_get_str(ev, "custom_tool_use_id"));
    else if (str_eq(type, "user.interrupt"))
        on_interrupt(f, id);
}
