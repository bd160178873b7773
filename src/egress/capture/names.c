/* names.c - the table of a sandbox's names and their synthetic addresses.
 *
 * Theory of operation. A sandbox decides which names it asks for and how often, so the table has a
 * ceiling, and the name that was asked for longest ago makes room. Two finds are needed: by name (a
 * keyed map, so that nobody aims collisions) and by index (chains; at most NAMES_INDEXES / n_chains
 * names can share one, whatever is asked for). An entry is on `recent` while it may be forgotten: not
 * fixed, and not held by an open connection.
 *
 * Indexes are given in a circle. With 4,096 names at once, an address that was forgotten means nothing
 * for at least 100,000 further names; a client that keeps one for too long is reset, and never
 * reaches another host with it. */
#include "egress/capture/names.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"

#include <arpa/inet.h>
#include <string.h>

#define FIRST_FREE  (NAMES_FIRST_FIXED + LIMIT_CAPTURE_FIXED)
#define LAST_FREE   (NAMES_INDEXES - 2) /* 198.19.255.255 looks like a broadcast address */
#define CHAINS_MIN  64
#define IPV4_PREFIX 0xc6120000u /* 198.18.0.0 */

_Static_assert(LIMIT_CAPTURE_FIXED < LIMIT_CAPTURE_NAMES, "there is room for names that are asked");
_Static_assert(LAST_FREE - FIRST_FREE > 16 * LIMIT_CAPTURE_NAMES, "the circle is long");

static const unsigned char ipv6_prefix[8] = {0xfd, 0x73, 0x61, 0x6c, 0x6c, 0x79, 0, 0};

struct entry {
    struct name name;
    struct entry *next; /* of the chain */
    struct list recent; /* last asked for at the back */
    unsigned held;
    bool fixed;
};

struct names {
    struct map by_host;
    struct entry **chains;
    size_t n_chains; /* a power of two */
    struct list recent;
    size_t n, max;
    uint32_t next_fixed, next_free;
};

struct names *names_new(size_t max)
{
    struct names *n = mem_new(struct names);
    map_init(&n->by_host);
    n->n_chains = CHAINS_MIN;
    n->chains = mem_array(n->n_chains, sizeof(*n->chains));
    list_init(&n->recent);
    n->max = max ? max : LIMIT_CAPTURE_NAMES;
    n->next_fixed = NAMES_FIRST_FIXED;
    n->next_free = FIRST_FREE;
    return n;
}

void names_start_at(struct names *n, uint32_t seed)
{
    n->next_free = FIRST_FREE + seed % (LAST_FREE - FIRST_FREE + 1);
}

void names_free(struct names *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->n_chains; i++)
        for (struct entry *e = n->chains[i], *next; e; e = next) {
            MUST(e->held == 0);
            next = e->next;
            free(e);
        }
    free(n->chains);
    map_done(&n->by_host);
    free(n);
}

/* ---- by index ---- */

static struct entry **chain_of(const struct names *n, uint32_t index)
{
    return &n->chains[index & (n->n_chains - 1)];
}

static struct entry *entry_of_index(const struct names *n, uint32_t index)
{
    struct entry *e = *chain_of(n, index);
    while (e && e->name.index != index)
        e = e->next;
    return e;
}

static void chain_add(struct names *n, struct entry *e)
{
    struct entry **c = chain_of(n, e->name.index);
    e->next = *c;
    *c = e;
}

static void chain_remove(struct names *n, const struct entry *e)
{
    struct entry **c = chain_of(n, e->name.index);
    while (*c != e)
        c = &(*c)->next;
    *c = e->next;
}

static void grow(struct names *n)
{
    size_t old_n = n->n_chains;
    struct entry **old = n->chains;
    n->n_chains *= 2;
    n->chains = mem_array(n->n_chains, sizeof(*n->chains));
    for (size_t i = 0; i < old_n; i++)
        for (struct entry *e = old[i], *next; e; e = next) {
            next = e->next;
            chain_add(n, e);
        }
    free(old);
}

/* ---- entries ---- */

static struct entry *entry_of(struct name *name)
{
    return CONTAINER_OF(name, struct entry, name);
}

