/* anthropic_stream.c - from stream events to blocks.
 *
 * Fed by anthropic.c, inside the SSE parser's callback, on the fiber of the model request; never
 * suspends. The provider (or another server at the base URL) controls every byte: blocks must come
 * in order, one at a time, each started and stopped; sizes are summed against LIMIT_EVENT_BYTES,
 * blocks counted against BLOCKS_MAX; JSON goes through base/json with its depth cap. An answer
 * counts only when message_stop was seen: anything else is a failed request, and what was complete
 * by then is left in the result for the caller to use or drop.
 *
 * Error texts are our own, except for the message of an `error` event, which the caller scrubs of
 * the key. */
#include "brain/models/anthropic_stream.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

#include <string.h>

#define BLOCKS_MAX 512

void anthropic_stream_init(struct anthropic_stream *s, struct model_result *r,
                           const struct model_sink *sink, struct err *e)
{
    *r = (struct model_result){.content = json_array(), .retry_after_ms = -1};
    MUST(r->content);
    *s = (struct anthropic_stream){.r = r, .sink = sink, .e = e};
    buf_init(&s->text, LIMIT_EVENT_BYTES);
    buf_init(&s->signature, LIMIT_EVENT_BYTES);
}

void anthropic_stream_done(struct anthropic_stream *s)
{
    json_decref(s->open);
    s->open = NULL;
    buf_done(&s->text);
    buf_done(&s->signature);
}

static int bad(struct anthropic_stream *s, int code, const char *words)
{
    s->r->error = MODEL_FAILED;
    return err_set(s->e, code, "The model provider's stream is malformed: %s.", words);
}

static int too_large(struct anthropic_stream *s)
{
    s->r->error = MODEL_FAILED;
    return err_set(s->e, -EMSGSIZE, "The model's answer is larger than %u bytes.",
                   LIMIT_EVENT_BYTES);
}

/* ---- usage and errors ---- */

static void take_usage(struct model_usage *u, const json_t *o)
{
    static const int64_t ceiling = INT64_C(1) << 48;
    struct {
        const char *key;
        int64_t *to;
    } fields[] = {
        {"input_tokens", &u->input_tokens},
        {"output_tokens", &u->output_tokens},
        {"cache_creation_input_tokens", &u->cache_creation_input_tokens},
        {"cache_read_input_tokens", &u->cache_read_input_tokens},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        int64_t v = json_get_int(o, fields[i].key, -1);
        if (v >= 0 && v < ceiling)
            *fields[i].to = v; /* counts are cumulative: the last one stands */
    }
}

enum model_error anthropic_error_of(const char *type, enum model_error fallback)
{
    static const struct {
        const char *type;
        enum model_error error;
    } known[] = {
        {"overloaded_error", MODEL_OVERLOADED},
        {"rate_limit_error", MODEL_RATE_LIMITED},
        {"api_error", MODEL_FAILED},
        {"timeout_error", MODEL_FAILED},
        {"invalid_request_error", MODEL_REJECTED},
        {"not_found_error", MODEL_REJECTED},
        {"request_too_large", MODEL_REJECTED},
        {"authentication_error", MODEL_UNAUTHORIZED},
        {"permission_error", MODEL_UNAUTHORIZED},
        {"billing_error", MODEL_BILLING},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(known[i].type, type))
            return known[i].error;
    return fallback;
}

static int on_error(struct anthropic_stream *s, const json_t *data)
{
    const json_t *error = json_object_get(data, "error");
    const char *type = json_get_str(error, "type"), *message = json_get_str(error, "message");
    s->r->error = anthropic_error_of(type, MODEL_FAILED);
    return err_set(s->e, -E_PROTO,
                   "The model provider stopped in the middle of its answer: %.60s: %.300s",
                   type ? type : "error", message ? message : "no reason given");
}

/* ---- blocks ---- */

