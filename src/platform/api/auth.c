/* auth.c - who is calling.
 *
 * Called by serve.c for every request on a known path, before anything else of it is looked at. A
 * token is worth what its SHA-256 finds in the store: API keys in api_keys, environment keys in
 * environment_keys, sessions tokens in work, those of gateways in tunnel_tokens. Nothing distinguishes a missing, malformed, unknown,
 * revoked or expired one in the answer.
 *
 * Revocation takes effect at the next request because environment keys and sessions tokens are
 * looked up every time, and once more in the transaction of what they change (auth_still_tx): a
 * call that is let in and then waits, for its body or for work, must not act after the end of its
 * credential. API keys are remembered in memory once found: nothing in this version revokes one
 * while the server runs (the data directory is locked by it), and they are the ones that come a
 * thousand times a second.
 *
 * last_used_at is a hint for people: written at most once a minute per key, and its failure is no
 * reason to refuse. */
#include "platform/api/auth.h"

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "platform/api/keys.h"
#include "platform/api/state.h"
#include "session/refusal.h"

#include <string.h>

#define API_KEYS_REMEMBERED 1024
#define LAST_USED_EVERY_US  (60 * US_PER_S)

static bool printable(const char *s, size_t max)
{
    size_t n = 0;
    for (; s[n]; n++)
        if (n >= max || s[n] <= 0x20 || s[n] >= 0x7f)
            return false;
    return n > 0;
}

const char *auth_token(const char *x_api_key, const char *authorization)
{
    const char *bearer = NULL;
    if (authorization) {
        if (!str_ieq_n(authorization, strnlen(authorization, 7), "bearer ", 7))
            return NULL;
        bearer = authorization + 7;
        bearer += strspn(bearer, " ");
    }
    if (x_api_key && bearer && strcmp(x_api_key, bearer) != 0)
        return NULL; /* two credentials: which one is meant is not ours to guess */
    const char *token = x_api_key ? x_api_key : bearer;
    return token && printable(token, KEY_TEXT_MAX) ? token : NULL;
}

enum caller_kind auth_kind(const char *token)
{
    if (str_starts(token, KEY_API_PREFIX))
        return CALLER_API_KEY;
    if (str_starts(token, KEY_ENV_PREFIX))
        return CALLER_ENV_KEY;
    if (str_starts(token, KEY_SESSION_PREFIX))
        return CALLER_SESSION_TOKEN;
    if (str_starts(token, KEY_TUNNEL_PREFIX))
        return CALLER_TUNNEL;
    return CALLER_NONE;
}

bool auth_may_see(const struct caller *who, const char *session_id, const char *environment_id)
{
    switch (who->kind) {
    case CALLER_API_KEY:
        return true;
    case CALLER_ENV_KEY:
        return who->environment_id[0] && !strcmp(who->environment_id, environment_id);
    case CALLER_SESSION_TOKEN:
        return !who->over && who->session_id[0] && !strcmp(who->session_id, session_id);
    default:
        return false;
    }
}

struct lookup {
    char hash[DIGEST_SHA256_HEX];
    int64_t now;
    struct caller found;
};

static int api_key_tx(struct tx *tx, void *arg)
{
    struct lookup *l = arg;
    struct stmt *s =
        tx_prepare(tx, "SELECT id FROM api_keys WHERE hash = $1 AND revoked_at IS NULL");
    stmt_bind_text(s, 1, l->hash);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -E_DENIED;
    str_copy(l->found.key_id, sizeof(l->found.key_id), stmt_text(s, 0, NULL));
    stmt_reset(s);
    l->found.kind = CALLER_API_KEY;
    return 0;
}

static int env_key_tx(struct tx *tx, void *arg)
{
    struct lookup *l = arg;
    struct stmt *s =
        tx_prepare(tx, "SELECT id, environment_id FROM environment_keys WHERE hash = $1"
                       " AND revoked_at IS NULL"
                       " AND (expires_at IS NULL OR expires_at > $2)");
    stmt_bind_text(s, 1, l->hash);
    stmt_bind_int(s, 2, l->now);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -E_DENIED;
    str_copy(l->found.key_id, sizeof(l->found.key_id), stmt_text(s, 0, NULL));
    str_copy(l->found.environment_id, sizeof(l->found.environment_id), stmt_text(s, 1, NULL));
    stmt_reset(s);
    l->found.kind = CALLER_ENV_KEY;
    return 0;
}

/* work.c clears or replaces token_hash whenever the lease the token came with has ended, or its key
 * was revoked. No call is made when that key expires, so it is looked at here: else heartbeats
 * with the token would keep an expired key's lease for ever. */
static int session_token_tx(struct tx *tx, void *arg)
{
    struct lookup *l = arg;
    struct stmt *s =
        tx_prepare(tx, "SELECT id, environment_id, session_id, state FROM work"
                       " WHERE token_hash = $1 AND NOT EXISTS (SELECT 1 FROM environment_keys k"
                       " WHERE k.id = work.claimed_by AND k.expires_at <= $2)");
    stmt_bind_text(s, 1, l->hash);
    stmt_bind_int(s, 2, l->now);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -E_DENIED;
    str_copy(l->found.work_id, sizeof(l->found.work_id), stmt_text(s, 0, NULL));
    str_copy(l->found.environment_id, sizeof(l->found.environment_id), stmt_text(s, 1, NULL));
    str_copy(l->found.session_id, sizeof(l->found.session_id), stmt_text(s, 2, NULL));
    l->found.over = str_eq(stmt_text(s, 3, NULL), "stopped");
    stmt_reset(s);
    l->found.kind = CALLER_SESSION_TOKEN;
    return 0;
}

