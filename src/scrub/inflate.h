/* inflate - a body without its content coding, as a stream (RFC 9110, 8.4).
 *
 * A response that is scrubbed goes on without a coding. Egress asks origins for "identity"; this
 * is for those that compress nevertheless. Nothing here suspends; the caller has both buffers,
 * so nothing grows. */
#pragma once

#include "base/base.h"

struct err;
struct inflate;

enum inflate_coding {
    INFLATE_GZIP,    /* RFC 1952; "x-gzip" too; several members one after the other */
    INFLATE_DEFLATE, /* RFC 1950, and RFC 1951 bare, which some servers mean */
    INFLATE_BROTLI,  /* RFC 7932 */
    INFLATE_ZSTD,    /* RFC 8878, windows up to 8 MiB (RFC 9659); several frames */
};

/* A body may become this many times as long, and the slack on top: deflate reaches 1,032, text
 * 20. */
#define INFLATE_RATIO_MAX   256u
#define INFLATE_SLACK_BYTES (16u << 20)

/* The coding with this name (any case), from a Content-Encoding that names one. -ENOTSUP for
 * others, for lists of several, and for "identity", which needs no decoder. */
int inflate_coding_named(const char *name, size_t n, enum inflate_coding *ret) WARN_UNUSED;

/* Opens the libraries of all codings: for a process that locks itself in afterwards. As inflate_new. */
int inflate_open_all(struct err *e) WARN_UNUSED;
/* Opens the library when it is the first one of its kind. The caller frees. -ENOENT with words
 * when the library is missing, -ENOMEM. Holds up to 17 MiB (brotli), 9 MiB (zstd), 48 KiB (gzip,
 * deflate). */
int inflate_new(enum inflate_coding coding, struct inflate **ret, struct err *e) WARN_UNUSED;
void inflate_free(struct inflate *f); /* NULL is fine */

/* Decodes from *p (*n bytes; both are advanced) to `out`, at most `room` (> 0) bytes; *ret_n:
 * how many. Call again while *n > 0 or *ret_n == room. Work is proportional to the bytes on both
 * sides. -E_PARSE with words: that is not this coding, or bytes come behind its end. -E_LIMIT
 * with words: a bomb. After an error only inflate_free may be called. */
int inflate_step(struct inflate *f, const uint8_t **p, size_t *n, void *out, size_t room,
                 size_t *ret_n, struct err *e) WARN_UNUSED;

/* After the last step: -E_PARSE with words when the body was cut short. No byte at all is fine:
 * answers without a body carry the header, too. */
int inflate_end(const struct inflate *f, struct err *e) WARN_UNUSED;
