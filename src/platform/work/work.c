/* work.c - the work queue's calls: poll, ack, heartbeat, stop, list, retrieve, update, stats.
 *
 * Handlers run on the connection's fiber. Callers are workers (environment key), the one worker
 * that holds an item (sessions token) and operators (API key); each sees its own environment or
 * item only, everything else is "not found". A poll looks with a read, takes with a write, and
 * otherwise parks on the environment's bell until work is queued, a claim lapses, its time is over,
 * the server stops, or the client leaves. Every change is durable before it is answered. */
#include "platform/work/work.h"

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/auth.h"
#include "platform/api/keys.h"
#include "platform/api/metadata.h"
#include "platform/api/rows.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/environments/environments.h"
#include "platform/work/work_clock.h"
#include "platform/work/work_sightings.h"
#include "platform/work/work_store.h"
#include "session/hub.h"

#include <string.h>

/* A call about one item, or about a queue. */
struct op {
    struct api_call *c;
    const char *environment_id, *work_id;
    struct work_time t;
    struct refusal refusal;
    struct work_item item;
    struct log_batch batch;
    /* heartbeat */
    struct work_beat beat;
    bool extended, begun;
    /* stop */
    bool force, at_rest;
    /* update */
    const json_t *patch;
    /* stats */
    int64_t depth, pending, oldest;
};

static void op_done(struct op *o)
{
    work_item_done(&o->item);
    log_batch_done(&o->batch);
    json_decref(o->refusal.details);
}

static struct op op_of(struct api_call *c)
{
    struct op o = {.c = c,
                   .environment_id = api_param(c, 0),
                   .work_id = api_param(c, 1),
                   .t = work_time_now(c->p)};
    log_batch_init(&o.batch, "");
    return o;
}

static int no_item(struct op *o)
{
    return refuse(&o->refusal, 404, "not_found_error", "Work item %s not found.",
                  v_clip(o->work_id));
}

/* 0 when the caller may see this environment's queue, and this item where one is named. */
static int check_caller(struct op *o, bool item)
{
    const struct caller *who = &o->c->caller;
    if (who->kind == CALLER_API_KEY)
        return 0;
    if (strcmp(who->environment_id, o->environment_id) != 0)
        return environment_not_found(&o->refusal, o->environment_id);
    if (item && who->kind == CALLER_SESSION_TOKEN && strcmp(who->work_id, o->work_id) != 0)
        return no_item(o);
    return 0;
}

static int load(struct tx *tx, struct op *o)
{
    work_item_done(&o->item);
    log_batch_reset(&o->batch);
    int r = auth_item_tx(tx, &o->c->caller, &o->refusal);
    if (r == 0)
        r = work_load_tx(tx, o->environment_id, o->work_id, &o->item);
    return r == -ENOENT ? no_item(o) : r;
}

static void fail(struct op *o, int r)
{
    api_tx_failed(o->c, r, &o->refusal);
}

static void reply_item(struct op *o)
{
    AUTO_JSON json_t *j = work_json(&o->item, NULL);
    api_reply(o->c, 200, j);
}

/* A body of no fields. */
static int check_empty(struct op *o)
{
    struct v v = v_object(&o->refusal, o->c->body, "");
    v_end(&v);
    return v_failed(&v) ? -E_DENIED : 0;
}

/* A whole number in the query: 0 with *ret, or `fallback` when it is absent or empty. */
static int query_number(struct op *o, const char *name, int64_t min, int64_t max, int64_t fallback,
                        int64_t *ret)
{
    const char *text = query_get(o->c->x, name, 0);
    *ret = fallback;
    if (!text || !text[0])
        return 0;
    if (str_to_i64(text, strlen(text), min, max, ret) < 0)
        return refuse(&o->refusal, 400, "invalid_request_error",
                      "%s: must be a whole number from %lld to %lld", name, (long long)min,
                      (long long)max);
    return 0;
}

/* What our own workers say of themselves. */
static bool has_role(struct api_call *c, const char *role)
{
    return str_eq(h1_header_get(http_request(c->x), "x-sallyport-role", NULL), role);
}

/* ---- poll ---- */

struct poll {
    struct op *o;
    int64_t now, reclaim_us, next;
    bool found;
    int64_t holder;
    struct key token; /* of the session, for the item that is claimed */
};

