/* limits.c - buckets in a map.
 *
 * Called for every request that uses a credential with limits. Time is in milliseconds, what is in a
 * bucket in millionths of a use, so that a thousand requests a day fill evenly. The names come from
 * the policy, so there are as many as it has. A policy that changes while a session runs changes size and
 * rate, and leaves what was used. */
#include "egress/inject/limits.h"

#include "base/map.h"

#define WHOLE 1000000 /* of one use */

struct bucket {
    uint64_t used;
    int64_t left;    /* in millionths */
    int64_t full;    /* likewise: the size when it was filled last */
    int64_t then_ms; /* when that was */
};

struct inject_limits {
    struct map buckets;
};

struct inject_limits *inject_limits_new(void)
{
    struct inject_limits *l = mem_new(struct inject_limits);
    map_init(&l->buckets);
    return l;
}

void inject_limits_free(struct inject_limits *l)
{
    void *b;
    if (!l)
        return;
    for (size_t at = 0; map_next(&l->buckets, &at, NULL, &b);)
        free(b);
    map_done(&l->buckets);
    free(l);
}

static struct bucket *bucket_of(struct inject_limits *l, const char *name)
{
    struct bucket *b = map_get(&l->buckets, name);
    if (!b) {
        b = mem_new(struct bucket);
        (void)map_put(&l->buckets, name, b);
    }
    return b;
}

/* What has come in since the last time. */
static void fill(struct bucket *b, const struct policy_rate *rate, int64_t now_ms)
{
    int64_t full = (int64_t)rate->count * WHOLE;
    int64_t passed = now_ms > b->then_ms ? now_ms - b->then_ms : 0;
    if (b->full == 0 || passed >= rate->window_ms) {
        b->left = full; /* new, or everything has come in */
    } else {
        b->left = b->left > full ? full : b->left; /* the policy has become narrower */
        /* count < 2^32, passed < window: fits when taken apart */
        int64_t in = (int64_t)((__int128)full * passed / rate->window_ms);
        b->left = b->left + in > full ? full : b->left + in;
        if (in == 0)
            return; /* too little has passed: it counts from the same time on */
    }
    b->full = full;
    b->then_ms = now_ms;
}

int64_t inject_limits_wait(struct inject_limits *l, const char *name,
                           const struct policy_limits *of, int64_t now_ms)
{
    if (of->per_session == 0 && of->requests.count == 0)
        return 0;
    struct bucket *b = bucket_of(l, name);
    if (of->per_session && b->used >= (uint64_t)of->per_session)
        return -1;
    if (of->requests.count == 0)
        return 0;
    fill(b, &of->requests, now_ms);
    if (b->left >= WHOLE)
        return 0;
    int64_t full = (int64_t)of->requests.count * WHOLE;
    int64_t wait = (int64_t)((__int128)(WHOLE - b->left) * of->requests.window_ms / full);
    return wait + 1;
}

void inject_limits_take(struct inject_limits *l, const char *name, const struct policy_limits *of,
                        int64_t now_ms)
{
    if (of->per_session == 0 && of->requests.count == 0)
        return;
    struct bucket *b = bucket_of(l, name);
    b->used++;
    if (of->requests.count) {
        fill(b, &of->requests, now_ms);
        b->left -= b->left < WHOLE ? b->left : WHOLE;
    }
}

uint64_t inject_limits_used(const struct inject_limits *l, const char *name)
{
    const struct bucket *b = map_get(&l->buckets, name);
    return b ? b->used : 0;
}
