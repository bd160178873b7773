/* der.c - reading DER (X.690 section 10) strictly.
 *
 * Theory of operation. Called with bytes that a stranger has sent and that will be trusted later by a
 * reader which takes BER, too: libcrypto accepts indefinite lengths and padded ones, so that one
 * certificate would have many fingerprints. Bounds are those of the cursor; the walk keeps the ends of
 * the values it stands in on a stack of fixed depth, so neither recursion nor memory follows the input.
 * No state, no allocation. */
#include "crypto/der.h"

#include "base/cursor.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX   32
#define CONSTRUCTED 0x20
#define CLASS       0xc0 /* 0: universal */

int der_any(struct cursor *c, unsigned char *ret_tag, struct cursor *ret)
{
    struct cursor at = *c;
    const unsigned char *p;
    if (cursor_take(&at, 2, &p) < 0 || (p[0] & 0x1f) == 0x1f)
        return -E_PARSE;
    const unsigned char tag = p[0];
    size_t n = p[1];
    if (n >= 0x80) { /* the length's own length; 0 would be indefinite */
        size_t n_length = n & 0x7f;
        if (n_length == 0 || n_length > 4 || cursor_take(&at, n_length, &p) < 0 || p[0] == 0)
            return -E_PARSE;
        n = 0;
        for (size_t i = 0; i < n_length; i++)
            n = n << 8 | p[i];
        if (n < 0x80)
            return -E_PARSE;
    }
    if (cursor_take(&at, n, &p) < 0)
        return -E_PARSE;
    *c = at;
    *ret_tag = tag;
    *ret = cursor_of(p, n);
    return 0;
}

int der_take(struct cursor *c, unsigned char tag, struct cursor *ret)
{
    unsigned char found;
    struct cursor at = *c, content;
    if (der_any(&at, &found, &content) < 0 || found != tag)
        return -E_PARSE;
    *c = at;
    *ret = content;
    return 0;
}

/* Of the universal types only these two are constructed, and these are so always (X.690 10.2). */
static bool form_ok(unsigned char tag)
{
    if ((tag & CLASS) != 0)
        return true;
    const bool sequence = (tag & 0x1f) == (DER_SEQUENCE & 0x1f) || (tag & 0x1f) == (DER_SET & 0x1f);
    return sequence == ((tag & CONSTRUCTED) != 0);
}

static bool value_ok(unsigned char tag, const struct cursor *content)
{
    const unsigned char *p = content->p;
    const size_t n = cursor_left(content);
    switch (tag) {
    case DER_BOOLEAN:
        return n == 1 && (p[0] == 0 || p[0] == 0xff);
    case DER_INTEGER:
        return n > 0 && (n == 1 || (p[0] != 0 && p[0] != 0xff) || (p[0] & 0x80) != (p[1] & 0x80));
    case DER_BIT_STRING: /* the first byte: how many bits at the end are none; those are 0 */
        return n > 0 && p[0] < 8 && (n > 1 ? (p[n - 1] & ((1u << p[0]) - 1)) == 0 : p[0] == 0);
    default:
        return true;
    }
}

int der_check(const void *p, size_t n, size_t *ret_behind)
{
    struct cursor open[DEPTH_MAX] = {cursor_of(p, n)}; /* what is left of each value around */
    size_t depth = 1;
    *ret_behind = 0;
    while (depth > 0) {
        struct cursor *c = &open[depth - 1], content;
        unsigned char tag;
        if (cursor_left(c) == 0 && depth > 1) {
            depth--;
            if (depth == 1) {
                *ret_behind = cursor_left(&open[0]);
                return *ret_behind == 0 ? 0 : -E_PARSE;
            }
            continue;
        }
        if (der_any(c, &tag, &content) < 0 || !form_ok(tag) || !value_ok(tag, &content))
            return -E_PARSE;
        if (!(tag & CONSTRUCTED) && depth > 1)
            continue;
        if (!(tag & CONSTRUCTED) || depth == DEPTH_MAX)
            return -E_PARSE; /* a single primitive value is nothing we read */
        open[depth++] = content;
    }
    return -E_PARSE;
}

char *der_oid_text(const unsigned char *p, size_t n, char ret[DER_OID_TEXT])
{
    size_t len = 0;
    uint64_t arc = 0;
    bool ok = n > 0 && (p[n - 1] & 0x80) == 0;
    for (size_t i = 0; ok && i < n; i++) {
        ok = arc <= UINT64_MAX >> 7;
        arc = arc << 7 | (p[i] & 0x7f);
        if ((p[i] & 0x80) || !ok)
            continue;
        const uint64_t first = arc < 40 ? 0 : arc < 80 ? 1 : 2; /* two arcs are in one number */
        const int k =
            len == 0 ? snprintf(ret, DER_OID_TEXT, "%u.%llu", (unsigned)first,
                                (unsigned long long)(arc - first * 40))
                     : snprintf(ret + len, DER_OID_TEXT - len, ".%llu", (unsigned long long)arc);
        len += (size_t)k;
        ok = len < DER_OID_TEXT;
        arc = 0;
    }
    if (!ok)
        (void)snprintf(ret, DER_OID_TEXT, "(an object identifier of %zu bytes)", n);
    return ret;
}
