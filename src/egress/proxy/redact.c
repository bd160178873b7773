/* redact.c - one table of every secret that is known, or can be known for nothing.
 *
 * Called on the fiber that makes a record: after the answer has gone, where it keeps nobody waiting but
 * the next request of its connection, and before a head with a secret goes out, where the request waits,
 * for REDACT_WAIT_MS at the most. What a sandbox controls is the text. A pass over the
 * policy's sources costs a question to the keeper for each of them, so it is made when the policy is
 * another one, and every REDACT_FRESH_MS while records are made, by one fiber for all. A source that
 * fails has no secret that anybody here could look for. Until the first pass over a policy is through,
 * nothing that a sandbox wrote is written down.
 *
 * A policy may have more credentials, and each may have had more values, than one table takes. */
#include "egress/proxy/redact.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/policy/policy.h"
#include "egress/proxy/values.h"
#include "scrub/scrub.h"
#include "fiber/fiber.h"
#include "fiber/sync.h"

#define REDACT_FRESH_MS 10000 /* a secret that is rotated now, and used by nobody here yet */

struct redact {
    struct values *own, *used;
    struct fmutex asking;
    char policy[POLICY_HASH_HEX]; /* of which every source has been asked; "": none */
    char wanted[POLICY_HASH_HEX]; /* of which a record is made */
    int64_t asked_ns;
    struct scrub_table **tables;
    size_t n_tables;                          /* 0: to be made */
    uint64_t own_generation, used_generation; /* that they were made of */
    bool failing;
};

struct redact *redact_new(struct ctl *keeper, struct values *used)
{
    struct redact *d = mem_new(struct redact);
    d->own = values_new(keeper, VALUES_LOOKED);
    d->used = used;
    fmutex_init(&d->asking);
    return d;
}

static void drop_tables(struct redact *d)
{
    for (size_t i = 0; i < d->n_tables; i++)
        scrub_table_unref(d->tables[i]);
    free(d->tables);
    d->tables = NULL;
    d->n_tables = 0;
}

void redact_free(struct redact *d)
{
    if (!d)
        return;
    drop_tables(d);
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
    if (!str_eq(d->policy, policy_hash(p))) {
        d->policy[0] = '\0'; /* what is known is of neither until this is through */
        values_take_policy(d->own, p);
    }
    for (size_t i = 0; i < n; i++) {
        struct value *v = NULL;
        struct err e = {.code = 0};
        if (!costs_nothing(all[i]))
            continue;
        int r = values_get(d->own, all[i]->name, &v, &e);
        value_unref(v);
        /* -ETIMEDOUT may be the source's own, which says nothing of the others. */
        if (r == -E_CLOSED || (r < 0 && fiber_yield() < 0))
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

static int by_bytes(const void *x, const void *y)
{
    const struct scrub_pair *a = x, *b = y;
    if (a->secret_bytes != b->secret_bytes)
        return a->secret_bytes < b->secret_bytes ? -1 : 1;
    return memcmp(a->secret, b->secret, a->secret_bytes);
}

/* Most are known twice, and most are in lower case anyway. */
static size_t drop_twins(struct scrub_pair *pairs, size_t n)
{
    size_t kept = 0;
    if (n)
        qsort(pairs, n, sizeof(*pairs), by_bytes);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || by_bytes(&pairs[kept - 1], &pairs[i]) != 0)
            pairs[kept++] = pairs[i];
    return kept;
}

static int make_tables(struct redact *d, const struct scrub_pair *pairs, size_t n)
{
    struct err e;
    int r = 0;
    drop_tables(d);
    d->tables = mem_array(n / SCRUB_PAIRS_MAX + 1, sizeof(struct scrub_table *));
    for (size_t at = 0; r >= 0 && (at < n || d->n_tables == 0); at += SCRUB_PAIRS_MAX) {
        const size_t left = n - at, some = left < SCRUB_PAIRS_MAX ? left : SCRUB_PAIRS_MAX;
        r = scrub_table_new(pairs + at, some, SCRUB_ALL, &d->tables[d->n_tables], &e);
        if (r >= 0)
            d->n_tables++;
    }
    if (r < 0)
        drop_tables(d);
    return r;
}

static int make_of(struct redact *d, const struct values_known *known, size_t n,
                   struct secret *lower)
{
    AUTO_FREE struct scrub_pair *pairs = mem_array(2 * n + 1, sizeof(*pairs));
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const struct secret *s = value_secret(known[i].value);
        struct err e;
        int r = lower_case(s, &lower[i]);
        if (r < 0)
            return r;
        pairs[k++] = (struct scrub_pair){known[i].credential, secret_borrow(s), s->len, "-", 1};
        pairs[k] = (struct scrub_pair){known[i].credential, secret_borrow(&lower[i]), lower[i].len,
                                       "-", 1};
        if (scrub_pair_check(&pairs[k], &e) ==
            0) /* or it repeats itself now; no label has 64 bytes */
            k++;
    }
    return make_tables(d, pairs, drop_twins(pairs, k));
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

static int make(struct redact *d)
{
    AUTO_FREE struct values_known *known = NULL;
    const size_t n = all_known(d, &known);
    struct secret *lower = mem_array(n + 1, sizeof(*lower));
    int r = make_of(d, known, n, lower);
    for (size_t i = 0; i < n; i++)
        secret_done(&lower[i]);
    free(lower);
    return r;
}

static int refresh(struct redact *d)
{
    const uint64_t own = values_generation(d->own), used = values_generation(d->used);
    if (d->n_tables && d->own_generation == own && d->used_generation == used)
        return 0;
    int r = make(d);
    if (r < 0 && !d->failing)
        log_error("secrets cannot be looked for in what is recorded; hosts, paths and methods are "
                  "left out of the audit log",
                  "error=%s", err_text(r));
    d->failing = r < 0;
    if (r < 0)
        return r;
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
    str_copy(d->wanted, sizeof(d->wanted), policy_hash(p));
    if (is_fresh(d, p))
        return;
    policy_ref(p); /* another one may come meanwhile */
    prepare(d, p);
    policy_unref(p);
}

void redact_forget(struct redact *d)
{
    (void)values_forget(d->own);
    if (d->own_generation != values_generation(d->own) ||
        d->used_generation != values_generation(d->used))
        drop_tables(d);
}

bool redact_sees(struct redact *d, const char *p, size_t n)
{
    uint64_t hits = 0;
    int r = 0;
    if (n == 0)
        return false;
    if (!d->policy[0] || !str_eq(d->policy, d->wanted) || refresh(d) < 0)
        return true;
    for (size_t i = 0; r >= 0 && hits == 0 && i < d->n_tables; i++)
        r = scrub_text(d->tables[i], p, n, SCRUB_QUOTE_NONE, NULL, &hits);
    return r < 0 || hits > 0;
}

struct audit_text redact_text(struct redact *d, const char *p, size_t n)
{
    return redact_sees(d, p, n) ? audit_text("(a secret)") : (struct audit_text){n ? p : NULL, n};
}
