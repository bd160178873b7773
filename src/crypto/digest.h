/* digest - SHA-256 and HMAC through libcrypto, the one file that touches them. */
#pragma once

#include "base/base.h"

#define DIGEST_SHA256_BYTES 32
#define DIGEST_SHA256_HEX   65

/* SHA-256 of `n` bytes (p may be NULL when n is 0). Aborts when libcrypto fails. */
void digest_sha256(const void *p, size_t n, unsigned char ret[DIGEST_SHA256_BYTES]);
/* The same as 64 lower-case hex digits and a NUL. Returns `ret`. */
char *digest_sha256_hex(const void *p, size_t n, char ret[DIGEST_SHA256_HEX]);
/* SHA-1, which protects nothing any more: for the handshake of RFC 6455, which has it as a checksum. */
#define DIGEST_SHA1_BYTES 20
void digest_sha1(const void *p, size_t n, unsigned char ret[DIGEST_SHA1_BYTES]);

/* SHA-256 of many short texts one after another, without setting up for each. Begin, add, end; then
 * begin again. One thread at a time. new aborts when libcrypto fails; free accepts NULL. */
struct digest_again;
struct digest_again *digest_again_new(void) __attribute__((returns_nonnull));
void digest_again_begin(struct digest_again *d);
void digest_again_add(struct digest_again *d, const void *p, size_t n);
void digest_again_end(struct digest_again *d, unsigned char ret[DIGEST_SHA256_BYTES]);
void digest_again_free(struct digest_again *d);

/* SHA-256 of bytes that come in pieces. Hex ends it: no more may be added. Abort when libcrypto
 * fails or memory is exhausted. Free accepts NULL. */
struct digest_stream;
struct digest_stream *digest_stream_new(void) __attribute__((returns_nonnull));
void digest_stream_add(struct digest_stream *d, const void *p, size_t n);
char *digest_stream_hex(struct digest_stream *d, char ret[DIGEST_SHA256_HEX]);
void digest_stream_free(struct digest_stream *d);

/* HMAC-SHA-256 (RFC 2104, RFC 4231). The key stays the caller's to wipe. Aborts when libcrypto
 * fails. */
void digest_hmac_sha256(const void *key, size_t key_bytes, const void *p, size_t n,
                        unsigned char ret[DIGEST_SHA256_BYTES]);
