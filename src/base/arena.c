/* arena.c - blocks in a list, and a stock of blocks.
 *
 * A request of ordinary size takes one block from the spares and gives it back: no malloc in the
 * steady state. What does not fit gets a block of its own. How much can be asked for is bounded by
 * the callers: a head's ceiling, a query's, what handlers copy. Spares are capped, so a burst does
 * not stay in the process for ever. */
#include "base/arena.h"

#include <string.h>

#define ALIGN (2 * sizeof(void *))

struct arena_block {
    struct arena_block *next;
    size_t cap, used;
    char bytes[];
};

void *spare_take(struct spare *s, size_t bytes)
{
    void *p = s ? s->first : NULL;
    if (!p)
        return mem_zalloc(bytes);
    memcpy(&s->first, p, sizeof(void *));
    s->n--;
    return p;
}

void spare_give(struct spare *s, void *p)
{
    if (!p)
        return;
    if (!s || s->n >= SPARE_MAX) {
        free(p);
        return;
    }
    memcpy(p, &s->first, sizeof(void *));
    s->first = p;
    s->n++;
}

void spare_done(struct spare *s)
{
    while (s->first) {
        void *p = s->first;
        memcpy(&s->first, p, sizeof(void *));
        free(p);
    }
    s->n = 0;
}

static struct arena_block *block_new(struct spare *pool, size_t n)
{
    struct arena_block *b;
    size_t cap = ARENA_BLOCK_BYTES - sizeof(*b);
    if (n <= cap) {
        b = spare_take(pool, ARENA_BLOCK_BYTES);
        b->cap = cap;
    } else {
        b = mem_zalloc(sizeof(*b) + n);
        b->cap = n;
    }
    b->next = NULL;
    b->used = 0;
    return b;
}

void *arena_alloc(struct arena *a, struct spare *pool, size_t n)
{
    MUST(n <= SIZE_MAX / 2);
    n = n ? (n + ALIGN - 1) & ~(ALIGN - 1) : ALIGN;
    struct arena_block *b = a->blocks;
    if (!b || b->cap - b->used < n) {
        b = block_new(pool, n);
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = b->bytes + b->used;
    b->used += n;
    return p;
}

void arena_done(struct arena *a, struct spare *pool)
{
    struct arena_block *b;
    while ((b = a->blocks)) {
        a->blocks = b->next;
        if (a->secret)
            explicit_bzero(b->bytes, b->used);
        if (b->cap == ARENA_BLOCK_BYTES - sizeof(*b))
            spare_give(pool, b);
        else
            free(b);
    }
}
