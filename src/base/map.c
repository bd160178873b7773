/* map.c - string-keyed hash table, open addressing with tombstones.
 *
 * Theory of operation: peers choose keys (header names, session ids, JSON keys), so slots are
 * picked by SipHash-1-3 under a random key per map: collisions cannot be prepared. Entries are
 * single allocations holding their key; a slot holds a pointer, NULL, or the tombstone. Removing
 * leaves a tombstone and never moves an entry, so removing during map_next is safe. The table
 * doubles (or is rebuilt in place to drop tombstones) at three quarters full. Growth is the
 * caller's to bound. Not shared between threads, not held across a suspension while iterating. */
#include "base/map.h"
#include "base/rng.h"

#include <string.h>

#define SLOTS_FIRST 16 /* a power of two, like every later size */

struct map_entry {
    uint64_t hash;
    void *value;
    char key[];
};

static struct map_entry tombstone;

static uint64_t rotl(uint64_t x, unsigned b)
{
    return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* Aumasson and Bernstein, "SipHash: a fast short-input PRF", with one compression round per word
 * and three at the end. */
uint64_t map_siphash13(const uint64_t key[2], const void *p, size_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    const unsigned char *b = p;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t w = 0;
        for (unsigned k = 0; k < 8; k++)
            w |= (uint64_t)b[i + k] << (8 * k);
        v[3] ^= w;
        sip_round(v);
        v[0] ^= w;
    }
    uint64_t last = (uint64_t)(n & 0xff) << 56;
    for (unsigned k = 0; i < n; i++, k++)
        last |= (uint64_t)b[i] << (8 * k);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int k = 0; k < 3; k++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_done(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_slots; i++)
        if (m->slots[i] != &tombstone)
            free(m->slots[i]);
    free(m->slots);
    *m = (struct map){0};
}

/* The slot of `key`, or NULL. There is always an empty slot, so the walk ends. */
static struct map_entry **find(const struct map *m, const char *key, uint64_t hash)
{
    if (m->n_slots == 0)
        return NULL;
    for (size_t i = hash & (m->n_slots - 1); m->slots[i]; i = (i + 1) & (m->n_slots - 1)) {
        struct map_entry *e = m->slots[i];
        if (e != &tombstone && e->hash == hash && strcmp(e->key, key) == 0)
            return &m->slots[i];
    }
    return NULL;
}

static void place(struct map_entry **slots, size_t n_slots, struct map_entry *e)
{
    size_t i = e->hash & (n_slots - 1);
    while (slots[i])
        i = (i + 1) & (n_slots - 1);
    slots[i] = e;
}

static void make_room(struct map *m)
{
    if (m->n_slots == 0) {
        m->key[0] = rng_u64();
        m->key[1] = rng_u64();
    }
    if (m->n_slots && (m->n_used + 1) * 4 <= m->n_slots * 3)
        return;
    size_t n_slots = m->n_slots ? m->n_slots : SLOTS_FIRST;
    /* If not, the slots are taken by tombstones: same size, without them. */
    if ((m->n + 1) * 2 > n_slots)
        n_slots *= 2;
    struct map_entry **slots = mem_array(n_slots, sizeof(*slots));
    for (size_t i = 0; i < m->n_slots; i++)
        if (m->slots[i] && m->slots[i] != &tombstone)
            place(slots, n_slots, m->slots[i]);
    free(m->slots);
    m->slots = slots;
    m->n_slots = n_slots;
    m->n_used = m->n;
}

void *map_get(const struct map *m, const char *key)
{
    if (m->n == 0)
        return NULL;
    struct map_entry **slot = find(m, key, map_siphash13(m->key, key, strlen(key)));
    return slot ? (*slot)->value : NULL;
}

void *map_put(struct map *m, const char *key, void *value)
{
    MUST(value != NULL);
    make_room(m);
    size_t n = strlen(key);
    uint64_t hash = map_siphash13(m->key, key, n);
    struct map_entry **slot = find(m, key, hash);
    if (slot) {
        void *old = (*slot)->value;
        (*slot)->value = value;
        return old;
    }
    struct map_entry *e = mem_zalloc(sizeof(*e) + n + 1);
    e->hash = hash;
    e->value = value;
    memcpy(e->key, key, n + 1);
    place(m->slots, m->n_slots, e);
    m->n++;
    m->n_used++;
    return NULL;
}

void *map_remove(struct map *m, const char *key)
{
    if (m->n == 0)
        return NULL;
    struct map_entry **slot = find(m, key, map_siphash13(m->key, key, strlen(key)));
    if (!slot)
        return NULL;
    void *value = (*slot)->value;
    free(*slot);
    *slot = &tombstone;
    m->n--;
    return value;
}

bool map_next(const struct map *m, size_t *pos, const char **ret_key, void **ret_value)
{
    while (*pos < m->n_slots) {
        struct map_entry *e = m->slots[(*pos)++];
        if (!e || e == &tombstone)
            continue;
        if (ret_key)
            *ret_key = e->key;
        if (ret_value)
            *ret_value = e->value;
        return true;
    }
    return false;
}