static int on_message_start(struct anthropic_stream *s, const json_t *data)
{
    if (s->started)
        return bad(s, -E_PROTO, "message_start came twice");
    const json_t *message = json_object_get(data, "message");
    if (!json_is_object(message))
        return bad(s, -E_PARSE, "message_start has no message");
    s->started = true;
    take_usage(&s->r->usage, json_object_get(message, "usage"));
    return 0;
}

static int on_block_start(struct anthropic_stream *s, const json_t *data)
{
    json_t *block = json_object_get(data, "content_block");
    const char *type = json_get_str(block, "type");
    if (s->open)
        return bad(s, -E_PROTO, "a content block begins inside another");
    if (json_get_int(data, "index", -1) != s->next_index || !type)
        return bad(s, -E_PROTO, "a content block is out of order");
    if (s->next_index >= BLOCKS_MAX)
        return too_large(s);
    s->next_index++;
    s->ignored = !str_eq(type, "text") && !str_eq(type, "thinking") &&
                 !str_eq(type, "redacted_thinking") && !str_eq(type, "tool_use");
    s->open = json_incref(block);
    buf_reset(&s->text);
    buf_reset(&s->signature);
    /* what the start already holds, usually nothing */
    const char *text = json_get_str(block, str_eq(type, "thinking") ? "thinking" : "text");
    if (text && !str_eq(type, "tool_use"))
        buf_adds(&s->text, text);
    if (!s->ignored && s->sink && s->sink->block_start)
        s->sink->block_start(s->sink->arg, (int)json_array_size(s->r->content), type);
    return 0;
}

static int add(struct anthropic_stream *s, struct buf *to, const char *text)
{
    size_t n = strlen(text);
    s->bytes += n;
    if (s->bytes > LIMIT_EVENT_BYTES || buf_add(to, text, n) < 0)
        return too_large(s);
    return 0;
}

static int on_block_delta(struct anthropic_stream *s, const json_t *data)
{
    if (!s->open || json_get_int(data, "index", -1) != s->next_index - 1)
        return bad(s, -E_PROTO, "a delta belongs to no open content block");
    if (s->ignored)
        return 0;
    const json_t *delta = json_object_get(data, "delta");
    const char *type = json_get_str(delta, "type"), *open = json_get_str(s->open, "type");
    const char *text = json_get_str(delta, "text"), *thinking = json_get_str(delta, "thinking");
    const char *signature = json_get_str(delta, "signature"),
               *input = json_get_str(delta, "partial_json");
    if (str_eq(type, "text_delta") && str_eq(open, "text") && text) {
        int r = add(s, &s->text, text);
        if (r == 0 && *text && s->sink && s->sink->text_delta)
            s->sink->text_delta(s->sink->arg, (int)json_array_size(s->r->content), text,
                                strlen(text));
        return r;
    }
    if (str_eq(type, "thinking_delta") && str_eq(open, "thinking") && thinking)
        return add(s, &s->text, thinking);
    if (str_eq(type, "signature_delta") && str_eq(open, "thinking") && signature)
        return add(s, &s->signature, signature);
    if (str_eq(type, "input_json_delta") && str_eq(open, "tool_use") && input)
        return add(s, &s->text, input);
    bool ours = str_eq(type, "text_delta") || str_eq(type, "thinking_delta") ||
                str_eq(type, "signature_delta") || str_eq(type, "input_json_delta");
    return ours || !type ? bad(s, -E_PROTO, "a delta does not fit its content block") : 0;
}

/* NULL when the input is no JSON object. */
static json_t *finished_tool(struct anthropic_stream *s)
{
    const char *id = json_get_str(s->open, "id"), *name = json_get_str(s->open, "name");
    json_t *input = NULL;
    if (!id || !name)
        return NULL;
    if (s->text.len == 0) {
        json_t *given = json_object_get(s->open, "input");
        input = json_is_object(given) ? json_incref(given) : json_object();
    } else if (json_parse(buf_str(&s->text), s->text.len, &input, NULL) < 0 ||
               !json_is_object(input)) {
        json_decref(input);
        return NULL;
    }
    json_t *o = json_typed("tool_use");
    json_put_str(o, "id", id);
    json_put_str(o, "name", name);
    json_put(o, "input", input);
    return o;
}

