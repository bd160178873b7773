/* log.c - the session log: loading, appending, storing, publishing.
 *
 * Called inside transaction functions, on a store thread (the _tx half), and on the loop thread
 * after the commit (log_publish). A transaction loads the session row, appends events through it,
 * and writes it back last; the row carries the next place (seq) and the last stamp, so that two
 * transactions of one session cannot hand out the same place: the store's single writer runs them
 * one after the other.
 *
 * Stamps: the first event of a transaction takes the clock, or one microsecond after the last event
 * when the clock has not moved on (or went back); the ones after it take consecutive microseconds.
 * That gives the order of api.md 6.3 under any clock.
 *
 * Bodies reach this file validated and bounded by their makers; the one check here is
 * LIMIT_EVENT_BYTES. */
#include "session/log.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/time.h"
#include "session/hub.h"

#include <math.h>
#include <string.h>

/* ---- batches ---- */

void log_batch_init(struct log_batch *b, const char *session_id)
{
    *b = (struct log_batch){.events = json_array()};
    MUST(b->events);
    MUST(str_copy(b->session_id, sizeof(b->session_id), session_id));
}

void log_batch_done(struct log_batch *b)
{
    if (!b)
        return;
    json_decref(b->events);
    b->events = NULL;
}

void log_batch_reset(struct log_batch *b)
{
    json_array_clear(b->events);
    b->place = 0;
    b->work_ready = b->wake = b->ended = false;
    b->environment_id[0] = '\0';
}

static void publish_events(struct hub *hub, const struct log_batch *b)
{
    size_t n = json_array_size(b->events);
    if (b->place && n > LIMIT_LIVE_EVENTS) {
        hub_skip(hub, b->session_id, b->place + (int64_t)n - 1);
        return;
    }
    for (size_t i = 0; i < n; i++)
        hub_event(hub, b->session_id, b->place ? b->place + (int64_t)i : 0,
                  json_array_get(b->events, i));
}

void log_publish(struct session_log *log, struct log_batch *b)
{
    publish_events(log->hub, b);
    json_array_clear(b->events);
    b->place = 0;
    if (b->work_ready)
        hub_work_ready(log->hub, b->environment_id);
    if (b->wake && log->wake)
        log->wake(log->wake_arg, b->session_id);
    if (b->ended)
        hub_end(log->hub, b->session_id);
    b->work_ready = b->wake = b->ended = false;
}

/* ---- the session row ---- */

static bool copy_col(struct stmt *st, int col, char *dst, size_t cap)
{
    const char *v = stmt_text(st, col, NULL);
    return v && str_copy(dst, cap, v);
}

/* A JSON column; null stays NULL. */
static int json_col(struct stmt *st, int col, json_t **ret)
{
    size_t n = 0;
    const char *v = stmt_text(st, col, &n);
    if (!v) {
        *ret = NULL;
        return 0;
    }
    return json_parse_stored(v, n, ret);
}

/* The row: the column's number and its place in the SELECT, from one list. */
#define SESSION_COLUMNS(C)                                                                         \
    C(THREAD_ID, "s.thread_id")                                                                    \
    C(AGENT_ID, "s.agent_id")                                                                      \
    C(AGENT_VERSION, "s.agent_version")                                                            \
    C(ENVIRONMENT_ID, "s.environment_id")                                                          \
    C(STATUS, "s.status")                                                                          \
    C(STOP_REASON, "s.stop_reason")                                                                \
    C(TITLE, "s.title")                                                                            \
    C(METADATA, "s.metadata")                                                                      \
    C(AGENT, "s.agent")                                                                            \
    C(USAGE, "s.usage")                                                                            \
    C(NEXT_SEQ, "s.next_seq")                                                                      \
    C(LAST_STAMP, "s.last_stamp")                                                                  \
    C(ACTIVE_US, "s.active_us")                                                                    \
    C(RUNNING_SINCE, "s.running_since")                                                            \
    C(CREATED_AT, "s.created_at")                                                                  \
    C(UPDATED_AT, "s.updated_at")                                                                  \
    C(ARCHIVED_AT, "s.archived_at")                                                                \
    C(ENVIRONMENT_TYPE, "e.type")
#define AS_NUMBER(name, sql) COL_##name,
#define AS_SQL(name, sql)    ", " sql
enum { COL_ID, SESSION_COLUMNS(AS_NUMBER) };
#define SESSION_ROW "s.id" SESSION_COLUMNS(AS_SQL)

