/* enc - hex and base64 (RFC 4648), strict. */
#pragma once

#include "base/base.h"

struct buf;
void enc_hex(const void *p, size_t n, char *ret /* 2n+1 bytes */);
int enc_hex_decode(const char *s, size_t n, void *ret /* n/2 bytes */) WARN_UNUSED;
int enc_base64(struct buf *out, const void *p, size_t n);    /* padded */
int enc_base64url(struct buf *out, const void *p, size_t n); /* unpadded */
/* Accepts the standard alphabet, padded. -E_PARSE otherwise. */
int enc_base64_decode(struct buf *out, const char *s, size_t n) WARN_UNUSED;
/* Accepts the URL alphabet, padded or not. */
int enc_base64url_decode(struct buf *out, const char *s, size_t n) WARN_UNUSED;
