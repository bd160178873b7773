/* h2_memory.c - blocks of four pages and more for nghttp2 come from mmap; others are wiped when freed.
 *
 * Each session has a buffer of 16 KiB for the frame that is being sent. Its heads and control frames
 * use the first page of it, and bodies none, because they are copied past it (h2_events.c). Out of
 * the heap the buffer would lie on pages that others have written to, and an idle connection would
 * hold all of them; 10,000 of them are counted in memory that is really there.
 *
 * Called by nghttp2 only, on any thread. How much is asked for is bounded by what it accepts from
 * peers. In front of each block stands its size; a size that lies is a fault of nghttp2's. */
#include "http/pipe/h2_memory.h"

#include <string.h>
#include <sys/mman.h>

#define LARGE ((size_t)16 << 10)

struct block {
    size_t size; /* of all of it */
    bool mapped;
    _Alignas(16) char bytes[];
};

static struct block *block_of(void *p)
{
    return CONTAINER_OF(p, struct block, bytes);
}

static void *take(size_t n, void *arg)
{
    (void)arg;
    size_t size;
    if (__builtin_add_overflow(n, sizeof(struct block), &size))
        return NULL;
    struct block *b;
    bool mapped = n >= LARGE;
    if (mapped) {
        b = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b == MAP_FAILED)
            return NULL;
    } else {
        b = malloc(size); /* lint-allow: banned nghttp2 looks whether it got memory */
        if (!b)
            return NULL;
    }
    b->size = size;
    b->mapped = mapped;
    return b->bytes;
}

static void give(void *p, void *arg)
{
    (void)arg;
    if (!p)
        return;
    struct block *b = block_of(p);
    if (!b->mapped)
        explicit_bzero(b->bytes, b->size - sizeof(*b)); /* fields may be credentials */
    if (b->mapped)
        (void)munmap(b, b->size);
    else
        free(b);
}

static void *take_zeroed(size_t n, size_t each, void *arg)
{
    size_t all;
    if (__builtin_mul_overflow(n, each, &all))
        return NULL;
    void *p = take(all, arg);
    if (p && !block_of(p)->mapped)
        memset(p, 0, all);
    return p;
}

static void *take_again(void *old, size_t n, void *arg)
{
    void *p = take(n, arg);
    if (p && old) {
        size_t had = block_of(old)->size - sizeof(struct block);
        memcpy(p, old, had < n ? had : n);
        give(old, arg);
    }
    return p;
}

nghttp2_mem h2_memory = {
    .malloc = take, .free = give, .calloc = take_zeroed, .realloc = take_again};