static int peek_tx(struct tx *tx, void *arg)
{
    struct poll *p = arg;
    struct environment env;
    int r = auth_still_tx(tx, &p->o->c->caller, &p->o->refusal);
    if (r < 0)
        return r;
    r = environment_load_tx(tx, p->o->environment_id, &env);
    if (r == -ENOENT)
        return environment_not_found(&p->o->refusal, p->o->environment_id);
    if (r < 0)
        return r;
    if (!str_eq(env.type, "self_hosted"))
        return refuse(
            &p->o->refusal, 400, "invalid_request_error",
            "Environment %s is a %s environment; only self_hosted ones have a work queue.",
            v_clip(p->o->environment_id), env.type);
    r = work_peek_tx(tx, p->o->environment_id, p->now, p->reclaim_us, &p->next);
    p->found = r > 0;
    return r < 0 ? r : 0;
}

static int claim_tx(struct tx *tx, void *arg)
{
    struct poll *p = arg;
    struct op *o = p->o;
    const struct work_claim claim = {.environment_id = o->environment_id,
                                     .now = p->now,
                                     .reclaim_us = p->reclaim_us,
                                     .ttl_seconds = o->c->p->lease_ttl_seconds,
                                     .token_hash = p->token.hash,
                                     .claimed_by = o->c->caller.key_id,
                                     .holder = p->holder};
    work_item_done(&o->item);
    int r = auth_still_tx(tx, &o->c->caller, &o->refusal);
    if (r < 0)
        return r;
    r = work_claim_tx(tx, &claim, &o->item);
    p->found = r > 0;
    return r < 0 ? r : 0;
}

/* Looks, and takes if there is something. 1 taken, 0 nothing, negative. */
static int try_claim(struct poll *p)
{
    struct api_call *c = p->o->c;
    for (;;) {
        p->now = work_now_us(c->p);
        int r = db_read(c->p->log.db, peek_tx, p);
        if (r < 0 || !p->found)
            return r;
        key_make_session(&p->token);
        r = db_write(c->p->log.db, claim_tx, p);
        if (r < 0)
            return r;
        if (p->found) /* else another poll was faster */
            return 1;
    }
}

/* Parks until something may have changed, at most until `end_ns`. 0 look again, 1 time is over,
 * negative. */
static int wait_for_work(struct poll *p, int64_t end_ns)
{
    struct api_call *c = p->o->c;
    int64_t wake_ns = end_ns;
    if (p->next != INT64_MAX) {
        int64_t ahead_us = p->next - work_now_us(c->p);
        int64_t lapse_ns = time_mono_ns() + (ahead_us > 0 ? ahead_us : 0) * 1000;
        wake_ns = lapse_ns < wake_ns ? lapse_ns : wake_ns;
    }
    struct fiber_deadline d = fiber_deadline_push(wake_ns);
    int r = http_wait(c->x, hub_work_queue(c->p->log.hub, p->o->environment_id));
    fiber_deadline_pop(&d);
    if (r == -ETIMEDOUT)
        return time_mono_ns() >= end_ns ? 1 : 0;
    return r;
}

static void reply_claimed(struct poll *p)
{
    struct op *o = p->o;
    char *secret = work_secret(p->token.text, o->c->p->public_url);
    AUTO_JSON json_t *j = work_json(&o->item, secret);
    log_info("work claimed", "work=%s session=%s key=%s", o->item.id, o->item.session_id,
             o->c->caller.key_id);
    api_reply(o->c, 200, j);
    secret_wipe(secret, strlen(secret));
    free(secret);
}

static void reply_nothing(struct api_call *c)
{
    AUTO_JSON json_t *nothing = json_null();
    api_reply(c, 200, nothing);
}

static void serve_poll(struct poll *p, int64_t block_ms)
{
    struct api_call *c = p->o->c;
    int64_t end_ns = time_mono_ns() + block_ms * NS_PER_MS;
    for (;;) {
        /* What a stopping server hands out could not be acknowledged any more. */
        if (hub_ended(c->p->log.hub)) {
            reply_nothing(c);
            return;
        }
        uint64_t rings = hub_work_rings(c->p->log.hub);
        int r = c->p->stops_at_ns ? 0 : try_claim(p); /* who drains begins nothing */
        if (r < 0) {
            fail(p->o, r);
            return;
        }
        if (r > 0) {
            reply_claimed(p);
            return;
        }
        if (block_ms == 0) {
            reply_nothing(c);
            return;
        }
        if (rings != hub_work_rings(c->p->log.hub))
            continue; /* something was queued while we looked */
        r = wait_for_work(p, end_ns);
        if (r > 0 || r == -ECANCELED) {
            reply_nothing(c);
            return;
        }
        if (r < 0)
            return; /* the client has left */
    }
}