static struct entry *add(struct names *n, const struct host *h, uint32_t index, bool fixed)
{
    if (n->n >= n->n_chains)
        grow(n);
    struct entry *e = mem_new(struct entry);
    e->name = (struct name){.host = *h, .index = index};
    e->fixed = fixed;
    list_init(&e->recent);
    if (!fixed)
        list_push_back(&n->recent, &e->recent);
    MUST(!map_put(&n->by_host, h->text, e));
    chain_add(n, e);
    n->n++;
    return e;
}

static void forget(struct names *n, struct entry *e)
{
    list_remove(&e->recent);
    (void)map_remove(&n->by_host, e->name.host.text);
    chain_remove(n, e);
    n->n--;
    free(e);
}

/* There are fewer names than indexes, so it ends; names that are kept for long lie far apart. */
static uint32_t free_index(struct names *n)
{
    for (;;) {
        uint32_t index = n->next_free;
        n->next_free = index == LAST_FREE ? FIRST_FREE : index + 1;
        if (!entry_of_index(n, index))
            return index;
    }
}

int names_reserve(struct names *n, const struct host *h, uint32_t *ret_index)
{
    struct entry *e = map_get(&n->by_host, h->text);
    if (e && !e->fixed)
        return -EEXIST;
    if (!e) {
        if (n->next_fixed >= FIRST_FREE || n->n >= n->max)
            return -E_LIMIT;
        e = add(n, h, n->next_fixed++, true);
    }
    *ret_index = e->name.index;
    return 0;
}

static bool forgettable(const struct entry *e)
{
    return !e->fixed && e->held == 0;
}

int names_take(struct names *n, const struct host *h, struct name **ret, bool *ret_fresh)
{
    struct entry *e = map_get(&n->by_host, h->text);
    bool fresh = !e;
    if (e && forgettable(e)) {
        list_remove(&e->recent);
        list_push_back(&n->recent, &e->recent);
    }
    if (!e) {
        if (n->n >= n->max) {
            if (list_empty(&n->recent))
                return -E_LIMIT;
            forget(n, LIST_ENTRY(n->recent.next, struct entry, recent));
        }
        e = add(n, h, free_index(n), false);
    }
    *ret = &e->name;
    if (ret_fresh)
        *ret_fresh = fresh;
    return 0;
}

struct name *names_get(const struct names *n, const struct host *h)
{
    struct entry *e = map_get(&n->by_host, h->text);
    return e ? &e->name : NULL;
}

struct name *names_of_index(const struct names *n, uint32_t index)
{
    struct entry *e = entry_of_index(n, index);
    return e ? &e->name : NULL;
}

size_t names_count(const struct names *n)
{
    return n->n;
}

void names_hold(struct names *n, struct name *name)
{
    struct entry *e = entry_of(name);
    (void)n;
    e->held++;
    list_remove(&e->recent);
}

/* A name that was connected to is in use: it goes to the back. */
void names_release(struct names *n, struct name *name)
{
    struct entry *e = entry_of(name);
    MUST(e->held > 0);
    e->held--;
    if (forgettable(e))
        list_push_back(&n->recent, &e->recent);
}

/* ---- addresses ---- */

void names_ipv4(uint32_t index, unsigned char ret[4])
{
    MUST(index < NAMES_INDEXES);
    uint32_t be = htonl(IPV4_PREFIX | index);
    memcpy(ret, &be, sizeof(be));
}

void names_ipv6(uint32_t index, unsigned char ret[16])
{
    MUST(index < NAMES_INDEXES);
    uint32_t be = htonl(index);
    memset(ret, 0, 16);
    memcpy(ret, ipv6_prefix, sizeof(ipv6_prefix));
    memcpy(ret + 12, &be, sizeof(be));
}

int names_index_of(const struct address *a, uint32_t *ret)
{
    uint32_t low;
    memcpy(&low, a->b + 12, sizeof(low));
    low = ntohl(low);
    if (address_is_ipv4(a)) {
        low ^= IPV4_PREFIX;
    } else {
        static const unsigned char zero[4] = {0};
        if (memcmp(a->b, ipv6_prefix, sizeof(ipv6_prefix)) != 0 || memcmp(a->b + 8, zero, 4) != 0)
            return -ENOENT;
    }
    if (low >= NAMES_INDEXES)
        return -ENOENT;
    *ret = low;
    return 0;
}
