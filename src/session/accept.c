/* accept.c - inputs: what a POST to a session's events may do to its log.
 *
 * Called inside one transaction per request, on a store thread, with events whose shape the handler
 * has validated. What is decided here is everything that depends on the session's state; the first
 * event that breaks a rule refuses the whole request (the transaction is rolled back).
 *
 *   state                   message       interrupt              confirmation     result
 *   idle                    runs, queued  recorded, no effect    late             refused
 *   idle, requires_action   refused       calls closed, idle     answer           answer
 *   running, rescheduling   queued        queued, cuts the step  late             refused
 *   terminated, archived    refused       refused                refused          refused
 *
 * The last answer makes the session run. A call is confirmed once: a second confirmation, or one
 * that comes after the call has its result, changes nothing and is not recorded. Its echo is the
 * confirmation that stands, with that one's id and stamp, which is how a client can tell; when the
 * call ended without one it is refused.
 *
 * Queued inputs wait in the inbox and are placed by the brain at the next step (two-stage queue).
 * Answers are placed at once. The consequence of answers is drawn when the request has no more of
 * them, so that two results in one request do not idle the session in between. Who may post what
 * (keys, tokens) is the handler's business. */
#include "session/log.h"

#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "base/time.h"
#include "session/refusal.h"

#include <string.h>

#define INTERRUPTED_TEXT "Tool execution was interrupted before completion. Please retry."

struct accept {
    struct tx *tx;
    struct log_session *s;
    struct log_batch *b;
    struct refusal *r;
    json_t *echo;
    size_t i;      /* place in the request, for messages */
    bool answered; /* answers since the last settlement */
    bool input;    /* something a worker may have to see */
};

static int no(struct accept *a, const char *fmt, ...) PRINTF(2, 3);
static int no(struct accept *a, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return refuse(a->r, 400, "invalid_request_error", "events.%zu: %s", a->i, text);
}

static bool idle(const struct log_session *s)
{
    return str_eq(s->status, "idle");
}

static bool parked(const struct log_session *s)
{
    return idle(s) && str_eq(json_get_str(s->stop_reason, "type"), "requires_action");
}

/* The event's stored form: what was posted, without its type, optional keys made explicit. */
static json_t *body_of(const json_t *event, const char *type)
{
    json_t *body = json_copy((json_t *)(uintptr_t)event); /* shallow; the source is not changed */
    MUST(body);
    json_object_del(body, "type");
    json_object_del(body, "id");
    json_object_del(body, "processed_at");
    bool confirmation = str_eq(type, "user.tool_confirmation");
    bool result = str_eq(type, "user.tool_result") || str_eq(type, "user.custom_tool_result");
    if (confirmation && !json_object_get(body, "deny_message"))
        json_put_null(body, "deny_message");
    if (result && !json_is_boolean(json_object_get(body, "is_error")))
        json_put_bool(body, "is_error", false);
    if (!str_eq(type, "user.message") && !json_object_get(body, "session_thread_id"))
        json_put_null(body, "session_thread_id");
    return body;
}

/* `stamp` 0: not processed yet. */
static void echo(struct accept *a, const char *id, const char *type, const json_t *body,
                 int64_t stamp)
{
    json_t *o = json_object();
    MUST(o);
    json_put_str(o, "id", id);
    json_put_str(o, "type", type);
    json_object_update(o, (json_t *)(uintptr_t)body);
    char text[TIME_RFC3339_MAX];
    json_put_str(o, "processed_at", stamp ? time_format(text, stamp) : NULL);
    json_array_append_new(a->echo, o);
}

static int place(struct accept *a, const char *type, const json_t *event, bool stamped_echo,
                 char ret_id[64])
{
    AUTO_JSON json_t *body = body_of(event, type);
    int r = log_append_tx(a->tx, a->s, a->b, type, NULL, json_incref(body), NULL, ret_id);
    if (r < 0)
        return r;
    echo(a, ret_id, type, body, stamped_echo ? a->s->last_stamp : 0);
    return 0;
}

static int enqueue(struct accept *a, const char *type, const json_t *event)
{
    AUTO_JSON json_t *body = body_of(event, type);
    char id[ID_MAX];
    id_make(id, "sevt_");
    int r = log_inbox_push_tx(a->tx, a->s, id, type, body);
    if (r < 0)
        return r;
    a->b->wake = true;
    echo(a, id, type, body, 0);
    return 0;
}

