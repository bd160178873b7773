/* transcript.c - a session's events as a person reads them.
 *
 * Called with events in log order, and with the stream-only frames (event_start, event_delta) of a
 * message while it is being said; the message that follows is then not printed again. What agents
 * and tools say, names and ids included, is untrusted and goes through the filters of term.c. Long
 * tool results are cut in the middle: the whole is in the log (--json). */
#include "cmd/client/transcript.h"
#include "base/buf.h"
#include "base/str.h"
#include "cmd/line/term.h"

#include <string.h>

#define RESULT_LINES 14 /* lines of a tool result that are shown */

static void label(struct transcript *t, enum term_style style, const char *text)
{
    fputs(term_on(t->out, style), t->out);
    term_print_word(t->out, text);
    fprintf(t->out, "%s\n", term_off(t->out));
}

static void end_stream(struct transcript *t)
{
    if (t->streaming)
        term_write_end(&t->said);
    t->streaming = false;
}

/* All text blocks of a content array, joined. */
static char *content_text(const json_t *content)
{
    struct buf b = BUF_INIT(32u << 20);
    size_t i;
    json_t *block;
    json_array_foreach (content, i, block) {
        const char *type = json_get_str(block, "type"), *text = json_get_str(block, "text");
        if (str_eq(type, "text") && text)
            buf_adds(&b, text);
        else
            buf_addf(&b, "[%s]", type ? type : "?");
    }
    return buf_take(&b, NULL);
}

/* The first and last lines of a long text. */
static void print_cut(struct transcript *t, const char *text)
{
    size_t lines = 0, n = strlen(text);
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    if (lines <= RESULT_LINES) {
        term_print_text(t->out, text, n, "  | ");
        return;
    }
    const char *p = text;
    size_t head = RESULT_LINES / 2, tail = RESULT_LINES - head, at = 0;
    while (at < head)
        at += *p++ == '\n';
    term_print_text(t->out, text, (size_t)(p - text), "  | ");
    fprintf(t->out, "%s  | ... %zu lines ...%s\n", term_on(t->out, TERM_DIM), lines - head - tail,
            term_off(t->out));
    while (at < lines - tail)
        at += *p++ == '\n';
    term_print_text(t->out, p, strlen(p), "  | ");
}

static void tool_use(struct transcript *t, const json_t *ev)
{
    const json_t *input = json_object_get(ev, "input");
    const char *name = json_get_str(ev, "name"),
               *permission = json_get_str(ev, "evaluated_permission");
    AUTO_FREE char *head = mem_printf("> %s%s", name ? name : "?",
                                      str_eq(permission, "ask") ? "  (waits for your confirmation)"
                                      : str_eq(permission, "deny") ? "  (denied)"
                                                                   : "");
    label(t, TERM_CYAN, head);
    const char *key;
    json_t *v;
    json_object_foreach ((json_t *)(uintptr_t)input, key, v) {
        AUTO_FREE char *text =
            json_is_string(v) ? mem_strdup(json_string_value(v)) : json_text(v, NULL);
        AUTO_FREE char *line = mem_printf("%s: %s", key, text);
        print_cut(t, line);
    }
    const char *id = json_get_str(ev, "id");
    if (str_eq(permission, "ask") && id) {
        fputs("  id: ", t->out);
        term_print_word(t->out, id);
        fputc('\n', t->out);
    }
}

static void tool_result(struct transcript *t, const json_t *ev)
{
    bool bad = json_get_bool(ev, "is_error", false);
    AUTO_FREE char *text = content_text(json_object_get(ev, "content"));
    label(t, bad ? TERM_RED : TERM_DIM, bad ? "< error" : "< result");
    print_cut(t, text);
}

static void message(struct transcript *t, const json_t *ev)
{
    AUTO_FREE char *text = content_text(json_object_get(ev, "content"));
    if (t->streaming && str_eq(t->streaming_id, json_get_str(ev, "id"))) {
        size_t n = strlen(text);
        if (n > t->streamed) /* the server may shed deltas */
            term_write(&t->said, text + t->streamed, n - t->streamed);
        end_stream(t);
        return;
    }
    label(t, TERM_GREEN, "agent");
    term_print_text(t->out, text, strlen(text), "");
}