void work_poll(struct api_call *c)
{
    AUTO(op) o = op_of(c);
    struct poll p = {.o = &o, .next = INT64_MAX};
    int64_t block_ms, reclaim_ms;
    int r = check_caller(&o, false);
    if (r == 0)
        r = query_number(&o, "block_ms", 1, WORK_BLOCK_MAX_MS, 0, &block_ms);
    if (r == 0)
        r = query_number(&o, "reclaim_older_than_ms", 0, WORK_RECLAIM_MAX_MS,
                         WORK_RECLAIM_DEFAULT_MS, &reclaim_ms);
    if (r < 0) {
        fail(&o, r);
        return;
    }
    p.reclaim_us = reclaim_ms * 1000;
    p.holder = has_role(c, "worker, keeps") ? WORK_HOLDER_KEEPS : 0;
    work_saw_worker(c->p, o.environment_id,
                    h1_header_get(http_request(c->x), "anthropic-worker-id", NULL));
    serve_poll(&p, block_ms);
    key_done(&p.token);
}

/* ---- ack, heartbeat, stop ---- */

static int ack_tx(struct tx *tx, void *arg)
{
    struct op *o = arg;
    int r = load(tx, o);
    if (r == 0)
        r = work_rule_ack(&o->item, &o->t, &o->refusal);
    return r < 0 ? r : work_store_tx(tx, &o->item);
}

void work_ack(struct api_call *c)
{
    AUTO(op) o = op_of(c);
    int r = check_caller(&o, true);
    if (r == 0)
        r = check_empty(&o);
    if (r == 0)
        r = db_write(c->p->log.db, ack_tx, &o);
    if (r < 0) {
        fail(&o, r);
        return;
    }
    work_lease_changed(c->p, o.item.lease_expires_at);
    reply_item(&o);
}

static int heartbeat_tx(struct tx *tx, void *arg)
{
    struct op *o = arg;
    int r = load(tx, o);
    bool was_active = r == 0 && str_eq(o->item.state, "active");
    if (r == 0)
        r = work_rule_heartbeat(&o->item, &o->t, &o->beat, &o->extended, &o->refusal);
    o->begun = r == 0 && o->extended && !was_active;
    return r < 0 || !o->extended ? r : work_store_tx(tx, &o->item);
}

/* The official SDKs say how often they have sent a request before. */
static bool is_repetition(struct api_call *c)
{
    const char *n = h1_header_get(http_request(c->x), "x-stainless-retry-count", NULL);
    return n && n[0] && strcmp(n, "0") != 0;
}

void work_heartbeat(struct api_call *c)
{
    AUTO(op) o = op_of(c);
    const char *expected = query_get(c->x, "expected_last_heartbeat", 0);
    o.beat = (struct work_beat){.expected = expected && expected[0] ? expected : NULL,
                                .by_token = c->caller.kind == CALLER_SESSION_TOKEN,
                                .again = is_repetition(c)};
    int r = check_caller(&o, true);
    if (r == 0)
        r = query_number(&o, "desired_ttl_seconds", 1, WORK_TTL_MAX_SECONDS, 0,
                         &o.beat.ttl_seconds);
    if (r == 0)
        r = check_empty(&o);
    if (r == 0)
        r = db_write(c->p->log.db, heartbeat_tx, &o);
    if (r < 0) {
        fail(&o, r);
        return;
    }
    if (o.extended)
        work_lease_changed(c->p, o.item.lease_expires_at);
    if (o.begun)
        hub_work_begun(c->p->log.hub);
    AUTO_JSON json_t *j = work_heartbeat_json(&o.item, o.extended);
    api_reply(c, 200, j);
}

static int stop_tx(struct tx *tx, void *arg)
{
    struct op *o = arg;
    int r = load(tx, o);
    if (r == 0)
        r = work_rule_stop(&o->item, &o->t, o->force, &o->refusal);
    if (r == 0)
        r = work_store_tx(tx, &o->item);
    if (r < 0 || !str_eq(o->item.state, "stopped"))
        return r;
    str_copy(o->batch.session_id, sizeof(o->batch.session_id), o->item.session_id);
    o->item.unbegun = o->at_rest;
    return work_requeue_tx(tx, &o->item, &o->batch, &o->t);
}

void work_stop(struct api_call *c)
{
    AUTO(op) o = op_of(c);
    o.at_rest = has_role(c, "worker, at rest");
    int r = check_caller(&o, true);
    if (r == 0) {
        struct v v = v_object(&o.refusal, c->body, "");
        o.force = v_bool(&v, "force", V_OPTIONAL, false);
        v_end(&v);
        r = v_failed(&v) ? -E_DENIED : db_write(c->p->log.db, stop_tx, &o);
    }
    if (r < 0) {
        fail(&o, r);
        return;
    }
    log_info("work stop", "work=%s session=%s state=%s", o.item.id, o.item.session_id,
             o.item.state);
    log_publish(&c->p->log, &o.batch);
    reply_item(&o);
}

