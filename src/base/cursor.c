/* cursor.c - the getters behind every parser of wire bytes.
 *
 * Theory of operation: a cursor is two pointers into bytes that the caller owns. Each getter checks
 * what is left first and moves only when it succeeds, so a caller may retry from the same place
 * after more bytes have arrived. Attackers control the bytes; nothing here trusts a length found in
 * them. Pure. */
#include "base/cursor.h"

#include <string.h>

int cursor_take(struct cursor *c, size_t n, const unsigned char **ret)
{
    if (n > cursor_left(c))
        return -EAGAIN;
    *ret = c->p;
    c->p += n;
    return 0;
}

int cursor_u32be(struct cursor *c, uint32_t *ret)
{
    const unsigned char *p;
    int r = cursor_take(c, 4, &p);
    if (r == 0)
        *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return r;
}

int cursor_until(struct cursor *c, unsigned char delim, const unsigned char **ret, size_t *ret_len)
{
    size_t left = cursor_left(c);
    const unsigned char *at = left ? memchr(c->p, delim, left) : NULL;
    if (!at)
        return -EAGAIN;
    *ret = c->p;
    *ret_len = (size_t)(at - c->p);
    c->p = at + 1;
    return 0;
}

int cursor_literal(struct cursor *c, const char *lit)
{
    size_t n = strlen(lit), left = cursor_left(c), common = n < left ? n : left;
    if (common && memcmp(c->p, lit, common) != 0)
        return -ENOENT;
    if (common < n)
        return -EAGAIN;
    c->p += n;
    return 0;
}
