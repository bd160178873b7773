/* decode - percent-decoding, the one place where it happens (paths and queries). Private to this
 * room. */
#pragma once

#include "http/server/server.h"

/* Decodes `n` bytes into the exchange's memory. NULL when an encoding is malformed or the result
 * holds a NUL or is not UTF-8. */
char *decode_text(struct http_exchange *x, const char *p, size_t n, bool plus_is_space);