static json_t *finished(struct anthropic_stream *s)
{
    const char *type = json_get_str(s->open, "type");
    json_t *o;
    if (str_eq(type, "tool_use"))
        return finished_tool(s);
    o = json_typed(type);
    if (str_eq(type, "text")) {
        json_put_str(o, "text", buf_str(&s->text));
    } else if (str_eq(type, "thinking")) {
        const char *given = json_get_str(s->open, "signature");
        json_put_str(o, "thinking", buf_str(&s->text));
        json_put_str(o, "signature",
                     s->signature.len ? buf_str(&s->signature)
                     : given          ? given
                                      : "");
    } else {
        json_put_str(o, "data", json_get_str(s->open, "data"));
    }
    return o;
}

static int on_block_stop(struct anthropic_stream *s, const json_t *data)
{
    if (!s->open || json_get_int(data, "index", -1) != s->next_index - 1)
        return bad(s, -E_PROTO, "a content block ends that is not open");
    json_t *block = s->ignored ? NULL : finished(s);
    if (block)
        json_array_append_new(s->r->content, block);
    else if (!s->ignored)
        s->broken_tool = true;
    json_decref(s->open);
    s->open = NULL;
    return 0;
}

static int on_message_delta(struct anthropic_stream *s, const json_t *data)
{
    const char *reason = json_get_str(json_object_get(data, "delta"), "stop_reason");
    take_usage(&s->r->usage, json_object_get(data, "usage"));
    if (reason && !str_copy(s->r->stop_reason, sizeof(s->r->stop_reason), reason))
        return bad(s, -E_PARSE, "an unknown stop_reason");
    return 0;
}

int anthropic_stream_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct anthropic_stream *s = arg;
    (void)id;
    (void)event; /* the type inside the data decides; they are equal in a well-formed stream */
    if (s->stopped)
        return 0;
    AUTO_JSON json_t *o = NULL;
    struct err why = {0};
    if (json_parse(data, n, &o, &why) < 0 || !json_is_object(o))
        return bad(s, -E_PARSE, "an event is not a JSON object");
    const char *type = json_get_str(o, "type");
    if (str_eq(type, "error"))
        return on_error(s, o);
    if (str_eq(type, "message_start"))
        return on_message_start(s, o);
    static const struct {
        const char *type;
        int (*fn)(struct anthropic_stream *s, const json_t *data);
    } handlers[] = {
        {"content_block_start", on_block_start},
        {"content_block_delta", on_block_delta},
        {"content_block_stop", on_block_stop},
        {"message_delta", on_message_delta},
    };
    bool stop = str_eq(type, "message_stop");
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
        if (str_eq(type, handlers[i].type))
            return s->started ? handlers[i].fn(s, o)
                              : bad(s, -E_PROTO, "content comes before message_start");
    if (stop && !s->started)
        return bad(s, -E_PROTO, "message_stop comes before message_start");
    s->stopped = stop;
    return 0;
}

int anthropic_stream_finish(struct anthropic_stream *s)
{
    if (!s->stopped) {
        s->r->error = MODEL_FAILED;
        return err_set(s->e, -E_CLOSED, "The model provider ended its answer in the middle.");
    }
    if (s->open)
        return bad(s, -E_PROTO, "it ends inside a content block");
    if (!s->r->stop_reason[0])
        return bad(s, -E_PROTO, "it names no stop_reason");
    if (s->broken_tool && !str_eq(s->r->stop_reason, "max_tokens"))
        return bad(s, -E_PARSE, "the input of a tool call is not a JSON object");
    return 0;
}
