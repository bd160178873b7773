/* events.c - cuts a stream into events, and looks into those that may hold a list.
 *
 * Called with the bytes of an answer as they come (HTML, 9.2.5 and 9.2.6; MCP, transports). A client sees an
 * event when its empty line has come: so holding it back until then delays nothing, and it goes on in the
 * same call. Comments go on at the end of their line, for they keep connections alive. What the server
 * controls is everything; one event is bounded. An event that is not changed is passed on byte for byte; of
 * one that is, the lines of data are written anew and all others stay. Lines end with LF, CR or CRLF, and a
 * CR at the end of what has come is an end already: the LF behind it is passed on when it comes. */
#include "mcp/policy/events.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "mcp/policy/lists.h"

void mcp_events_init(struct mcp_events *s, const struct tool_policy *p,
                     const struct list_sieve *sieve, bool modern, size_t max)
{
    *s = (struct mcp_events){.policy = p,
                             .sieve = sieve,
                             .modern = modern,
                             .held = BUF_INIT(max),
                             .data = BUF_INIT(max)};
}

void mcp_events_done(struct mcp_events *s)
{
    buf_done(&s->held);
    buf_done(&s->data);
}

static void begin_event(struct mcp_events *s)
{
    buf_reset(&s->held);
    buf_reset(&s->data);
    s->line = s->first = s->first_n = 0;
    s->has_fields = s->has_data = s->other = false;
}

/* How many bytes of a line's end stand at `at`; 0 at `stop`. */
static size_t end_of_line(const char *at, const char *stop)
{
    return at == stop ? 0 : *at == '\r' && at + 1 < stop && at[1] == '\n' ? 2 : 1;
}

/* All lines but those of data as they are; in the place of the first of these the new ones. */
static int write_event(const struct mcp_events *s, const struct buf *text, struct buf *out)
{
    const char *p = text->data, *end = p + text->len;
    (void)buf_add(out, s->held.data, s->first);
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t n = lf ? (size_t)(lf - p) : (size_t)(end - p);
        (void)buf_adds(out, "data: ");
        (void)buf_add(out, p, n);
        (void)buf_addc(out, '\n');
        p += n + 1;
    }
    /* The lines behind it, without those of data. */
    const char *at = s->held.data + s->first + s->first_n, *stop = s->held.data + s->held.len;
    while (at < stop) {
        const char *lf = at; /* a line may hold NUL */
        while (lf < stop && *lf != '\n' && *lf != '\r')
            lf++;
        size_t n = (size_t)(lf - at);
        size_t whole = n + end_of_line(lf, stop);
        bool data = n >= 4 && memcmp(at, "data", 4) == 0 && (n == 4 || at[4] == ':');
        if (!data)
            (void)buf_add(out, at, whole);
        at += whole;
    }
    return buf_err(out);
}

static bool holds(const struct mcp_events *s, const char *word)
{
    return s->data.len && memmem(s->data.data, s->data.len, word, strlen(word));
}

static void look_for_notifications(struct mcp_events *s)
{
    static const char progress[] = "notifications/progress";
    static const char promise[] = "notifications/subscriptions/acknowledged";
    AUTO_JSON json_t *j = NULL;
    if ((!holds(s, progress) && !holds(s, promise)) ||
        json_parse(s->data.data, s->data.len, &j, NULL) < 0)
        return;
    const char *method = json_get_str(j, "method");
    const json_t *params = json_object_get(j, "params");
    if (method && str_eq(method, progress))
        s->progress++;
    if (method && str_eq(method, promise))
        s->promises_tools =
            json_get_bool(json_object_get(params, "notifications"), "toolsListChanged", false);
}

