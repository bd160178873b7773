/* escape.c - reading and writing single escapes.
 *
 * Theory of operation: pure functions on bytes, called by the engine (lanes.c) on every '%',
 * '\\' and '&' of a response, and by the compiler of tables. The peer controls all of the input.
 * A unit has at most ESCAPE_UNIT_MAX bytes, so one call does a bounded amount of work, and a
 * position is searched for at the speed of memchr: SSE2 is part of x86-64, elsewhere eight bytes
 * are looked at as one word. */
#include "scrub/escape.h"
#include "base/buf.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define ENTITY_DIGITS_MAX 7u /* &#1114111; */
#define ENTITY_HEX_MAX    6u /* &#x10FFFF; */

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads `want` hex digits. 1: all there. 0: another character is among them. ESCAPE_INCOMPLETE. */
static int hex_digits(const uint8_t *p, size_t n, size_t want, uint32_t *ret)
{
    uint32_t v = 0;
    for (size_t i = 0; i < want; i++) {
        if (i == n)
            return ESCAPE_INCOMPLETE;
        int d = hex_value(p[i]);
        if (d < 0)
            return 0;
        v = v << 4 | (uint32_t)d;
    }
    *ret = v;
    return 1;
}

/* False for what is no character: surrogates, and above the last one. */
static bool utf8(uint32_t c, uint8_t ret[4], size_t *ret_n)
{
    if (c < 0x80) {
        ret[0] = (uint8_t)c;
        *ret_n = 1;
    } else if (c < 0x800) {
        ret[0] = (uint8_t)(0xc0 | c >> 6);
        ret[1] = (uint8_t)(0x80 | (c & 0x3f));
        *ret_n = 2;
    } else if (c < 0x10000) {
        if (c >= 0xd800 && c < 0xe000)
            return false;
        ret[0] = (uint8_t)(0xe0 | c >> 12);
        ret[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        ret[2] = (uint8_t)(0x80 | (c & 0x3f));
        *ret_n = 3;
    } else {
        if (c > 0x10ffff)
            return false;
        ret[0] = (uint8_t)(0xf0 | c >> 18);
        ret[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        ret[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        ret[3] = (uint8_t)(0x80 | (c & 0x3f));
        *ret_n = 4;
    }
    return true;
}

static int percent(const uint8_t *p, size_t n, uint8_t ret[4], size_t *ret_n)
{
    uint32_t v;
    int r = hex_digits(p + 1, n - 1, 2, &v);
    if (r <= 0)
        return r;
    ret[0] = (uint8_t)v;
    *ret_n = 1;
    return 3;
}

/* \uXXXX, and \uXXXX\uXXXX for a pair of surrogates. */
static int utf16(const uint8_t *p, size_t n, uint8_t ret[4], size_t *ret_n)
{
    uint32_t a, b;
    int r = hex_digits(p + 2, n - 2, 4, &a);
    if (r <= 0)
        return r;
    if (a < 0xd800 || a >= 0xe000)
        return utf8(a, ret, ret_n) ? 6 : 0;
    if (a >= 0xdc00)
        return 0;
    if (n > 6 && p[6] != '\\')
        return 0;
    if (n > 7 && p[7] != 'u')
        return 0;
    if (n < 8)
        return ESCAPE_INCOMPLETE;
    r = hex_digits(p + 8, n - 8, 4, &b);
    if (r <= 0)
        return r;
    if (b < 0xdc00 || b >= 0xe000)
        return 0;
    return utf8(0x10000 + ((a - 0xd800) << 10) + (b - 0xdc00), ret, ret_n) ? 12 : 0;
}

static int backslash(const uint8_t *p, size_t n, uint8_t ret[4], size_t *ret_n)
{
    if (n == 1)
        return ESCAPE_INCOMPLETE;
    uint32_t v;
    int r;
    *ret_n = 1;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case '\'':
        ret[0] = p[1];
        return 2;
    case 'b':
        ret[0] = '\b';
        return 2;
    case 'f':
        ret[0] = '\f';
        return 2;
    case 'n':
        ret[0] = '\n';
        return 2;
    case 'r':
        ret[0] = '\r';
        return 2;
    case 't':
        ret[0] = '\t';
        return 2;
    case 'x':
        r = hex_digits(p + 2, n - 2, 2, &v);
        if (r <= 0)
            return r;
        ret[0] = (uint8_t)v;
        return 4;
    case 'u':
        return utf16(p, n, ret, ret_n);
    default:
        return 0;
    }
}

static int entity_number(const uint8_t *p, size_t n, uint8_t ret[4], size_t *ret_n)
{
    if (n == 2)
        return ESCAPE_INCOMPLETE;
    bool hex = (p[2] | 0x20) == 'x';
    size_t first = hex ? 3 : 2, most = hex ? ENTITY_HEX_MAX : ENTITY_DIGITS_MAX, i = first;
    uint32_t v = 0;
    for (;; i++) {
        if (i == n)
            return ESCAPE_INCOMPLETE;
        int d = hex_value(p[i]);
        if (d < 0 || (!hex && d > 9))
            break;
        if (i - first == most)
            return 0;
        v = v * (hex ? 16 : 10) + (uint32_t)d;
    }
    if (i == first || p[i] != ';' || !utf8(v, ret, ret_n))
        return 0;
    return (int)i + 1;
}

static int entity(const uint8_t *p, size_t n, uint8_t ret[4], size_t *ret_n)
{
    static const struct {
        char text[7];
        uint8_t n, c;
    } names[] = {
        {"&quot;", 6, '"'}, {"&amp;", 5, '&'},   {"&lt;", 4, '<'},
        {"&gt;", 4, '>'},   {"&apos;", 6, '\''},
    };
    if (n > 1 && p[1] == '#')
        return entity_number(p, n, ret, ret_n);
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (n > 1 && p[1] != (uint8_t)names[i].text[1])
            continue;
        size_t k = n < names[i].n ? n : names[i].n;
        if (memcmp(p, names[i].text, k) != 0)
            continue;
        if (k < names[i].n) {
            r = ESCAPE_INCOMPLETE;
            continue;
        }
        ret[0] = names[i].c;
        *ret_n = 1;
        return names[i].n;
    }
    return r;
}

int escape_unit(const uint8_t *p, size_t n, unsigned families, bool last, uint8_t ret[4],
                size_t *ret_n)
{
    int r = 0;
    if (p[0] == '%' && families & ESCAPE_PERCENT)
        r = percent(p, n, ret, ret_n);
    else if (p[0] == '\\' && families & ESCAPE_BACKSLASH)
        r = backslash(p, n, ret, ret_n);
    else if (p[0] == '&' && families & ESCAPE_ENTITY)
        r = entity(p, n, ret, ret_n);
    return r == ESCAPE_INCOMPLETE && last ? 0 : r;
}

#ifdef __SSE2__
/* Which of 16 bytes are one of the three: a bit each. */
static inline unsigned which(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('%')),
                                            _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))),
                               _mm_cmpeq_epi8(v, _mm_set1_epi8('&')));
    return (unsigned)_mm_movemask_epi8(hit);
}
#endif

