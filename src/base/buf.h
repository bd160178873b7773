/* buf - a growable byte buffer with a ceiling given at birth.
 *
 * Nothing in the program grows without one. Errors stick: after a failed append the buffer refuses
 * further appends, so a run of appends can be checked once through buf_err(). Contents are always
 * followed by a NUL that is not counted, so text can be handed to C functions. */
#pragma once

#include "base/base.h"
#include <stdarg.h>

struct buf {
    char *data; /* NULL until the first append; NUL-terminated afterwards */
    size_t len; /* bytes in use */
    size_t cap; /* bytes allocated */
    size_t max; /* ceiling for len, > 0 */
    int error;  /* 0, -EMSGSIZE (ceiling) or -ENOMEM; sticky */
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})
void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b); /* frees; NULL and zeroed buffers are fine; reusable after buf_init */
void buf_reset(struct buf *b); /* len = 0 and error = 0, keeps the allocation */
static inline int buf_err(const struct buf *b)
{
    return b->error;
}
static inline const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

/* Appends. Return 0 or the sticky error. */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_adds(struct buf *b, const char *s);
int buf_addc(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* `word` as one word of a POSIX shell, between quotes. */
int buf_add_quoted(struct buf *b, const char *word);
int buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Makes room for `n` more bytes and returns where they go, or NULL (sticky error set). After
 * writing k <= n bytes there, call buf_commit(b, k). */
char *buf_room(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

/* Removes `n` bytes (n <= len) from the front. */
void buf_consume(struct buf *b, size_t n);

/* Hands the bytes over as a malloc'ed NUL-terminated string (never NULL), leaves
 * the buffer empty. */
char *buf_take(struct buf *b, size_t *ret_len);
