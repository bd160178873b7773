/* digest - SHA-256 and HMAC through libcrypto, the one file that touches them. */
#pragma once

#include "base/base.h"

#define DIGEST_SHA256_BYTES 32
#define DIGEST_SHA256_HEX   65
void digest_sha256(const void *p, size_t n, unsigned char ret[DIGEST_SHA256_BYTES]);
char *digest_sha256_hex(const void *p, size_t n, char ret[DIGEST_SHA256_HEX]);
