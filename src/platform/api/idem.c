/* idem.c - repetitions of a POST.
 *
 * Called by serve.c around every POST. A key is scoped to the caller that sent it, and bound to a
 * SHA-256 of method, target and body, so a key used for a second, different request is refused
 * rather than answered with another request's result. Three states: running (a row of the in-memory
 * table; repetitions wait for it), answered (a row of the store, idem_store; repetitions get its
 * text), unknown. Only 2xx answers are kept: a refused request changed nothing, so running it again
 * is right.
 *
 * The handlers that append to a session, and the one that makes a tunnel, store the answer inside
 * their own transaction (idem_store_tx): there a crash keeps both or neither. For the others the
 * answer follows in a transaction of its own before the response leaves; a crash between the two
 * can lose the answer but never acknowledges without it.
 *
 * An answer that shows a secret once (environment keys) is not kept in clear: its row says only
 * that it was given. */
#include "platform/api/idem.h"

#include "base/err.h"
#include "base/str.h"
#include "crypto/digest.h"
#include "platform/api/idem_store.h"
#include "platform/api/state.h"

#include <stdio.h>
#include <string.h>

#define KEY_MAX_CHARS 255

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

static void request_hash(struct api_call *c, const char *body_hash, char ret[DIGEST_SHA256_HEX])
{
    const struct h1_request *q = http_request(c->x);
    AUTO_FREE char *line = mem_printf("%s %s %s", q->method, q->target, body_hash);
    digest_sha256_hex(line, strlen(line), ret);
}

static int differs(struct api_call *c)
{
    api_conflict(
        c, "invalid_request_error",
        "Idempotency-Key: this key was already used for a different request; use a new key.");
    return 1;
}

/* Gives the stored answer again. Returns 1. */
static int replay(struct api_call *c, const struct idem_answer *a)
{
    if (strcmp(a->hash, c->idem->hash) != 0)
        return differs(c);
    if (a->status == IDEM_WITHHELD) {
        api_conflict(c, "invalid_request_error",
                     "Idempotency-Key: this request was already carried out, and its answer is %s.",
                     c->flags & ROUTE_REVEALED
                         ? "not kept; reveal_token shows the token"
                         : "shown only once; list what exists, revoke it and create another");
        return 1;
    }
    http_set_header(c->x, "request-id", c->request_id);
    http_set_header(c->x, "anthropic-organization-id", c->p->organization_id);
    http_set_header(c->x, "idempotent-replayed", "true");
    (void)http_reply(c->x, a->status, "application/json", a->body, a->body_len);
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

int idem_begin(struct api_call *c, const char *body_hash)
{
    size_t n_found = 0;
    const char *key = h1_header_get(http_request(c->x), "idempotency-key", &n_found);
    if (!key || c->flags & ROUTE_REPEATABLE)
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
    request_hash(c, body_hash, c->idem->hash);

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

    struct idem_answer a = {0};
    r = idem_lookup(c->p->log.db, c->idem, &a);
    if (r == -ENOENT)
        return 0;
    if (r == 0) {
        r = replay(c, &a);
    } else {
        (void)api_failed(c, r, NULL);
        r = 1;
    }
    free(a.body);
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
