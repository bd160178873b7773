/* cursor - reading untrusted bytes with bounds that cannot be forgotten.
 *
 * Every getter either consumes and succeeds or leaves the cursor where it was and fails. */
#pragma once

#include "base/base.h"

struct cursor {
    const unsigned char *p, *end;
};

static inline struct cursor cursor_of(const void *p, size_t n)
{
    return (struct cursor){.p = p, .end = (const unsigned char *)p + n};
}
static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

int cursor_u32be(struct cursor *c, uint32_t *ret) WARN_UNUSED; /* 0 or -EAGAIN when it runs out */
int cursor_take(struct cursor *c, size_t n, const unsigned char **ret) WARN_UNUSED;
/* Bytes up to (not including) the first `delim`; consumes it as well. -EAGAIN when
 * it is not there. */
int cursor_until(struct cursor *c, unsigned char delim, const unsigned char **ret, size_t *ret_len)
    WARN_UNUSED;
/* Consumes `lit` if the next bytes equal it: 0, or -ENOENT (different), or -EAGAIN (too short to
 * tell). */
int cursor_literal(struct cursor *c, const char *lit) WARN_UNUSED;
