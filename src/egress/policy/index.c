/* index.c - open addressing over patterns.
 *
 * Built by policy.c, read by decide.c for every connection and request. The sandbox controls the
 * host that is looked up, not what is in the tables; the hash is keyed all the same, so that which
 * hosts collide is known to nobody. A slot holds 32 bits of the hash beside the number of the
 * bucket: a host that is in no table costs one cache line, and 100,000 rules fit the budget of a
 * microsecond (bench/policy_cost.c). */
#include "egress/policy/index.h"

#include <string.h>

#include "base/map.h"
#include "base/rng.h"

static uint32_t hash_of(const struct index_table *t, const char *s, size_t n)
{
    return (uint32_t)map_siphash13(t->key, s, n);
}

static void table_init(struct index_table *t, size_t n)
{
    size_t slots = 8;
    while (slots < n * 2)
        slots *= 2;
    t->mask = (uint32_t)slots - 1;
    t->slots = mem_array(slots, sizeof(*t->slots));
    t->buckets = mem_array(n + 1, sizeof(*t->buckets));
    rng_bytes(t->key, sizeof(t->key));
}

static struct index_bucket *find(const struct index_table *t, const char *s, size_t n,
                                 uint32_t hash, uint32_t *ret_slot)
{
    for (uint32_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        uint64_t slot = t->slots[i];
        *ret_slot = i;
        if (!slot)
            return NULL;
        if ((uint32_t)(slot >> 32) != hash)
            continue;
        struct index_bucket *b = &t->buckets[(uint32_t)slot - 1];
        if (b->text_n == n && memcmp(b->text, s, n) == 0)
            return b;
    }
}

static struct index_bucket *bucket_for(struct index *ix, const struct host_pattern *p)
{
    if (p->kind == HOST_ANY)
        return &ix->any;
    struct index_table *t = p->kind == HOST_EXACT ? &ix->exact : &ix->below;
    uint32_t hash = hash_of(t, p->host.text, p->host.n), slot;
    struct index_bucket *b = find(t, p->host.text, p->host.n, hash, &slot);
    if (!b) {
        b = &t->buckets[t->n++];
        *b = (struct index_bucket){.host = p, .text = p->host.text, .text_n = p->host.n};
        t->slots[slot] = (uint64_t)hash << 32 | t->n;
    }
    return b;
}

/* Gives each bucket its part of the entries, empty; its size is counted anew while it is filled. */
static struct index_entry *place(struct index_bucket *b, struct index_entry *at)
{
    b->entries = at;
    at += b->n;
    b->n = 0;
    return at;
}

static void settle(struct index_bucket *b, char **at)
{
    b->only = b->entries[0];
    if (b->n == 1)
        b->entries = &b->only;
    memcpy(*at, b->text, b->text_n);
    b->text = *at;
    *at += b->text_n;
}

/* Puts what look-ups compare with close together. The buckets do not move any more. */
static void settle_all(struct index *ix)
{
    size_t bytes = 1;
    for (uint32_t i = 0; i < ix->exact.n; i++)
        bytes += ix->exact.buckets[i].text_n;
    for (uint32_t i = 0; i < ix->below.n; i++)
        bytes += ix->below.buckets[i].text_n;
    char *at = ix->texts = mem_array(bytes, 1);
    for (uint32_t i = 0; i < ix->exact.n; i++)
        settle(&ix->exact.buckets[i], &at);
    for (uint32_t i = 0; i < ix->below.n; i++)
        settle(&ix->below.buckets[i], &at);
}

void index_build(struct index *ix, const struct index_entry *entries, size_t n)
{
    size_t exact = 0, below = 0;
    for (size_t i = 0; i < n; i++) {
        exact += entries[i].host->kind == HOST_EXACT;
        below += entries[i].host->kind == HOST_BELOW;
    }
    *ix = (struct index){0};
    table_init(&ix->exact, exact);
    table_init(&ix->below, below);
    ix->entries = mem_array(n + 1, sizeof(*ix->entries));
    for (size_t i = 0; i < n; i++) {
        const struct host_pattern *p = entries[i].host;
        bucket_for(ix, p)->n++;
        if (p->kind == HOST_BELOW && p->host.labels > ix->most_labels)
            ix->most_labels = p->host.labels;
    }
    struct index_entry *at = ix->entries;
    for (uint32_t i = 0; i < ix->exact.n; i++)
        at = place(&ix->exact.buckets[i], at);
    for (uint32_t i = 0; i < ix->below.n; i++)
        at = place(&ix->below.buckets[i], at);
    place(&ix->any, at);
    for (size_t i = 0; i < n; i++) {
        struct index_bucket *b = bucket_for(ix, entries[i].host);
        b->host = entries[i].host;
        ix->entries[(b->entries - ix->entries) + b->n++] = entries[i];
    }
    settle_all(ix);
}

void index_done(struct index *ix)
{
    free(ix->exact.slots);
    free(ix->exact.buckets);
    free(ix->below.slots);
    free(ix->below.buckets);
    free(ix->entries);
    free(ix->texts);
    *ix = (struct index){0};
}

static const struct index_bucket *look(const struct index_table *t, const char *s, size_t n)
{
    uint32_t slot;
    return find(t, s, n, hash_of(t, s, n), &slot);
}

size_t index_find(const struct index *ix, const struct host *h,
                  const struct index_bucket *ret[INDEX_BUCKETS_MAX])
{
    size_t n = 0;
    const struct index_bucket *b = look(&ix->exact, h->text, h->n);
    if (b)
        ret[n++] = b;
    if (h->kind != HOST_NAME)
        return n;
    const char *s = h->text, *end = h->text + h->n;
    for (unsigned left = h->labels; ix->below.n && left > 1;) {
        s = (const char *)memchr(s, '.', (size_t)(end - s)) + 1;
        left--;
        if (left <= ix->most_labels && (b = look(&ix->below, s, (size_t)(end - s))))
            ret[n++] = b;
    }
    if (ix->any.n)
        ret[n++] = &ix->any;
    return n;
}
