/* keys.c - making keys, and the rows of those that last.
 *
 * Called at the first start, by the calls on environment keys, and by the poll that hands out a
 * work item. A key's text is random, exists in the call that made it and in its answer, and nowhere
 * else: the tables have its SHA-256. Revoking is final. What a revoked key was given ends with it,
 * which is its caller's to do (env_keys). */
#include "platform/api/keys.h"

#include "base/secret.h"

#include <string.h>

static void make(struct key *ret, const char *id_prefix, const char *prefix)
{
    *ret = (struct key){0};
    if (id_prefix)
        id_make(ret->id, id_prefix);
    id_make_token(ret->text, sizeof(ret->text), prefix);
    digest_sha256_hex(ret->text, strlen(ret->text), ret->hash);
}

void key_make_api(struct key *ret)
{
    make(ret, "apikey_", KEY_API_PREFIX);
}

void key_make_env(struct key *ret)
{
    make(ret, "envkey_", KEY_ENV_PREFIX);
}

void key_make_session(struct key *ret)
{
    make(ret, NULL, KEY_SESSION_PREFIX);
}

void key_done(struct key *k)
{
    secret_wipe(k->text, sizeof(k->text));
}

int key_any_api_tx(struct tx *tx)
{
    struct stmt *s = tx_prepare(tx, "SELECT COUNT(*) FROM api_keys");
    int r = stmt_step(s);
    if (r < 0)
        return r;
    bool any = r == 0 || stmt_int(s, 0) != 0;
    stmt_reset(s);
    return any;
}

int key_add_api_tx(struct tx *tx, const struct key *k, const char *name, int64_t now)
{
    return tx_exec(tx, "INSERT INTO api_keys (id, name, hash, created_at) VALUES ($1, $2, $3, $4)",
                   "ttti", k->id, name, k->hash, now);
}

int key_add_env_tx(struct tx *tx, const struct key *k, const char *environment_id, const char *name,
                   int64_t now, const int64_t *expires_at)
{
    return tx_exec(
        tx,
        "INSERT INTO environment_keys (id, environment_id, name, hash, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        "ttttiI", k->id, environment_id, name, k->hash, now, expires_at);
}

int key_revoke_env_tx(struct tx *tx, const char *key_id, const char *environment_id, int64_t now)
{
    int r =
        tx_exec(tx,
                "UPDATE environment_keys SET revoked_at = $1 WHERE id = $2 AND environment_id = "
                "$3 AND revoked_at IS NULL",
                "itt", now, key_id, environment_id);
    return r < 0 ? r : tx_changes(tx) > 0;
}
