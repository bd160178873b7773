/* escape - the three families of escapes in which a text may hide a byte, and a text without them.
 *
 * A *unit* is one escape of one family:
 *   percent    %41                                                       RFC 3986, 2.1
 *   backslash  \" \\ \/ \' \b \f \n \r \t \u0041 \ud83d\ude00 \x41       RFC 8259, 7; \x and \' JS
 *   entity     &quot; &amp; &lt; &gt; &apos; &#65; &#x41;                HTML 13.5; XML 4.6
 * It stands for one byte, or for the UTF-8 bytes of one character. What is no unit stands for
 * itself. Units are read from left to right; only a run of backslashes depends on where reading
 * began. */
#pragma once

#include "base/base.h"

#define ESCAPE_PERCENT   1u
#define ESCAPE_BACKSLASH 2u
#define ESCAPE_ENTITY    4u
#define ESCAPE_FAMILIES  7u

#define ESCAPE_UNIT_MAX   12   /* bytes of the longest unit: a surrogate pair */
#define ESCAPE_INCOMPLETE (-1) /* what is there so far may become a unit */

/* The unit that begins at p[0], of one of `families` (ESCAPE_*): its length in bytes (2..12) and
 * what it stands for, 1 to 4 bytes. 0 when there is none; ESCAPE_INCOMPLETE when the `n` bytes
 * end within what may be one and `last` is false. Any thread; never suspends. */
int escape_unit(const uint8_t *p, size_t n, unsigned families, bool last, uint8_t ret[4],
                size_t *ret_n);

/* The place of the first '%', '\\' or '&' at or behind `at`; `n` when there is none. */
size_t escape_next(const uint8_t *p, size_t at, size_t n);

static inline bool escape_begins(uint8_t c)
{
    return c == '%' || c == '\\' || c == '&';
}

/* Where the unit begins that has bytes on both sides of `at`; `at` when none has. Reading began
 * at 0. */
size_t escape_unit_around(const uint8_t *p, size_t n, size_t at, bool last);

/* Text with the units of `families` replaced by what they stand for, once. `ret` has room for `n`
 * bytes; returns how many were written. */
size_t escape_undo(const uint8_t *p, size_t n, unsigned families, uint8_t *ret);

struct buf;
/* Appends the `n` bytes so that they can stand in text of one family (0: as they are), `times`
 * over: 2 for JSON within JSON. Returns 0 or the buffer's error. */
int escape_add(struct buf *out, const uint8_t *p, size_t n, unsigned family, unsigned times);
