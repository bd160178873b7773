/* jws - public keys, and whether a JSON Web Signature is one of theirs (RFC 7515, 7518, 8037). */
#pragma once

#include "base/base.h"

enum jws_alg {
    JWS_ES256,
    JWS_ES384,
    JWS_RS256,
    JWS_PS256,
    JWS_EDDSA, /* on Ed25519 alone */
    JWS_ALGS
};
#define JWS_ALL ((1u << JWS_ALGS) - 1)

#define JWS_RSA_LEAST_BITS  2048
#define JWS_RSA_MOST_BITS   8192
#define JWS_SIGNATURE_BYTES (JWS_RSA_MOST_BITS / 8)

struct jws_key;

/* As it stands in `alg`: "ES256". */
const char *jws_alg_name(enum jws_alg a);
/* The one of that name, letter by letter; -ENOENT: none, as "none", "HS256" and what is not in the list. */
int jws_alg_of(const char *name, enum jws_alg *ret) WARN_UNUSED;

/* A point on P-256 (32 bytes each) or P-384 (48). -E_PARSE: another size, or not on the curve. */
int jws_key_ec(const unsigned char *x, size_t n_x, const unsigned char *y, size_t n_y,
               struct jws_key **ret) WARN_UNUSED;
/* Modulus and exponent, big-endian, without a zero in front. -E_PARSE: fewer or more bits than above, or an
 * exponent that is even, 1, or has more than 32 bits. */
int jws_key_rsa(const unsigned char *n, size_t n_n, const unsigned char *e, size_t n_e,
                struct jws_key **ret) WARN_UNUSED;
int jws_key_ed25519(const unsigned char *x, size_t n, struct jws_key **ret) WARN_UNUSED;
void jws_key_free(struct jws_key *k); /* NULL is fine */

/* Whether keys of this kind sign by that algorithm: each has one, but RSA, which has two. */
bool jws_key_fits(const struct jws_key *k, enum jws_alg a);
/* False, too, for an algorithm that does not fit. About 0.1 ms. Does not suspend. */
bool jws_verify(const struct jws_key *k, enum jws_alg a, const void *text, size_t n,
                const unsigned char *signature, size_t n_signature) WARN_UNUSED;
