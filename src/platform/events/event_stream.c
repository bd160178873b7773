/* event_stream.c - GET .../events/stream: a session's events as they happen.
 *
 * Runs on the connection's fiber for as long as the client reads. It subscribes to the hub before
 * anything else, so that nothing falls between what the log says and what is published. Without a
 * place to resume from, frames begin "now" (the hosted service's behaviour). With Last-Event-ID or
 * ?after=, the log behind that event is written first, page by page straight to the connection;
 * live frames are held meanwhile and those the reader already has are dropped (hub.c). A reader is
 * thus never given an event twice or out of order, and misses none.
 *
 * Bounded: BACKLOG_BYTES of the log in memory at once, LIMIT_SSE_QUEUE_BYTES of live frames. The
 * stream ends when the session is deleted or terminated, when the server stops, or when the reader
 * is too slow; in the last two cases it can resume. */
#include "platform/events/event_stream.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/auth.h"
#include "platform/api/session_call.h"
#include "platform/api/validate.h"
#include "platform/events/event_text.h"
#include "session/hub.h"

#include <string.h>

#define KEEPALIVE_MS     15000
#define AUTH_AGAIN_MS    5000
#define BACKLOG_BYTES    (256u << 10)
#define BACKLOG_ROWS     200
#define EVENT_DELTAS_MAX 100

struct backlog {
    const char *session_id, *after;
    int64_t seq; /* of the last event written */
    bool placed; /* `after` has been found */
    char stamp[TIME_RFC3339_MAX];
    struct buf frames;
    size_t rows;
};

/* Finds the place to resume behind; -ENOENT when this log has no such event. */
static int find_place(struct tx *tx, struct backlog *b)
{
    struct stmt *st =
        tx_prepare(tx, "SELECT seq, processed_at FROM events WHERE id = $1 AND session_id = $2");
    stmt_bind_text(st, 1, b->after);
    stmt_bind_text(st, 2, b->session_id);
    int r = stmt_step(st);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    b->seq = stmt_int(st, 0);
    time_format(b->stamp, stmt_int(st, 1));
    stmt_reset(st);
    b->placed = true;
    return 0;
}

static int add_frame(struct buf *out, struct stmt *st)
{
    size_t n = 0;
    const char *id = stmt_text(st, EVENT_ID, NULL), *type = stmt_text(st, EVENT_TYPE, NULL);
    const char *body = stmt_text(st, EVENT_BODY, &n);
    buf_addf(out, "event: %s\nid: %s\ndata: ", type, id);
    int r = event_text(out, id, type, stmt_int(st, EVENT_STAMP), body, n);
    return r < 0 ? r : buf_adds(out, "\n\n");
}

static int backlog_tx(struct tx *tx, void *arg)
{
    struct backlog *b = arg;
    int r = b->placed ? 0 : find_place(tx, b);
    if (r < 0)
        return r;
    buf_reset(&b->frames);
    b->rows = 0;
    int64_t seq = b->seq;
    struct stmt *st = tx_prepare(tx, "SELECT " EVENT_COLUMNS " FROM events"
                                     " WHERE session_id = $1 AND seq > $2 ORDER BY seq LIMIT $3");
    stmt_bind_text(st, 1, b->session_id);
    stmt_bind_int(st, 2, seq);
    stmt_bind_int(st, 3, BACKLOG_ROWS);
    while (b->frames.len < BACKLOG_BYTES && (r = stmt_step(st)) > 0) {
        r = add_frame(&b->frames, st);
        if (r < 0)
            break;
        b->seq = stmt_int(st, EVENT_SEQ);
        time_format(b->stamp, stmt_int(st, EVENT_STAMP));
        b->rows++;
    }
    stmt_reset(st);
    return r < 0 ? r : 0;
}

/* 0, or -E_DENIED after answering. */
static int read_deltas(struct api_call *c, struct hub_subscriber *s)
{
    const char *kind;
    for (size_t k = 0; (kind = query_get(c->x, "event_deltas[]", k)); k++) {
        if (k >= EVENT_DELTAS_MAX) {
            api_invalid(c, "event_deltas: must have at most %d values", EVENT_DELTAS_MAX);
            return -E_DENIED;
        }
        if (!strcmp(kind, "agent.message")) {
            s->delta_message = true;
        } else if (!strcmp(kind, "agent.thinking")) {
            s->delta_thinking = true;
        } else {
            api_invalid(c,
                        "event_deltas: \"%s\" is not a valid value; expected one of agent.message, "
                        "agent.thinking",
                        v_clip(kind));
            return -E_DENIED;
        }
    }
    return 0;
}

