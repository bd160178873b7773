/* event_input.c - inbound events, field by field.
 *
 * Called by events_send and sessions_create on the loop thread, on JSON whose size and depth are
 * bounded already. Everything here is the caller's. Nothing is changed or completed: an event that
 * passes is stored as it came (log_accept_tx makes optional keys explicit). What a session's state
 * allows is not decided here.
 *
 * Unknown fields are refused at every level (api.md 15.6), and so is what this version can not act
 * on, with a message: a file that never reaches the model, or an outcome that is never judged,
 * would be a silent loss. */

#include "platform/events/event_input.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "platform/api/validate.h"

#include <stdio.h>
#include <string.h>

#define BLOCKS_MAX 1000
#define TEXT_MAX   LIMIT_EVENT_BYTES
#define URL_MAX    2048
#define ID_CHARS   128

#define NO_FILES "files are not part of this version of Sallyport; send the content itself"

enum { TEXT = 1, IMAGE = 2, DOCUMENT = 4, SEARCH_RESULT = 8 };

bool event_type_known(const char *type)
{
    static const char *const types[] = {
        "user.message",
        "user.interrupt",
        "user.tool_confirmation",
        "user.custom_tool_result",
        "user.tool_result",
        "user.define_outcome",
        "system.message",
        "agent.message",
        "agent.thinking",
        "agent.tool_use",
        "agent.tool_result",
        "agent.custom_tool_use",
        "agent.mcp_tool_use",
        "agent.mcp_tool_result",
        "agent.thread_message_received",
        "agent.thread_message_sent",
        "agent.thread_context_compacted",
        "session.error",
        "session.status_running",
        "session.status_idle",
        "session.status_rescheduled",
        "session.status_terminated",
        "session.thread_created",
        "session.thread_status_running",
        "session.thread_status_idle",
        "session.thread_status_rescheduled",
        "session.thread_status_terminated",
        "session.updated",
        "session.usage",
        "span.model_request_start",
        "span.model_request_end",
        "span.outcome_evaluation_start",
        "span.outcome_evaluation_ongoing",
        "span.outcome_evaluation_end",
        "workflow_run.created",
        "workflow_run.status_running",
        "workflow_run.status_idle",
        "workflow_run.status_ended",
        "workflow_run.error",
        "workflow_run.phase_started",
        "workflow_run.phase_ended",
    };
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (!strcmp(types[i], type))
            return true;
    return false;
}

/* ---- sources of images and documents ---- */

static void check_base64(struct v *v)
{
    const char *data = v_str(v, "data", V_REQUIRED, 1, TEXT_MAX);
    if (!data)
        return;
    AUTO(buf) bytes = BUF_INIT(LIMIT_EVENT_BYTES);
    if (enc_base64_decode(&bytes, data, strlen(data)) < 0)
        v_fail(v, "data", "is not base64 (standard alphabet, padded)");
}

static void check_url(struct v *v)
{
    const char *url = v_str(v, "url", V_REQUIRED, 1, URL_MAX);
    if (!url)
        return;
    bool ok = str_starts(url, "https://") || str_starts(url, "http://");
    for (const char *p = url; ok && *p; p++)
        ok = *p > 0x20 && *p < 0x7f;
    if (!ok)
        v_fail(v, "url", "must be an http or https URL of printable ASCII");
}

static void check_source(struct v *block, bool image)
{
    static const char *const image_kinds[] = {"base64", "url", "file", NULL};
    static const char *const document_kinds[] = {"base64", "text", "url", "file", NULL};
    static const char *const image_types[] = {"image/jpeg", "image/png", "image/gif", "image/webp",
                                              NULL};
    static const char *const pdf[] = {"application/pdf", NULL};
    static const char *const plain[] = {"text/plain", NULL};

    struct v v = v_sub(block, "source", V_REQUIRED);
    if (v_failed(&v))
        return;
    const char *kind = v_enum(&v, "type", V_REQUIRED, image ? image_kinds : document_kinds);
    if (!kind)
        return;
    if (!strcmp(kind, "base64")) {
        v_enum(&v, "media_type", V_REQUIRED, image ? image_types : pdf);
        check_base64(&v);
    } else if (!strcmp(kind, "text")) {
        v_enum(&v, "media_type", V_REQUIRED, plain);
        v_str(&v, "data", V_REQUIRED, 0, TEXT_MAX);
    } else if (!strcmp(kind, "url")) {
        check_url(&v);
    } else {
        v_fail(&v, "type", "%s", NO_FILES);
    }
    v_end(&v);
}

/* ---- content blocks ---- */

static void check_search_result(struct v *v)
{
    v_str(v, "source", V_REQUIRED, 1, URL_MAX);
    v_str(v, "title", V_REQUIRED, 1, 1024);
    const json_t *content = v_array(v, "content", V_REQUIRED, BLOCKS_MAX);
    struct v citations = v_sub(v, "citations", V_OPTIONAL);
    v_bool(&citations, "enabled", V_OPTIONAL, false);
    v_end(&citations);
    for (size_t i = 0; i < json_array_size(content) && !v_failed(v); i++) {
        static const char *const text[] = {"text", NULL};
        char path[sizeof(v->path) + 32];
        snprintf(path, sizeof(path), "%scontent[%zu].", v->path, i);
        struct v one = v_object(v->r, json_array_get(content, i), path);
        v_enum(&one, "type", V_REQUIRED, text);
        v_str(&one, "text", V_REQUIRED, 0, TEXT_MAX);
        v_end(&one);
    }
}

