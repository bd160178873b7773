/* proxy - asking an HTTP proxy for a connection to somewhere (CONNECT, RFC 9110 9.3.6). */
#pragma once

#include "base/base.h"

struct err;
struct secret;
struct stream;

/* The proxy that is asked, as the question and words about it need it. All texts are borrowed. */
struct http_proxy {
    const char *word;        /* what it is called where it is named: "upstream_proxy", "--proxy" */
    const char *name;        /* its host */
    const char *user;        /* for basic authentication; NULL: it is asked without one */
    const char *user_source; /* where user and password are from, as in "of the policy" */
    const char *user_advice; /* how to give them, for one who has not and must: a clause */
};

/* Asks the proxy at `s` for `authority` ("1.2.3.4:443", "name:443"), with basic authentication when
 * it has a user (`password` then is not NULL; borrowed). Afterwards `s` leads there: not a byte behind
 * the answer's head has been read. *ret_status is that of the final answer, 0 when none came;
 * *ret_error a type of RFC 9209 2.3 on failure. Suspends, bounded by the fiber's deadline. 0, or with
 * words: -EACCES (the proxy refuses us, or the origin), -EHOSTUNREACH, -ETIMEDOUT (it says that it
 * cannot reach the origin, or says nothing), -E_PROTO (it talks nonsense), other codes. */
int http_proxy_connect(struct stream *s, const struct http_proxy *proxy, const char *authority,
                       const struct secret *password, int *ret_status, const char **ret_error,
                       struct err *e) WARN_UNUSED;
