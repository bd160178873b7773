/* es256 - signatures by ECDSA on P-256 with SHA-256, as JSON Web Signatures have them (RFC 7518 3.4),
 * through libcrypto. */
#pragma once

#include "base/secret.h"

#define ES256_COORDINATE_BYTES 32
#define ES256_SIGNATURE_BYTES  64 /* r and s, big endian */
#define ES256_DER_MAX          512

struct err;
struct es256; /* a private key */

/* A new random key. Aborts when libcrypto fails. */
struct es256 *es256_new(void) __attribute__((returns_nonnull));
/* The key in `n` bytes of PEM ("PRIVATE KEY" or "EC PRIVATE KEY", not encrypted). 0; -E_PARSE with words
 * that quote nothing of it. */
int es256_of_pem(const char *text, size_t n, struct es256 **ret, struct err *e) WARN_UNUSED;
/* As es256_der gives it. 0 or -E_PARSE. */
int es256_of_der(const void *p, size_t n, struct es256 **ret) WARN_UNUSED;
void es256_free(struct es256 *k); /* NULL is fine; libcrypto wipes the key */

/* The private key; `ret` is unset. 0 or -ENOMEM. */
int es256_der(const struct es256 *k, struct secret *ret) WARN_UNUSED;
/* x and y of its public point, 32 bytes each. */
void es256_public(const struct es256 *k, unsigned char x[ES256_COORDINATE_BYTES],
                  unsigned char y[ES256_COORDINATE_BYTES]);
/* Randomised: no two are equal. Aborts when libcrypto fails. */
void es256_sign(const struct es256 *k, const void *p, size_t n,
                unsigned char ret[ES256_SIGNATURE_BYTES]);