static int settle(struct accept *a)
{
    if (!a->answered)
        return 0;
    a->answered = false;
    return parked(a->s) ? log_settle_tx(a->tx, a->s, a->b) : 0;
}

/* ---- one function per type ---- */

static int accept_message(struct accept *a, const json_t *event)
{
    int r = settle(a);
    if (r < 0)
        return r;
    if (parked(a->s))
        return no(a,
                  "session %s waits for the results or confirmations named in its "
                  "stop_reason.event_ids; answer them "
                  "or send a user.interrupt before the next user.message",
                  a->s->id);
    if (idle(a->s)) {
        r = log_running_tx(a->tx, a->s, a->b);
        if (r < 0)
            return r;
    }
    a->input = true;
    return enqueue(a, "user.message", event);
}

static json_t *end_turn(void)
{
    json_t *o = json_object();
    MUST(o);
    json_put_str(o, "type", "end_turn");
    return o;
}

static int accept_interrupt(struct accept *a, const json_t *event)
{
    const char *thread = json_get_str(event, "session_thread_id");
    if (thread && !str_eq(thread, a->s->thread_id))
        return no(a, "session_thread_id: no thread %.64s in session %s", thread, a->s->id);
    int r = settle(a);
    if (r < 0)
        return r;
    a->input = true;
    if (!idle(a->s))
        return enqueue(a, "user.interrupt", event);
    bool was_parked = parked(a->s);
    if (was_parked) {
        /* What was steered into the turn before it parked. */
        r = log_deliver_tx(a->tx, a->s, a->b, false);
        if (r < 0)
            return r;
    }
    char id[64];
    r = place(a, "user.interrupt", event, false, id);
    if (r < 0 || !was_parked)
        return r;
    r = log_close_calls_tx(a->tx, a->s, a->b, INTERRUPTED_TEXT);
    if (r == 0)
        r = log_idle_tx(a->tx, a->s, a->b, end_turn());
    return r;
}

struct call {
    char kind[16], permission[8], decision[8]; /* decision "" while undecided */
    bool answered;
};

static int find_call(struct accept *a, const char *id, struct call *ret)
{
    struct stmt *st =
        tx_prepare(a->tx, "SELECT kind, permission, decision, answered_by FROM calls WHERE id = $1"
                          " AND session_id = $2");
    stmt_bind_text(st, 1, id);
    stmt_bind_text(st, 2, a->s->id);
    int r = stmt_step(st);
    if (r > 0) {
        const char *kind = stmt_text(st, 0, NULL), *perm = stmt_text(st, 1, NULL),
                   *dec = stmt_text(st, 2, NULL);
        *ret = (struct call){.answered = !stmt_is_null(st, 3)};
        if (!kind || !perm || !str_copy(ret->kind, sizeof(ret->kind), kind) ||
            !str_copy(ret->permission, sizeof(ret->permission), perm) ||
            !str_copy(ret->decision, sizeof(ret->decision), dec ? dec : ""))
            r = -E_CORRUPT;
    }
    stmt_reset(st);
    return r;
}

/* The confirmation of a call that is in the log: 1, 0 when there is none. */
static int standing(struct accept *a, const char *call_id)
{
    struct stmt *st =
        tx_prepare(a->tx,
                   "SELECT id, body, processed_at FROM events WHERE session_id = $1 AND type ="
                   " 'user.tool_confirmation' AND seq > (SELECT seq FROM calls WHERE id = $2)"
                   " ORDER BY seq");
    stmt_bind_text(st, 1, a->s->id);
    stmt_bind_text(st, 2, call_id);
    int r = 0, found = 0;
    while (!found && (r = stmt_step(st)) > 0) {
        size_t n = 0;
        const char *id = stmt_text(st, 0, NULL), *body = stmt_text(st, 1, &n);
        AUTO_JSON json_t *o = NULL;
        r = id ? json_parse_stored(body, n, &o) : -E_CORRUPT;
        if (r == 0 && str_eq(json_get_str(o, "tool_use_id"), call_id))
            found = 1;
        if (r < 0)
            break;
        if (found)
            echo(a, id, "user.tool_confirmation", o, stmt_int(st, 2));
    }
    stmt_reset(st);
    return found ? 1 : r;
}

/* The call has its decision, or its end. */
static int confirm_late(struct accept *a, const char *call_id)
{
    int r = standing(a, call_id);
    if (r != 0)
        return r < 0 ? r : 0;
    return no(a, "tool_use_id: call %.64s has ended and waits for no confirmation", call_id);
}

