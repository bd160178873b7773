/* env_keys.c - environment keys: what a worker shows to take work (an addition of ours; the hosted
 * service makes them in its console).
 *
 * A key's text is in the answer of its creation and nowhere else (keys). Revoking is final, bites
 * on the next call, and takes along what was handed out for that key: claims and leases of work
 * items end at once, with the sessions tokens in their secrets, so that another worker can take
 * them. */
#include "platform/keys/env_keys.h"

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/keys.h"
#include "platform/api/rows.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/environments/environments.h"
#include "platform/work/work_clock.h"
#include "platform/work/work_store.h"
#include "session/hub.h"

struct change {
    const char *environment_id, *key_id, *name;
    struct key key; /* the new one */
    int64_t now, lease_now;
    const int64_t *expires_at; /* NULL: never */
    struct refusal refusal;
};

static void change_done(struct change *ch)
{
    key_done(&ch->key);
    json_decref(ch->refusal.details);
}

static json_t *wire(const char *id, const char *environment_id, const char *name,
                    int64_t created_at, const int64_t *last_used_at, const int64_t *expires_at)
{
    json_t *o = json_object();
    json_put_str(o, "id", id);
    json_put_str(o, "type", "environment_key");
    json_put_str(o, "environment_id", environment_id);
    json_put_str(o, "name", name);
    json_put(o, "created_at", time_json(created_at));
    json_put(o, "last_used_at", time_json_or_null(!last_used_at, last_used_at ? *last_used_at : 0));
    json_put(o, "expires_at", time_json_or_null(!expires_at, expires_at ? *expires_at : 0));
    return o;
}

/* ---- create ---- */

/* 0, or -E_DENIED with the refusal filled. */
static int check_environment(struct tx *tx, const char *id, bool for_new_key, struct refusal *r)
{
    struct environment env;
    int e = environment_load_tx(tx, id, &env);
    if (e == -ENOENT)
        return environment_not_found(r, id);
    if (e < 0 || !for_new_key)
        return e;
    if (!str_eq(env.type, "self_hosted"))
        return refuse(r, 400, "invalid_request_error",
                      "Environment %s is a %s environment; only self_hosted ones have keys.",
                      v_clip(id), env.type);
    if (env.archived)
        return refuse(r, 400, "invalid_request_error", "Environment %s is archived.", v_clip(id));
    return 0;
}

static int create_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = check_environment(tx, ch->environment_id, true, &ch->refusal);
    if (r < 0)
        return r;
    return key_add_env_tx(tx, &ch->key, ch->environment_id, ch->name, ch->now, ch->expires_at);
}

/* expires_at of the request: 0 none, 1 given, negative refused. */
static int expiry(struct v *v, int64_t now, int64_t *ret)
{
    const char *text = v_str(v, "expires_at", V_NULLABLE, 1, 64);
    if (!text)
        return v_failed(v) ? -E_DENIED : 0;
    if (time_parse(text, ret) < 0)
        v_fail(v, "expires_at", "must be a time like 2027-01-31T00:00:00Z (RFC 3339)");
    else if (*ret <= now)
        v_fail(v, "expires_at", "lies in the past");
    return v_failed(v) ? -E_DENIED : 1;
}

void env_keys_create(struct api_call *c)
{
    AUTO(change) ch = {.environment_id = api_param(c, 0), .now = time_real_us()};
    int64_t expires_at = 0;
    AUTO_JSON json_t *empty = json_object();
    struct v v = v_object(&ch.refusal, c->body ? c->body : empty, "");
    const char *name = v_str(&v, "name", V_NULLABLE, 1, 256);
    if (expiry(&v, ch.now, &expires_at) > 0)
        ch.expires_at = &expires_at;
    v_end(&v);
    ch.name = name ? name : "";
    key_make_env(&ch.key);
    int r = v_failed(&v) ? -E_DENIED : db_write(c->p->log.db, create_tx, &ch);
    if (r < 0) {
        api_tx_failed(c, r, &ch.refusal);
    } else {
        AUTO_JSON json_t *o =
            wire(ch.key.id, ch.environment_id, ch.name, ch.now, NULL, ch.expires_at);
        json_put_str(o, "key", ch.key.text);
        api_reply(c, 200, o);
    }
}

/* ---- list ---- */

struct listing {
    const char *environment_id;
    struct rows rows;
    struct refusal refusal;
};

static void listing_done(struct listing *l)
{
    rows_done(&l->rows);
    json_decref(l->refusal.details);
}

static int list_tx(struct tx *tx, void *arg)
{
    struct listing *l = arg;
    int r = check_environment(tx, l->environment_id, false, &l->refusal);
    if (r < 0)
        return r;
#define LIST(cmp, order)                                                                           \
    "SELECT id, name, created_at, last_used_at, expires_at FROM environment_keys"                  \
    " WHERE environment_id = $1 AND revoked_at IS NULL"                                            \
    " AND (created_at " cmp " $2 OR (created_at = $2 AND id " cmp " $3))"                          \
    " ORDER BY created_at " order ", id " order " LIMIT $4"
    struct stmt *s = tx_prepare(tx, l->rows.page.ascending ? LIST(">", "ASC") : LIST("<", "DESC"));
#undef LIST
    rows_reset(&l->rows);
    stmt_bind_text(s, 1, l->environment_id);
    rows_bind(&l->rows, s, 2);
    while ((r = stmt_step(s)) > 0) {
        int64_t used = stmt_int(s, 3), expires = stmt_int(s, 4);
        const char *id = stmt_text(s, 0, NULL);
        json_t *row = wire(id, l->environment_id, stmt_text(s, 1, NULL), stmt_int(s, 2),
                           stmt_is_null(s, 3) ? NULL : &used, stmt_is_null(s, 4) ? NULL : &expires);
        if (!rows_add(&l->rows, row, stmt_int(s, 2), id))
            break;
    }
    return r < 0 ? r : 0;
}

void env_keys_list(struct api_call *c)
{
    AUTO(listing) l = {.environment_id = api_param(c, 0)};
    if (rows_init(&l.rows, c, "environment_keys", false) < 0)
        return;
    int r = db_read(c->p->log.db, list_tx, &l);
    rows_end(&l.rows, c, r, &l.refusal);
}

/* ---- revoke ---- */

static int revoke_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = check_environment(tx, ch->environment_id, false, &ch->refusal);
    if (r < 0)
        return r;
    r = key_revoke_env_tx(tx, ch->key_id, ch->environment_id, ch->now);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(&ch->refusal, 404, "not_found_error", "Environment key %s not found.",
                      v_clip(ch->key_id));
    return work_drop_key_tx(tx, ch->key_id, ch->lease_now);
}

void env_keys_revoke(struct api_call *c)
{
    AUTO(change) ch = {.environment_id = api_param(c, 0),
                       .key_id = api_param(c, 1),
                       .now = time_real_us(),
                       .lease_now = work_now_us(c->p)};
    int r = db_write(c->p->log.db, revoke_tx, &ch);
    if (r < 0) {
        api_tx_failed(c, r, &ch.refusal);
        return;
    }
    work_lease_changed(c->p, ch.lease_now);
    hub_work_ready(c->p->log.hub, ch.environment_id);
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "id", ch.key_id);
    json_put_str(o, "type", "environment_key_deleted");
    api_reply(c, 200, o);
}