size_t escape_next(const uint8_t *p, size_t at, size_t n)
{
#ifdef __SSE2__
    for (; at + 16 <= n; at += 16) {
        unsigned m = which(p + at);
        if (m)
            return at + (size_t)__builtin_ctz(m);
    }
#else
    /* A byte of `w ^ c` is zero where the text has c; the classic test for a zero byte has no false
     * negatives, and the loop below finds the place. */
    const uint64_t one = 0x0101010101010101u, high = 0x8080808080808080u;
    for (; at + 8 <= n; at += 8) {
        uint64_t w, x, y, z;
        memcpy(&w, p + at, 8);
        x = w ^ (one * '%');
        y = w ^ (one * '\\');
        z = w ^ (one * '&');
        if (((x - one) & ~x & high) | ((y - one) & ~y & high) | ((z - one) & ~z & high))
            break;
    }
#endif
    while (at < n && !escape_begins(p[at]))
        at++;
    return at;
}

size_t escape_unit_around(const uint8_t *p, size_t n, size_t at, bool last)
{
    uint8_t bytes[4];
    size_t k;
    for (size_t i = at; i-- > 0 && at - i < ESCAPE_UNIT_MAX;) {
        if (!escape_begins(p[i]))
            continue;
        if (p[i] == '\\') {
            size_t run = i; /* every second backslash of a run begins no unit */
            while (run > 0 && p[run - 1] == '\\')
                run--;
            if ((i - run) % 2 != 0)
                continue;
        }
        int r = escape_unit(p + i, n - i, ESCAPE_FAMILIES, last, bytes, &k);
        if (r == ESCAPE_INCOMPLETE || (r > 0 && i + (size_t)r > at))
            return i;
    }
    return at;
}

size_t escape_undo(const uint8_t *p, size_t n, unsigned families, uint8_t *ret)
{
    size_t done = 0;
    for (size_t at = 0; at < n;) {
        uint8_t bytes[4];
        size_t k;
        int r = escape_unit(p + at, n - at, families, true, bytes, &k);
        if (r <= 0) {
            ret[done++] = p[at++];
            continue;
        }
        memcpy(ret + done, bytes, k);
        done += k;
        at += (size_t)r;
    }
    return done;
}

static bool unreserved(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int add_byte(struct buf *out, uint8_t c, unsigned family)
{
    if (family == ESCAPE_PERCENT && !unreserved(c))
        return buf_addf(out, "%%%02X", c);
    if (family == ESCAPE_BACKSLASH && (c == '"' || c == '\\'))
        return buf_addf(out, "\\%c", c);
    if (family == ESCAPE_BACKSLASH && c < 0x20)
        return buf_addf(out, "\\u%04x", c);
    if (family == ESCAPE_ENTITY && (c == '&' || c == '<' || c == '>' || c == '"' || c == '\''))
        return buf_addf(out, "&#%d;", c);
    return buf_addc(out, (char)c);
}

int escape_add(struct buf *out, const uint8_t *p, size_t n, unsigned family, unsigned times)
{
    if (!family || times == 0)
        return buf_add(out, p, n);
    size_t from = out->len;
    for (size_t i = 0; i < n; i++)
        (void)add_byte(out, p[i], family);
    for (; times > 1; times--) {
        /* Outer layers are rare: what has been written is escaped again behind itself. */
        size_t end = out->len, grown;
        for (size_t i = from; i < end; i++)
            (void)add_byte(out, (uint8_t)out->data[i], family);
        if (buf_err(out))
            break;
        grown = out->len - end;
        memmove(out->data + from, out->data + end, grown);
        out->len = from + grown;
        out->data[out->len] = '\0';
    }
    return buf_err(out);
}
