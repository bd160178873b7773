/* env_keys.c - environment keys: what a worker shows to take work (an addition of ours; the hosted
 * service makes them in its console).
 *
 * A key's text is in the answer of its creation and nowhere else: the table has its SHA-256.
 * Revoking is final, takes effect on the next call, and takes along what was handed out for that
 * key: claims and leases of work items end at once, with the sessions tokens in their secrets, so
 * that another worker can take them. */
#include "platform/keys/env_keys.h"

#include "base/err.h"
#include "base/id.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "platform/api/auth.h"
#include "platform/api/rows.h"
#include "platform/api/validate.h"
#include "platform/api/wire.h"
#include "platform/environments/environments.h"
#include "platform/work/work.h"
#include "session/hub.h"

#include <string.h>

struct change {
    const char *environment_id, *key_id, *name;
    char id[ID_MAX], hash[DIGEST_SHA256_HEX];
    int64_t now, lease_now;
    const int64_t *expires_at; /* NULL: never */
    struct refusal refusal;
};

static void change_done(struct change *ch)
{
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
    return tx_exec(
        tx,
        "INSERT INTO environment_keys (id, environment_id, name, hash, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        "ttttiI", ch->id, ch->environment_id, ch->name, ch->hash, ch->now, ch->expires_at);
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
    char key[AUTH_TOKEN_MAX];
    id_make(ch.id, "envkey_");
    id_make_token(key, sizeof(key), AUTH_ENV_PREFIX);
    digest_sha256_hex(key, strlen(key), ch.hash);
    int r = v_failed(&v) ? -E_DENIED : db_write(c->p->log.db, create_tx, &ch);
    if (r == -E_DENIED && ch.refusal.status) {
        api_refuse(c, &ch.refusal);
    } else if (r < 0) {
        api_failed(c, r, NULL);
    } else {
        AUTO_JSON json_t *o = wire(ch.id, ch.environment_id, ch.name, ch.now, NULL, ch.expires_at);
        json_put_str(o, "key", key);
        api_reply(c, 200, o);
    }
    secret_wipe(key, sizeof(key));
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
    stmt_bind_int(s, 2, rows_cursor_time(&l->rows));
    stmt_bind_text(s, 3, l->rows.page.cursor_id);
    stmt_bind_int(s, 4, rows_limit(&l->rows));
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
    if (r == -E_DENIED && l.refusal.status)
        api_refuse(c, &l.refusal);
    else if (r < 0)
        api_failed(c, r, NULL);
    else
        rows_reply(&l.rows, c);
}

/* ---- revoke ---- */

static int revoke_tx(struct tx *tx, void *arg)
{
    struct change *ch = arg;
    int r = check_environment(tx, ch->environment_id, false, &ch->refusal);
    if (r < 0)
        return r;
    r = tx_exec(tx,
                "UPDATE environment_keys SET revoked_at = $1 WHERE id = $2 AND environment_id = $3 "
                "AND revoked_at IS NULL",
                "itt", ch->now, ch->key_id, ch->environment_id);
    if (r < 0)
        return r;
    if (tx_changes(tx) == 0)
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
    if (r == -E_DENIED && ch.refusal.status) {
        api_refuse(c, &ch.refusal);
        return;
    }
    if (r < 0) {
        api_failed(c, r, NULL);
        return;
    }
    work_lease_changed(c->p, ch.lease_now);
    hub_work_ready(c->p->log.hub, ch.environment_id);
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "id", ch.key_id);
    json_put_str(o, "type", "environment_key_deleted");
    api_reply(c, 200, o);
}
