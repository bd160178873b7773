/* hashicorp_answer - what a server with the API of HashiCorp Vault has answered. Pure.
 *
 * The API: https://developer.hashicorp.com/vault/api-docs (libraries, AppRole, KV versions 1 and 2,
 * status codes). Not for other rooms. */
#pragma once

#include "base/secret.h"

struct err;

struct hashicorp_answer {
    int status;
    const char *body;
    size_t n;
};

/* What a status other than 200 means: a negative code with words, the server's own words among them
 * as far as they hold nothing of `token` (may be ""). *ret_refused: it is a no, and asking again
 * would not help. */
int hashicorp_refusal(const struct hashicorp_answer *a, const char *token, bool *ret_refused,
                      struct err *e);

/* The time that a secret is good for: that of its lease, two thirds of it when the lease is one that
 * would have to be renewed; 0 when there is none. -E_PROTO with words when it is no such answer. */
int hashicorp_lease(const struct hashicorp_answer *a, int64_t *ret_ms, struct err *e) WARN_UNUSED;

struct hashicorp_login {
    struct secret token;
    int64_t lease_ms; /* 0: for ever */
    bool renewable;
};
void hashicorp_login_done(struct hashicorp_login *l);
/* Of a login, or of a renewal, which may say no token. -E_PROTO with words. */
int hashicorp_login_read(const struct hashicorp_answer *a, struct hashicorp_login *ret,
                         struct err *e) WARN_UNUSED;

/* Appends `path` to a URL, each byte that is not unreserved (RFC 3986, 2.3) or a slash as %XX. `url`
 * has `cap` bytes. False when it does not fit. */
bool hashicorp_url_add(char *url, size_t cap, const char *path);
/* Whether `path` is names between single slashes, none of them "." or "..". */
bool hashicorp_path_is(const char *path);
/* Whether `location`, of a redirect, is `path` at the server `origin`, and nothing else. */
bool hashicorp_location_is(const char *location, const char *origin, const char *path);
