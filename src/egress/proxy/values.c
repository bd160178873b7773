/* values.c - one entry a credential: what it is now, what it was, and who waits for it.
 *
 * On the proxy's loop. Names come from the policy, never from a stranger, so there are as many
 * entries as credentials, and those that it had lately. A value that has not changed keeps its struct:
 * pointers tell, and tables made from values are made again only when one has.
 *
 * A question has a fiber of its own, and its answer is for all who wait then: a client that gives up, and
 * comes again, does not leave the keeper with one more each time. */
#include "egress/proxy/values.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/ctl/messages.h"
#include "egress/policy/policy.h"
#include "scrub/scrub.h"
#include "fiber/sync.h"
#include "io/ctl.h"

#define PROXY_ENTRY "upstream_proxy password" /* no credential has a space in its name */

struct value {
    size_t refs;
    struct secret secret;
};

/* What a credential was. */
struct past {
    struct value *value;
    int64_t until_ns;
};

struct entry {
    struct value *now;
    struct value *told;                /* that others use, or will; NULL: none but now and past */
    struct past past[VALUES_PAST_MAX]; /* the latest first */
    size_t n_past;
    int64_t asked_ns;  /* when the question was begun that brought it; 0: it may not be used */
    bool asking;       /* there is a question */
    bool gone;         /* the policy does not have it any more */
    size_t waiting;    /* the question, and those who want its answer: the entry stays */
    uint64_t answers;  /* how many there were */
    struct err failed; /* the last one; code 0: it was a value */
    struct waitq answered;
};

struct values {
    struct ctl *keeper;
    enum values_for what;
    struct map entries;
    size_t n_past; /* of all entries */
    uint64_t generation;
    uint64_t turns; /* policies: a question asked before the last one has an old answer */
    struct scope questions;
};

/* ---- one value ---- */

struct value *value_ref(struct value *v)
{
    v->refs++;
    return v;
}

void value_unref(struct value *v)
{
    if (!v || --v->refs > 0)
        return;
    secret_done(&v->secret);
    free(v);
}

const struct secret *value_secret(const struct value *v)
{
    return &v->secret;
}

/* ---- entries ---- */

static void drop_past(struct values *vs, struct entry *n, size_t at)
{
    value_unref(n->past[at].value);
    n->n_past--;
    vs->n_past--;
    memmove(&n->past[at], &n->past[at + 1], (n->n_past - at) * sizeof(n->past[0]));
    vs->generation++;
}

static void entry_free(struct values *vs, struct entry *n)
{
    value_unref(n->now);
    value_unref(n->told);
    while (n->n_past > 0)
        drop_past(vs, n, n->n_past - 1);
    free(n);
}

static struct entry *entry_of(struct values *vs, const char *name)
{
    struct entry *n = map_get(&vs->entries, name);
    if (!n) {
        n = mem_new(struct entry);
        waitq_init(&n->answered);
        MUST(!map_put(&vs->entries, name, n));
    }
    return n;
}

/* A secret that could not be found in an answer is not used: too short, or one that repeats itself. */
static int check_guardable(const char *name, const struct secret *secret, struct err *e)
{
    const struct scrub_pair pair = {.name = name,
                                    .secret = secret_borrow(secret),
                                    .secret_bytes = secret->len,
                                    .placeholder = "?",
                                    .placeholder_bytes = 1};
    struct scrub_table *t = NULL;
    int r = scrub_table_new(&pair, 1, SCRUB_ALL, &t, e);
    scrub_table_unref(t);
    return r;
}

static bool is_value(const struct value *v, const struct secret *secret)
{
    return v && v->secret.len == secret->len &&
           secret_eq(&v->secret, secret_borrow(secret), secret->len);
}

/* Of all that was, what is to be forgotten first. */
static void drop_oldest(struct values *vs)
{
    struct entry *oldest = NULL;
    size_t pos = 0;
    void *value;
    while (map_next(&vs->entries, &pos, NULL, &value)) {
        struct entry *n = value;
        if (n->n_past && (!oldest || n->past[n->n_past - 1].until_ns <
                                         oldest->past[oldest->n_past - 1].until_ns))
            oldest = n;
    }
    if (oldest)
        drop_past(vs, oldest, oldest->n_past - 1);
}

