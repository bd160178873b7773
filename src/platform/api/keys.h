/* keys - the secrets callers show: API keys, environment keys and the sessions tokens of work
 * items. Making them, and the rows of the first two kinds. Who shows one is found by auth. */
#pragma once

#include "base/id.h"
#include "crypto/digest.h"
#include "store/db.h"

#define KEY_API_PREFIX     "sk-sp-api-"
#define KEY_ENV_PREFIX     "sk-sp-env-"
#define KEY_SESSION_PREFIX "sk-sp-req-"
#define KEY_TUNNEL_PREFIX  "sk-sp-tun-" /* made by tunnels/tunnel_token */
#define KEY_TEXT_MAX       128          /* bytes a buffer for any of them needs */

struct key {
    char id[ID_MAX]; /* "" for a sessions token: it belongs to its work item */
    char text[KEY_TEXT_MAX];
    char hash[DIGEST_SHA256_HEX]; /* SHA-256 of the text, hex: what the store has of it */
};
void key_make_api(struct key *ret);
void key_make_env(struct key *ret);
void key_make_session(struct key *ret);
/* Wipes the text. */
void key_done(struct key *k);

/* 1 when there is an API key, 0 when none, negative. */
int key_any_api_tx(struct tx *tx) WARN_UNUSED;
int key_add_api_tx(struct tx *tx, const struct key *k, const char *name, int64_t now) WARN_UNUSED;
/* `expires_at` NULL: never. */
int key_add_env_tx(struct tx *tx, const struct key *k, const char *environment_id, const char *name,
                   int64_t now, const int64_t *expires_at) WARN_UNUSED;
/* 1 revoked, 0 when the environment has no such key (or no longer), negative. */
int key_revoke_env_tx(struct tx *tx, const char *key_id, const char *environment_id, int64_t now)
    WARN_UNUSED;