static void check_block(struct v *v, unsigned allowed, bool empty_text)
{
    static const char *const names[] = {"text", "image", "document", "search_result"};
    const char *some[5];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (allowed & 1u << i)
            some[n++] = names[i];
    some[n] = NULL;
    const char *type = json_get_str(v->o, "type");
    if (type && !strcmp(type, "redacted")) {
        v_fail(v, "type", "redacted content can be read but not sent");
        return;
    }
    type = v_enum(v, "type", V_REQUIRED, some);
    if (!type)
        return;
    if (!strcmp(type, "text")) {
        v_str(v, "text", V_REQUIRED, empty_text ? 0 : 1, TEXT_MAX);
    } else if (!strcmp(type, "image")) {
        check_source(v, true);
    } else if (!strcmp(type, "document")) {
        check_source(v, false);
        v_str(v, "title", V_NULLABLE, 0, 1024);
        v_str(v, "context", V_NULLABLE, 0, TEXT_MAX);
    } else {
        check_search_result(v);
    }
    v_end(v);
}

static bool blank(const json_t *block)
{
    const char *text = json_get_str(block, "text");
    return str_eq(json_get_str(block, "type"), "text") &&
           (!text || text[strspn(text, " \t\r\n\v\f")] == '\0');
}

static void check_content(struct v *v, int flags, unsigned allowed, bool empty_text)
{
    const json_t *content = v_array(v, "content", flags, BLOCKS_MAX);
    if (!content)
        return;
    if (!empty_text && json_array_size(content) == 0)
        v_fail(v, "content", "must have at least one block");
    bool something = empty_text;
    for (size_t i = 0; i < json_array_size(content) && !v_failed(v); i++) {
        char path[sizeof(v->path) + 32];
        snprintf(path, sizeof(path), "%scontent[%zu].", v->path, i);
        struct v block = v_object(v->r, json_array_get(content, i), path);
        if (!v_failed(&block))
            check_block(&block, allowed, empty_text);
        something = something || !blank(json_array_get(content, i));
    }
    if (!something && !v_failed(v)) /* models are not asked nothing; a provider refuses it */
        v_fail(v, "content", "must hold something other than white space");
}

/* ---- events ---- */

static void check_fields(struct v *v, const char *type)
{
    static const char *const verdicts[] = {"allow", "deny", NULL};
    bool custom = !strcmp(type, "user.custom_tool_result");
    if (!strcmp(type, "user.message")) {
        check_content(v, V_REQUIRED, TEXT | IMAGE | DOCUMENT, false);
    } else if (!strcmp(type, "user.interrupt")) {
        v_str(v, "session_thread_id", V_NULLABLE, 1, ID_CHARS);
    } else if (!strcmp(type, "user.tool_confirmation")) {
        v_str(v, "tool_use_id", V_REQUIRED, 1, ID_CHARS);
        const char *verdict = v_enum(v, "result", V_REQUIRED, verdicts);
        const char *message = v_str(v, "deny_message", V_NULLABLE, 0, 10000);
        if (message && verdict && !strcmp(verdict, "allow"))
            v_fail(v, "deny_message", "goes only with result \"deny\"");
    } else if (custom || !strcmp(type, "user.tool_result")) {
        v_str(v, custom ? "custom_tool_use_id" : "tool_use_id", V_REQUIRED, 1, ID_CHARS);
        check_content(v, V_OPTIONAL, TEXT | IMAGE | DOCUMENT | SEARCH_RESULT, true);
        v_bool(v, "is_error", V_NULLABLE, false);
        v_str(v, "session_thread_id", V_NULLABLE, 1, ID_CHARS);
    } else if (!strcmp(type, "user.define_outcome")) {
        v_fail(v, "type",
               "user.define_outcome: outcomes are not part of this version of Sallyport");
    } else {
        v_fail(v, "type",
               "system.message: system messages within a session are not part of this "
               "version of Sallyport; set the agent's system prompt");
    }
}

static void check_event(struct v *v, bool initial)
{
    static const char *const all[] = {"user.message",           "user.interrupt",
                                      "user.tool_confirmation", "user.custom_tool_result",
                                      "user.tool_result",       "user.define_outcome",
                                      "system.message",         NULL};
    static const char *const first[] = {"user.message", "user.define_outcome", NULL};
    const char *type = v_enum(v, "type", V_REQUIRED, initial ? first : all);
    if (!type)
        return;
    check_fields(v, type);
    v_end(v);
}

int event_input_check(struct refusal *r, const json_t *events, const char *name, size_t max_events,
                      bool initial)
{
    size_t n = json_array_size(events);
    if (n > max_events)
        return refuse(r, 400, "invalid_request_error", "%s: must have at most %zu events, has %zu",
                      name, max_events, n);
    for (size_t i = 0; i < n; i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s[%zu].", name, i);
        struct v v = v_object(r, json_array_get(events, i), path);
        if (!v_failed(&v))
            check_event(&v, initial);
        if (v_failed(&v))
            return -E_DENIED;
    }
    return 0;
}
