/* idem_store.c - the table of answers that were given under an Idempotency-Key.
 *
 * Read by idem_begin, on the call's fiber, before a POST is carried out; written by api_reply
 * before the answer leaves, or inside the handler's own transaction. Rows are kept for 24 hours:
 * old ones go as new ones come. The key is the caller's (its length is checked in idem.c); the
 * scope and the hash are ours. */
#include "platform/api/idem_store.h"

#include "base/str.h"
#include "base/time.h"

#include <string.h>

#define KEPT_US (24 * 3600 * US_PER_S)

struct lookup {
    const struct idem *i;
    int64_t not_before;
    struct idem_answer *found;
};

static int lookup_tx(struct tx *tx, void *arg)
{
    struct lookup *l = arg;
    struct stmt *s = tx_prepare(tx, "SELECT request_hash, status, body FROM idempotency"
                                    " WHERE scope = $1 AND idem_key = $2 AND created_at > $3");
    stmt_bind_text(s, 1, l->i->scope);
    stmt_bind_text(s, 2, l->i->key);
    stmt_bind_int(s, 3, l->not_before);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct idem_answer *a = l->found;
    str_copy(a->hash, sizeof(a->hash), stmt_text(s, 0, NULL));
    a->status = (int)stmt_int(s, 1);
    const char *body = stmt_text(s, 2, &a->body_len);
    free(a->body);
    a->body = mem_strndup(body, a->body_len);
    stmt_reset(s);
    return 0;
}

int idem_lookup(struct db *db, const struct idem *i, struct idem_answer *ret)
{
    struct lookup l = {.i = i, .not_before = time_real_us() - KEPT_US, .found = ret};
    return db_read(db, lookup_tx, &l);
}

static int insert_tx(struct tx *tx, const struct idem *i, int status, const char *text)
{
    int64_t now = time_real_us();
    /* Old rows go as new ones come; a row of the same key that is left is older than a day. */
    int r = tx_exec(tx, "DELETE FROM idempotency WHERE created_at <= $1", "i", now - KEPT_US);
    if (r < 0)
        return r;
    return tx_exec(
        tx,
        "INSERT INTO idempotency (scope, idem_key, request_hash, status, body, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        "tttiti", i->scope, i->key, i->hash, (int64_t)status, text, now);
}

int idem_store_tx(struct tx *tx, const struct idem *i, int status, const json_t *answer)
{
    size_t n;
    AUTO_FREE char *text = json_text(answer, &n);
    return insert_tx(tx, i, status, text);
}

struct storing {
    const struct idem *i;
    int status;
    const char *text;
};

static int store_tx(struct tx *tx, void *arg)
{
    const struct storing *s = arg;
    return insert_tx(tx, s->i, s->status, s->text);
}

int idem_store(struct db *db, struct idem *i, bool secret, int status, const char *text)
{
    struct storing s = {
        .i = i, .status = secret ? IDEM_WITHHELD : status, .text = secret ? "" : text};
    int r = db_write(db, store_tx, &s);
    if (r == 0)
        i->stored = true;
    return r;
}
