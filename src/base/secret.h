/* secret - a value that must not be seen: locked, excluded from dumps, wiped, compared in constant
 * time.
 *
 * There is no conversion to text and no format specifier that prints one; secret_borrow is the one
 * way to the bytes, and its callers are few enough to be listed by grep. */
#pragma once

#include "base/base.h"

struct secret {
    /* Page-aligned, mlock'ed (best effort: see secret_locked), MADV_DONTDUMP; NULL when unset. */
    char *data;
    size_t len; /* bytes, the trailing NUL not counted */
    size_t map_bytes;
};

/* Copies `n` bytes in; `s` must be zeroed or done. Returns 0, -ENOMEM or -EMSGSIZE (> 1 MiB). */
int secret_set(struct secret *s, const void *p, size_t n) WARN_UNUSED;
/* A secret of `n` zero bytes, for reading straight into s->data what nobody else may hold: no copy
 * is left in a buffer. As secret_set otherwise. */
int secret_room(struct secret *s, size_t n) WARN_UNUSED;
void secret_done(struct secret *s); /* wipes and unmaps; NULL is fine */
bool secret_locked(void);           /* false once any mlock has failed */
/* Constant time in the content; an unset secret equals nothing. */
bool secret_eq(const struct secret *s, const void *p, size_t n);
const char *secret_borrow(const struct secret *s); /* NUL-terminated; "" when unset */
void secret_wipe(void *p, size_t n);               /* explicit_bzero */
/* Constant-time comparison of two byte strings of equal length. */
bool secret_bytes_eq(const void *a, const void *b, size_t n);
