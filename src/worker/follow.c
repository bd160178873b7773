/* follow.c - stream first, then history, then live; again from the start when the stream breaks.
 *
 * Runs on a fiber of the session's scope (runner.c). The stream is opened before the history is read,
 * so nothing falls between the two; what comes twice the feed knows already. The history is read by a
 * fiber of its own: when it cannot be had at once, what the stream brings is served all the same, and
 * the history is made up for in the background. Every connection begins with it anew.
 *
 * The platform controls every byte: pages and events are bounded, the pace of pages is ours whatever
 * cursors come back, what cannot be read of an event is null in it (salvage.h), and an event of which
 * nothing can be read breaks the stream (the history has it again), and a
 * stream that is refused for good comes up as -E_DENIED, which nothing below us returns. */
#include "worker/follow.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "http/wire/sse_parser.h"
#include "worker/aside.h"

#define PAGE_EVENTS    1000
#define PAGES_AT_ONCE  30 /* and then so many a second: far from the platform's limit, and enough */
#define PAGES_PER_S    5  /* for a history of any length that makes sense */
#define STREAM_GOOD_MS 5000  /* a stream that lasted so long was no failure */
#define HISTORY_MS     10000 /* so long the stream waits for the history's first try */

void follow_init(struct follow *f, struct remote *remote, const char *session_id, struct feed *feed,
                 struct waitq *changed)
{
    *f = (struct follow){
        .remote = remote, .session_id = session_id, .feed = feed, .changed = changed};
    pace_init(&f->pages, PAGES_AT_ONCE, PAGES_PER_S);
}

/* ---- the history ---- */

/* A history on its way in; lives in follow_once. */
struct history {
    struct follow *of;
    bool tried; /* the first try is over, for good or bad */
    struct waitq tried_it;
    int64_t retry_after_ms;
};

/* Where a listing is. Cursors may lead round in a circle of any length: one is marked, each time
 * twice as many pages after the last, and the circle is closed when it comes back. */
struct place_in_list {
    char *page;   /* the next one's cursor, NULL at both ends */
    char *marked; /* an earlier one */
    size_t pages, next_mark;
};

static void place_in_list_done(struct place_in_list *at)
{
    free(at->page);
    free(at->marked);
}

static void turn_page(struct place_in_list *at, const char *next)
{
    bool more = next && *next && !str_eq(next, at->page) && !str_eq(next, at->marked);
    char *cursor = more ? mem_strdup(next) : NULL;
    if (more && ++at->pages > at->next_mark) {
        free(at->marked);
        at->marked = mem_strdup(next);
        at->next_mark = at->pages * 2;
    }
    free(at->page);
    at->page = cursor;
}

/* One page; -EMSGSIZE: it is too large to be taken, ask for fewer events. Moves `at` to the next. */
static int read_page(struct history *h, int limit, struct place_in_list *at)
{
    struct follow *f = h->of;
    struct remote_answer a;
    int r = remote_events(f->remote, f->session_id, at->page, limit, &a);
    h->retry_after_ms = a.retry_after_ms;
    if (r == 0 && a.status != 200)
        r = -EIO;
    if (r == 0) {
        size_t i;
        json_t *ev;
        json_array_foreach (json_object_get(a.body, "data"), i, ev)
            feed_list(f->feed, ev);
        turn_page(at, json_get_str(a.body, "next_page"));
    } else if (r != -EMSGSIZE && r != -ECANCELED) {
        log_warn("the history could not be read", "session=%s status=%d why=%s", f->session_id,
                 a.status, log_q(a.words));
    }
    remote_answer_done(&a);
    return r;
}

/* Reads the whole history into the feed. */
static int read_pages(struct history *h)
{
    AUTO(place_in_list) at = {0};
    int limit = PAGE_EVENTS, r;
    do {
        r = read_page(h, limit, &at);
        /* Results may be megabytes long, and a body is bounded: one event always fits. */
        bool smaller = r == -EMSGSIZE && limit > 1;
        if (smaller) {
            limit = limit > 10 ? limit / 10 : 1;
            r = 0;
        }
        if (r == 0 && !at.page && !smaller)
            return 0;
        int64_t wait_ms = pace_next_ms(&h->of->pages, time_mono_ns());
        if (r == 0 && wait_ms > 0)
            r = fiber_sleep_ms(wait_ms);
    } while (r == 0);
    return r;
}

