/* seen.c - a set of paths, as 64-bit keyed hashes in open addressing.
 *
 * Used by layer.c on the importer's thread, for the paths of one layer. An attacker chooses the
 * paths and how many there are: the key, drawn for each set, keeps him from choosing hashes that
 * collide, and the importer's ceiling on entries bounds the size. Two paths with the same hash
 * would be taken for one: with a million of them one time in tens of millions. */
#include "image/seen.h"
#include "base/map.h"
#include "base/rng.h"

#include <string.h>

void seen_init(struct seen *s)
{
    *s = (struct seen){.slots = NULL};
    rng_bytes(s->key, sizeof(s->key));
}

void seen_done(struct seen *s)
{
    free(TAKE(s->slots));
}

static uint64_t hash(const struct seen *s, const char *path, size_t n)
{
    uint64_t h = map_siphash13(s->key, path, n);
    return h ? h : 1;
}

static bool find(const struct seen *s, uint64_t h, size_t *ret_at)
{
    size_t at = (size_t)h & (s->cap - 1);
    while (s->slots[at] && s->slots[at] != h)
        at = (at + 1) & (s->cap - 1);
    *ret_at = at;
    return s->slots[at] == h;
}

bool seen_has(const struct seen *s, const char *path, size_t n)
{
    size_t at;
    return s->cap && find(s, hash(s, path, n), &at);
}

static void grow(struct seen *s)
{
    struct seen bigger = {.cap = s->cap ? s->cap * 2 : 1024, .n = s->n};
    memcpy(bigger.key, s->key, sizeof(s->key));
    bigger.slots = mem_array(bigger.cap, sizeof(*bigger.slots));
    for (size_t i = 0; i < s->cap; i++) {
        size_t at;
        if (s->slots[i] && !find(&bigger, s->slots[i], &at))
            bigger.slots[at] = s->slots[i];
    }
    free(s->slots);
    *s = bigger;
}

void seen_add(struct seen *s, const char *path, size_t n)
{
    while (n) {
        size_t at;
        if ((s->n + 1) * 4 > s->cap * 3)
            grow(s);
        uint64_t h = hash(s, path, n);
        if (find(s, h, &at))
            return; /* then its parents are there, too */
        s->slots[at] = h;
        s->n++;
        while (n && path[n - 1] != '/')
            n--;
        n -= n > 0;
    }
}
