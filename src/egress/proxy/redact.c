/* redact.c - one table of every secret that is known, or can be known for nothing.
 *
 * Called on the fiber that makes a record, after the answer has gone: whoever waits here keeps nobody
 * waiting but the next request of its connection. What a sandbox controls is the text. A pass over the
 * policy's sources costs a question to the keeper for each of them, so it is made when the policy is
 * another one, and every REDACT_FRESH_MS while records are made, by one fiber for all. A source that
 * fails has no secret that anybody here could look for. Until the first pass over a policy is through,
 * nothing that a sandbox wrote is written down. */
#include "egress/proxy/redact.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/policy/policy.h"
#include "egress/proxy/values.h"
#include "egress/scrub/scrub.h"
#include "fiber/fiber.h"
#include "fiber/sync.h"

#define REDACT_FRESH_MS 10000 /* a secret that is rotated now, and used by nobody here yet */

struct redact {
    struct values *own, *used;
    struct fmutex asking;
    char policy[POLICY_HASH_HEX]; /* of which every source has been asked; "": none */
    int64_t asked_ns;
    struct scrub_table *table;
    uint64_t own_generation, used_generation; /* that it was made of */
};

struct redact *redact_new(struct ctl *keeper, struct values *used)
{
    struct redact *d = mem_new(struct redact);
    d->own = values_new(keeper, VALUES_LOOKED);
    d->used = used;
    fmutex_init(&d->asking);
    return d;
}

void redact_free(struct redact *d)
{
    if (!d)
        return;
    scrub_table_unref(d->table);
    values_free(d->own);
    free(d);
}

/* ---- knowing ---- */

static bool costs_nothing(const struct policy_credential *c)
{
    static const char *const kinds[] = {"env", "file", "systemd"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (json_get_str(c->source, kinds[i]))
            return true;
    return false;
}

static bool is_fresh(const struct redact *d, const struct policy *p)
{
    return str_eq(d->policy, policy_hash(p)) &&
           time_mono_ns() - d->asked_ns < REDACT_FRESH_MS * NS_PER_MS;
}

/* 0, or why it was not gone through to its end. */
static int ask_all(struct redact *d, const struct policy *p)
{
    const struct policy_credential *const *all;
    const size_t n = policy_credentials(p, &all);
    if (!str_eq(d->policy, policy_hash(p)))
        values_take_policy(d->own, p);
    for (size_t i = 0; i < n; i++) {
        struct value *v = NULL;
        struct err e = {.code = 0};
        if (!costs_nothing(all[i]))
            continue;
        int r = values_get(d->own, all[i]->name, &v, &e);
        value_unref(v);
        if (r == -ETIMEDOUT || r == -ECANCELED || r == -E_CLOSED)
            return r;
    }
    return 0;
}

/* ---- the table ---- */

/* A host is written in lower case. */
static int lower_case(const struct secret *s, struct secret *ret)
{
    int r = secret_set(ret, secret_borrow(s), s->len);
    for (size_t i = 0; r >= 0 && i < ret->len; i++)
        if (ret->data[i] >= 'A' && ret->data[i] <= 'Z')
            ret->data[i] = (char)(ret->data[i] | 0x20);
    return r;
}

static int make_table(const struct values_known *known, size_t n, struct secret *lower,
                      struct scrub_table **ret)
{
    AUTO_FREE struct scrub_pair *pairs = mem_array(2 * n + 1, sizeof(*pairs));
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const struct secret *s = value_secret(known[i].value);
        int r = lower_case(s, &lower[i]);
        if (r < 0)
            return r;
        pairs[k++] = (struct scrub_pair){known[i].credential, secret_borrow(s), s->len, "-", 1};
        pairs[k++] = (struct scrub_pair){known[i].credential, secret_borrow(&lower[i]),
                                         lower[i].len, "-", 1};
    }
    struct err e;
    return scrub_table_new(pairs, k, SCRUB_ALL, ret, &e);
}

static size_t all_known(const struct redact *d, struct values_known **ret)
{
    AUTO_FREE struct values_known *own = NULL, *used = NULL;
    const size_t n = values_known(d->own, &own), m = values_known(d->used, &used);
    struct values_known *all = mem_array(n + m + 1, sizeof(*all));
    memcpy(all, own, n * sizeof(*all));
    memcpy(all + n, used, m * sizeof(*all));
    *ret = all;
    return n + m;
}

static int refresh(struct redact *d)
{
    const uint64_t own = values_generation(d->own), used = values_generation(d->used);
    if (d->table && d->own_generation == own && d->used_generation == used)
        return 0;
    AUTO_FREE struct values_known *known = NULL;
    const size_t n = all_known(d, &known);
    struct secret *lower = mem_array(n + 1, sizeof(*lower));
    struct scrub_table *t = NULL;
    int r = make_table(known, n, lower, &t);
    for (size_t i = 0; i < n; i++)
        secret_done(&lower[i]);
    free(lower);
    if (r < 0)
        return r;
    scrub_table_unref(d->table);
    d->table = t;
    d->own_generation = own;
    d->used_generation = used;
    return 0;
}

static void prepare(struct redact *d, const struct policy *p)
{
    AUTO(fiber_shield) shield = fiber_shield_begin(REDACT_WAIT_MS);
    if (fmutex_lock(&d->asking) < 0)
        return;
    if (!is_fresh(d, p) && ask_all(d, p) == 0) {
        str_copy(d->policy, sizeof(d->policy), policy_hash(p));
        d->asked_ns = time_mono_ns();
    }
    fmutex_unlock(&d->asking);
}

void redact_prepare(struct redact *d, struct policy *p)
{
    if (is_fresh(d, p))
        return;
    policy_ref(p); /* another one may come meanwhile */
    prepare(d, p);
    policy_unref(p);
}

void redact_forget(struct redact *d)
{
    (void)values_forget(d->own);
    if (d->table && (d->own_generation != values_generation(d->own) ||
                     d->used_generation != values_generation(d->used))) {
        scrub_table_unref(d->table);
        d->table = NULL;
    }
}

bool redact_sees(struct redact *d, const char *p, size_t n)
{
    uint64_t hits = 0;
    if (n == 0)
        return false;
    if (!d->policy[0] || refresh(d) < 0)
        return true;
    return scrub_text(d->table, p, n, SCRUB_QUOTE_NONE, NULL, &hits) < 0 || hits > 0;
}

struct audit_text redact_text(struct redact *d, const char *p, size_t n)
{
    return redact_sees(d, p, n) ? audit_text("(a secret)") : (struct audit_text){n ? p : NULL, n};
}
