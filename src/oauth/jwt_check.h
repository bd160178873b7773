/* jwt_check - whether a token is one that its issuer has signed, for us, and now (RFC 7519, 8725, 9068). */
#pragma once

#include "base/json.h"
#include "crypto/digest.h"
#include "crypto/jws.h"

struct err;
struct jwks;

#define JWT_BYTES_MAX   (16u << 10)
#define JWT_SUBJECT_MAX 1024 /* bytes of `sub` */

/* A token in its parts. Nothing of it is to be believed before jwt_check_signature. */
struct jwt {
    json_t *claims;
    enum jws_alg alg;
    char *kid, *type;        /* NULL: not there */
    const char *signed_text; /* borrowed from the token, which begins with it */
    size_t n_signed, n_token;
    char *signature;
    size_t n_signature;
};

/* What a token has to be. Texts are borrowed. */
struct jwt_rules {
    unsigned algorithms;          /* bits of enum jws_alg */
    const char *issuer;           /* letter by letter */
    const char *const *audiences; /* one of them is one of the token's, letter by letter */
    size_t n_audiences;
    const char *type; /* `typ`, without "application/"; NULL: none, JWT or at+jwt */
    int64_t skew_s;   /* by how much clocks may differ */
};

/* All of these: 0, or a negative code with words for whoever has sent the token. The words are constant: they hold
 * nothing of it and nothing of the rules. None suspends. */

/* Takes a token of JWS compact form apart. -E_PARSE; -E_LIMIT: too large. *ret is done with in either case. */
int jwt_open(const char *token, size_t n, struct jwt *ret, struct err *e) WARN_UNUSED;
void jwt_done(struct jwt *t); /* zeroed is fine */
/* Algorithm, type, key and signature. The set remembers a signature that is good. -ENOENT: the set has no such key, another one may; -E_DENIED. */
int jwt_check_signature(const struct jwt *t, struct jwks *keys, const struct jwt_rules *rules,
                        struct err *e) WARN_UNUSED;
/* What a token whose signature is good says: who, for whom, when (`now_s` since 1970). -E_DENIED. */
int jwt_check_claims(const struct jwt *t, const struct jwt_rules *rules, int64_t now_s,
                     struct err *e) WARN_UNUSED;

/* Of one that was checked. */
const char *jwt_subject(const struct jwt *t);
/* Issuer and subject as one value that tells callers apart: SHA-256, as hex. */
void jwt_identity(const struct jwt *t, char ret[DIGEST_SHA256_HEX]);
/* Whether the claim is one of `allowed` (an array), or is an array that has one of them. */
bool jwt_claim_is(const struct jwt *t, const char *name, const json_t *allowed);
/* Whether it has all of these scopes (text, separated by spaces): in `scope`, or in `scp`, text or array. */
bool jwt_has_scopes(const struct jwt *t, const char *scopes);