static int read_row(struct stmt *st, struct log_session *s)
{
    bool ok = copy_col(st, COL_THREAD_ID, s->thread_id, sizeof(s->thread_id)) &&
              copy_col(st, COL_AGENT_ID, s->agent_id, sizeof(s->agent_id)) &&
              copy_col(st, COL_ENVIRONMENT_ID, s->environment_id, sizeof(s->environment_id)) &&
              copy_col(st, COL_STATUS, s->status, sizeof(s->status));
    if (!ok)
        return -E_CORRUPT;
    s->agent_version = stmt_int(st, COL_AGENT_VERSION);
    int r = json_col(st, COL_STOP_REASON, &s->stop_reason);
    if (r == 0)
        r = json_col(st, COL_METADATA, &s->metadata);
    if (r == 0)
        r = json_col(st, COL_USAGE, &s->usage);
    if (r < 0)
        return r;
    size_t agent_len = 0;
    const char *agent = stmt_text(st, COL_AGENT, &agent_len);
    if (!agent || agent[0] != '{' || !json_is_object(s->usage))
        return -E_CORRUPT;
    s->agent_text = mem_strndup(agent, agent_len);
    const char *title = stmt_text(st, COL_TITLE, NULL);
    s->title = title ? mem_strdup(title) : NULL;
    s->next_seq = stmt_int(st, COL_NEXT_SEQ);
    s->last_stamp = stmt_int(st, COL_LAST_STAMP);
    s->active_us = stmt_int(st, COL_ACTIVE_US);
    s->running_since = stmt_is_null(st, COL_RUNNING_SINCE) ? 0 : stmt_int(st, COL_RUNNING_SINCE);
    s->created_at = stmt_int(st, COL_CREATED_AT);
    s->updated_at = stmt_int(st, COL_UPDATED_AT);
    s->archived_at = stmt_is_null(st, COL_ARCHIVED_AT) ? 0 : stmt_int(st, COL_ARCHIVED_AT);
    const char *env_type = stmt_text(st, COL_ENVIRONMENT_TYPE, NULL);
    s->environment_self_hosted = env_type && str_eq(env_type, "self_hosted");
    return 0;
}

int log_session_load_tx(struct tx *tx, const char *session_id, struct log_session *ret)
{
    struct log_session s = {0};
    if (!str_copy(s.id, sizeof(s.id), session_id))
        return -ENOENT;
    struct stmt *st =
        tx_prepare(tx, "SELECT " SESSION_ROW " FROM sessions s LEFT JOIN environments e"
                       " ON e.id = s.environment_id WHERE s.id = $1");
    stmt_bind_text(st, 1, session_id);
    int r = stmt_step(st);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = read_row(st, &s);
    stmt_reset(st);
    if (r < 0) {
        log_session_done(&s);
        return r;
    }
    *ret = s;
    return 0;
}

void log_session_done(struct log_session *s)
{
    if (!s)
        return;
    json_decref(s->stop_reason);
    json_decref(s->agent);
    free(s->agent_text);
    json_decref(s->usage);
    json_decref(s->metadata);
    free(s->title);
    *s = (struct log_session){0};
}

json_t *log_session_agent(struct log_session *s)
{
    if (s->agent)
        return s->agent;
    size_t n = s->agent_text ? strlen(s->agent_text) : 0;
    int r = json_parse_stored(s->agent_text, n, &s->agent);
    MUST(r != -ENOMEM); /* it would be an agent without tools */
    if (r < 0)
        s->agent = json_object();
    return s->agent;
}

int log_session_store_tx(struct tx *tx, struct log_session *s)
{
    AUTO_FREE
    char *stop = s->stop_reason ? json_text(s->stop_reason, NULL) : NULL;
    AUTO_FREE
    char *usage = json_text(s->usage, NULL);
    bool wake = str_eq(s->status, "running") || str_eq(s->status, "rescheduling");
    struct stmt *st = tx_prepare(
        tx, "UPDATE sessions SET status = $1, stop_reason = $2, usage = $3, next_seq = "
            "$4, last_stamp = $5,"
            " active_us = $6, running_since = $7, wake = $8, updated_at = $9 WHERE id = $10");
    stmt_bind_text(st, 1, s->status);
    stmt_bind_text(st, 2, stop);
    stmt_bind_text(st, 3, usage);
    stmt_bind_int(st, 4, s->next_seq);
    stmt_bind_int(st, 5, s->last_stamp);
    stmt_bind_int(st, 6, s->active_us);
    if (s->running_since)
        stmt_bind_int(st, 7, s->running_since);
    else
        stmt_bind_null(st, 7);
    stmt_bind_int(st, 8, wake);
    s->updated_at = s->last_stamp;
    stmt_bind_int(st, 9, s->updated_at);
    stmt_bind_text(st, 10, s->id);
    int r = stmt_step(st);
    stmt_reset(st);
    return r < 0 ? r : 0;
}

/* ---- appending ---- */

static int64_t next_stamp(struct log_session *s)
{
    int64_t stamp = s->last_stamp + 1;
    if (!s->stamped) {
        int64_t now = time_real_us();
        stamp = now > stamp ? now : stamp;
        s->stamped = true;
    }
    return stamp;
}

