/* idem.c - repetitions of a POST.
 *
 * Called by api.c around every POST. A key is scoped to the caller that sent it, and bound to a
 * SHA-256 of method, target and body, so a key used for a second, different request is refused
 * rather than answered with somebody else's result. Three states: running (a row of the in-memory
 * table; repetitions wait for it), answered (a row of table `idempotency`; repetitions get its
 * text), unknown. Only 2xx answers are kept: a refused request changed nothing, so running it again
 * is right.
 *
 * The handlers that append to a session store the answer inside their own transaction
 * (idem_store_tx): there a crash keeps both or neither. For the others the answer follows in a
 * transaction of its own before the response leaves; a crash between the two can lose the answer
 * but never acknowledges without it.
 *
 * An answer that shows a secret once (environment keys) is not kept in clear: its row says only
 * that it was given. */
#include "platform/api/idem.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "platform/state.h"
#include "crypto/digest.h"

#include <stdio.h>
#include <string.h>

#define KEPT_US         (24 * 3600 * US_PER_S)
#define KEY_MAX_CHARS   255
#define STATUS_WITHHELD 0 /* answered, but the answer held a secret */

struct idem_inflight {
    char hash[DIGEST_SHA256_HEX];
    struct waitq waiting;
    int refs; /* the running call and every waiting one */
    bool over;
};

static void inflight_unref(struct idem_inflight *f)
{
    if (--f->refs == 0)
        free(f);
}

static void request_hash(struct api_call *c, const char *raw, size_t n, char ret[DIGEST_SHA256_HEX])
{
    const struct h1_request *q = http_request(c->x);
    char body_hash[DIGEST_SHA256_HEX];
    digest_sha256_hex(raw, n, body_hash);
    AUTO_FREE char *line = mem_printf("%s %s %s", q->method, q->target, body_hash);
    digest_sha256_hex(line, strlen(line), ret);
}

struct lookup {
    const struct idem *i;
    int64_t not_before;
    char hash[DIGEST_SHA256_HEX];
    int status;
    char *body;
    size_t body_len;
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
    str_copy(l->hash, sizeof(l->hash), stmt_text(s, 0, NULL));
    l->status = (int)stmt_int(s, 1);
    const char *body = stmt_text(s, 2, &l->body_len);
    free(l->body);
    l->body = mem_strndup(body, l->body_len);
    stmt_reset(s);
    return 0;
}

static int differs(struct api_call *c)
{
    api_conflict(
        c, "invalid_request_error",
        "Idempotency-Key: this key was already used for a different request; use a new key.");
    return 1;
}

/* Gives the stored answer again. Returns 1. */
static int replay(struct api_call *c, const struct lookup *l)
{
    if (strcmp(l->hash, c->idem->hash) != 0)
        return differs(c);
    if (l->status == STATUS_WITHHELD) {
        api_conflict(
            c, "invalid_request_error",
            "Idempotency-Key: this request was already carried out, and its answer is shown "
            "only once; list what exists, revoke it and create another.");
        return 1;
    }
    http_set_header(c->x, "request-id", c->request_id);
    http_set_header(c->x, "anthropic-organization-id", c->p->organization_id);
    http_set_header(c->x, "idempotent-replayed", "true");
    (void)http_reply(c->x, l->status, "application/json", l->body, l->body_len);
    return 1;
}

/* Waits for a running request with the same key, as often as it takes. 0: none is running. 1:
 * answered. */
static int wait_for_others(struct api_call *c, const char *slot)
{
    struct platform_state *st = platform_state(c->p);
    struct idem_inflight *f;
    while ((f = map_get(&st->inflight, slot))) {
        if (strcmp(f->hash, c->idem->hash) != 0)
            return differs(c);
        int r = 0;
        f->refs++;
        while (!f->over && r == 0)
            r = http_wait(c->x, &f->waiting);
        inflight_unref(f);
        if (r < 0)
            return r;
    }
    return 0;
}

static char *slot_name(const struct idem *i)
{
    return mem_printf("%s\n%s", i->scope, i->key);
}

int idem_begin(struct api_call *c, const char *raw, size_t n)
{
    size_t n_found = 0;
    const char *key = h1_header_get(http_request(c->x), "idempotency-key", &n_found);
    if (!key)
        return 0;
    size_t len = strlen(key);
    bool ok = n_found == 1 && len >= 1 && len <= KEY_MAX_CHARS;
    for (size_t i = 0; ok && i < len; i++)
        ok = key[i] > 0x20 && key[i] < 0x7f;
    if (!ok) {
        api_invalid(c, "Idempotency-Key: must be one value of 1 to %d printable ASCII characters",
                    KEY_MAX_CHARS);
        return 1;
    }

    c->idem = mem_new(struct idem);
    c->idem->key = mem_strdup(key);
    str_copy(c->idem->scope, sizeof(c->idem->scope),
             c->caller.kind == CALLER_SESSION_TOKEN ? c->caller.work_id : c->caller.key_id);
    request_hash(c, raw, n, c->idem->hash);

    AUTO_FREE char *slot = slot_name(c->idem);
    int r = wait_for_others(c, slot);
    if (r != 0)
        goto give_up;

    struct idem_inflight *f = mem_new(struct idem_inflight);
    memcpy(f->hash, c->idem->hash, sizeof(f->hash));
    waitq_init(&f->waiting);
    f->refs = 1;
    c->idem->inflight = f;
    map_put(&platform_state(c->p)->inflight, slot, f);

    struct lookup l = {.i = c->idem, .not_before = time_real_us() - KEPT_US};
    r = db_read(c->p->log.db, lookup_tx, &l);
    if (r == -ENOENT)
        return 0;
    if (r == 0) {
        r = replay(c, &l);
    } else {
        (void)api_failed(c, r, NULL);
        r = 1;
    }
    free(l.body);
give_up:
    idem_end(c);
    return r;
}

void idem_end(struct api_call *c)
{
    struct idem *i = TAKE(c->idem);
    if (!i)
        return;
    if (i->inflight) {
        AUTO_FREE char *slot = slot_name(i);
        map_remove(&platform_state(c->p)->inflight, slot);
        i->inflight->over = true;
        waitq_wake_all(&i->inflight->waiting);
        inflight_unref(i->inflight);
    }
    free(i->key);
    free(i);
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

struct store {
    const struct idem *i;
    int status;
    const char *text;
};

static int store_tx(struct tx *tx, void *arg)
{
    const struct store *s = arg;
    return insert_tx(tx, s->i, s->status, s->text);
}

int idem_store(struct api_call *c, int status, const char *text)
{
    bool secret = c->flags & ROUTE_SHOWN_ONCE;
    struct store s = {
        .i = c->idem, .status = secret ? STATUS_WITHHELD : status, .text = secret ? "" : text};
    int r = db_write(c->p->log.db, store_tx, &s);
    if (r == 0)
        c->idem->stored = true;
    return r;
}
