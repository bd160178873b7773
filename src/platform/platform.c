/* platform.c - the platform's beginning and end. What the very first start leaves behind is the
 * organization's id and one API key.
 *
 * Called once by the server before anything is served. One transaction, so a start that is cut off
 * leaves nothing half made and the next one begins again. The key's text exists in this call only:
 * the table has its SHA-256. */
#include "platform/platform.h"

#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/api/keys.h"
#include "platform/work/work_clock.h"
#include "platform/work/work_sightings.h"

#include <stdio.h>

struct first {
    char organization_id[64];
    struct key key;
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
    r = key_any_api_tx(tx);
    if (r < 0)
        return r;
    f->key_is_new = r == 0;
    return f->key_is_new ? key_add_api_tx(tx, &f->key, "first start", f->now) : 0;
}

int platform_first_start(struct platform *p, char ret_key[128], struct err *e)
{
    struct first f = {.now = time_real_us()};
    make_uuid(f.organization_id);
    key_make_api(&f.key);
    int r = db_write(p->log.db, first_tx, &f);
    ret_key[0] = '\0';
    if (r == 0) {
        str_copy(p->organization_id, sizeof(p->organization_id), f.organization_id);
        if (f.key_is_new)
            str_copy(ret_key, 128, f.key.text);
    } else {
        r = err_set(e, r, "the first start could not be written to the database: %s", err_text(r));
    }
    key_done(&f.key);
    return r;
}

struct new_key {
    struct key key;
    const char *name;
    int64_t now;
};

static int new_key_tx(struct tx *tx, void *arg)
{
    struct new_key *k = arg;
    return key_add_api_tx(tx, &k->key, k->name, k->now);
}

int platform_make_api_key(struct platform *p, const char *name, char ret_key[128], struct err *e)
{
    struct new_key k = {.name = name, .now = time_real_us()};
    key_make_api(&k.key);
    int r = db_write(p->log.db, new_key_tx, &k);
    if (r == 0)
        str_copy(ret_key, 128, k.key.text);
    else
        r = err_set(e, r, "a new API key could not be written to the database: %s", err_text(r));
    key_done(&k.key);
    return r;
}

void platform_done(struct platform *p)
{
    struct platform_state *s = TAKE(p->state);
    if (!s)
        return;
    work_clock_free(s->clock);
    work_sightings_free(s->sightings);
    platform_state_free(s);
}