/* Body of the history fiber: reads it, again and again until it was had once. */
static int read_history(void *arg)
{
    struct history *h = arg;
    struct follow *f = h->of;
    struct backoff retry = {.base_ms = 1000, .cap_ms = 30000};
    for (;;) {
        feed_begin_list(f->feed, !h->tried);
        int r = read_pages(h);
        if (r == 0)
            feed_end_list(f->feed);
        else
            feed_fail_list(f->feed);
        h->tried = true;
        waitq_wake_all(&h->tried_it);
        waitq_wake_all(f->changed);
        if (r != 0 && r != -ECANCELED)
            r = fiber_sleep_ms(backoff_next_ms(&retry, h->retry_after_ms));
        else
            return r;
        if (r < 0)
            return r;
    }
}

/* Waits for the first try. When it takes too long, the stream is read beside it. 0 or -ECANCELED. */
static int await_history(struct history *h)
{
    int r = 0;
    struct fiber_deadline d = fiber_deadline_push_ms(HISTORY_MS);
    while (!h->tried && r == 0)
        r = waitq_wait(&h->tried_it);
    fiber_deadline_pop(&d);
    if (r == -ETIMEDOUT) {
        feed_fail_list(h->of->feed);
        h->tried = true;
        r = 0;
    }
    return r;
}

/* ---- the stream ---- */

struct reader {
    struct follow *of;
    struct sse_parser parser;
};

static int on_stream_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct reader *s = arg;
    struct follow *f = s->of;
    (void)id;
    /* Frames of the platform have a name: one without is not the platform's (api.md 1.7). */
    if (!s->parser.event[0] || str_eq(event, "ping"))
        return 0;
    json_t *ev = NULL;
    struct err e = {0};
    if (str_eq(event, "error")) {
        log_warn("the platform ends the event stream", "session=%s why=%s", f->session_id,
                 log_q(data));
        return -EIO;
    }
    if (aside_parse(data, n, &ev, &e) < 0) {
        log_warn(ev ? "event read in part" : "unreadable event, the stream is opened again",
                 "session=%s why=%s", f->session_id, log_q(e.msg));
        if (!ev)
            return -E_PARSE;
    }
    feed_event(f->feed, ev);
    waitq_wake_all(f->changed);
    aside_drop(ev);
    return 0;
}

static int read_stream(struct follow *f, struct client_stream *stream)
{
    struct reader s = {.of = f};
    sse_parser_init(&s.parser, LIMIT_EVENT_BYTES, on_stream_event, &s);
    struct err e = {0};
    ssize_t n;
    do {
        char bytes[2048];
        n = client_read(stream, bytes, sizeof(bytes), &e);
        if (n > 0 && sse_parser_feed(&s.parser, bytes, (size_t)n) < 0)
            n = -EIO;
    } while (n > 0);
    sse_parser_done(&s.parser);
    return (int)n;
}

/* History and stream of one connection. */
static int read_both(struct follow *f, struct client_stream *stream, struct backoff *retry)
{
    struct history h = {.of = f};
    waitq_init(&h.tried_it);
    struct scope scope;
    scope_init(&scope);
    int r = fiber_spawn(&scope, "history", read_history, &h, NULL);
    if (r == 0)
        r = await_history(&h);
    if (r == 0) {
        int64_t began_ns = time_mono_ns();
        r = read_stream(f, stream);
        /* A stream that something between cuts at once must not have the whole history read twice a
         * second. */
        if (time_mono_ns() - began_ns >= STREAM_GOOD_MS * NS_PER_MS)
            retry->tries = 0;
    }
    scope_done(&scope);
    return r;
}

/* Once from the start until the stream breaks: why it did, 0 when it was closed. */
static int follow_once(struct follow *f, struct backoff *retry, int64_t *ret_retry_after_ms)
{
    struct client_stream *stream = NULL;
    struct remote_answer a;
    int r = remote_stream(f->remote, f->session_id, &stream, &a);
    if (r == 0 && !stream) {
        r = remote_is_permanent(&a) ? -E_DENIED : -EIO;
        if (r == -E_DENIED)
            log_warn("the event stream is refused", "session=%s status=%d why=%s", f->session_id,
                     a.status, log_q(a.words));
    }
    *ret_retry_after_ms = a.retry_after_ms;
    remote_answer_done(&a);
    if (!stream)
        return r;
    r = read_both(f, stream, retry);
    client_stream_close(stream);
    return r;
}

int follow_run(void *arg)
{
    struct follow *f = arg;
    struct backoff retry = {.base_ms = 500, .cap_ms = 10000};
    for (;;) {
        int64_t after_ms;
        int r = follow_once(f, &retry, &after_ms);
        f->breaks++;
        f->refused = r == -E_DENIED;
        waitq_wake_all(f->changed);
        if (r == -ECANCELED)
            return r;
        if (f->feed->ended || f->refused)
            return 0;
        log_debug("event stream ended, reconnecting", "session=%s code=%s", f->session_id,
                  err_name(r));
        r = fiber_sleep_ms(backoff_next_ms(&retry, after_ms));
        if (r < 0)
            return r;
    }
}
