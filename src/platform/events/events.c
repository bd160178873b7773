/* events.c - sending events to a session, and listing its log.
 *
 * Sending: the shape is checked (event_input), then one transaction checks who may post what,
 * applies the batch (log_accept_tx) and stores the answer for repetitions. What it appended is
 * published after the commit: an acknowledged event is durable, and nobody sees one that is not.
 *
 * Who may post what (api.md 1.1): an API key anything; environment keys and sessions tokens, which
 * sit in workers, the results of tools. A worker must not be able to speak as the user or to
 * approve its own calls.
 *
 * Listing: the log in order of place, then the inputs that wait for delivery, which have no place
 * yet and processed_at null. A page ends early when it has gathered PAGE_BYTES, so that a thousand
 * large events never stand in memory at once. */
#include "platform/events/events.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"
#include "platform/api/auth.h"
#include "platform/api/body.h"
#include "platform/api/idem.h"
#include "platform/api/pages.h"
#include "platform/api/session_call.h"
#include "platform/api/validate.h"
#include "platform/events/event_input.h"
#include "platform/events/event_stream.h"
#include "platform/events/event_text.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_MAX  1000       /* in one request */
#define PAGE_BYTES  (8u << 20) /* of event bodies in one page; one event at least */
#define TYPES_BYTES 2048
#define INBOX_PLACE (1LL << 62) /* cursor positions from here on are places in the inbox */

/* ---- send ---- */

struct send {
    struct api_call *c;
    const char *id;
    const json_t *events;
    struct log_session s;
    struct log_batch b;
    struct refusal r;
    json_t *answer;
};

static int check_poster(struct send *k)
{
    if (k->c->caller.kind == CALLER_API_KEY)
        return 0;
    size_t i;
    json_t *event;
    json_array_foreach ((json_t *)(uintptr_t)k->events, i, event) {
        const char *type = json_get_str(event, "type");
        if (!str_eq(type, "user.tool_result") && !str_eq(type, "user.custom_tool_result"))
            return refuse(&k->r, 403, "permission_error",
                          "events[%zu].type: a worker's credential may post user.tool_result and "
                          "user.custom_tool_result; \"%s\" needs an API key",
                          i, v_clip(type));
    }
    return 0;
}

static int send_tx(struct tx *tx, void *arg)
{
    struct send *k = arg;
    json_decref(TAKE(k->answer));
    log_session_done(&k->s);
    log_batch_reset(&k->b);
    k->r = (struct refusal){0};

    int r = auth_still_tx(tx, &k->c->caller, &k->r);
    if (r == 0)
        r = session_load_tx(tx, &k->c->caller, k->id, &k->r, &k->s);
    if (r == 0)
        r = check_poster(k);
    if (r < 0)
        return r;
    str_copy(k->b.session_id, sizeof(k->b.session_id), k->s.id);
    json_t *echo = NULL;
    r = log_accept_tx(tx, &k->s, &k->b, k->events, &echo, &k->r);
    if (r < 0)
        return r;
    k->answer = json_object();
    json_put(k->answer, "data", echo);
    r = log_session_store_tx(tx, &k->s);
    if (r == 0 && k->c->idem)
        r = idem_store_tx(tx, k->c->idem, 200, k->answer);
    return r;
}

/* What begins a turn, and does not go on with one. */
static bool begins_a_turn(const struct send *k)
{
    size_t i;
    json_t *event;
    json_array_foreach ((json_t *)(uintptr_t)k->events, i, event)
        if (str_eq(json_get_str(event, "type"), "user.message"))
            return true;
    return false;
}

static int check_events(void *arg)
{
    struct send *k = arg;
    return event_input_check(&k->r, k->events, "events", EVENTS_MAX, false);
}

void events_send(struct api_call *c)
{
    struct send *k = mem_new(struct send);
    k->c = c;
    k->id = api_param(c, 0);
    log_batch_init(&k->b, "");
    struct v v = v_object(&k->r, c->body, "");
    k->events = v_array(&v, "events", V_REQUIRED, EVENTS_MAX);
    if (!k->events)
        v_fail(&v, "events", "field is required");
    else if (json_array_size(k->events) == 0)
        v_fail(&v, "events", "must have at least one event");
    v_end(&v);
    int r = v_failed(&v) ? -E_DENIED : body_work(c, check_events, k);
    bool refused = r == 0 && begins_a_turn(k) && api_refuse_draining(c);
    if (r == 0 && !refused)
        r = db_write(c->p->log.db, send_tx, k);
    if (r == 0 && !refused)
        idem_stored(c);
    if (!refused)
        session_call_end(c, r, &k->b, k->answer, &k->r);
    json_decref(k->answer);
    log_session_done(&k->s);
    log_batch_done(&k->b);
    free(k);
}

