/* event_stream.c - GET .../events/stream: a session's events as they happen.
 *
 * Runs on the connection's fiber for as long as the client reads. The log is durable and knows the
 * order, so a stream is a place in it: what was published since comes through the hub's queue while
 * the reader keeps up, and straight from the log, page by page, when it does not (hub.c). A reader
 * is thus never given an event twice or out of order and misses none, however slow it is; only one
 * that takes nothing at all is given up (sse.h). Without a place to resume from, frames begin "now"
 * (the hosted service's behaviour); with Last-Event-ID or ?after=, behind that event.
 *
 * Bounded: a page of the log is LIMIT_STREAM_PAGE_BYTES, of the budget of whoever opened the
 * stream, and PAGE_LEAST_BYTES when that is used up; an event larger than a page goes out in
 * pieces, each read anew. The stream ends when the session is deleted or terminated, or its
 * caller's credential ends, or the server stops; in the last case it can resume. */
#include "platform/events/event_stream.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/account.h"
#include "platform/api/auth.h"
#include "platform/api/session_call.h"
#include "platform/api/validate.h"
#include "platform/events/event_text.h"
#include "session/hub.h"

#include <string.h>

#define KEEPALIVE_MS     8000 /* proxies give up after 10 s and more */
#define AUTH_AGAIN_MS    5000
#define PAGE_ROWS        200
#define PAGE_LEAST_BYTES (16u << 10)
#define EVENT_DELTAS_MAX 100

/* A page of the log, read on a store thread. */
struct page {
    const char *session_id;
    int64_t place; /* of the first event wanted */
    size_t skip;   /* bytes of its frame that the reader has already */
    size_t room;
    struct buf bytes;
    /* found */
    int64_t next; /* the place behind the last whole frame */
    size_t part;  /* bytes given so far of the frame at `next`, when it is larger than a page */
    bool more;    /* there are more rows */
};

struct follower {
    struct api_call *c;
    const char *session_id, *after;
    struct sse_writer w;
    struct hub_subscriber s;
    struct budget_share share; /* of the page being written */
};

static int frame_of(struct buf *out, struct stmt *st)
{
    size_t n = 0;
    const char *id = stmt_text(st, EVENT_ID, NULL), *type = stmt_text(st, EVENT_TYPE, NULL);
    const char *body = stmt_text(st, EVENT_BODY, &n);
    buf_addf(out, "event: %s\nid: %s\ndata: ", type, id);
    int r = event_text(out, id, type, stmt_int(st, EVENT_STAMP), body, n);
    return r < 0 ? r : buf_adds(out, "\n\n");
}

/* Adds one row's frame, or as much of it as there is room for. 1: the page is full. */
static int add_row(struct page *p, struct stmt *st)
{
    AUTO(buf) frame = BUF_INIT(2 * LIMIT_EVENT_BYTES);
    int r = frame_of(&frame, st);
    if (r < 0)
        return r;
    if (p->skip > frame.len)
        return -E_CORRUPT;
    size_t from = p->skip, left = frame.len - from, room = p->room - p->bytes.len;
    bool whole = left <= room;
    if (!whole && p->bytes.len > 0)
        return 1;
    p->skip = 0;
    p->part = whole ? 0 : from + room;
    if (whole)
        p->next = stmt_int(st, EVENT_SEQ) + 1;
    r = buf_add(&p->bytes, frame.data + from, whole ? left : room);
    return r < 0 ? r : !whole;
}

static int page_tx(struct tx *tx, void *arg)
{
    struct page *p = arg;
    buf_reset(&p->bytes);
    p->next = p->place;
    p->part = 0;
    p->more = false;
    size_t skip = p->skip, rows = 0;
    struct stmt *st = tx_prepare(tx, "SELECT " EVENT_COLUMNS " FROM events"
                                     " WHERE session_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3");
    stmt_bind_text(st, 1, p->session_id);
    stmt_bind_int(st, 2, p->place);
    stmt_bind_int(st, 3, PAGE_ROWS);
    int r;
    while ((r = stmt_step(st)) > 0) {
        if (skip && rows == 0 && stmt_int(st, EVENT_SEQ) != p->place)
            break; /* the rest of that event is gone */
        rows++;
        r = add_row(p, st);
        if (r != 0)
            break;
    }
    stmt_reset(st);
    p->more = r > 0 || rows == PAGE_ROWS;
    p->skip = skip;
    return r < 0 ? r : skip && p->bytes.len == 0 ? -ENOENT : 0;
}

/* Reads and writes one page. Suspends. */
static int send_page(struct follower *f, struct page *p)
{
    bool ample = budget_set(&f->share, LIMIT_STREAM_PAGE_BYTES);
    p->room = ample ? LIMIT_STREAM_PAGE_BYTES : PAGE_LEAST_BYTES;
    buf_init(&p->bytes, p->room);
    int r = db_read(f->c->p->log.db, page_tx, p);
    if (r == 0 && p->bytes.len > 0)
        r = http_stream_write(f->c->x, p->bytes.data, p->bytes.len);
    buf_done(&p->bytes);
    budget_end(&f->share);
    return r;
}

