/* arena - memory that lives as long as one exchange, and blocks that outlive many. */
#pragma once

#include "base/base.h"

#define ARENA_BLOCK_BYTES 1024 /* block and head together: what spares are made of */

struct arena_block;
struct arena {
    struct arena_block *blocks;
    bool secret; /* what was in it is wiped when it is given back */
};
#define ARENA_INIT ((struct arena){.blocks = NULL})

/* Blocks of one size kept for reuse, so that an exchange costs no malloc. One thread. */
struct spare {
    void *first; /* linked through their first word */
    size_t n;
};
#define SPARE_MAX 256
/* `bytes` is the same in every call with one `s`, which may be NULL. */
void *spare_take(struct spare *s, size_t bytes) __attribute__((returns_nonnull));
void spare_give(struct spare *s, void *p); /* NULL is fine */
void spare_done(struct spare *s);

/* Aligned for any type, uninitialised. `pool` may be NULL; it is the same one in every call with one
 * arena. */
void *arena_alloc(struct arena *a, struct spare *pool, size_t n) __attribute__((returns_nonnull));
/* Gives everything back; the arena can be used again. */
void arena_done(struct arena *a, struct spare *pool);
