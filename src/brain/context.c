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
#include "brain/compact.h"
#include "store/db.h"

#include <stdio.h>
#include <string.h>

#define ORIGIN      "_origin" /* no key of the API begins with an underscore */
#define PLACE_MAX   80
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
    *c = (struct model_context){.messages = array(),
                                .results = json_new_object(),
                                .calls = array(),
                                .left_out = json_new_object()};
}

void model_context_done(struct model_context *c)
{
    json_decref(c->messages);
    json_decref(c->open);
    json_decref(c->results);
    json_decref(c->calls);
    json_decref(c->left_out);
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

static const char *stand_in(const char *type)
{
    if (str_eq(type, "image"))
        return "[An image stood here. The model provider refused it, so it was left out.]";
    if (str_eq(type, "document"))
        return "[A document stood here. The model provider refused it, so it was left out.]";
    return "[Something stood here that the model provider refused, so it was left out.]";
}

/* The blocks of an event that came from outside, each with the name of its part, or what stands for
 * it. */
static void add_content(struct model_context *c, const char *event_id, const json_t *body,
                        json_t *to)
{
    size_t i;
    json_t *block;
    json_array_foreach (json_object_get(body, "content"), i, block) {
        const char *type = json_get_str(block, "type");
        char name[96];
        snprintf(name, sizeof(name), "%s:%zu", event_id, i);
        if (json_object_get(c->left_out, name))
            json_array_append_new(to, text_block(stand_in(type)));
        else if (!str_eq(type, "text") || !blank(json_get_str(block, "text"))) {
            json_put_str(block, ORIGIN, name);
            json_array_append(to, block);
        }
    }
}

static void add_user(struct model_context *c, const char *id, const json_t *body)
{
    add_content(c, id, body, opened(c, true));
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

static void add_result(struct model_context *c, const char *id, const char *call_id,
                       const json_t *body)
{
    if (!call_id)
        return;
    json_t *o = json_new_object();
    AUTO_JSON json_t *content = array();
    add_content(c, id, body, content);
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
        return 0;
    int r = json_parse_stored(hidden, strlen(hidden), &block);
    if (r < 0)
        return r;
    /* Without its signature it cannot be sent. */
    const char *proof = json_get_str(block, "signature");
    if (str_eq(json_get_str(block, "type"), "redacted_thinking"))
        proof = json_get_str(block, "data");
    if (proof && *proof && !json_object_get(c->left_out, "thinking"))
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
    int r = json_parse_stored(body_text, strlen(body_text), &body);
    if (r < 0)
        return r;
    if (str_eq(type, "user.message"))
        add_user(c, id, body);
    else if (str_eq(type, "agent.message"))
        add_message(c, body);
    else if (str_eq(type, "agent.tool_use") || str_eq(type, "agent.custom_tool_use"))
        add_call(c, id, body);
    else if (str_eq(type, "user.tool_result") || str_eq(type, "agent.tool_result"))
        add_result(c, id, json_get_str(body, "tool_use_id"), body);
    else if (str_eq(type, "user.custom_tool_result"))
        add_result(c, id, json_get_str(body, "custom_tool_use_id"), body);
    return 0;
}

/* "3.1", or "3.1.0" within a tool result; `inner` negative: not within. */
static const char *place_name(char ret[PLACE_MAX], size_t message, size_t block, long inner)
{
    if (inner < 0)
        snprintf(ret, PLACE_MAX, "%zu.%zu", message, block);
    else
        snprintf(ret, PLACE_MAX, "%zu.%zu.%ld", message, block, inner);
    return ret;
}

/* Moves the name from a block to `origins`. */
static void take_origin(json_t *block, json_t *origins, const char *place)
{
    if (json_get_str(block, ORIGIN))
        json_put_str(origins, place, json_get_str(block, ORIGIN));
    json_object_del(block, ORIGIN);
}

static void take_origins(json_t *messages, json_t *origins)
{
    size_t m, b, k;
    json_t *message, *block, *inner;
    char place[PLACE_MAX];
    json_array_foreach (messages, m, message)
        json_array_foreach (json_object_get(message, "content"), b, block) {
            take_origin(block, origins, place_name(place, m, b, -1));
            if (str_eq(json_get_str(block, "type"), "tool_result"))
                json_array_foreach (json_object_get(block, "content"), k, inner)
                    take_origin(inner, origins, place_name(place, m, b, (long)k));
        }
}

json_t *model_context_take(struct model_context *c, json_t **ret_origins)
{
    close_open(c);
    if (json_array_size(c->calls) > 0)
        push(c, "user", answers(c));
    json_t *origins = json_new_object();
    take_origins(c->messages, origins);
    if (ret_origins)
        *ret_origins = origins;
    else
        json_decref(origins);
    return TAKE(c->messages);
}

/* ---- blame ---- */

static bool is_media(const json_t *block)
{
    const char *type = json_get_str(block, "type");
    return str_eq(type, "image") || str_eq(type, "document");
}

/* Appends the names of what is at `place`, or within it. */
static void blame_place(const json_t *origins, const char *place, json_t *names)
{
    size_t n = strlen(place);
    const char *key;
    json_t *name;
    json_object_foreach ((json_t *)(uintptr_t)origins, key, name)
        if (str_starts(key, place) && (key[n] == '\0' || key[n] == '.'))
            json_array_append(names, name);
}

/* The images and documents of the newest message that has any. */
static void blame_media(const json_t *messages, const json_t *origins, json_t *names)
{
    for (size_t m = json_array_size(messages); m-- > 0 && json_array_size(names) == 0;) {
        const json_t *content = json_object_get(json_array_get(messages, m), "content");
        size_t b, k;
        json_t *block, *inner;
        char place[PLACE_MAX];
        json_array_foreach ((json_t *)(uintptr_t)content, b, block) {
            if (is_media(block))
                blame_place(origins, place_name(place, m, b, -1), names);
            json_array_foreach (json_object_get(block, "content"), k, inner)
                if (is_media(inner))
                    blame_place(origins, place_name(place, m, b, (long)k), names);
        }
    }
}

static bool has_thinking(const json_t *messages)
{
    size_t m, b;
    json_t *message, *block;
    json_array_foreach ((json_t *)(uintptr_t)messages, m, message)
        json_array_foreach (json_object_get(message, "content"), b, block)
            if (str_eq(json_get_str(block, "type"), "thinking") ||
                str_eq(json_get_str(block, "type"), "redacted_thinking"))
                return true;
    return false;
}

json_t *model_context_blamed(const json_t *messages, const json_t *origins, const char *blame)
{
    json_t *names = array();
    if (str_eq(blame, "thinking")) {
        if (has_thinking(messages))
            json_array_append_new(names, json_string("thinking"));
    } else if (str_eq(blame, "media")) {
        blame_media(messages, origins, names);
    } else if (*blame) {
        blame_place(origins, blame, names);
    }
    if (json_array_size(names) > 0)
        return names;
    json_decref(names);
    return NULL;
}

/* ---- from the store ---- */

static int load_left_out(struct tx *tx, const char *session_id, json_t *left_out)
{
    struct stmt *st = tx_prepare(tx, "SELECT hidden FROM events WHERE session_id = $1 AND type ="
                                     " 'session.error' AND hidden IS NOT NULL");
    stmt_bind_text(st, 1, session_id);
    int r;
    while ((r = stmt_step(st)) > 0) {
        size_t n = 0, i;
        const char *text = stmt_text(st, 0, &n);
        AUTO_JSON json_t *o = NULL;
        json_t *name;
        int k = json_parse_stored(text, n, &o);
        if (k == -ENOMEM) {
            r = k;
            break;
        }
        json_array_foreach (json_object_get(o, "left_out"), i, name)
            json_put_bool(left_out, json_string_value(name), true);
    }
    stmt_reset(st);
    return r;
}

/* The API answers a conversation that ends with the model's own words only for some models; this
 * one was interrupted by its provider (pause_turn). */
static void ask_to_go_on(json_t *messages)
{
    size_t n = json_array_size(messages);
    if (!n || !str_eq(json_get_str(json_array_get(messages, n - 1), "role"), "assistant"))
        return;
    json_t *m = json_new_object(), *content = array();
    json_array_append_new(content, text_block("Go on where you stopped."));
    json_put_str(m, "role", "user");
    json_put(m, "content", content);
    json_array_append_new(messages, m);
}

static int load_events(struct tx *tx, struct model_context_load *q, const struct compaction *left,
                       struct model_context *c)
{
    struct stmt *st =
        tx_prepare(tx, "SELECT id, type, body, hidden, seq FROM events WHERE session_id = $1 AND"
                       " seq < $2 AND (seq >= $3 OR (seq >= $4 AND type = 'user.message'))"
                       " ORDER BY seq");
    stmt_bind_text(st, 1, q->session_id);
    stmt_bind_int(st, 2, q->until);
    stmt_bind_int(st, 3, left->from);
    stmt_bind_int(st, 4, left->task ? left->task : left->from);
    int r;
    bool counted = false;
    while ((r = stmt_step(st)) > 0) {
        size_t n = 0, hidden_n = 0;
        const char *id = stmt_text(st, 0, NULL), *type = stmt_text(st, 1, NULL),
                   *body = stmt_text(st, 2, &n);
        stmt_text(st, 3, &hidden_n);
        if (!counted && stmt_int(st, 4) >= left->from) {
            c->requests = (int)left->requests;
            counted = true;
        }
        c->bytes += n + hidden_n;
        /* Nor may a log be able to fill the server's memory. */
        q->ret_too_large = c->bytes > LIMIT_MODEL_CONTEXT_BYTES;
        if (q->ret_too_large) {
            r = 0;
            break;
        }
        r = id && type && body ? model_context_add(c, id, type, body, stmt_text(st, 3, NULL))
                               : -E_CORRUPT;
        if (r < 0)
            break;
    }
    stmt_reset(st);
    return r;
}

int model_context_load_tx(struct tx *tx, void *arg)
{
    struct model_context_load *q = arg;
    AUTO(model_context) c;
    AUTO(compaction) left = {0};
    model_context_init(&c);
    q->ret_too_large = false;
    int r = compaction_load_tx(tx, q->session_id, &left);
    if (r == 0)
        r = load_left_out(tx, q->session_id, c.left_out);
    if (r == 0 && left.from)
        json_array_append_new(opened(&c, true), text_block(left.digest));
    if (r == 0)
        r = load_events(tx, q, &left, &c);
    if (r < 0)
        return r;
    q->ret_requests = c.requests;
    json_decref(q->ret_messages);
    json_decref(q->ret_origins);
    q->ret_messages = model_context_take(&c, &q->ret_origins);
    ask_to_go_on(q->ret_messages);
    return 0;
}
