/* follow.c - stream first, then history, then live; again from the start when the stream breaks.
 *
 * Runs on a fiber of the session's scope (runner.c). The stream is opened before the history is
 * read, so nothing falls between the two; what comes twice the feed knows already. The platform
 * controls every byte: pages and events are bounded, an event that is no JSON is skipped, and a
 * permanent refusal (remote_is_permanent) comes up as -E_DENIED, which nothing below us returns. */
#include "worker/follow.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "http/wire/sse_parser.h"

#define PAGE_EVENTS    1000
#define STREAM_GOOD_MS 5000 /* a stream that lasted so long was no failure */

static int on_stream_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct follow *f = arg;
    (void)id;
    if (!event || str_eq(event, "ping"))
        return 0;
    AUTO_JSON json_t *ev = NULL;
    struct err e = {0};
    if (json_parse(data, n, &ev, &e) < 0) {
        log_warn("unreadable event ignored", "session=%s why=%s", f->session_id, log_q(e.msg));
        return 0;
    }
    feed_event(f->feed, ev);
    waitq_wake_all(f->changed);
    return 0;
}

/* One page of the history; -EMSGSIZE: it is too large to be taken, ask for fewer events. */
static int read_page(struct follow *f, int limit, char **page)
{
    struct remote_answer a;
    int r = remote_events(f->remote, f->session_id, *page, limit, &a);
    if (r == 0 && a.status != 200)
        r = remote_is_permanent(&a) ? -E_DENIED : -EIO;
    if (r == 0) {
        size_t i;
        json_t *ev;
        json_array_foreach (json_object_get(a.body, "data"), i, ev)
            feed_event(f->feed, ev);
        const char *next = json_get_str(a.body, "next_page");
        free(*page);
        *page = next ? mem_strdup(next) : NULL;
    }
    remote_answer_done(&a);
    return r;
}

/* Reads the whole history into the feed. */
static int read_history(struct follow *f)
{
    AUTO_FREE char *page = NULL;
    int limit = PAGE_EVENTS, r;
    do {
        r = read_page(f, limit, &page);
        /* Results may be megabytes long, and a body is bounded: one event always fits. */
        if (r == -EMSGSIZE && limit > 1) {
            limit = limit > 10 ? limit / 10 : 1;
            r = 0;
            continue;
        }
        if (!page)
            break;
    } while (r == 0);
    return r;
}

static int read_stream(struct follow *f, struct client_stream *stream)
{
    struct sse_parser parser;
    sse_parser_init(&parser, LIMIT_EVENT_BYTES, on_stream_event, f);
    struct err e = {0};
    ssize_t n;
    do {
        char bytes[2048];
        n = client_read(stream, bytes, sizeof(bytes), &e);
        if (n > 0 && sse_parser_feed(&parser, bytes, (size_t)n) < 0)
            n = -EMSGSIZE;
    } while (n > 0);
    sse_parser_done(&parser);
    return (int)n;
}

/* Once from the start until the stream breaks: why it did, 0 when it was closed. */
static int follow_once(struct follow *f, struct backoff *retry, int64_t *ret_retry_after_ms)
{
    struct client_stream *stream = NULL;
    struct remote_answer a;
    int r = remote_stream(f->remote, f->session_id, &stream, &a);
    if (r == 0 && !stream)
        r = remote_is_permanent(&a) ? -E_DENIED : -EIO;
    *ret_retry_after_ms = a.retry_after_ms;
    remote_answer_done(&a);
    if (!stream)
        return r;
    feed_begin_list(f->feed);
    r = read_history(f);
    if (r == 0) {
        feed_end_list(f->feed);
        waitq_wake_all(f->changed);
        int64_t began_ns = time_mono_ns();
        r = read_stream(f, stream);
        /* A stream that something between cuts at once must not have the whole history read twice a
         * second. */
        if (time_mono_ns() - began_ns >= STREAM_GOOD_MS * NS_PER_MS)
            retry->tries = 0;
    }
    client_stream_close(stream);
    return r;
}

int follow_run(void *arg)
{
    struct follow *f = arg;
    struct backoff retry = {.base_ms = 500, .cap_ms = 10000};
    for (;;) {
        int64_t retry_after_ms;
        int r = follow_once(f, &retry, &retry_after_ms);
        f->refused = r == -E_DENIED;
        waitq_wake_all(f->changed);
        if (r == -ECANCELED)
            return r;
        if (f->feed->ended || f->refused)
            return 0;
        log_debug("event stream ended, reconnecting", "session=%s code=%s", f->session_id,
                  err_name(r));
        r = fiber_sleep_ms(backoff_next_ms(&retry, retry_after_ms));
        if (r < 0)
            return r;
    }
}