/* The header comes from a reader that reconnects by itself and is newer than what its URL says. */
static const char *resume_after(struct api_call *c)
{
    const char *id = h1_header_get(http_request(c->x), "last-event-id", NULL);
    if (!id || !id[0])
        id = query_get(c->x, "after", 0);
    return id && id[0] ? id : NULL;
}

/* Writes what the log holds behind the place; begins the response. Suspends. */
static int write_backlog(struct api_call *c, struct sse_writer *w, struct backlog *b)
{
    int r = sse_begin(w);
    while (r == 0 && b->rows > 0) {
        r = http_stream_write(c->x, b->frames.data, b->frames.len);
        if (r == 0)
            r = db_read(c->p->log.db, backlog_tx, b);
    }
    return r;
}

struct watch {
    struct api_call *c;
    struct sse_writer *w;
};

/* A key that is revoked, or a lease that ends, must not go on reading through a stream it opened
 * before. */
static int watch_caller(void *arg)
{
    struct watch *k = arg;
    for (;;) {
        int r = fiber_sleep_ms(AUTH_AGAIN_MS);
        if (r == 0)
            r = auth_again(k->c->p, &k->c->caller);
        if (r == -E_DENIED)
            sse_end(k->w);
        if (r == -E_DENIED || r == -ECANCELED)
            return 0;
    }
}

static int follow(struct api_call *c, struct sse_writer *w)
{
    if (c->caller.kind == CALLER_API_KEY)
        return sse_run(w, KEEPALIVE_MS);
    struct watch k = {.c = c, .w = w};
    AUTO(scope) watching;
    scope_init(&watching);
    int r = fiber_spawn(&watching, "stream caller", watch_caller, &k, NULL);
    return r < 0 ? r : sse_run(w, KEEPALIVE_MS);
}

static void stream(struct api_call *c, const char *session_id, struct sse_writer *w,
                   struct hub_subscriber *s, struct backlog *b)
{
    struct log_session session;
    if (session_load(c, session_id, &session) < 0)
        return;
    bool over = str_eq(session.status, "terminated");
    log_session_done(&session);
    int r = 0;
    if (b->after) {
        r = db_read(c->p->log.db, backlog_tx, b);
        if (r == -ENOENT) {
            api_invalid(c,
                        "after / Last-Event-ID: session %s has no event %s to resume behind; list "
                        "its events instead",
                        session_id, v_clip(b->after));
            return;
        }
        if (r < 0) {
            (void)api_failed(c, r, NULL);
            return;
        }
        http_set_header(c->x, "request-id", c->request_id);
        r = write_backlog(c, w, b);
        if (r < 0)
            return;
        hub_release(s, b->stamp);
    } else {
        http_set_header(c->x, "request-id", c->request_id);
    }
    if (over)
        sse_end(w);
    r = follow(c, w);
    log_debug("stream ended", "request=%s session=%s why=%s", c->request_id, session_id,
              r < 0 ? err_name(r) : "end");
}

void event_stream_answer(struct api_call *c, const char *session_id)
{
    struct sse_writer w;
    struct hub_subscriber s;
    sse_writer_init(&w, c->x, LIMIT_SSE_QUEUE_BYTES);
    hub_subscriber_init(&s, &w);
    if (read_deltas(c, &s) < 0)
        return;
    struct backlog b = {.session_id = session_id,
                        .after = resume_after(c),
                        .frames = BUF_INIT(BACKLOG_BYTES + 2 * LIMIT_EVENT_BYTES)};
    s.held = b.after != NULL;
    str_copy(s.work_id, sizeof(s.work_id), c->caller.work_id);
    hub_subscribe(c->p->log.hub, session_id, &s);
    stream(c, session_id, &w, &s, &b);
    hub_unsubscribe(c->p->log.hub, session_id, &s);
    sse_writer_done(&w);
    buf_done(&b.frames);
}
