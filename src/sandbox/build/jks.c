/* jks.c - from PEM to a JKS trust store.
 *
 * Called by trust.c for a root that has a Java. Java reads neither PEM nor the system's bundle, and a
 * store of PKCS #12 would take a library. The format is that of sun.security.provider.JavaKeyStore; every
 * JDK since 1.2 reads it, whatever its default type is (keystore.type.compat).
 *
 *   magic FEEDFEED, version 2, number of entries; for each: 2 (a certificate), alias, milliseconds,
 *   "X.509", length, DER; then 20 bytes of SHA-1 over a password and all of it
 *
 * A bundle may be an image's: lengths are those of what was decoded, and a certificate is not looked
 * into. */
#include "sandbox/build/jks.h"

#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"

#define CERTIFICATE_MAX 65536u /* bytes of DER */
#define DIGEST_BYTES    20

static void add_u16(struct buf *b, unsigned v)
{
    const unsigned char p[2] = {(unsigned char)(v >> 8), (unsigned char)v};
    buf_add(b, p, sizeof(p));
}

static void add_u32(struct buf *b, uint32_t v)
{
    add_u16(b, v >> 16);
    add_u16(b, v & 0xffff);
}

static void add_text(struct buf *b, const char *text)
{
    add_u16(b, (unsigned)strlen(text));
    buf_adds(b, text);
}

static void add_entry(struct buf *b, unsigned number, const struct buf *der)
{
    char alias[16] = "ca";
    size_t n = 2;
    for (unsigned unit = 10000; unit > 0; unit /= 10)
        alias[n++] = (char)('0' + number / unit % 10);
    alias[n] = '\0';
    add_u32(b, 2);
    add_text(b, alias);
    add_u32(b, 0);
    add_u32(b, 0);
    add_text(b, "X.509");
    add_u32(b, (uint32_t)der->len);
    buf_add(b, der->data, der->len);
}

/* The bytes of one certificate's text. False when it is none, or too long. */
static bool decode(const char *from, const char *to, struct buf *text, struct buf *der)
{
    buf_reset(text);
    buf_reset(der);
    while (from < to) {
        const char *end = memchr(from, '\n', (size_t)(to - from));
        size_t n = (size_t)((end ? end : to) - from);
        const size_t line = n;
        while (n > 0 && (from[n - 1] == '\r' || from[n - 1] == ' '))
            n--;
        buf_add(text, from, n);
        from += line + 1;
    }
    return !buf_err(text) && enc_base64_decode(der, buf_str(text), text->len) == 0 && der->len > 0;
}

int jks_from_pem(struct buf *ret, const char *pem, size_t n)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    static const unsigned char digest[DIGEST_BYTES];
    AUTO(buf) text = BUF_INIT(2u * CERTIFICATE_MAX);
    AUTO(buf) der = BUF_INIT(CERTIFICATE_MAX);
    unsigned count = 0;
    add_u32(ret, 0xfeedfeed);
    add_u32(ret, 2);
    const size_t count_at = ret->len;
    add_u32(ret, 0);
    for (const char *p = pem, *stop = pem + n, *to; count < 99999; p = to + strlen(end)) {
        const char *from = memmem(p, (size_t)(stop - p), begin, strlen(begin));
        from = from ? from + strlen(begin) : NULL;
        to = from ? memmem(from, (size_t)(stop - from), end, strlen(end)) : NULL;
        if (!to)
            break;
        if (decode(from, to, &text, &der))
            add_entry(ret, count++, &der);
    }
    buf_add(ret, digest, sizeof(digest));
    if (buf_err(ret))
        return buf_err(ret);
    const unsigned char number[4] = {0, (unsigned char)(count >> 16), (unsigned char)(count >> 8),
                                     (unsigned char)count};
    memcpy(ret->data + count_at, number, sizeof(number));
    return (int)count;
}
