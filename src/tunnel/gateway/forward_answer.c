/* forward_answer.c - the answer of a route's server on its way to the caller.
 *
 * Called on the request's fiber. The server is the customer's, and is parsed strictly all the same
 * (http/pipe). Heads go on at once, bodies piece by piece, as they come; an answer that breaks off is cut
 * off for the caller, too. Where the route has a secret, heads, bodies and trailers are freed of it
 * (scrub/http/reply), compressed ones included: what cannot be looked into is refused. Where it has rules,
 * lists lack what may not be called (mcp/policy): a message is collected for that, a stream goes on event by
 * event. A small body whose length is known is collected first, so that it keeps one. */
#include "tunnel/gateway/forward_internal.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "scrub/http/content.h"

#include <string.h>

#define SLICE_BYTES (64u << 10)
#define TEXT_MAX    (32u << 20) /* reply_feed */
#define LAST_MS     2000        /* for what came before an answer broke */
#define NEWS_MS     2000 /* how often a stream that listens looks for a decision about pins */

int forward_hear(struct gateway_request *q, struct http_head *ret, struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push(forward_until_ns(q));
    for (int n = 0; n <= LIMIT_EXCHANGE_INTERIM; n++) {
        int r = http_read_head(q->upstream, ret, e);
        if (r < 0 || ret->status >= 200)
            return r;
    }
    return err_set(e, -E_LIMIT, "the server has sent too many interim answers");
}

/* An answer on its way: what is left of a piece when secrets are out, and what of that goes on. */
struct relay {
    struct gateway_request *q;
    struct piece piece;
    struct http_head *h;
    enum forward_filter filter;
    bool whole;    /* collected in `text`, and sent at the end */
    bool metadata; /* then its URLs are written anew */
    struct buf text, ready;
    bool events;      /* the caller gets a stream of them */
    bool listens;     /* and is told there when pins change */
    int64_t put_ns;   /* when something went out last */
    bool from_server; /* whose a failure was */
    bool begun;       /* something of the body has gone out */
    char tail[4];     /* of that */
    struct err *e;
};

static int put(struct relay *y, const char *p, size_t n, bool more)
{
    for (size_t i = n > 4 ? n - 4 : 0; i < n; i++) {
        memmove(y->tail, y->tail + 1, 3);
        y->tail[3] = p[i];
    }
    y->begun = y->begun || n > 0;
    y->put_ns = time_mono_ns();
    y->q->received += n;
    int r = 0;
    do { /* in pieces, so that one who reads slowly is told from one who does not */
        size_t k = n < SLICE_BYTES ? n : SLICE_BYTES;
        AUTO(fiber_deadline) d = fiber_deadline_push(forward_write_until_ns(y->q));
        r = forward_written(y->q, http_send_body(y->q->caller, p, k, more || k < n));
        p += k;
        n -= k;
    } while (r == 0 && n > 0);
    return r;
}

/* Whether what has gone out ends with an event, so that something of ours may follow. */
static bool is_between(const struct relay *y)
{
    return !y->begun || memcmp(y->tail + 2, "\n\n", 2) == 0 || memcmp(y->tail, "\r\n\r\n", 4) == 0;
}

/* In a silence: news of ours, or a comment, which every client skips (HTML 9.2.7). */
static int break_silence(struct relay *y)
{
    AUTO(buf) news = BUF_INIT(4096);
    if (!is_between(y))
        return 0;
    int r = y->listens ? forward_pins_event(y->q, &news) : 0;
    if (r == 0 && news.len)
        return put(y, news.data, news.len, false);
    const bool quiet = time_mono_ns() - y->put_ns >= (FORWARD_KEEP_ALIVE_MS - 100) * NS_PER_MS;
    return r == 0 && quiet ? put(y, ":\n\n", 3, false) : r;
}

static ssize_t read_piece(struct relay *y, bool *ret_idle)
{
    return forward_read_answer(y->q, &y->piece,
                               !y->events   ? 0
                               : y->listens ? NEWS_MS
                                            : FORWARD_KEEP_ALIVE_MS,
                               ret_idle);
}

