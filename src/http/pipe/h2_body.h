/* h2_body - what has come of a body and nobody has read yet. */
#pragma once

#include "base/base.h"

#define H2_PIECE_BYTES ((size_t)16 << 10) /* of the largest piece, with its head */

struct h2_piece;

/* Bytes in the order in which they came. All zeros is an empty one. */
struct h2_body {
    struct h2_piece *first, *last;
    size_t n;    /* bytes in it */
    size_t held; /* memory that they take: at most twice their number and two pieces */
};

/* Copies `n` bytes behind the others. Ends the process when there is no memory. Does not suspend. */
void h2_body_add(struct h2_body *b, const void *p, size_t n);
/* Moves up to `room` of the oldest bytes to `to`; how many. What they lay in is wiped. */
size_t h2_body_take(struct h2_body *b, void *to, size_t room);
/* Wipes and frees all of it; it can be used again. */
void h2_body_done(struct h2_body *b);