/* ---- list ---- */

struct listing {
    const struct caller *who;
    const char *session_id;
    char types[TYPES_BYTES]; /* ",user.message,agent.message," or "" */
    struct time_range range;
    struct page page;
    struct refusal r;
    /* found */
    struct buf text; /* {"data":[...  as far as it goes */
    size_t n;
    bool more;
    int64_t last_place; /* of the last row taken */
    int64_t last_seq;   /* of the last event taken: where a page that ends in the inbox goes on */
};

static bool full(const struct listing *l)
{
    return l->n >= (size_t)l->page.limit || (l->n > 0 && l->text.len >= PAGE_BYTES);
}

/* "_" in a type is LIKE's wild card; no two types differ only there. */
#define SELECT_EVENTS                                                                              \
    "SELECT " EVENT_COLUMNS " FROM events WHERE session_id = $1"                                   \
    " AND ($2 = '' OR $2 LIKE '%,' || type || ',%') AND processed_at >= $3 AND processed_at <= $4"
/* The first columns of EVENT_COLUMNS; an input that waits has its place in the inbox, no stamp. */
#define SELECT_INBOX                                                                               \
    "SELECT n, id, type, body FROM inbox WHERE session_id = $1"                                    \
    " AND ($2 = '' OR $2 LIKE '%,' || type || ',%') AND created_at >= $3 AND created_at <= $4"

static struct stmt *bind(struct tx *tx, const struct listing *l, const char *sql, int64_t place)
{
    struct stmt *st = tx_prepare(tx, sql);
    stmt_bind_text(st, 1, l->session_id);
    stmt_bind_text(st, 2, l->types);
    stmt_bind_int(st, 3, l->range.from);
    stmt_bind_int(st, 4, l->range.to);
    stmt_bind_int(st, 5, place);
    stmt_bind_int(st, 6, l->page.limit + 1);
    return st;
}

/* One row of either. */
static int take(struct listing *l, struct stmt *st, int64_t stamp)
{
    size_t n = 0;
    const char *text = stmt_text(st, EVENT_BODY, &n);
    if (l->n++ > 0)
        buf_addc(&l->text, ',');
    return event_text(&l->text, stmt_text(st, EVENT_ID, NULL), stmt_text(st, EVENT_TYPE, NULL),
                      stamp, text, n);
}

/* Events behind (or, descending, before) `place`. */
static int take_events(struct tx *tx, struct listing *l, int64_t place)
{
    struct stmt *st =
        bind(tx, l,
             l->page.ascending ? SELECT_EVENTS " AND seq > $5 ORDER BY seq LIMIT $6"
                               : SELECT_EVENTS " AND seq < $5 ORDER BY seq DESC LIMIT $6",
             place);
    int r;
    while ((r = stmt_step(st)) > 0) {
        if (full(l)) {
            l->more = true;
            break;
        }
        r = take(l, st, stmt_int(st, EVENT_STAMP));
        if (r < 0)
            break;
        l->last_place = l->last_seq = stmt_int(st, EVENT_SEQ);
    }
    stmt_reset(st);
    return r < 0 ? r : 0;
}

/* Waiting inputs behind (before) `place` of the inbox. */
static int take_inbox(struct tx *tx, struct listing *l, int64_t place)
{
    struct stmt *st = bind(tx, l,
                           l->page.ascending ? SELECT_INBOX " AND n > $5 ORDER BY n LIMIT $6"
                                             : SELECT_INBOX " AND n < $5 ORDER BY n DESC LIMIT $6",
                           place);
    int r;
    while ((r = stmt_step(st)) > 0) {
        if (full(l)) {
            l->more = true;
            break;
        }
        r = take(l, st, 0);
        if (r < 0)
            break;
        l->last_place = INBOX_PLACE + stmt_int(st, EVENT_SEQ);
    }
    stmt_reset(st);
    return r < 0 ? r : 0;
}