/* A stream that is not to go on ends with an error for who has asked. */
static void end_events(struct relay *y, enum failure_source source, const char *rule,
                       const char *words)
{
    AUTO(buf) text = BUF_INIT(1u << 16);
    struct gateway_request *q = y->q;
    if (!y->events || !q->call.id || !is_between(y))
        return;
    AUTO_JSON json_t *j =
        forward_failure_json(q, source, q->call.id, MCP_CODE_REFUSED, rule, words);
    (void)buf_adds(&text, "event: message\ndata: ");
    (void)json_print(&text, j);
    int r = buf_adds(&text, "\n\n");
    q->source = source;
    forward_tell(q, 200, words);
    if (r == 0)
        r = put(y, text.data, text.len, true);
    AUTO(fiber_deadline) d = fiber_deadline_push(forward_write_until_ns(q));
    if (r == 0 && forward_written(q, http_send_end(q->caller, NULL)) == 0)
        y->from_server = false; /* the caller's side has ended in order */
}

static const char too_long[] =
    "the call took longer than the gateway lets it, by limits of the route";
static const char too_large[] =
    "the result is larger than the gateway lets through, by limits of the "
    "route; ask for less";

/* What the server has answered is not passed on, by a rule. */
static void refuse_answer(struct relay *y, const char *rule, const char *words)
{
    struct gateway_request *q = y->q;
    q->verdict = "deny";
    q->reason = "policy";
    (void)str_copy(q->rule, sizeof(q->rule), rule);
    if (q->answered) {
        end_events(y, POLICY, rule, words);
        return;
    }
    const int status = q->call.id ? 200 : 502;
    AUTO_JSON json_t *j =
        forward_failure_json(q, POLICY, q->call.id, MCP_CODE_REFUSED, rule, words);
    forward_note_refusal(q, status, rule, words);
    forward_refuse(q, status, j);
    y->from_server = false;
}

/* What became of the request is told, as far as that can still be done. */
static void tell_end(struct relay *y, int r)
{
    struct gateway_request *q = y->q;
    const struct gateway_limits *l = &q->route->limits;
    q->verdict = "error";
    q->reason = r == -ETIMEDOUT    ? "timeout"
                : r == -EBUSY      ? "busy"
                : !y->from_server  ? "client_gone"
                : r == -ECONNRESET ? "upstream_closed"
                                   : "protocol";
    const bool large = (r == -E_LIMIT || r == -EMSGSIZE) && l->result_bytes;
    if (r == -ETIMEDOUT && q->answered)
        end_events(y, TIMEOUT, "limits.deadline", too_long);
    if (large)
        refuse_answer(y, "limits.result_bytes", too_large);
    else if (r == -E_DENIED && q->asked[0])
        refuse_answer(y, q->asked, y->e->msg);
}

/* What has been freed of secrets goes on, events as they are complete. */
static int send_on(struct relay *y, bool more)
{
    struct buf *out = &y->text;
    int r = 0;
    if (y->whole)
        return 0;
    if (y->filter == FILTER_EVENTS) {
        out = &y->ready;
        const uint64_t progress = y->q->events.progress;
        r = y->text.len ? mcp_events_feed(&y->q->events, y->text.data, y->text.len, out, y->e) : 0;
        buf_reset(&y->text);
        if (r == 0)
            r = forward_pins_keep(y->q, y->e);
        y->from_server = r < 0;
        if (y->q->events.progress != progress)
            forward_progress(y->q);
        if (r < 0 && out->len && put(y, out->data, out->len, true) < 0)
            y->from_server = false; /* events in front of the one that is at fault */
    }
    if (r == 0 && (out->len || !more))
        r = put(y, out->data, out->len, more);
    buf_reset(out);
    return r;
}

/* What is collected lies in memory that all share. One that gets no more gives back what it has at
 * once: else others that come to the end of it meanwhile are refused, too. */
static int hold(struct relay *y)
{
    struct gateway_request *q = y->q;
    const size_t events = q->events.held.len + q->events.data.len;
    int r = forward_hold(q, y->text.len + events);
    if (r == 0)
        return 0;
    buf_done(&y->text);
    (void)!forward_hold(q, events);
    y->from_server = true; /* so that what has gone out is cut off */
    return err_set(y->e, r, "answers that are held back fill the memory set aside for them");
}