static int tunnel_token_tx(struct tx *tx, void *arg)
{
    struct lookup *l = arg;
    struct stmt *s = tx_prepare(
        tx, "SELECT id, tunnel_id FROM tunnel_tokens WHERE hash = $1 AND revoked_at IS NULL");
    stmt_bind_text(s, 1, l->hash);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -E_DENIED;
    str_copy(l->found.key_id, sizeof(l->found.key_id), stmt_text(s, 0, NULL));
    str_copy(l->found.tunnel_id, sizeof(l->found.tunnel_id), stmt_text(s, 1, NULL));
    stmt_reset(s);
    l->found.kind = CALLER_TUNNEL;
    return 0;
}

struct used {
    char key_id[64];
    int64_t now;
};

static int used_tx(struct tx *tx, void *arg)
{
    const struct used *u = arg;
    return tx_exec(tx, "UPDATE environment_keys SET last_used_at = $1 WHERE id = $2", "it", u->now,
                   u->key_id);
}

static void note_use(struct api_call *c, int64_t now)
{
    struct map *seen = &platform_state(c->p)->last_used;
    int64_t *last = map_get(seen, c->caller.key_id);
    if (last && now >= *last && now - *last < LAST_USED_EVERY_US)
        return;
    if (!last) {
        last = mem_new(int64_t);
        map_put(seen, c->caller.key_id, last);
    }
    *last = now;
    struct used u = {.now = now};
    str_copy(u.key_id, sizeof(u.key_id), c->caller.key_id);
    int r = db_write(c->p->log.db, used_tx, &u);
    if (r < 0)
        log_warn("last use of a key not written", "key=%s code=%s", u.key_id, err_name(r));
}

static int find(struct platform *p, enum caller_kind kind, struct lookup *l)
{
    switch (kind) {
    case CALLER_API_KEY:
        return db_read(p->log.db, api_key_tx, l);
    case CALLER_ENV_KEY:
        return db_read(p->log.db, env_key_tx, l);
    case CALLER_SESSION_TOKEN:
        return db_read(p->log.db, session_token_tx, l);
    case CALLER_TUNNEL:
        return db_read(p->log.db, tunnel_token_tx, l);
    case CALLER_NONE:
        break;
    }
    return -E_DENIED;
}

int auth_again(struct platform *p, const struct caller *who)
{
    if (who->kind == CALLER_API_KEY)
        return 0;
    struct lookup l = {.now = time_real_us()};
    memcpy(l.hash, who->token_hash, sizeof(l.hash));
    int r = find(p, who->kind, &l);
    return r == 0 && l.found.over ? -E_DENIED : r;
}

/* The caller as it is now. */
static int look_again_tx(struct tx *tx, const struct caller *who, struct lookup *l)
{
    memcpy(l->hash, who->token_hash, sizeof(l->hash));
    return who->kind == CALLER_ENV_KEY         ? env_key_tx(tx, l)
           : who->kind == CALLER_SESSION_TOKEN ? session_token_tx(tx, l)
                                               : -E_DENIED;
}

static int refuse_caller(struct refusal *refusal)
{
    return refuse(refusal, 401, "authentication_error", "Authentication failed");
}

int auth_item_tx(struct tx *tx, const struct caller *who, struct refusal *refusal)
{
    if (who->kind == CALLER_API_KEY)
        return 0;
    struct lookup l = {.now = time_real_us()};
    int r = look_again_tx(tx, who, &l);
    return r == -E_DENIED ? refuse_caller(refusal) : r;
}

int auth_still_tx(struct tx *tx, const struct caller *who, struct refusal *refusal)
{
    if (who->kind == CALLER_API_KEY)
        return 0;
    struct lookup l = {.now = time_real_us()};
    int r = look_again_tx(tx, who, &l);
    return r == -E_DENIED || (r == 0 && l.found.over) ? refuse_caller(refusal) : r;
}

int auth_caller(struct api_call *c)
{
    const struct h1_request *q = http_request(c->x);
    size_t n_keys = 0, n_auth = 0;
    const char *key = h1_header_get(q, "x-api-key", &n_keys);
    const char *authorization = h1_header_get(q, "authorization", &n_auth);
    const char *token = n_keys <= 1 && n_auth <= 1 ? auth_token(key, authorization) : NULL;
    if (!token)
        return -E_DENIED;

    struct lookup l = {.now = time_real_us()};
    digest_sha256_hex(token, strlen(token), l.hash);
    struct map *known = &platform_state(c->p)->api_keys;
    enum caller_kind kind = auth_kind(token);
    const char *id = kind == CALLER_API_KEY ? map_get(known, l.hash) : NULL;
    if (id) {
        c->caller.kind = CALLER_API_KEY;
        str_copy(c->caller.key_id, sizeof(c->caller.key_id), id);
        return 0;
    }
    int r = find(c->p, kind, &l);
    if (r == 0 && kind == CALLER_API_KEY && known->n < API_KEYS_REMEMBERED &&
        !map_get(known, l.hash))
        map_put(known, l.hash, mem_strdup(l.found.key_id));
    if (r < 0)
        return r;
    c->caller = l.found;
    memcpy(c->caller.token_hash, l.hash, sizeof(c->caller.token_hash));
    if (c->caller.kind == CALLER_ENV_KEY)
        note_use(c, l.now);
    return 0;
}
