/* jwks - the keys of one who issues tokens (RFC 7517), read once, and which tokens they have signed. */
#pragma once

#include "base/base.h"
#include "crypto/digest.h"
#include "crypto/jws.h"

struct err;
struct jwks;

#define JWKS_BYTES_MAX (256u << 10)
#define JWKS_KEYS_MAX  64
#define JWKS_KNOWN_MAX 256 /* tokens that are remembered */
#define JWKS_KID_MAX   256 /* bytes of a key's name */

/* Reads a set. Keys that no signature is checked with here are passed over (RFC 7517 5): of a kind that is not
 * known, for encryption, on another curve, too short. 0 with one reference in *ret; -E_PARSE with words: it is no
 * set, or none of its keys can be used, or one of them is private; -E_LIMIT: too large, too many. Pure. */
int jwks_parse(const char *text, size_t n, struct jwks **ret, struct err *e) WARN_UNUSED;
struct jwks *jwks_ref(struct jwks *s);
void jwks_unref(struct jwks *s);         /* NULL is fine */
size_t jwks_count(const struct jwks *s); /* keys that can be used */

/* The one key of that name that signs by `alg`. `kid` may be NULL: then there has to be one such key alone.
 * NULL: there is none; *ret_many (may be NULL) says whether there was more than one. */
const struct jws_key *jwks_find(const struct jwks *s, const char *kid, enum jws_alg alg,
                                bool *ret_many);

/* Tokens come again with each request, and to check one signature costs as much as to forward it: so the SHA-256 of a
 * whole token whose signature was good is remembered, for as long as the set is. The latest of two that share a
 * place stays. One thread at a time. */
void jwks_remember(struct jwks *s, const unsigned char hash[DIGEST_SHA256_BYTES]);
bool jwks_remembers(const struct jwks *s, const unsigned char hash[DIGEST_SHA256_BYTES]);
