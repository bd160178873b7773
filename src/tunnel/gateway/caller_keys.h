/* caller_keys - the public keys of the issuer of callers' tokens, as they are now. */
#pragma once

#include "base/base.h"

struct caller_keys;
struct err;
struct jwks;

#define CALLER_KEYS_FRESH_LEAST_MS 60000
#define CALLER_KEYS_FRESH_MOST_MS  3600000
#define CALLER_KEYS_FRESH_MS       600000  /* where the answer does not say how long */
#define CALLER_KEYS_STALE_MS       3600000 /* after that, while the issuer cannot be asked */
#define CALLER_KEYS_AGAIN_MS       60000   /* between questions for a key that is not known */
#define CALLER_KEYS_RETRY_MS       10000   /* after a question that has failed */

/* Asks for the set at `url`. `ret_max_age_s`: how long the answer is good for, -1: not said. 0 with a text,
 * free's, or a code with words. Suspends. */
typedef int caller_keys_ask(void *arg, const char *url, char **ret, size_t *ret_n,
                            int64_t *ret_max_age_s, struct err *e);

/* Those of a file, which do not change; the reference is taken over. Never NULL. */
struct caller_keys *caller_keys_of_set(struct jwks *set);
/* Those at `url` (copied), which is not asked before somebody wants a key. Never NULL. */
struct caller_keys *caller_keys_of_url(const char *url, caller_keys_ask *ask, void *arg);
struct caller_keys *caller_keys_ref(struct caller_keys *k);
void caller_keys_unref(struct caller_keys *k); /* Nobody may wait in it. NULL is fine */
/* Whether they are those at `url`; NULL: of a file. */
bool caller_keys_are_of(const struct caller_keys *k, const char *url);

/* The set as it is now, one reference. Suspends where it has to be asked for: by one at a time, the others wait, or
 * go on with the one of before. 0, -ECANCELED, -ETIMEDOUT, or a code with words for the log: it cannot be had, and the
 * one of before is too old. */
int caller_keys_get(struct caller_keys *k, struct jwks **ret, struct err *e) WARN_UNUSED;
/* A later set than `than`, in which there was no key for a token: it may have been changed since it was asked
 * for. Likewise; -ENOENT: there is none, or it was asked for less than CALLER_KEYS_AGAIN_MS ago. */
int caller_keys_newer(struct caller_keys *k, const struct jwks *than, struct jwks **ret)
    WARN_UNUSED;