static int accept_confirmation(struct accept *a, const json_t *event)
{
    const char *call_id = json_get_str(event, "tool_use_id");
    struct call call;
    int r = find_call(a, call_id ? call_id : "", &call);
    if (r < 0)
        return r;
    if (r == 0)
        return no(a, "tool_use_id: no tool call %.64s in session %s", call_id ? call_id : "",
                  a->s->id);
    if (!str_eq(call.permission, "ask"))
        return no(a, "tool_use_id: call %.64s does not ask for a confirmation", call_id);
    if (call.answered || call.decision[0])
        return confirm_late(a, call_id);
    char id[64];
    r = place(a, "user.tool_confirmation", event, false, id);
    if (r < 0)
        return r;
    a->input = true;
    const char *result = json_get_str(event, "result");
    const char *message = json_get_str(event, "deny_message");
    a->answered = true;
    return tx_exec(
        a->tx,
        "UPDATE calls SET decision = $1, deny_message = $2 WHERE id = $3 AND decision IS NULL",
        "ttt", str_eq(result, "allow") ? "allow" : "deny", message, call_id);
}

static int accept_result(struct accept *a, const json_t *event, bool custom)
{
    const char *field = custom ? "custom_tool_use_id" : "tool_use_id";
    const char *type = custom ? "user.custom_tool_result" : "user.tool_result";
    if (!custom && !a->s->environment_self_hosted)
        return no(a, "user.tool_result is for sessions of self_hosted environments; here the "
                     "server runs the tools");
    const char *call_id = json_get_str(event, field);
    struct call call;
    int r = find_call(a, call_id ? call_id : "", &call);
    if (r < 0)
        return r;
    if (r == 0 || str_eq(call.kind, "custom") != custom)
        return no(a, "%s: no %s call %.64s in session %s", field, custom ? "custom tool" : "tool",
                  call_id ? call_id : "", a->s->id);
    if (call.answered)
        return no(a, "%s: call %.64s already has its result", field, call_id);
    if (str_eq(call.permission, "deny") || str_eq(call.decision, "deny"))
        return no(a, "%s: call %.64s was denied and has no result to give", field, call_id);
    if (str_eq(call.permission, "ask") && !call.decision[0])
        return no(a, "%s: call %.64s waits for a user.tool_confirmation first", field, call_id);
    char id[64];
    r = place(a, type, event, true, id);
    if (r < 0)
        return r;
    r = tx_exec(a->tx, "UPDATE calls SET answered_by = $1 WHERE id = $2 AND answered_by IS NULL",
                "tt", id, call_id);
    if (r < 0)
        return r;
    if (tx_changes(a->tx) != 1)
        return -E_CONFLICT;
    a->answered = a->input = true;
    return 0;
}

static int accept_one(struct accept *a, const json_t *event)
{
    const char *type = json_get_str(event, "type");
    if (str_eq(type, "user.message"))
        return accept_message(a, event);
    if (str_eq(type, "user.interrupt"))
        return accept_interrupt(a, event);
    if (str_eq(type, "user.tool_confirmation"))
        return accept_confirmation(a, event);
    if (str_eq(type, "user.tool_result"))
        return accept_result(a, event, false);
    if (str_eq(type, "user.custom_tool_result"))
        return accept_result(a, event, true);
    return no(a, "events of type %.64s are not built yet in this server", type ? type : "(none)");
}

int log_accept_tx(struct tx *tx, struct log_session *s, struct log_batch *b, const json_t *events,
                  json_t **ret_echo, struct refusal *refusal)
{
    struct accept a = {.tx = tx, .s = s, .b = b, .r = refusal};
    if (s->archived_at)
        return refuse(refusal, 400, "invalid_request_error",
                      "Session %s is archived and takes no more events; create a new session.",
                      s->id);
    if (str_eq(s->status, "terminated"))
        return refuse(refusal, 400, "invalid_request_error",
                      "Session %s is terminated and takes no more events; create a new session.",
                      s->id);
    AUTO_JSON json_t *out = json_array();
    MUST(out);
    a.echo = out;
    json_t *event;
    json_array_foreach ((json_t *)(uintptr_t)events, a.i, event) {
        int r = accept_one(&a, event);
        if (r < 0)
            return r;
    }
    int r = settle(&a);
    if (r == 0 && a.input && s->environment_self_hosted)
        r = log_queue_work_tx(tx, s, b);
    if (r < 0)
        return r;
    *ret_echo = TAKE(out);
    return 0;
}