static void delta(struct transcript *t, const json_t *ev)
{
    const json_t *content = json_object_get(json_object_get(ev, "delta"), "content");
    const char *text = json_get_str(content, "text"), *id = json_get_str(ev, "event_id");
    if (!text || !id)
        return;
    if (!t->streaming || !str_eq(t->streaming_id, id)) {
        end_stream(t);
        label(t, TERM_GREEN, "agent");
        t->streaming = str_copy(t->streaming_id, sizeof(t->streaming_id), id);
        t->streamed = 0;
        t->said = (struct term_writer){.f = t->out};
    }
    size_t n = strlen(text);
    term_write(&t->said, text, n);
    t->streamed += n;
    fflush(t->out);
}

static void failure(struct transcript *t, const json_t *ev)
{
    const json_t *error = json_object_get(ev, "error");
    const char *type = json_get_str(error, "type"), *text = json_get_str(error, "message");
    AUTO_FREE char *head = mem_printf("! %s", type ? type : "error");
    label(t, TERM_RED, head);
    if (text)
        term_print_text(t->out, text, strlen(text), "  | ");
}

static void idle(struct transcript *t, const json_t *ev)
{
    const char *why = json_get_str(json_object_get(ev, "stop_reason"), "type");
    if (str_eq(why, "requires_action"))
        return; /* every sandboxed call passes through this; tool_use says what is waited for */
    const json_t *details = json_object_get(ev, "stop_details");
    const char *category = json_get_str(details, "category"),
               *explanation = json_get_str(details, "explanation");
    if (explanation) /* of a refusal */
        term_print_text(t->out, explanation, strlen(explanation), "  | ");
    AUTO_FREE char *text = mem_printf("-- idle: %s%s%s%s", why ? why : "?", category ? " (" : "",
                                      category ? category : "", category ? ")" : "");
    label(t, TERM_DIM, text);
}

void transcript_event(struct transcript *t, const json_t *ev)
{
    const char *type = json_get_str(ev, "type");
    if (!type)
        return;
    if (t->json) {
        size_t n;
        AUTO_FREE char *line = json_text(ev, &n);
        term_print_json(t->out, line, n);
        fflush(t->out);
        return;
    }
    if (str_eq(type, "event_delta")) {
        delta(t, ev);
        return;
    }
    if (!str_eq(type, "agent.message"))
        end_stream(t);
    if (str_eq(type, "user.message")) {
        AUTO_FREE char *text = content_text(json_object_get(ev, "content"));
        label(t, TERM_BOLD, "you");
        term_print_text(t->out, text, strlen(text), "");
    } else if (str_eq(type, "agent.message")) {
        message(t, ev);
    } else if (str_eq(type, "agent.thinking")) {
        label(t, TERM_DIM, "(thinking)");
    } else if (str_eq(type, "agent.thread_context_compacted")) {
        label(t, TERM_DIM, "(the oldest part of the conversation was left out: it was too long)");
    } else if (str_eq(type, "agent.tool_use") || str_eq(type, "agent.custom_tool_use")) {
        tool_use(t, ev);
    } else if (str_eq(type, "user.tool_result") || str_eq(type, "agent.tool_result") ||
               str_eq(type, "user.custom_tool_result")) {
        tool_result(t, ev);
    } else if (str_eq(type, "session.error")) {
        failure(t, ev);
    } else if (str_eq(type, "session.status_idle")) {
        idle(t, ev);
    } else if (str_eq(type, "user.interrupt")) {
        label(t, TERM_YELLOW, "-- interrupted");
    } else if (str_eq(type, "user.tool_confirmation")) {
        const char *result = json_get_str(ev, "result"), *of = json_get_str(ev, "tool_use_id");
        AUTO_FREE char *text = mem_printf("-- %s: %s", result ? result : "?", of ? of : "?");
        label(t, TERM_YELLOW, text);
    } else if (str_eq(type, "session.status_terminated") || str_eq(type, "session.deleted")) {
        label(t, TERM_DIM, str_eq(type, "session.deleted") ? "-- deleted" : "-- terminated");
    }
    fflush(t->out);
}

enum transcript_state transcript_state(const json_t *ev)
{
    const char *type = json_get_str(ev, "type");
    if (str_eq(type, "session.status_terminated") || str_eq(type, "session.deleted"))
        return TRANSCRIPT_ENDED;
    if (!str_eq(type, "session.status_idle"))
        return TRANSCRIPT_GOES_ON;
    const char *why = json_get_str(json_object_get(ev, "stop_reason"), "type");
    return str_eq(why, "requires_action") ? TRANSCRIPT_NEEDS_ACTION : TRANSCRIPT_AT_REST;
}
