/* anthropic_stream.c - from stream events to blocks.
 *
 * Fed by anthropic.c, inside the SSE parser's callback, on the fiber of the model request; never
 * suspends. The provider (or another server at the base URL) controls every byte: blocks must come
 * in order, one at a time, each started and stopped; sizes are summed against LIMIT_EVENT_BYTES,
 * blocks counted against BLOCKS_MAX; JSON goes through base/json with its depth cap. An answer
 * counts only when message_stop was seen: anything else is a failed request, and what was complete
 * by then is left in the result for the caller to use or drop.
 *
 * What the model itself wrote badly is not the provider's fault and not worth the price of asking
 * again: a tool input that is no usable JSON makes that one call faulty (its `fault` is what the
 * model will be told), and a character that does not exist (anthropic_mend.c) becomes U+FFFD in a
 * text. turn.md has the whole table.
 *
 * Error texts are our own, except for the message of an `error` event, which the caller scrubs of
 * the key. */
#include "brain/models/anthropic_stream.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "brain/models/anthropic_mend.h"
#include "brain/models/anthropic_refusal.h"

#include <string.h>

#define BLOCKS_MAX      512
#define CATEGORY_MAX    64
#define EXPLANATION_MAX 4096

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
    const char *speed = json_get_str(o, "speed");
    if (str_eq(speed, "standard") || str_eq(speed, "fast"))
        str_copy(u->speed, sizeof(u->speed), speed);
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

static int on_error(struct anthropic_stream *s, const json_t *data)
{
    const json_t *error = json_object_get(data, "error");
    const char *type = json_get_str(error, "type"), *message = json_get_str(error, "message");
    struct anthropic_refusal why;
    anthropic_refusal_read(0, type, message, &why);
    s->r->error = why.error;
    s->r->fit_percent = why.fit_percent;
    str_copy(s->r->blame, sizeof(s->r->blame), why.blame);
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
    s->input_mended = s->mended;
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
    if (str_eq(type, "input_json_delta") && str_eq(open, "tool_use") && input) {
        s->input_mended = s->input_mended || s->mended;
        return add(s, &s->text, input);
    }
    bool ours = str_eq(type, "text_delta") || str_eq(type, "thinking_delta") ||
                str_eq(type, "signature_delta") || str_eq(type, "input_json_delta");
    return ours || !type ? bad(s, -E_PROTO, "a delta does not fit its content block") : 0;
}

/* Why the text is not the input of a call, NULL when it is (new reference in *ret). */
static const char *parse_input(const char *text, size_t n, json_t **ret, struct err *why)
{
    json_t *input = NULL;
    if (json_parse(text, n, &input, why) < 0)
        return why->msg;
    if (!json_is_object(input)) {
        json_decref(input);
        return "it is not an object";
    }
    *ret = input;
    return NULL;
}

/* A call whose input cannot be used keeps its place with an empty one, so that the conversation can
 * be sent back; `fault` says why it is not run. */
static json_t *finished_tool(struct anthropic_stream *s)
{
    const char *id = json_get_str(s->open, "id"), *name = json_get_str(s->open, "name"),
               *why = NULL;
    json_t *given = json_object_get(s->open, "input"), *input = NULL;
    struct err words = {0};
    if (s->input_mended)
        why = "it holds a character that does not exist: NUL, half a surrogate pair or a byte "
              "that is not UTF-8";
    else if (s->text.len > 0)
        why = parse_input(buf_str(&s->text), s->text.len, &input, &words);
    else if (json_is_object(given))
        input = json_incref(given);
    else if (given && !json_is_null(given))
        why = "it is not an object";
    json_t *o = json_typed("tool_use");
    json_put_str(o, "id", id ? id : "");
    json_put_str(o, "name", name ? name : "");
    s->input_missing = why || (s->text.len == 0 && json_object_size(input) == 0);
    json_put(o, "input", input ? input : json_new_object());
    if (why) {
        AUTO_FREE char *fault =
            mem_printf("This call was not run: its input cannot be read as JSON (%.200s). Send the "
                       "call again with a valid input.",
                       why);
        json_put_str(o, "fault", fault);
    }
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
        const char *signature = s->signature.len ? buf_str(&s->signature) : given;
        json_put_str(o, "thinking", buf_str(&s->text));
        if (signature && *signature)
            json_put_str(o, "signature", signature);
    } else if (json_get_str(s->open, "data")) {
        json_put_str(o, "data", json_get_str(s->open, "data"));
    }
    return o;
}