static int take(struct relay *y, const char *piece, size_t n, bool idle)
{
    struct gateway_request *q = y->q;
    const uint8_t *p = (const uint8_t *)piece;
    int more;
    if (q->secret->table && q->secret->table != q->reply.table)
        reply_change_table(&q->reply, q->secret->table); /* it was rotated meanwhile */
    do {
        more = reply_feed(&q->reply, &p, &n, &y->text, y->e);
        if (more == 0 && idle)
            more = reply_idle(&q->reply, &y->text);
        y->from_server = more < 0;
        int r = more < 0 ? more : send_on(y, more > 0 || !idle);
        if (r == 0)
            r = hold(y);
        if (r < 0)
            return r;
    } while (more > 0);
    return 0;
}

static int take_end(struct relay *y)
{
    int r = reply_end(&y->q->reply, &y->text, y->e);
    if (r == 0 && y->filter == FILTER_MESSAGE)
        r = forward_filter_message(y->q, &y->text, y->e);
    if (r == 0 && y->metadata)
        r = forward_metadata(y->q, &y->text, y->e);
    y->from_server = r < 0;
    if (r == 0)
        r = send_on(y, true);
    if (r == 0 && y->filter == FILTER_EVENTS) {
        r = mcp_events_end(&y->q->events, &y->ready, y->e);
        if (r == 0)
            r = forward_pins_keep(y->q, y->e);
        y->from_server = r < 0;
        if (r == 0 && y->ready.len)
            r = put(y, y->ready.data, y->ready.len, true);
    }
    return r;
}

/* Bytes without anything to look for. 0 at the end. */
static int pass(struct relay *y)
{
    for (;;) {
        bool idle = false;
        ssize_t n = read_piece(y, &idle);
        y->from_server = n < 0;
        int r = n == -EAGAIN ? break_silence(y)
                : n > 0      ? put(y, y->piece.p, (size_t)n, !idle)
                             : (int)n;
        if (r < 0 || n == 0)
            return r;
    }
}

static int take_all(struct relay *y)
{
    for (;;) {
        bool idle = false;
        ssize_t n = read_piece(y, &idle);
        y->from_server = n < 0;
        int r = n == -EAGAIN ? break_silence(y)
                : n < 0      ? (int)n
                : n > 0      ? take(y, y->piece.p, (size_t)n, idle)
                             : take_end(y);
        if (r == 0 && n > 0 && y->listens) /* one that is never silent has news, too */
            r = break_silence(y);
        if (r < 0 || n == 0)
            return r;
    }
}

static int end_body(struct gateway_request *q, struct http_head *h)
{
    struct http_fields trailers = {.n = 0};
    const struct http_fields *from = http_trailers(q->upstream);
    int r = from ? reply_trailers(&q->reply, h, from, &trailers) : 0;
    AUTO(fiber_deadline) d = fiber_deadline_push(forward_write_until_ns(q));
    return r < 0 ? r : forward_written(q, http_send_end(q->caller, from ? &trailers : NULL));
}

static int start_answer(struct gateway_request *q, const struct http_head *h)
{
    if (q->stream_begun) { /* which this one goes on with */
        q->answered = true;
        return 0;
    }
    AUTO(fiber_deadline) d = fiber_deadline_push(forward_write_until_ns(q));
    int r = http_send_head(q->caller, h);
    q->status = h->status;
    q->answered = true;
    if (r == 0 && h->body != HTTP_BODY_NONE)
        r = http_flush(q->caller);
    return forward_written(q, r);
}

static int no_message(const struct http_head *h, struct err *e)
{
    return err_set(
        e, -E_PARSE,
        "the server has answered with status %d and no message, while the caller waits for "
        "one in a stream of events",
        h->status);
}

/* A stream was begun while the call was held: a message goes on as its last event. */
static int send_as_event(struct relay *y)
{
    struct gateway_request *q = y->q;
    AUTO(buf) event = BUF_INIT(2 * TEXT_MAX);
    AUTO_JSON json_t *j = NULL;
    struct err ignored = {0};
    int r = json_parse(buf_str(&y->text), y->text.len, &j, &ignored);
    if (r == -ENOMEM)
        return err_set(y->e, -EBUSY, "there is no memory to look at an answer");
    if (r < 0 || !json_get_str(json_is_array(j) ? json_array_get(j, 0) : j, "jsonrpc"))
        return no_message(y->h, y->e);
    r = forward_print_event(&event, y->text.data, y->text.len);
    q->answered = true;
    if (r == 0)
        r = put(y, event.data, event.len, true);
    return r < 0 ? r : end_body(q, y->h);
}

