/* context.c - log to Messages API request.
 *
 * Called before every model request, on a store reader thread (model_context_load_tx); pure
 * otherwise. The log is ours, but the Messages API is strict about what follows what, so the shape
 * is built here and not trusted to fall out of the order of events: roles alternate, the first
 * message is the user's, every tool_use is answered at the start of the very next user message, no
 * text block is empty, no assistant message holds thinking alone.
 *
 * Our event ids serve as tool_use ids: what the model called it is not kept. Results arrive in
 * completion order and may lie far behind the call (a confirmation, a steered message in between);
 * they wait in `results` until the assistant message ends. A call without a result - it can only
 * come from a log that was cut - gets an error result, so that one bad turn does not make every
 * later request invalid. For the same reason blank text is left out and a tool's name that the API
 * does not know how to spell is replaced: the provider would refuse the whole request, this time
 * and every time after. */
#include "brain/context.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "store/db.h"

#include <string.h>

#define LOST_RESULT "Tool execution was interrupted before completion. Please retry."

static json_t *array(void)
{
    json_t *a = json_array();
    MUST(a);
    return a;
}

static bool blank(const char *text)
{
    return !text || text[strspn(text, " \t\r\n\v\f")] == '\0';
}

/* What a model called may be any text; what a request names must look like a name. */
static const char *sendable_name(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t n = name ? strspn(name, allowed) : 0;
    return n > 0 && n <= 128 && name[n] == '\0' ? name : "unknown_tool";
}

static json_t *text_block(const char *text)
{
    json_t *o = json_new_object();
    json_put_str(o, "type", "text");
    json_put_str(o, "text", text);
    return o;
}

void model_context_init(struct model_context *c)
{
    *c =
        (struct model_context){.messages = array(), .results = json_new_object(), .calls = array()};
}

void model_context_done(struct model_context *c)
{
    json_decref(c->messages);
    json_decref(c->open);
    json_decref(c->results);
    json_decref(c->calls);
    *c = (struct model_context){0};
}

/* An assistant message of nothing but thinking (the answer was cut there) cannot be sent back. */
static bool worth_sending(const json_t *content)
{
    size_t i;
    json_t *block;
    json_array_foreach ((json_t *)(uintptr_t)content, i, block) {
        const char *type = json_get_str(block, "type");
        if (!str_eq(type, "thinking") && !str_eq(type, "redacted_thinking"))
            return true;
    }
    return false;
}

static void push(struct model_context *c, const char *role, json_t *content)
{
    size_t n = json_array_size(c->messages);
    json_t *last = n ? json_array_get(c->messages, n - 1) : NULL;
    if (last && str_eq(json_get_str(last, "role"), role)) {
        json_array_extend(json_object_get(last, "content"), content);
        json_decref(content);
        return;
    }
    json_t *m = json_new_object();
    json_put_str(m, "role", role);
    json_put(m, "content", content);
    json_array_append_new(c->messages, m);
}

static json_t *lost_result(const char *call_id)
{
    json_t *o = json_new_object(), *content = array();
    json_put_str(o, "type", "tool_result");
    json_put_str(o, "tool_use_id", call_id);
    json_array_append_new(content, text_block(LOST_RESULT));
    json_put(o, "content", content);
    json_put_bool(o, "is_error", true);
    return o;
}

/* The results of the assistant message that just ended, in the order of its calls. */
static json_t *answers(struct model_context *c)
{
    json_t *content = array();
    size_t i;
    json_t *id;
    json_array_foreach (c->calls, i, id) {
        const char *call_id = json_string_value(id);
        json_t *block = json_object_get(c->results, call_id);
        json_array_append_new(content, block ? json_incref(block) : lost_result(call_id));
        json_object_del(c->results, call_id);
    }
    json_array_clear(c->calls);
    return content;
}

static void close_open(struct model_context *c)
{
    if (!c->open)
        return;
    json_t *content = TAKE(c->open);
    if (json_array_size(content) == 0 || (!c->open_is_user && !worth_sending(content)))
        json_decref(content);
    else
        push(c, c->open_is_user ? "user" : "assistant", content);
}

/* What the next request says is a message of its own: the one before it ends here, and its results
 * follow it. */
static void begin_request(struct model_context *c)
{
    c->requests++;
    if (c->open && !c->open_is_user)
        close_open(c);
    if (json_array_size(c->calls) > 0)
        push(c, "user", answers(c));
}

/* The content array to append to, of a message of the wanted role. */
static json_t *opened(struct model_context *c, bool user)
{
    if (c->open && c->open_is_user == user)
        return c->open;
    close_open(c);
    c->open = user ? answers(c) : array();
    c->open_is_user = user;
    return c->open;
}

static void add_user(struct model_context *c, const json_t *body)
{
    json_t *to = opened(c, true);
    size_t i;
    json_t *block;
    json_array_foreach (json_object_get(body, "content"), i, block) {
        if (!str_eq(json_get_str(block, "type"), "text") || !blank(json_get_str(block, "text")))
            json_array_append(to, block);
    }
    c->requests = 0;
}