/* As readers of the stream get it; of a large one its name (hub_event). */
static json_t *wire_event(const char *id, const char *type, int64_t stamp, const json_t *body,
                          bool large)
{
    json_t *o = json_object();
    MUST(o);
    json_put_str(o, "id", id);
    json_put_str(o, "type", type);
    if (large)
        return o;
    const char *key;
    json_t *v;
    /* iteration needs a non-const object in jansson; nothing of it is changed */
    json_object_foreach ((json_t *)(uintptr_t)body, key, v)
        json_put(o, key, json_incref(v));
    char text[TIME_RFC3339_MAX];
    json_put_str(o, "processed_at", time_format(text, stamp));
    return o;
}

METRIC_COUNTER(events, "sallyport_server_events_total", "", "Events appended to session logs.")

int log_append_tx(struct tx *tx, struct log_session *s, struct log_batch *b, const char *type,
                  const char *id, json_t *body, const json_t *hidden, char ret_id[64])
{
    AUTO_JSON json_t *own = body;
    char made[ID_MAX];
    if (!id)
        id = id_make(made, "sevt_");
    MUST(json_is_object(own));
    int64_t stamp = next_stamp(s);
    size_t n = 0, hidden_n = 0;
    AUTO_FREE
    char *text = json_text(own, &n);
    AUTO_FREE
    char *hidden_text = hidden ? json_text(hidden, &hidden_n) : NULL;
    if (n > LIMIT_EVENT_BYTES || hidden_n > LIMIT_EVENT_BYTES)
        return -EMSGSIZE;
    struct stmt *st =
        tx_prepare(tx, "INSERT INTO events (session_id, seq, id, type, processed_at, body, hidden)"
                       " VALUES ($1, $2, $3, $4, $5, $6, $7)");
    stmt_bind_text(st, 1, s->id);
    stmt_bind_int(st, 2, s->next_seq);
    stmt_bind_text(st, 3, id);
    stmt_bind_text(st, 4, type);
    stmt_bind_int(st, 5, stamp);
    stmt_bind_textn(st, 6, text, n);
    if (hidden_text)
        stmt_bind_textn(st, 7, hidden_text, hidden_n);
    else
        stmt_bind_null(st, 7);
    int r = stmt_step(st);
    metric_add(&events, r >= 0);
    if (r < 0)
        return r;
    if (json_array_size(b->events) == 0)
        b->place = s->next_seq;
    MUST(b->place + (int64_t)json_array_size(b->events) == s->next_seq);
    json_array_append_new(b->events, wire_event(id, type, stamp, own, n > LIMIT_LIVE_EVENT_BYTES));
    s->next_seq++;
    s->last_stamp = stamp;
    if (ret_id)
        MUST(str_copy(ret_id, 64, id));
    return 0;
}

/* ---- usage ---- */

static int64_t add_nonneg(int64_t a, int64_t b)
{
    int64_t sum;
    if (b < 0 || __builtin_add_overflow(a, b, &sum))
        return a;
    return sum;
}

static void bump(json_t *o, const char *key, int64_t by)
{
    json_put_int(o, key, add_nonneg(json_get_int(o, key, 0), by));
}

void log_usage_add(struct log_session *s, int64_t input, int64_t output, int64_t cache_creation,
                   int64_t cache_read)
{
    bump(s->usage, "input_tokens", input);
    bump(s->usage, "output_tokens", output);
    bump(s->usage, "cache_read_input_tokens", cache_read);
    json_t *cc = json_object_get(s->usage, "cache_creation");
    if (!json_is_object(cc)) {
        cc = json_object();
        MUST(cc);
        json_put_int(cc, "ephemeral_5m_input_tokens", 0);
        json_put_int(cc, "ephemeral_1h_input_tokens", 0);
        json_put(s->usage, "cache_creation", cc);
    }
    bump(cc, "ephemeral_5m_input_tokens", cache_creation);
}

json_t *log_seconds_json(int64_t us)
{
    if (us < 0)
        us = 0;
    return json_real((double)(us / 1000) / 1000.0);
}

json_t *log_usage_json(const struct log_session *s, int64_t now_us)
{
    int64_t active = s->active_us;
    if (s->running_since && now_us > s->running_since)
        active = add_nonneg(active, now_us - s->running_since);
    json_t *o = json_object(), *tools = json_object();
    MUST(o && tools);
    json_put_int(o, "input_tokens", json_get_int(s->usage, "input_tokens", 0));
    json_put_int(o, "output_tokens", json_get_int(s->usage, "output_tokens", 0));
    json_put_int(o, "cache_read_input_tokens",
                 json_get_int(s->usage, "cache_read_input_tokens", 0));
    json_t *cc = json_object_get(s->usage, "cache_creation");
    if (json_is_object(cc)) /* not before the first use */
        json_put(o, "cache_creation", json_deep_copy(cc));
    json_put(o, "active_seconds", log_seconds_json(active));
    json_put_int(tools, "web_search_requests", 0);
    json_put_int(tools, "web_fetch_requests", 0);
    json_put(o, "server_tool_use", tools);
    return o;
}
