/* ed25519 - signatures by Ed25519 (RFC 8032) through libcrypto. */
#pragma once

#include "base/base.h"

#define ED25519_SEED_BYTES      32
#define ED25519_PUBLIC_BYTES    32
#define ED25519_SIGNATURE_BYTES 64
#define ED25519_PEM_MAX         160 /* either key as PEM, with its NUL */

struct ed25519; /* a private key, with which one signs; or a public one */

/* A key of 32 random bytes, which the caller has made, or kept. The caller wipes its copy. Aborts
 * when libcrypto fails. */
struct ed25519 *ed25519_private(const unsigned char seed[ED25519_SEED_BYTES])
    __attribute__((returns_nonnull));
/* NULL when libcrypto does not take it. */
struct ed25519 *ed25519_public(const unsigned char key[ED25519_PUBLIC_BYTES]);
void ed25519_free(struct ed25519 *k); /* NULL is fine; a private key is wiped by libcrypto */

void ed25519_get_public(const struct ed25519 *k, unsigned char ret[ED25519_PUBLIC_BYTES]);
/* With a private key only (MUST). */
void ed25519_sign(const struct ed25519 *k, const void *p, size_t n,
                  unsigned char ret[ED25519_SIGNATURE_BYTES]);
bool ed25519_verify(const struct ed25519 *k, const void *p, size_t n,
                    const unsigned char signature[ED25519_SIGNATURE_BYTES]) WARN_UNUSED;

/* PEM as `openssl pkey` writes it: PKCS#8 for private keys, SubjectPublicKeyInfo for public ones
 * (RFC 8410). The text of a private key is a secret. `ret` holds ED25519_PEM_MAX bytes. */
void ed25519_private_pem(const unsigned char seed[ED25519_SEED_BYTES], char ret[ED25519_PEM_MAX]);
void ed25519_public_pem(const unsigned char key[ED25519_PUBLIC_BYTES], char ret[ED25519_PEM_MAX]);
/* Back. The form is the one above and no other, white space at the end apart. -E_PARSE. */
int ed25519_private_of_pem(const char *text, size_t n, unsigned char ret[ED25519_SEED_BYTES])
    WARN_UNUSED;
int ed25519_public_of_pem(const char *text, size_t n, unsigned char ret[ED25519_PUBLIC_BYTES])
    WARN_UNUSED;
