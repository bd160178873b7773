/* values - the secrets that a proxy has from the keeper, for a moment each.
 *
 * A value is used for EGRESS_VALUE_MS, then asked for again: so that a rotated secret is used from the
 * next request on, and a busy proxy asks fifty times a second at most. One question at a time for each
 * credential. What the keeper tells of by itself is known from then on, and used when a question has
 * brought it: by then all other proxies know it, too. Until then it does not cease to be known.
 *
 * What a credential was before it changed, or before a policy took it away, is remembered: an origin that
 * has it may say it again. Of each credential the last VALUES_PAST_MAX values, of all together
 * VALUES_PAST_ALL_MAX, each for EGRESS_REMEMBER_MS; then it is wiped. */
#pragma once

#include "base/secret.h"

#define VALUES_PAST_MAX     4
#define VALUES_PAST_ALL_MAX 1024 /* one table takes them, and two of each credential of a policy */

struct ctl;
struct err;
struct values;
struct value;

enum values_for {
    VALUES_USED,   /* origins get them */
    VALUES_LOOKED, /* nobody does: they are known when they are seen */
};
struct values *values_new(struct ctl *keeper, enum values_for what)
    __attribute__((returns_nonnull)); /* borrowed */
/* In the fiber that made it. Suspends: ends questions. Nobody may wait in values_get; NULL is fine. */
void values_free(struct values *vs);

/* The value of a credential of the policy; the reference is the caller's. Suspends when it must be
 * asked for. 0, or the source's code with words that hold no secret. */
int values_get(struct values *vs, const char *credential, struct value **ret, struct err *e)
    WARN_UNUSED;
/* The keeper says that a proxy, perhaps another one, is to use this value. Does not suspend. 0: it is known,
 * or nobody can use it; -ENOMEM with words: it is not. */
int values_learn(struct values *vs, const char *credential, const struct secret *secret,
                 struct err *e) WARN_UNUSED;
/* Of upstream_proxy; as above. */
int values_get_proxy_password(struct values *vs, struct value **ret, struct err *e) WARN_UNUSED;

/* Whether values_known has one of it. */
bool values_has(const struct values *vs, const char *credential);

struct value *value_ref(struct value *v);
void value_unref(struct value *v); /* the last one wipes it; NULL is fine */
const struct secret *value_secret(const struct value *v);

/* Changes whenever values_known would say something else. */
uint64_t values_generation(const struct values *vs);
struct values_known {
    const char *credential;
    struct value *value; /* borrowed until the next call that suspends */
};
/* Every value that was handed out, and those that are remembered. Returns how many; the caller frees the
 * array. */
size_t values_known(const struct values *vs, struct values_known **ret);
/* Wipes what has been remembered long enough. Whether there was any. To be called now and then. */
bool values_forget(struct values *vs);
/* A new policy: credentials that it does not have are only remembered, the others asked for again. */
struct policy;
void values_take_policy(struct values *vs, const struct policy *p);