/* The reference is taken over. */
static void push_past(struct values *vs, struct entry *n, struct value *v)
{
    for (size_t i = 0; i < n->n_past; i++) /* it had been this before */
        if (is_value(n->past[i].value, &v->secret))
            drop_past(vs, n, i--);
    if (n->n_past == VALUES_PAST_MAX)
        drop_past(vs, n, n->n_past - 1);
    else if (vs->n_past == VALUES_PAST_ALL_MAX)
        drop_oldest(vs);
    memmove(&n->past[1], &n->past[0], n->n_past * sizeof(n->past[0]));
    n->past[0] = (struct past){v, time_mono_ns() + EGRESS_REMEMBER_MS * NS_PER_MS};
    n->n_past++;
    vs->n_past++;
    vs->generation++;
}

/* The value of now becomes one of before. */
static void retire(struct values *vs, struct entry *n)
{
    struct value *v = n->now;
    n->now = NULL;
    if (v)
        push_past(vs, n, v);
}

/* `secret` is taken over. The reference is the caller's. */
static struct value *value_new(struct secret *secret)
{
    struct value *v = mem_new(struct value);
    v->refs = 1;
    v->secret = *secret;
    return v;
}

/* Takes `secret` over. */
static void take_value(struct values *vs, struct entry *n, struct secret *secret)
{
    if (is_value(n->now, secret)) {
        secret_done(secret);
        return;
    }
    struct value *v = is_value(n->told, secret) ? TAKE(n->told) : NULL;
    if (v)
        secret_done(secret);
    else
        v = value_new(secret);
    retire(vs, n);
    n->now = v;
    vs->generation++;
}

struct question {
    struct values *vs;
    struct entry *entry;
    int64_t began_ns;
    uint64_t turns;
    char name[];
};

static int fetch(const struct question *q, struct err *e)
{
    struct values *vs = q->vs;
    struct entry *n = q->entry;
    const bool proxy = str_eq(q->name, PROXY_ENTRY);
    AUTO_JSON json_t *o = json_new_object(), *answer = NULL;
    struct secret secret = {0};
    json_put_str(o, "op", proxy ? "proxy_password" : "value");
    if (!proxy) {
        json_put_str(o, "credential", q->name);
        json_put_bool(o, "look", vs->what == VALUES_LOOKED);
    }
    int r = ctl_ask(vs->keeper, o, NULL, 0, &answer, NULL, &secret, e);
    if (r < 0)
        return r;
    if (!secret.data)
        return err_set(e, -E_PROTO, "the keeper of secrets answered without one");
    if (!is_value(n->now, &secret) && !proxy && (r = check_guardable(q->name, &secret, e)) < 0) {
        secret_done(&secret);
        return r;
    }
    take_value(vs, n, &secret);
    /* A policy that has come meanwhile may give the name another source: this may be the old one's. */
    n->asked_ns = vs->turns == q->turns ? q->began_ns : 0;
    if (n->gone) /* or none: somebody may have used it, in another process */
        retire(vs, n);
    return 0;
}

static int ask(void *arg)
{
    struct question *q = arg;
    struct entry *n = q->entry;
    fiber_deadline_clear(); /* of the first of those who wait */
    struct err e = {.code = 0};
    int r = fetch(q, &e);
    n->failed = e;
    n->failed.code = r;
    n->asking = false;
    n->answers++;
    n->waiting--;
    waitq_wake_all(&n->answered);
    free(q);
    return 0;
}

static int begin_question(struct values *vs, struct entry *n, const char *name, struct err *e)
{
    struct question *q = mem_array(sizeof(*q) + strlen(name) + 1, 1);
    *q = (struct question){vs, n, time_mono_ns(), vs->turns};
    memcpy(q->name, name, strlen(name) + 1);
    int r = fiber_spawn(&vs->questions, "value", ask, q, NULL);
    if (r < 0) {
        free(q);
        return err_set(e, r, "no fiber to ask for a secret: %s", err_text(r));
    }
    n->asking = true;
    n->waiting++;
    return 0;
}

/* For who has come at `since`: a question that was begun later is good however long it took. */
static bool is_fresh(const struct entry *n, int64_t since_ns)
{
    return n->now && n->asked_ns &&
           (n->asked_ns >= since_ns || time_mono_ns() - n->asked_ns < EGRESS_VALUE_MS * NS_PER_MS);
}

static int await_answer(struct values *vs, struct entry *n, const char *name, struct err *e)
{
    const uint64_t had = n->answers, turns = vs->turns;
    int r = n->asking ? 0 : begin_question(vs, n, name, e);
    while (r >= 0 && n->answers == had)
        if ((r = waitq_wait(&n->answered)) < 0)
            err_set(e, r, "%s could not be asked for: %s", name, err_text(r));
    if (r >= 0 && n->failed.code < 0 && vs->turns == turns) {
        *e = n->failed;
        r = e->code;
    }
    return r;
}

