/* str.c - strict reading of numbers and text.
 *
 * Theory of operation: pure functions over (pointer, length), used by every parser above. Numbers
 * are consumed to the last digit or refused; nothing is trimmed, guessed or localised. UTF-8
 * follows the Unicode table 3-7 of well-formed sequences. Attackers control every byte. Never
 * suspends. */
#include "base/str.h"
#include "base/buf.h"

#include <string.h>

int str_to_u64(const char *s, size_t n, uint64_t max, uint64_t *ret)
{
    if (n == 0)
        return -EINVAL;
    uint64_t v = 0;
    bool over = false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -EINVAL;
        /* Go on to the last digit after an overflow: "99…9x" is malformed, not out of range. */
        over = over || __builtin_mul_overflow(v, 10u, &v) ||
               __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v);
    }
    if (over || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

int str_to_i64(const char *s, size_t n, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = n > 0 && s[0] == '-';
    uint64_t v;
    int r = str_to_u64(s + negative, n - negative, UINT64_MAX, &v);
    if (r < 0)
        return r;
    int64_t signed_v;
    bool over = negative ? __builtin_sub_overflow((int64_t)0, v, &signed_v)
                         : __builtin_add_overflow((int64_t)0, v, &signed_v);
    if (over || signed_v < min || signed_v > max)
        return -ERANGE;
    *ret = signed_v;
    return 0;
}

int str_hex_to_u64(const char *s, size_t n, uint64_t *ret)
{
    if (n == 0 || n > 16)
        return -EINVAL;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        char c = str_lower_c(s[i]);
        unsigned d;
        if (c >= '0' && c <= '9')
            d = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            d = (unsigned)(c - 'a') + 10;
        else
            return -EINVAL;
        v = v << 4 | d;
    }
    *ret = v;
    return 0;
}

char str_lower_c(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_eq(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    return strcmp(a, b) == 0;
}

bool str_ieq_n(const char *a, size_t an, const char *b, size_t bn)
{
    if (an != bn)
        return false;
    for (size_t i = 0; i < an; i++)
        if (str_lower_c(a[i]) != str_lower_c(b[i]))
            return false;
    return true;
}

bool str_ieq(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    return str_ieq_n(a, strlen(a), b, strlen(b));
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

/* Bytes of the well-formed sequence at s (n > 0), or 0. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    unsigned char c = s[0], lo = 0x80, hi = 0xbf;
    size_t k;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf) {
        k = 2;
    } else if (c >= 0xe0 && c <= 0xef) {
        k = 3;
        if (c == 0xe0)
            lo = 0xa0; /* overlong below */
        else if (c == 0xed)
            hi = 0x9f; /* surrogates above */
    } else if (c >= 0xf0 && c <= 0xf4) {
        k = 4;
        if (c == 0xf0)
            lo = 0x90; /* overlong below */
        else if (c == 0xf4)
            hi = 0x8f; /* beyond U+10FFFF above */
    } else {
        return 0;
    }
    if (n < k || s[1] < lo || s[1] > hi)
        return 0;
    for (size_t i = 2; i < k; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return k;
}

size_t str_utf8_sequence(const char *s, size_t n)
{
    return n ? utf8_sequence((const unsigned char *)s, n) : 0;
}

bool str_is_utf8(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t k = utf8_sequence((const unsigned char *)s + i, n - i);
        if (k == 0)
            return false;
        i += k;
    }
    return true;
}

size_t str_utf8_len(const char *s, size_t n)
{
    size_t points = 0;
    for (size_t i = 0; i < n; i++)
        points += ((unsigned char)s[i] & 0xc0) != 0x80;
    return points;
}

size_t str_utf8_cut(const char *s, size_t n, size_t max)
{
    if (n <= max)
        return n;
    size_t cut = max;
    /* A continuation byte at the cut belongs to a code point that began at most three bytes before
     * it; stray continuation bytes beyond that are not text, so cut anywhere. */
    while (cut > 0 && max - cut < 3 && ((unsigned char)s[cut] & 0xc0) == 0x80)
        cut--;
    return ((unsigned char)s[cut] & 0xc0) == 0x80 ? max : cut;
}

void str_escape(struct buf *out, const char *s, size_t n, size_t max)
{
    size_t take = n < max ? n : max;
    for (size_t i = 0; i < take; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '\\')
            (void)buf_adds(out, "\\\\");
        else if (c >= 0x20 && c < 0x7f)
            (void)buf_addc(out, (char)c);
        else
            (void)buf_addf(out, "\\x%02x", c);
    }
    if (take < n)
        (void)buf_adds(out, "...");
}

bool str_copy(char *dst, size_t cap, const char *src)
{
    size_t n = strlen(src);
    if (cap == 0)
        return false;
    size_t k = n < cap ? n : cap - 1;
    memcpy(dst, src, k);
    dst[k] = '\0';
    return k == n;
}
