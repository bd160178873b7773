/* sse_parser - server-sent events, incoming (HTML Living Standard 9.2.6), incrementally.
 *
 * Fed by the model providers' streams and by the worker's event stream with bytes cut anywhere;
 * a callback may suspend, and so then does the feeding. Lines end with CR, LF or CRLF; a CRLF cut in two is remembered
 * (skip_lf). A whole line in the input is used in place; only a line cut in two is copied. The peer
 * controls everything: one line and one event's data each have the ceiling given at birth, field
 * values that do not fit their place fail the stream rather than being cut short, and a failure
 * sticks (in the buffers' sticky error). An event without data is not an event; one cut off by the
 * end of the stream is dropped, as the standard says. */
#include "http/wire/sse_parser.h"

#include "base/err.h"
#include "base/str.h"

#include <string.h>

void sse_parser_init(struct sse_parser *p, size_t max_bytes,
                     int (*on_event)(void *arg, const char *event, const char *id, const char *data,
                                     size_t n),
                     void *arg)
{
    *p = (struct sse_parser){.on_event = on_event, .arg = arg, .retry_ms = -1};
    buf_init(&p->line, max_bytes);
    buf_init(&p->data, max_bytes);
}

void sse_parser_done(struct sse_parser *p)
{
    buf_done(&p->line);
    buf_done(&p->data);
}

static int dispatch(struct sse_parser *p)
{
    int r = 0;
    if (p->has_data) {
        const char *event = p->event[0] ? p->event : "message";
        r = p->on_event(p->arg, event, p->id, buf_str(&p->data), p->data.len);
    }
    buf_reset(&p->data);
    p->has_data = false;
    p->event[0] = 0;
    return r;
}

static bool is(const char *name, size_t n, const char *want)
{
    return n == strlen(want) && memcmp(name, want, n) == 0;
}

static int keep(char *to, size_t cap, const char *v, size_t n)
{
    if (n >= cap)
        return -EMSGSIZE;
    memcpy(to, v, n);
    to[n] = 0;
    return 0;
}

/* Digits only, else the field is ignored (9.2.6). */
static void take_retry(struct sse_parser *p, const char *v, size_t n)
{
    int64_t ms;
    if (n > 0 && *v != '-' && str_to_i64(v, n, 0, INT32_MAX, &ms) == 0)
        p->retry_ms = ms;
}

static int take_line(struct sse_parser *p, const char *s, size_t n)
{
    if (n == 0)
        return dispatch(p);
    const char *colon = memchr(s, ':', n);
    size_t name_n = colon ? (size_t)(colon - s) : n;
    if (name_n == 0)
        return 0; /* a comment */
    const char *v = colon ? colon + 1 : s + n;
    size_t vn = n - (size_t)(v - s);
    if (vn > 0 && *v == ' ') {
        v++;
        vn--;
    }
    if (is(s, name_n, "data")) {
        /* Lines of one event are joined by LF; the standard appends one to each and
         * drops the last. */
        int r = p->has_data ? buf_addc(&p->data, '\n') : 0;
        p->has_data = true;
        return r < 0 ? r : buf_add(&p->data, v, vn);
    }
    if (is(s, name_n, "event")) {
        return memchr(v, 0, vn) ? -E_PARSE : keep(p->event, sizeof(p->event), v, vn);
    }
    if (is(s, name_n, "id"))
        return memchr(v, 0, vn) ? 0 : keep(p->id, sizeof(p->id), v, vn);
    if (is(s, name_n, "retry"))
        take_retry(p, v, vn);
    return 0; /* names to come */
}

/* A byte order mark before the first line is not part of it. */
static int take_first_line(struct sse_parser *p, const char *s, size_t n)
{
    if (!p->started) {
        p->started = true;
        if (n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0)
            return take_line(p, s + 3, n - 3);
    }
    return take_line(p, s, n);
}

static int feed(struct sse_parser *p, const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (p->skip_lf) {
            p->skip_lf = false;
            if (s[i] == '\n') {
                i++;
                continue;
            }
        }
        size_t from = i;
        while (i < n && s[i] != '\n' && s[i] != '\r')
            i++;
        if (i == n)
            return buf_add(&p->line, s + from, i - from);
        p->skip_lf = s[i++] == '\r';
        size_t len = i - 1 - from;
        int r;
        if (p->line.len > 0) {
            r = buf_add(&p->line, s + from, len);
            if (r == 0)
                r = take_first_line(p, p->line.data, p->line.len);
            buf_reset(&p->line);
        } else {
            r = len > p->line.max ? -EMSGSIZE : take_first_line(p, s + from, len);
        }
        if (r != 0)
            return r;
    }
    return 0;
}

int sse_parser_feed(struct sse_parser *p, const char *bytes, size_t n)
{
    if (p->failed != 0)
        return p->failed;
    p->failed = feed(p, bytes, n);
    return p->failed;
}
