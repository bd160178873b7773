/* h2_body.c - a queue of pieces.
 *
 * Called by the callbacks that keep bodies and by the streams whose readers take them. One buffer that grows would be
 * copied as it does, and wiped and mapped anew for each window of a large body. Pieces are filled one
 * after the other and given back as they are read: the largest to a few spares of the thread, so that a
 * stream which is read as it comes always writes to the same memory. A piece is as large as what comes, or twice
 * the one before: a peer that sends single bytes makes us hold no more than about twice what it sent, which
 * is what windows and budgets count. What comes may be secrets of the other side; it is wiped when it was read.
 * The peer controls contents and sizes, the windows how much there is. */
#include "http/pipe/h2_body.h"

#include <string.h>

#include "base/arena.h"

#define PIECE_FIRST 256 /* with its head */
#define SPARES      16

struct h2_piece {
    struct h2_piece *next;
    uint32_t size; /* of all of it */
    uint32_t from, to;
    char bytes[];
};

static _Thread_local struct spare spares; /* of H2_PIECE_BYTES */

static struct h2_piece *piece_new(size_t size)
{
    struct h2_piece *p = size == H2_PIECE_BYTES ? spare_take(&spares, size) : mem_zalloc(size);
    p->next = NULL;
    p->size = (uint32_t)size;
    p->from = p->to = 0;
    return p;
}

static void piece_free(struct h2_piece *p)
{
    explicit_bzero(p->bytes, p->to);
    if (p->size == H2_PIECE_BYTES && spares.n < SPARES)
        spare_give(&spares, p);
    else
        free(p);
}

static size_t room_of(const struct h2_piece *p)
{
    return p ? p->size - sizeof(*p) - p->to : 0;
}

/* For `n` bytes, or as many of them as go into the largest. */
static void extend(struct h2_body *b, size_t n)
{
    size_t size = b->last ? 2 * (size_t)b->last->size : PIECE_FIRST;
    while (size < H2_PIECE_BYTES && size - sizeof(struct h2_piece) < n)
        size *= 2;
    if (size > H2_PIECE_BYTES)
        size = H2_PIECE_BYTES;
    struct h2_piece *p = piece_new(size);
    if (b->last)
        b->last->next = p;
    else
        b->first = p;
    b->last = p;
    b->held += size;
}

void h2_body_add(struct h2_body *b, const void *p, size_t n)
{
    const char *from = p;
    while (n > 0) {
        if (room_of(b->last) == 0)
            extend(b, n);
        size_t k = room_of(b->last);
        k = k < n ? k : n;
        memcpy(b->last->bytes + b->last->to, from, k);
        b->last->to += (uint32_t)k;
        b->n += k;
        from += k;
        n -= k;
    }
}

static void drop_first(struct h2_body *b)
{
    struct h2_piece *p = b->first;
    b->first = p->next;
    if (!b->first)
        b->last = NULL;
    b->held -= p->size;
    piece_free(p);
}

size_t h2_body_take(struct h2_body *b, void *to, size_t room)
{
    size_t done = 0;
    while (b->first && done < room) {
        struct h2_piece *p = b->first;
        size_t k = p->to - p->from;
        k = k < room - done ? k : room - done;
        memcpy((char *)to + done, p->bytes + p->from, k);
        p->from += (uint32_t)k;
        done += k;
        if (p->from == p->to)
            drop_first(b);
    }
    b->n -= done;
    return done;
}

void h2_body_done(struct h2_body *b)
{
    while (b->first)
        drop_first(b);
    b->n = 0;
}
