/* enc.c - hex and base64 (RFC 4648 sections 4, 5 and 8), strict.
 *
 * Theory of operation: pure functions. Decoders accept exactly one spelling of every value: no
 * white space, no missing or surplus padding, no stray bits behind the last byte (RFC 4648
 * section 3.5), so two encodings never stand for the same bytes. Attackers control the text; the
 * output is bounded by the caller's buf or by n/2. A failed decode leaves the output as it was.
 * Never suspends. */
#include "base/enc.h"
#include "base/buf.h"
#include "base/err.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void enc_hex(const void *p, size_t n, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = digits[b[i] >> 4];
        ret[2 * i + 1] = digits[b[i] & 15];
    }
    ret[2 * n] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int enc_hex_decode(const char *s, size_t n, void *ret)
{
    unsigned char *out = ret;
    if (n % 2)
        return -E_PARSE;
    for (size_t i = 0; i < n; i++) /* look before writing: a failure leaves `ret` alone */
        if (hex_digit(s[i]) < 0)
            return -E_PARSE;
    for (size_t i = 0; i < n / 2; i++)
        out[i] = (unsigned char)(hex_digit(s[2 * i]) << 4 | hex_digit(s[2 * i + 1]));
    return 0;
}

static int encode(struct buf *out, const unsigned char *p, size_t n, const char *alphabet, bool pad)
{
    if (n > SIZE_MAX / 2)
        return buf_room(out, SIZE_MAX - 1) ? 0 : buf_err(out);
    size_t len = n / 3 * 4 + (n % 3 ? (pad ? 4 : n % 3 + 1) : 0);
    char *to = buf_room(out, len);
    if (!to)
        return buf_err(out);
    for (size_t i = 0; i < n; i += 3) {
        size_t k = n - i < 3 ? n - i : 3;
        unsigned v = (unsigned)p[i] << 16 | (k > 1 ? (unsigned)p[i + 1] << 8 : 0) |
                     (k > 2 ? (unsigned)p[i + 2] : 0);
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        if (k > 1 || pad)
            *to++ = k > 1 ? alphabet[v >> 6 & 63] : '=';
        if (k > 2 || pad)
            *to++ = k > 2 ? alphabet[v & 63] : '=';
    }
    buf_commit(out, len);
    return 0;
}

int enc_base64(struct buf *out, const void *p, size_t n)
{
    return encode(out, p, n, standard, true);
}

int enc_base64url(struct buf *out, const void *p, size_t n)
{
    return encode(out, p, n, url, false);
}

/* Letters and digits by their code. */
static const signed char sextets[128] = {
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1, -1, 0,
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    23, 24, 25, -1, -1, -1, -1, -1, -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
    39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
};

/* Value of a character, -1 for others. `c62` and `c63` are the last two of the alphabet. */
static inline int sextet(char c, char c62, char c63)
{
    const unsigned char code = (unsigned char)c;
    return c == c62 ? 62 : c == c63 ? 63 : code < sizeof(sextets) ? sextets[code] : -1;
}

/* `n` characters without padding. */
static int decode(struct buf *out, const char *s, size_t n, const char *alphabet)
{
    if (n % 4 == 1)
        return -E_PARSE;
    size_t len = n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
    char *to = buf_room(out, len);
    if (!to)
        return buf_err(out);
    uint32_t v = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++) {
        int d = sextet(s[i], alphabet[62], alphabet[63]);
        if (d < 0)
            goto malformed;
        v = v << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *to++ = (char)(unsigned char)(v >> bits);
            v &= (1u << bits) - 1;
        }
    }
    if (v != 0) /* left-over bits must be zero */
        goto malformed;
    buf_commit(out, len);
    return 0;
malformed:
    out->data[out->len] = '\0'; /* restore the invariant behind the uncommitted bytes */
    return -E_PARSE;
}

static size_t padding(const char *s, size_t n)
{
    size_t pad = 0;
    while (pad < 2 && pad < n && s[n - 1 - pad] == '=')
        pad++;
    return pad;
}

int enc_base64_decode(struct buf *out, const char *s, size_t n)
{
    if (n % 4)
        return -E_PARSE;
    return decode(out, s, n - padding(s, n), standard);
}

int enc_base64url_decode(struct buf *out, const char *s, size_t n)
{
    size_t pad = padding(s, n);
    if (pad && n % 4)
        return -E_PARSE;
    return decode(out, s, n - pad, url);
}
