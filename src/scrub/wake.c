/* wake.c - which escapes could be part of an occurrence.
 *
 * Theory of operation: called by lanes.c on every escape that is in no segment yet. A peer controls
 * the text. Most escapes of ordinary text cannot be part of an occurrence. One that stands for a
 * byte no needle has (\n, \", &lt;) is a wall, which no occurrence crosses. Which of the others
 * wake is a question of speed alone, as long as the first unit of each occurrence does. An
 * occurrence has at least eight bytes, so three of it come before its first unit, and stand for
 * themselves, or three come behind: if neither makes a gram of a needle, the unit is not that.
 *
 * Layers. A unit of layer 2 begins with a '%', '\\' or '&' that stands there itself or is what a
 * unit of layer 1 stands for, and what follows, up to the next of the three, must be how a unit
 * begins. Those wake; behind all others nothing of a higher layer is open, and neighbours that
 * may be units of one wake, too. */
#include "scrub/escape.h"
#include "scrub/wake.h"

#include <string.h>

/* Could '%', '\\' or '&', that stands there itself or is what a unit stands for, begin a unit of
 * the next layer? What follows as it stands, up to the next of them, must be the beginning of
 * one. */
static bool may_begin_unit(uint8_t c, const uint8_t *p, size_t n, bool last)
{
    uint8_t text[ESCAPE_UNIT_MAX] = {c}, bytes[4];
    size_t most = n < sizeof(text) - 1 ? n : sizeof(text) - 1, k = 0, m;
    while (k < most && !escape_begins(p[k])) {
        text[k + 1] = p[k];
        k++;
    }
    return escape_unit(text, k + 1, ESCAPE_FAMILIES, last && k == n, bytes, &m) != 0;
}

/* The WAKE_SIDE bytes of lane 1 that begin at `at`. False: it is not clear what they are. */
static bool look_ahead(const struct wake *s, size_t at, uint8_t ret[WAKE_SIDE])
{
    for (size_t have = 0; have < WAKE_SIDE;) {
        uint8_t bytes[4];
        size_t k = 1;
        int length = 0;
        if (at >= s->n)
            return false;
        bytes[0] = s->p[at];
        if (escape_begins(bytes[0]))
            length = escape_unit(s->p + at, s->n - at, ESCAPE_FAMILIES, s->last, bytes, &k);
        if (length < 0 || escape_begins(bytes[0])) /* may be a unit of another layer */
            return false;
        for (size_t i = 0; i < k && have < WAKE_SIDE; i++)
            ret[have++] = bytes[i];
        at += (size_t)(length ? length : 1);
    }
    return true;
}

/* The gram at `p` with `c` for its byte `i`: by shifts, as bytes stored one by one are slow to
 * load. */
static inline uint32_t gram_with(const uint8_t *p, unsigned i, uint8_t c)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    unsigned shift = 8 * (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? i : WAKE_SIDE - i);
    return ((v & ~(0xffu << shift)) | (uint32_t)c << shift) | 0x20202020u;
}

/* If a unit is among the bytes before, this is not the first one of an occurrence that has them. */
static bool known_back(const struct wake *s, size_t at, uint8_t c)
{
    return at - s->plain >= WAKE_SIDE &&
           gram_in(&s->t->all_grams, gram_with(s->p + at - WAKE_SIDE, WAKE_SIDE, c));
}

static bool known_ahead(const struct wake *s, size_t end, uint8_t c)
{
    const uint8_t *p = s->p + end;
    uint8_t gram[GRAM_BYTES] = {c};
    if (s->n - end >= WAKE_SIDE && !escape_begins(p[0]) && !escape_begins(p[1]) &&
        !escape_begins(p[2]))
        return gram_in(&s->t->all_grams, gram_with(p - 1, 0, c));
    return !look_ahead(s, end, gram + 1) || gram_in(&s->t->all_grams, gram_at(gram));
}

/* Could the byte that a unit stands for, which some needle has, be part of an occurrence? Either
 * three bytes of it come before, or three behind: one of two grams must be known. */
static bool may_be_part(const struct wake *s, size_t at, size_t end, uint8_t c)
{
    return known_back(s, at, c) || known_ahead(s, end, c);
}

void wake_pass(struct wake *s, size_t at, int length, const uint8_t *bytes)
{
    s->plain = at + (size_t)length;
    if (!s->t->inside[bytes[0]])
        s->quiet = s->plain;
}

bool wake_needed(const struct wake *s, size_t at, int length, const uint8_t *bytes, size_t k)
{
    if (length == ESCAPE_INCOMPLETE)
        return true;
    if (length == 0)
        return may_begin_unit(s->p[at], s->p + at + 1, s->n - at - 1, s->last);
    size_t end = at + (size_t)length;
    for (size_t i = 0; i < k; i++)
        if (s->t->inside[bytes[i]] && (k > 1 || may_be_part(s, at, end, bytes[0])))
            return true;
    return escape_begins(bytes[0]) && may_begin_unit(bytes[0], s->p + end, s->n - end, s->last);
}