/* The reader's own way through the log, until it has met what is published (sse_fall_behind). An
 * event once begun is finished. Suspends. */
static int catch_up(void *arg)
{
    struct follower *f = arg;
    struct page p = {.session_id = f->session_id, .place = f->s.next};
    do {
        int64_t seen = f->s.seen;
        int r = send_page(f, &p);
        if (r < 0)
            return r;
        bool nothing = p.next == p.place && p.part == 0;
        p.place = p.next;
        p.skip = p.part;
        if (p.part)
            continue;
        f->s.next = p.place;
        if (!p.more)
            (void)hub_reached(&f->s, p.place);
        if (nothing && f->s.seen == seen)
            f->w.behind = false; /* what was published is not there any more: deleted */
    } while ((p.part || f->w.behind) && !f->w.cut);
    return p.part ? -E_DENIED : 0;
}

struct place {
    const char *session_id, *event_id;
    int64_t next;
};

/* Finds the place to resume behind; -ENOENT when this log has no such event. */
static int place_tx(struct tx *tx, void *arg)
{
    struct place *p = arg;
    struct stmt *st = tx_prepare(tx, "SELECT seq FROM events WHERE id = $1 AND session_id = $2");
    stmt_bind_text(st, 1, p->event_id);
    stmt_bind_text(st, 2, p->session_id);
    int r = stmt_step(st);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    p->next = stmt_int(st, 0) + 1;
    stmt_reset(st);
    return 0;
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

/* A key that is revoked, or a lease that ends, must not go on reading through a stream it opened
 * before. */
static int watch_caller(void *arg)
{
    struct follower *f = arg;
    for (;;) {
        int r = fiber_sleep_ms(AUTH_AGAIN_MS);
        if (r == 0)
            r = auth_again(f->c->p, &f->c->caller);
        if (r == -E_DENIED)
            sse_cut(&f->w);
        if (r == -E_DENIED || r == -ECANCELED)
            return 0;
    }
}

static int follow(struct follower *f)
{
    if (f->c->caller.kind == CALLER_API_KEY)
        return sse_run(&f->w, KEEPALIVE_MS);
    AUTO(scope) watching;
    scope_init(&watching);
    int r = fiber_spawn(&watching, "stream caller", watch_caller, f, NULL);
    return r < 0 ? r : sse_run(&f->w, KEEPALIVE_MS);
}

/* Where the stream begins. 0, or -E_DENIED after answering. Suspends. */
static int find_start(struct follower *f)
{
    struct log_session session;
    if (session_load(f->c, f->session_id, &session) < 0)
        return -E_DENIED;
    struct place p = {.session_id = f->session_id, .event_id = f->after, .next = session.next_seq};
    if (str_eq(session.status, "terminated"))
        sse_end(&f->w);
    log_session_done(&session);
    int r = f->after ? db_read(f->c->p->log.db, place_tx, &p) : 0;
    if (r == -ENOENT)
        api_invalid(f->c,
                    "after / Last-Event-ID: session %s has no event %s to resume behind; list "
                    "its events instead",
                    f->session_id, v_clip(f->after));
    else if (r < 0)
        (void)api_failed(f->c, r, NULL);
    if (r < 0)
        return -E_DENIED;
    f->s.next = p.next;
    if (!f->after)
        (void)hub_reached(&f->s, p.next);
    return 0;
}

void event_stream_answer(struct api_call *c, const char *session_id)
{
    struct follower f = {.c = c, .session_id = session_id, .after = resume_after(c)};
    sse_writer_init(&f.w, c->x, LIMIT_SSE_QUEUE_BYTES);
    f.w.catch_up = catch_up;
    f.w.catch_up_arg = &f;
    f.w.share.of = f.share.of = &c->account->held;
    hub_subscriber_init(&f.s, &f.w);
    if (read_deltas(c, &f.s) < 0)
        return;
    if (!account_stream_begin(c->p, c->account, http_max_connections(c->x))) {
        http_set_header(c->x, "Retry-After", "10");
        api_error(c, 429, "rate_limit_error",
                  "Too many event streams are open; close one, then repeat the request.");
        return;
    }
    str_copy(f.s.work_id, sizeof(f.s.work_id), c->caller.work_id);
    hub_subscribe(c->p->log.hub, session_id, &f.s);
    if (find_start(&f) == 0) {
        http_set_header(c->x, "request-id", c->request_id);
        int r = follow(&f);
        log_debug("stream ended", "request=%s session=%s why=%s", c->request_id, session_id,
                  r < 0 ? err_name(r) : "end");
    }
    hub_unsubscribe(c->p->log.hub, session_id, &f.s);
    sse_writer_done(&f.w);
    account_stream_end(c->p, c->account);
}
