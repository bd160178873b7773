/* search - all needles in a flat piece of text, for the files of this folder. */
#pragma once

#include "scrub/table.h"

/* An occurrence. Places are bytes of whatever text was searched. */
struct found {
    size_t start, end; /* with the characters at the edges */
    const struct needle *needle;
    uint8_t head, tail; /* these characters; 0: not taken in */
    bool upper;         /* hex that has upper case letters */
    uint8_t level;      /* how many layers of escapes were undone */
    uint8_t family;     /* of the first escape within, ESCAPE_*; 0: none */
};

struct hits {
    struct buf *found;   /* of struct found, in no order */
    struct buf *partial; /* of size_t: where what begins may go on behind the end; in no order */
};

/* Adds every needle in the `n` bytes, and, unless they are the `last` ones, every place at which
 * one may have begun. Work: one look-up for each t->step bytes, plus, for each gram that is in
 * the table, one binary search of the needles. Returns 0 or -ENOMEM, -EMSGSIZE of the results. */
int search_flat(const struct scrub_table *t, const uint8_t *p, size_t n, bool last,
                struct hits *ret);