static void add_message(struct model_context *c, const json_t *body)
{
    size_t i;
    json_t *block;
    json_array_foreach (json_object_get(body, "content"), i, block) {
        const char *text = json_get_str(block, "text");
        if (!blank(text))
            json_array_append_new(opened(c, false), text_block(text));
    }
}

static void add_call(struct model_context *c, const char *id, const json_t *body)
{
    json_t *o = json_new_object(), *input = json_object_get(body, "input");
    json_put_str(o, "type", "tool_use");
    json_put_str(o, "id", id);
    json_put_str(o, "name", sendable_name(json_get_str(body, "name")));
    json_put(o, "input", json_is_object(input) ? json_incref(input) : json_new_object());
    json_array_append_new(opened(c, false), o);
    json_array_append_new(c->calls, json_string(id));
}

static void add_result(struct model_context *c, const char *call_id, const json_t *body)
{
    if (!call_id)
        return;
    json_t *o = json_new_object();
    AUTO_JSON json_t *content = array();
    size_t i;
    json_t *block;
    json_array_foreach (json_object_get(body, "content"), i, block)
        if (!str_eq(json_get_str(block, "type"), "text") || !blank(json_get_str(block, "text")))
            json_array_append(content, block);
    json_put_str(o, "type", "tool_result");
    json_put_str(o, "tool_use_id", call_id);
    if (json_array_size(content) > 0)
        json_put(o, "content", json_incref(content));
    if (json_get_bool(body, "is_error", false))
        json_put_bool(o, "is_error", true);
    json_put(c->results, call_id, o);
}

static int add_thinking(struct model_context *c, const char *hidden)
{
    AUTO_JSON json_t *block = NULL;
    if (!hidden)
        return 0; /* an agent.thinking without its signature cannot be sent */
    if (json_parse(hidden, strlen(hidden), &block, NULL) < 0)
        return -E_CORRUPT;
    json_array_append(opened(c, false), block);
    return 0;
}

int model_context_add(struct model_context *c, const char *id, const char *type,
                      const char *body_text, const char *hidden)
{
    if (str_eq(type, "agent.thinking"))
        return add_thinking(c, hidden);
    if (str_eq(type, "span.model_request_start")) {
        begin_request(c);
        return 0;
    }
    if (!str_starts(type, "user.") && !str_starts(type, "agent."))
        return 0;
    if (hidden && strstr(hidden, "\"dropped\""))
        return 0; /* recorded, but the turn it was for had been given up */
    AUTO_JSON json_t *body = NULL;
    if (json_parse(body_text, strlen(body_text), &body, NULL) < 0)
        return -E_CORRUPT;
    if (str_eq(type, "user.message"))
        add_user(c, body);
    else if (str_eq(type, "agent.message"))
        add_message(c, body);
    else if (str_eq(type, "agent.tool_use") || str_eq(type, "agent.custom_tool_use"))
        add_call(c, id, body);
    else if (str_eq(type, "user.tool_result") || str_eq(type, "agent.tool_result"))
        add_result(c, json_get_str(body, "tool_use_id"), body);
    else if (str_eq(type, "user.custom_tool_result"))
        add_result(c, json_get_str(body, "custom_tool_use_id"), body);
    return 0;
}

json_t *model_context_take(struct model_context *c)
{
    close_open(c);
    if (json_array_size(c->calls) > 0)
        push(c, "user", answers(c));
    return TAKE(c->messages);
}

int model_context_load_tx(struct tx *tx, void *arg)
{
    struct model_context_load *q = arg;
    AUTO(model_context) c;
    model_context_init(&c);
    struct stmt *st = tx_prepare(tx, "SELECT id, type, body, hidden FROM events WHERE session_id = "
                                     "$1 AND seq < $2 ORDER BY seq");
    stmt_bind_text(st, 1, q->session_id);
    stmt_bind_int(st, 2, q->until);
    int r;
    q->ret_too_large = false;
    while ((r = stmt_step(st)) > 0) {
        size_t n = 0, hidden_n = 0;
        const char *id = stmt_text(st, 0, NULL), *type = stmt_text(st, 1, NULL),
                   *body = stmt_text(st, 2, &n);
        stmt_text(st, 3, &hidden_n);
        c.bytes += n + hidden_n;
        /* Nor may a log be able to fill the server's memory. */
        q->ret_too_large = c.bytes > LIMIT_MODEL_CONTEXT_BYTES;
        if (q->ret_too_large) {
            r = 0;
            break;
        }
        r = id && type && body ? model_context_add(&c, id, type, body, stmt_text(st, 3, NULL))
                               : -E_CORRUPT;
        if (r < 0)
            break;
    }
    stmt_reset(st);
    if (r < 0)
        return r;
    q->ret_requests = c.requests;
    json_decref(q->ret_messages);
    q->ret_messages = model_context_take(&c);
    return 0;
}