/* ---- retrieve, update ---- */

static int retrieve_tx(struct tx *tx, void *arg)
{
    return load(tx, arg);
}

void work_retrieve(struct api_call *c)
{
    AUTO(op) o = op_of(c);
    int r = db_read(c->p->log.db, retrieve_tx, &o);
    if (r < 0)
        fail(&o, r);
    else
        reply_item(&o);
}

static int update_tx(struct tx *tx, void *arg)
{
    struct op *o = arg;
    int r = load(tx, o);
    if (r == 0)
        r = metadata_merge(o->item.metadata, o->patch, false, &o->refusal);
    return r < 0 ? r : work_store_tx(tx, &o->item);
}

void work_update(struct api_call *c)
{
    AUTO(op) o = op_of(c);
    struct v v = v_object(&o.refusal, c->body, "");
    o.patch = metadata_coded(&v, "metadata");
    v_end(&v);
    int r = v_failed(&v) ? -E_DENIED : db_write(c->p->log.db, update_tx, &o);
    if (r < 0)
        fail(&o, r);
    else
        reply_item(&o);
}

/* ---- list, stats ---- */

struct listing {
    struct op *o;
    struct rows rows;
};

static void listing_done(struct listing *l)
{
    rows_done(&l->rows);
}

static int check_environment(struct tx *tx, struct op *o)
{
    struct environment env;
    int r = environment_load_tx(tx, o->environment_id, &env);
    return r == -ENOENT ? environment_not_found(&o->refusal, o->environment_id) : r;
}

static int list_tx(struct tx *tx, void *arg)
{
    struct listing *l = arg;
    int r = check_environment(tx, l->o);
    if (r < 0)
        return r;
#define LIST(cmp, order)                                                                           \
    "SELECT " WORK_COLUMNS " FROM work WHERE environment_id = $1"                                  \
    " AND (created_at " cmp " $2 OR (created_at = $2 AND id " cmp " $3))"                          \
    " ORDER BY created_at " order ", id " order " LIMIT $4"
    struct stmt *s = tx_prepare(tx, l->rows.page.ascending ? LIST(">", "ASC") : LIST("<", "DESC"));
#undef LIST
    rows_reset(&l->rows);
    stmt_bind_text(s, 1, l->o->environment_id);
    rows_bind(&l->rows, s, 2);
    while ((r = stmt_step(s)) > 0) {
        AUTO(work_item) w = {0};
        r = work_read(s, &w);
        if (r < 0)
            return r;
        if (!rows_add(&l->rows, work_json(&w, NULL), w.created_at, w.id))
            break;
    }
    return r < 0 ? r : 0;
}

void work_list(struct api_call *c)
{
    AUTO(op) o = op_of(c);
    AUTO(listing) l = {.o = &o};
    int r = check_caller(&o, false);
    if (r < 0) {
        fail(&o, r);
        return;
    }
    if (rows_init(&l.rows, c, "work", false) < 0)
        return;
    r = db_read(c->p->log.db, list_tx, &l);
    rows_end(&l.rows, c, r, &o.refusal);
}

static int stats_tx(struct tx *tx, void *arg)
{
    struct op *o = arg;
    int r = check_environment(tx, o);
    if (r < 0)
        return r;
    struct stmt *s = tx_prepare(tx, "SELECT COUNT(*), COUNT(claimed_at), MIN(queued_at) FROM work"
                                    " WHERE environment_id = $1 AND state = 'queued'");
    stmt_bind_text(s, 1, o->environment_id);
    r = stmt_step(s);
    if (r > 0) {
        o->pending = stmt_int(s, 1);
        o->depth = stmt_int(s, 0) - o->pending;
        o->oldest = stmt_int(s, 2);
    }
    stmt_reset(s);
    return r < 0 ? r : 0;
}

void work_stats(struct api_call *c)
{
    AUTO(op) o = op_of(c);
    int r = check_caller(&o, false);
    if (r == 0)
        r = db_read(c->p->log.db, stats_tx, &o);
    if (r < 0) {
        fail(&o, r);
        return;
    }
    AUTO_JSON json_t *j = json_object();
    json_put_str(j, "type", "work_queue_stats");
    json_put_int(j, "depth", o.depth);
    json_put_int(j, "pending", o.pending);
    json_put(j, "oldest_queued_at", time_json_or_null(!o.oldest, o.oldest));
    json_put_int(j, "workers_polling", work_workers_polling(c->p, o.environment_id));
    api_reply(c, 200, j);
}