static int finish_event(struct mcp_events *s, struct buf *out, struct err *e)
{
    AUTO(buf) text = BUF_INIT(MCP_EVENT_BYTES + (1u << 10));
    int r = s->has_data ? mcp_messages_look(s->sieve, buf_str(&s->data), s->data.len, e) : 0;
    if (r > 0) { /* nobody gets it */
        begin_event(s);
        return 0;
    }
    if (r == -E_PARSE && s->other)
        r = 0;
    if (r < 0)
        return r;
    r = s->has_data ? mcp_list_filter(s->policy, s->sieve, s->modern, buf_str(&s->data),
                                      s->data.len, &text, e)
                    : 0;
    if (r == -E_PARSE && s->other)
        r = 0; /* no client takes it for a message */
    if (r < 0)
        return r;
    look_for_notifications(s);
    r = r ? write_event(s, &text, out) : buf_add(out, s->held.data, s->held.len);
    begin_event(s);
    return r;
}

/* A line of the event that is no comment and not empty. */
static int take_field(struct mcp_events *s, const char *line, size_t n, size_t whole)
{
    const char *colon = memchr(line, ':', n);
    size_t name_n = colon ? (size_t)(colon - line) : n;
    const char *value = colon ? colon + 1 : line + n;
    size_t value_n = (size_t)(line + n - value);
    if (value_n && value[0] == ' ') {
        value++;
        value_n--;
    }
    s->has_fields = true;
    if (name_n == 5 && memcmp(line, "event", 5) == 0)
        s->other = value_n && !(value_n == 7 && memcmp(value, "message", 7) == 0);
    if (name_n != 4 || memcmp(line, "data", 4) != 0)
        return 0;
    if (!s->has_data) {
        s->first = s->line;
        s->first_n = whole;
    }
    int r = s->has_data ? buf_addc(&s->data, '\n') : 0;
    s->has_data = true;
    return r < 0 ? r : buf_add(&s->data, value, value_n);
}

/* The line that begins at s->line and, with its end, is the rest of `held`. */
static int take_line(struct mcp_events *s, size_t end_n, struct buf *out, struct err *e)
{
    const char *line = s->held.data + s->line;
    size_t whole = s->held.len - s->line, n = whole - end_n;
    int r = 0;
    if (!s->begun && n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3;
        n -= 3;
    }
    s->begun = true;
    if (n == 0)
        return finish_event(s, out, e);
    if (line[0] != ':')
        r = take_field(s, line, n, whole);
    if (r < 0)
        return err_set(e, -E_LIMIT, "an event of the server is too large");
    s->line = s->held.len;
    if (!s->has_fields) { /* comments in front of an event */
        r = buf_add(out, s->held.data, s->held.len);
        begin_event(s);
    }
    return r;
}

int mcp_events_feed(struct mcp_events *s, const char *p, size_t n, struct buf *out, struct err *e)
{
    const char *end = p + n;
    int r = 0;
    if (n && s->skip_lf) {
        s->skip_lf = false;
        if (*p == '\n') {
            /* It belongs to the line before, which is either out or held. */
            r = buf_addc(s->held.len ? &s->held : out, '\n');
            if (s->has_data && s->first + s->first_n == s->line)
                s->first_n++;
            s->line = s->held.len;
            p++;
        }
    }
    while (r == 0 && p < end) {
        const char *at = p;
        while (at < end && *at != '\n' && *at != '\r')
            at++;
        size_t end_n = end_of_line(at, end);
        if (buf_add(&s->held, p, (size_t)(at - p) + end_n) < 0)
            return err_set(e, -E_LIMIT, "an event of the server is too large");
        s->skip_lf = end_n == 1 && *at == '\r' && at + 1 == end;
        p = at + end_n;
        if (end_n)
            r = take_line(s, end_n, out, e);
    }
    return r;
}

int mcp_events_end(struct mcp_events *s, struct buf *out, struct err *e)
{
    if (s->held.len == 0)
        return 0;
    if (s->held.len > s->line) { /* a line without end */
        int r = buf_addc(&s->held, '\n');
        if (r == 0)
            r = take_line(s, 1, out, e);
        if (r < 0 || s->held.len == 0)
            return r;
    }
    return finish_event(s, out, e);
}