static int get(struct values *vs, const char *name, struct value **ret, struct err *e)
{
    struct entry *n = entry_of(vs, name);
    const int64_t since_ns = time_mono_ns();
    int r = 0;
    n->waiting++;
    while (r >= 0 && !n->gone && !is_fresh(n, since_ns))
        r = await_answer(vs, n, name, e);
    n->waiting--;
    if (r >= 0 && n->gone)
        r = err_set(e, -ENOENT, "the policy has no such credential any more");
    if (r >= 0)
        *ret = value_ref(n->now);
    return r;
}

int values_get(struct values *vs, const char *credential, struct value **ret, struct err *e)
{
    return get(vs, credential, ret, e);
}

int values_learn(struct values *vs, const char *credential, const struct secret *secret,
                 struct err *e)
{
    struct entry *n = entry_of(vs, credential);
    struct secret own = {0};
    if (is_value(n->now, secret) || is_value(n->told, secret))
        return 0;
    int r = check_guardable(credential, secret, e);
    if (r == -EINVAL || r == -E_LIMIT)
        return 0; /* whoever asks for it is refused: no origin has it from us */
    if (r >= 0 && (r = secret_set(&own, secret_borrow(secret), secret->len)) < 0)
        err_set(e, r, "no memory for a secret");
    if (r < 0)
        return r;
    if (n->told)
        push_past(vs, n, TAKE(n->told));
    if (n->gone)
        push_past(vs, n, value_new(&own));
    else
        n->told = value_new(&own);
    vs->generation++;
    return 0;
}

bool values_has(const struct values *vs, const char *credential)
{
    const struct entry *n = map_get(&vs->entries, credential);
    return n && n->now;
}

int values_get_proxy_password(struct values *vs, struct value **ret, struct err *e)
{
    return get(vs, PROXY_ENTRY, ret, e);
}

/* ---- all of them ---- */

struct values *values_new(struct ctl *keeper, enum values_for what)
{
    struct values *vs = mem_new(struct values);
    vs->keeper = keeper;
    vs->what = what;
    scope_init(&vs->questions);
    map_init(&vs->entries);
    vs->generation = 1;
    return vs;
}

void values_free(struct values *vs)
{
    if (!vs)
        return;
    scope_done(&vs->questions);
    size_t pos = 0;
    void *n;
    while (map_next(&vs->entries, &pos, NULL, &n))
        entry_free(vs, n);
    map_done(&vs->entries);
    free(vs);
}

uint64_t values_generation(const struct values *vs)
{
    return vs->generation;
}

size_t values_known(const struct values *vs, struct values_known **ret)
{
    struct values_known *all = mem_array(2 * vs->entries.n + vs->n_past + 1, sizeof(*all));
    size_t pos = 0, n = 0;
    const char *name;
    void *value;
    while (map_next(&vs->entries, &pos, &name, &value)) {
        const struct entry *x = value;
        if (str_eq(name, PROXY_ENTRY))
            continue;
        if (x->now)
            all[n++] = (struct values_known){name, x->now};
        if (x->told)
            all[n++] = (struct values_known){name, x->told};
        for (size_t i = 0; i < x->n_past; i++)
            all[n++] = (struct values_known){name, x->past[i].value};
    }
    *ret = all;
    return n;
}

bool values_forget(struct values *vs)
{
    const uint64_t before = vs->generation;
    const int64_t now_ns = time_mono_ns();
    size_t pos = 0;
    const char *name;
    void *value;
    while (map_next(&vs->entries, &pos, &name, &value)) {
        struct entry *n = value;
        while (n->n_past > 0 && n->past[n->n_past - 1].until_ns <= now_ns)
            drop_past(vs, n, n->n_past - 1);
        if (!n->gone || n->n_past > 0 || n->waiting > 0)
            continue;
        map_remove(&vs->entries, name);
        entry_free(vs, n);
    }
    return vs->generation != before;
}

static bool has_credential(const struct policy *p, const char *name)
{
    const struct policy_credential *const *all;
    const size_t n = policy_credentials(p, &all);
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i]->name, name))
            return true;
    return false;
}

void values_take_policy(struct values *vs, const struct policy *p)
{
    size_t pos = 0;
    const char *name;
    void *value;
    vs->turns++;
    while (map_next(&vs->entries, &pos, &name, &value)) {
        struct entry *n = value;
        n->asked_ns = 0; /* the same name may have another source now */
        n->gone = !str_eq(name, PROXY_ENTRY) && !has_credential(p, name);
        if (!n->gone)
            continue;
        if (n->told)
            push_past(vs, n, TAKE(n->told));
        retire(vs, n);
    }
}
