/* map - string-keyed hash table (keyed SipHash, so peers cannot aim collisions), pointers as
 * values.
 *
 * Keys are copied. Values are the caller's. Not for iteration across a suspension. */
#pragma once

#include "base/base.h"

struct map_entry;
struct map {
    struct map_entry **slots;
    size_t n_slots, n; /* n: entries */
    size_t n_used;     /* slots that are not empty: entries and tombstones */
    uint64_t key[2];   /* random per map, drawn on first insert */
};

void map_init(struct map *m);
void map_done(struct map *m);                        /* frees keys and table, not the values */
void *map_get(const struct map *m, const char *key); /* NULL when absent */
/* Inserts or replaces; returns the value that was there, or NULL. `value` must not be NULL. */
void *map_put(struct map *m, const char *key, void *value);
void *map_remove(struct map *m, const char *key); /* returns the value, or NULL */
/* Iteration:
 *     size_t pos = 0;
 *     while (map_next(m, &pos, &key, &value))
 *         ...
 * No insertion meanwhile; removing is fine (the key handed out dies with its entry). Either output
 * may be NULL. */
bool map_next(const struct map *m, size_t *pos, const char **ret_key, void **ret_value);

/* SipHash-1-3 of `n` bytes under a 128-bit key, exposed for its known-answer test. */
uint64_t map_siphash13(const uint64_t key[2], const void *p, size_t n);
