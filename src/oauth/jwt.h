/* jwt - the two signed texts (RFC 7519, ES256) that a client of an authorization server makes. */
#pragma once

#include "base/buf.h"

struct es256;

#define AUTH_JWT_MAX 8192

/* Who the client is (RFC 7523 3): issuer and subject are its id; for five minutes; a new jti each time.
 * Appends to `ret`; returns buf's error. */
int auth_jwt_client(const struct es256 *k, const char *client_id, const char *audience,
                    struct buf *ret);
/* What a text says of whom (RFC 7523 3). */
struct auth_jwt_words {
    const char *key_id; /* NULL: the key has no name */
    const char *issuer, *subject, *audience;
    const char *scope;   /* NULL: not said */
    const char *session; /* sid; likewise */
};
/* Any assertion; otherwise as above. */
int auth_jwt_assert(const struct es256 *k, const struct auth_jwt_words *w, struct buf *ret);
/* The proof of a request (RFC 9449 4.2): `url` is used without its query; `nonce` and `token` may be NULL
 * or "". As above. */
int auth_jwt_proof(const struct es256 *k, const char *method, const char *url, const char *nonce,
                   const char *token, struct buf *ret);
/* Whether a JWT of somebody else's making names `audience` as one it is for, a slash at the end apart. Its
 * signature is not looked at. Pure. */
bool auth_jwt_is_for(const char *jwt, const char *audience);