/* The head may still become an answer of our own. */
static int send_whole(struct relay *y)
{
    struct gateway_request *q = y->q;
    int r = take_all(y);
    if (r < 0)
        return r == -EMSGSIZE ? err_set(y->e, -E_LIMIT, "the answer is too large to be looked into")
                              : r;
    if (q->stream_begun)
        return send_as_event(y);
    reply_set_length(&q->reply, y->h, y->text.len);
    q->answered = true;
    q->status = y->h->status;
    {
        AUTO(fiber_deadline) d = fiber_deadline_push(forward_write_until_ns(q));
        r = forward_written(q, http_send_head(q->caller, y->h));
    }
    if (r == 0)
        r = put(y, y->text.data, y->text.len, true);
    return r < 0 ? r : end_body(q, y->h);
}

static int send_body(struct relay *y)
{
    struct gateway_request *q = y->q;
    int r = start_answer(q, y->h);
    if (r == 0)
        r = q->reply.table ? take_all(y) : pass(y);
    return r < 0 ? r : end_body(q, y->h);
}

/* Middleboxes that collect an answer before they pass it on are told not to. */
static int say_it_streams(struct relay *y)
{
    if (!y->events)
        return 0;
    (void)http_fields_remove(&y->h->fields, "x-accel-buffering");
    int r = http_head_add(y->h, HTTP_TEXT("x-accel-buffering"), HTTP_TEXT("no"));
    return r == -E_LIMIT ? 0 : r; /* it has as many fields as there can be */
}

int forward_send_back(struct gateway_request *q, struct http_head *h, struct err *e)
{
    const bool small = reply_wants_whole(&q->reply, h);
    int r = reply_head(&q->reply, h, e);
    if (r == 0)
        r = forward_own_urls(q, h, e);
    if (r < 0)
        return r == -E_DENIED ? -E_PARSE : r;
    if (q->stream_begun && (h->body == HTTP_BODY_NONE || forward_filter_of(q, h) == FILTER_NONE))
        return no_message(h, e);
    if (h->body == HTTP_BODY_NONE)
        return start_answer(q, h);
    struct relay y = {.q = q,
                      .h = h,
                      .filter = forward_filter_of(q, h),
                      .metadata = forward_is_metadata(q, h),
                      .events = forward_is_events(h) && h->body == HTTP_BODY_STREAM &&
                                !http_fields_get(&h->fields, "content-encoding", NULL),
                      .text = BUF_INIT(TEXT_MAX),
                      .ready = BUF_INIT(TEXT_MAX),
                      .e = e};
    piece_init(&y.piece);
    y.listens = y.events && forward_pins_listens(q);
    y.put_ns = time_mono_ns();
    y.whole = y.filter == FILTER_MESSAGE || y.metadata || (small && y.filter == FILTER_NONE);
    if (y.filter != FILTER_NONE || y.metadata)
        content_drop_digests(&h->fields); /* of bytes that may change */
    const size_t most =
        q->route->limits.result_bytes ? (size_t)q->route->limits.result_bytes : MCP_EVENT_BYTES;
    if (y.filter == FILTER_EVENTS)
        mcp_events_init(&q->events, q->route->tools, forward_sieve(q), q->modern, most);
    if (y.filter == FILTER_MESSAGE || y.metadata)
        y.text.max = most;
    r = say_it_streams(&y);
    if (r == 0)
        r = y.whole ? send_whole(&y) : send_body(&y);
    if (r < 0 && !q->caller_failed)
        tell_end(&y, r);
    if (r < 0 && q->answered && y.from_server && !q->caller_failed) {
        log_debug("an answer was cut short", "host=%s why=%s", q->host->text,
                  e->msg[0] ? log_q(e->msg) : err_text(r));
        /* What has come is the caller's: it may be the last event before the server fell. */
        struct fiber_deadline d = fiber_deadline_push_ms(LAST_MS);
        (void)!http_flush(q->caller);
        fiber_deadline_pop(&d);
        http_reset(q->caller, HTTP_RESET_INTERNAL);
    }
    buf_done(&y.text);
    buf_done(&y.ready);
    piece_done(&y.piece);
    return r;
}
