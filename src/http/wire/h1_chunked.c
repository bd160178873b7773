/* h1_chunked - the chunked transfer coding (RFC 9112 7.1), one byte after the other.
 *
 * Fed with whatever has arrived; keeps no bytes, only where it stands, so that feeding byte by byte
 * and feeding all at once give the same payload and the same verdict (tests/fuzz/h1_chunked.c holds
 * it to that). Two ways in: h1_chunked_feed for who wants the payload in a buffer, h1_chunked_framing
 * for who takes the payload itself, straight from where it lies. The attacker controls everything: sizes are at most 16 hexadecimal digits (no
 * overflow possible), one size line with its extensions at most CHUNK_LINE_MAX bytes (extensions
 * are a known amplifier: a kilobyte of them per payload byte), the trailer section at most
 * TRAILER_MAX. Extensions are checked and dropped, and so are trailers unless the decoder was given a
 * buffer for them. Payload goes to a buffer with a
 * ceiling; with NULL it is thrown away, which is how the server drains an unread body. */
#include "http/wire/h1.h"

#include "base/err.h"
#include "http/wire/h1_class.h"

#define CHUNK_LINE_MAX 256
#define TRAILER_MAX    8192
#define SIZE_DIGITS    16

enum state {
    SIZE_FIRST = 0, /* a zeroed decoder starts here */
    SIZE,
    EXT_SPACE, /* BWS before ";", which RFC 9112 7.1.1 obliges us to take */
    EXT,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    BROKEN, /* after an error: where the next byte belongs is unknown */
};

static unsigned hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

/* One byte of framing (anything but payload). 0 or -E_PARSE. */
static int framing_byte(struct h1_chunked *d, char c)
{
    switch ((enum state)d->state) {
    case SIZE_FIRST:
        if (!h1_is(c, H1_HEX))
            return -E_PARSE;
        d->left = hex(c);
        d->line_bytes = 1;
        d->state = SIZE;
        return 0;
    case SIZE:
        if (h1_is(c, H1_HEX)) {
            if (++d->line_bytes > SIZE_DIGITS)
                return -E_PARSE;
            d->left = d->left << 4 | hex(c);
            return 0;
        }
        d->state = c == '\r' ? SIZE_LF : c == ';' ? EXT : EXT_SPACE;
        return c == '\r' || c == ';' || c == ' ' || c == '\t' ? 0 : -E_PARSE;
    case EXT_SPACE:
        if (++d->line_bytes > CHUNK_LINE_MAX)
            return -E_PARSE;
        if (c == ';')
            d->state = EXT;
        return c == ';' || c == ' ' || c == '\t' ? 0 : -E_PARSE;
    case EXT:
        if (++d->line_bytes > CHUNK_LINE_MAX)
            return -E_PARSE;
        if (c == '\r')
            d->state = SIZE_LF;
        return c == '\r' || h1_is(c, H1_VALUE) ? 0 : -E_PARSE;
    case SIZE_LF:
        d->state = d->left ? DATA : TRAILER_FIRST;
        return c == '\n' ? 0 : -E_PARSE;
    case DATA_CR:
        d->state = DATA_LF;
        return c == '\r' ? 0 : -E_PARSE;
    case DATA_LF:
        d->state = SIZE_FIRST;
        return c == '\n' ? 0 : -E_PARSE;
    case TRAILER_FIRST:
        d->state = c == '\r' ? END_LF : TRAILER_NAME;
        return c == '\r' || h1_is(c, H1_TOKEN) ? 0 : -E_PARSE;
    case TRAILER_NAME:
        if (c == ':')
            d->state = TRAILER_VALUE;
        return c == ':' || h1_is(c, H1_TOKEN) ? 0 : -E_PARSE;
    case TRAILER_VALUE:
        if (c == '\r')
            d->state = TRAILER_LF;
        return c == '\r' || h1_is(c, H1_VALUE) ? 0 : -E_PARSE;
    case TRAILER_LF:
        d->state = TRAILER_FIRST;
        return c == '\n' ? 0 : -E_PARSE;
    case END_LF:
        d->done = c == '\n';
        return d->done ? 0 : -E_PARSE;
    case DATA:
    case BROKEN:
        break;
    }
    return -E_PARSE;
}

uint64_t h1_chunked_payload(const struct h1_chunked *d)
{
    return d->state == DATA ? d->left : 0;
}

void h1_chunked_took(struct h1_chunked *d, size_t n)
{
    MUST(d->state == DATA && n <= d->left);
    d->left -= n;
    if (d->left == 0)
        d->state = DATA_CR;
}

static ssize_t framing(struct h1_chunked *d, const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && !d->done && d->state != DATA) {
        if (d->state >= TRAILER_FIRST && ++d->trailer_bytes > TRAILER_MAX)
            return -E_PARSE;
        /* The empty line that ends the section is not part of it: END_LF follows its CR. */
        bool trailer = d->state >= TRAILER_FIRST && d->state < END_LF &&
                       !(d->state == TRAILER_FIRST && p[i] == '\r');
        int r = framing_byte(d, p[i]);
        if (r == 0 && trailer && d->trailers)
            r = buf_addc(d->trailers, p[i]);
        if (r < 0)
            return r;
        i++;
    }
    return (ssize_t)i;
}

ssize_t h1_chunked_framing(struct h1_chunked *d, const char *p, size_t n)
{
    ssize_t r = framing(d, p, n);
    if (r < 0)
        d->state = BROKEN;
    return r;
}

ssize_t h1_chunked_feed(struct h1_chunked *d, const char *p, size_t n, struct buf *out)
{
    size_t i = 0;
    while (i < n && !d->done) {
        if (h1_chunked_payload(d) > 0) {
            size_t take = n - i < d->left ? n - i : (size_t)d->left;
            int r = out ? buf_add(out, p + i, take) : 0;
            if (r < 0) {
                d->state = BROKEN;
                return r;
            }
            h1_chunked_took(d, take);
            i += take;
            continue;
        }
        ssize_t r = h1_chunked_framing(d, p + i, n - i);
        if (r < 0)
            return r;
        i += (size_t)r;
    }
    return (ssize_t)i;
}
