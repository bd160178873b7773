/* platform.c - the platform's beginning and end. What the very first start leaves behind is the
 * organization's id and one API key.
 *
 * Called once by the server before anything is served. One transaction, so a start that is cut off
 * leaves nothing half made and the next one begins again. The key's text exists in this call only:
 * the table has its SHA-256. */

#include "platform/platform.h"

#include "base/err.h"
#include "base/id.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "platform/api/auth.h"
#include "platform/work/work.h"

#include <stdio.h>
#include <string.h>

struct first {
    char organization_id[64];
    char key[AUTH_TOKEN_MAX], hash[DIGEST_SHA256_HEX], key_id[ID_MAX];
    bool key_is_new;
    int64_t now;
};

/* A random UUID (RFC 9562, version 4), the form the hosted service uses for this header. */
static void make_uuid(char ret[64])
{
    unsigned char b[16];
    rng_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(ret, 64, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static int organization_tx(struct tx *tx, struct first *f)
{
    struct stmt *s = tx_prepare(tx, "SELECT value FROM meta WHERE name = 'organization_id'");
    int r = stmt_step(s);
    if (r < 0)
        return r;
    if (r > 0) {
        str_copy(f->organization_id, sizeof(f->organization_id), stmt_text(s, 0, NULL));
        stmt_reset(s);
        return 0;
    }
    return tx_exec(tx, "INSERT INTO meta (name, value) VALUES ('organization_id', $1)", "t",
                   f->organization_id);
}

static int first_tx(struct tx *tx, void *arg)
{
    struct first *f = arg;
    int r = organization_tx(tx, f);
    if (r < 0)
        return r;
    struct stmt *s = tx_prepare(tx, "SELECT COUNT(*) FROM api_keys");
    r = stmt_step(s);
    if (r < 0)
        return r;
    f->key_is_new = r > 0 && stmt_int(s, 0) == 0;
    stmt_reset(s);
    if (!f->key_is_new)
        return 0;
    return tx_exec(tx, "INSERT INTO api_keys (id, name, hash, created_at) VALUES ($1, $2, $3, $4)",
                   "ttti", f->key_id, "first start", f->hash, f->now);
}

int platform_first_start(struct platform *p, char ret_key[128], struct err *e)
{
    struct first f = {.now = time_real_us()};
    make_uuid(f.organization_id);
    id_make(f.key_id, "apikey_");
    id_make_token(f.key, sizeof(f.key), AUTH_API_PREFIX);
    digest_sha256_hex(f.key, strlen(f.key), f.hash);
    int r = db_write(p->log.db, first_tx, &f);
    ret_key[0] = '\0';
    if (r == 0) {
        str_copy(p->organization_id, sizeof(p->organization_id), f.organization_id);
        if (f.key_is_new)
            str_copy(ret_key, 128, f.key);
    } else {
        r = err_set(e, r, "the first start could not be written to the database: %s", err_text(r));
    }
    secret_wipe(f.key, sizeof(f.key));
    return r;
}

struct new_key {
    char id[ID_MAX], hash[DIGEST_SHA256_HEX];
    const char *name;
    int64_t now;
};

static int new_key_tx(struct tx *tx, void *arg)
{
    struct new_key *k = arg;
    return tx_exec(tx, "INSERT INTO api_keys (id, name, hash, created_at) VALUES ($1, $2, $3, $4)",
                   "ttti", k->id, k->name, k->hash, k->now);
}

int platform_make_api_key(struct platform *p, const char *name, char ret_key[128], struct err *e)
{
    struct new_key k = {.name = name, .now = time_real_us()};
    id_make(k.id, "apikey_");
    id_make_token(ret_key, 128, AUTH_API_PREFIX);
    digest_sha256_hex(ret_key, strlen(ret_key), k.hash);
    int r = db_write(p->log.db, new_key_tx, &k);
    if (r == 0)
        return 0;
    secret_wipe(ret_key, 128);
    return err_set(e, r, "a new API key could not be written to the database: %s", err_text(r));
}

void platform_done(struct platform *p)
{
    struct platform_state *s = TAKE(p->state);
    if (!s)
        return;
    work_state_free(s->work);
    platform_state_free(s);
}