static int list_ascending(struct tx *tx, struct listing *l)
{
    int64_t seq = 0, n = 0;
    const struct page *p = &l->page;
    if (p->has_cursor && p->cursor_time >= INBOX_PLACE) {
        /* Inputs seen waiting may have been delivered since: look behind the last event as well. */
        n = p->cursor_time - INBOX_PLACE;
        if (str_to_i64(p->cursor_id, strlen(p->cursor_id), 0, INBOX_PLACE, &seq) < 0)
            return refuse(&l->r, 400, "invalid_request_error", "invalid page cursor");
    } else if (p->has_cursor) {
        seq = p->cursor_time;
    }
    l->last_seq = seq;
    int r = take_events(tx, l, seq);
    if (r == 0 && !l->more)
        r = take_inbox(tx, l, n);
    return r;
}

static int list_descending(struct tx *tx, struct listing *l)
{
    int64_t seq = INT64_MAX;
    const struct page *p = &l->page;
    int r = 0;
    if (!p->has_cursor || p->cursor_time >= INBOX_PLACE)
        r = take_inbox(tx, l, p->has_cursor ? p->cursor_time - INBOX_PLACE : INT64_MAX);
    else
        seq = p->cursor_time;
    if (r == 0 && !l->more)
        r = take_events(tx, l, seq);
    return r;
}

static int list_tx(struct tx *tx, void *arg)
{
    struct listing *l = arg;
    struct log_session s;
    buf_reset(&l->text);
    buf_adds(&l->text, "{\"data\":[");
    l->n = 0;
    l->more = false;
    int r = session_load_tx(tx, l->who, l->session_id, &l->r, &s);
    if (r < 0)
        return r;
    log_session_done(&s);
    return l->page.ascending ? list_ascending(tx, l) : list_descending(tx, l);
}

/* 0, or -E_DENIED after answering. */
static int read_types(struct api_call *c, struct listing *l)
{
    size_t used = 0;
    const char *type;
    for (size_t k = 0; (type = query_get(c->x, "types[]", k)); k++) {
        if (!event_type_known(type)) {
            api_invalid(c, "types: \"%s\" is not a valid value; it is no type of event",
                        v_clip(type));
            return -E_DENIED;
        }
        size_t n = strlen(type);
        if (used + n + 3 > sizeof(l->types)) {
            api_invalid(c, "types: too many values");
            return -E_DENIED;
        }
        used += (size_t)snprintf(l->types + used, sizeof(l->types) - used, "%s%s,", used ? "" : ",",
                                 type);
    }
    return 0;
}

static void answer_page(struct api_call *c, struct listing *l)
{
    char seq[24];
    snprintf(seq, sizeof(seq), "%lld", (long long)l->last_seq);
    AUTO_FREE char *token =
        l->more ? page_token("events", &l->page, false, l->last_place, seq) : NULL;
    if (token)
        buf_addf(&l->text, "],\"next_page\":\"%s\"}", token);
    else
        buf_adds(&l->text, "],\"next_page\":null}");
    if (buf_err(&l->text) < 0)
        (void)api_failed(c, buf_err(&l->text), NULL);
    else
        (void)api_reply_text(c, 200, l->text.data, l->text.len);
}

void event_list_answer(struct api_call *c, const char *session_id)
{
    struct listing *l = mem_new(struct listing);
    l->who = &c->caller;
    l->session_id = session_id;
    buf_init(&l->text, PAGE_BYTES + 2 * LIMIT_EVENT_BYTES);
    int r = read_types(c, l);
    if (r == 0)
        r = time_range_parse(c, "created_at", &l->range);
    if (r == 0)
        r = page_parse(c, "events", 1000, 1000, true, &l->page);
    if (r == 0) {
        r = db_read(c->p->log.db, list_tx, l);
        if (r < 0) {
            session_call_failed(c, r, &l->r);
        } else {
            answer_page(c, l);
        }
    }
    buf_done(&l->text);
    free(l);
}

void events_list(struct api_call *c)
{
    event_list_answer(c, api_param(c, 0));
}

void events_stream(struct api_call *c)
{
    event_stream_answer(c, api_param(c, 0));
}