static void close_block(struct anthropic_stream *s)
{
    s->input_missing = false;
    if (!s->ignored)
        json_array_append_new(s->r->content, finished(s));
    json_decref(s->open);
    s->open = NULL;
}

static int on_block_stop(struct anthropic_stream *s, const json_t *data)
{
    if (!s->open || json_get_int(data, "index", -1) != s->next_index - 1)
        return bad(s, -E_PROTO, "a content block ends that is not open");
    close_block(s);
    return 0;
}

/* What a client of the API may know of a refusal; the words are the provider's. */
static json_t *refusal_details(const json_t *given)
{
    const char *category = json_get_str(given, "category"),
               *explanation = json_get_str(given, "explanation");
    json_t *o = json_typed("refusal");
    if (category && strlen(category) <= CATEGORY_MAX)
        json_put_str(o, "category", category);
    else
        json_put_null(o, "category");
    if (explanation)
        json_put(o, "explanation",
                 json_str_lossy(explanation, strnlen(explanation, EXPLANATION_MAX)));
    else
        json_put_null(o, "explanation");
    return o;
}

static int on_message_delta(struct anthropic_stream *s, const json_t *data)
{
    const json_t *delta = json_object_get(data, "delta"),
                 *details = json_object_get(delta, "stop_details");
    const char *reason = json_get_str(delta, "stop_reason");
    take_usage(&s->r->usage, json_object_get(data, "usage"));
    if (reason && !str_copy(s->r->stop_reason, sizeof(s->r->stop_reason), reason))
        str_copy(s->r->stop_reason, sizeof(s->r->stop_reason), "unknown"); /* ends the turn */
    if (str_eq(json_get_str(details, "type"), "refusal")) {
        json_decref(s->r->stop_details);
        s->r->stop_details = refusal_details(details);
    }
    return 0;
}

/* ---- events ---- */

int anthropic_stream_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct anthropic_stream *s = arg;
    (void)id;
    (void)event; /* the type inside the data decides; they are equal in a well-formed stream */
    if (s->stopped)
        return 0;
    AUTO_JSON json_t *o = NULL;
    if (anthropic_mend_parse(data, n, &o, &s->mended) < 0 || !json_is_object(o))
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

/* Output or context ended: what was being said is cut off there. */
static bool at_limit(const struct model_result *r)
{
    return str_eq(r->stop_reason, "max_tokens") ||
           str_eq(r->stop_reason, "model_context_window_exceeded");
}

/* The last call of an answer that ended at a limit, when its input did not get through: what is
 * there of it is an accident, even when it can be read (nothing at all reads as no input). */
static void mark_cut_call(struct anthropic_stream *s)
{
    size_t n = json_array_size(s->r->content);
    json_t *last = n ? json_array_get(s->r->content, n - 1) : NULL;
    if (!at_limit(s->r) || !s->input_missing || !str_eq(json_get_str(last, "type"), "tool_use"))
        return;
    json_put_str(last, "fault",
                 "This call was not run: your answer reached its length limit in the middle of it, "
                 "and what there was of its input was dropped. Do the same in smaller steps, for "
                 "example by writing a long file in several calls.");
    s->r->cut_call = true;
}

/* Nothing of a refused answer is acted on. */
static void refuse_calls(struct model_result *r)
{
    size_t i;
    json_t *block;
    json_array_foreach (r->content, i, block)
        if (str_eq(json_get_str(block, "type"), "tool_use"))
            json_put_str(block, "fault",
                         "This call was not run: the answer it stands in ended in a refusal.");
}

int anthropic_stream_finish(struct anthropic_stream *s)
{
    if (!s->stopped) {
        s->r->error = MODEL_FAILED;
        return err_set(s->e, -E_CLOSED, "The model provider ended its answer in the middle.");
    }
    if (s->open && at_limit(s->r))
        close_block(s);
    if (s->open)
        return bad(s, -E_PROTO, "it ends inside a content block");
    if (!s->r->stop_reason[0])
        return bad(s, -E_PROTO, "it names no stop_reason");
    mark_cut_call(s);
    if (str_eq(s->r->stop_reason, "refusal"))
        refuse_calls(s->r);
    return 0;
}
