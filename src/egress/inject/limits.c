/* limits.c - buckets in a map.
 *
 * Called for every request that uses a credential with limits, or that a rule with limits allows.
 * Time is in milliseconds, what is in a bucket in millionths of a use, so that a thousand requests a day
 * fill evenly. The names come from the policy, so there are as many as it has. A policy that changes while
 * a session runs changes size and rate, and leaves what was used. */
#include "egress/inject/limits.h"

#include <stdio.h>

#include "base/map.h"

#define WHOLE 1000000 /* of one use */

struct bucket {
    uint64_t used;
    int64_t left;    /* in millionths */
    int64_t then_ms; /* at this time */
    bool begun;
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

/* What there is now. Looking stores nothing, so who looks often loses no fractions. */
static int64_t left_now(const struct bucket *b, const struct policy_rate *rate, int64_t now_ms)
{
    int64_t full = (int64_t)rate->count * WHOLE;
    int64_t passed = now_ms > b->then_ms ? now_ms - b->then_ms : 0;
    if (!b->begun || passed >= rate->window_ms)
        return full; /* new, or everything has come in */
    /* count < 2^32, passed < window: one product at a time fits */
    int64_t in = (int64_t)((__int128)full * passed / rate->window_ms);
    return b->left + in > full ? full : b->left + in;
}

int64_t inject_limits_wait(struct inject_limits *l, const char *name,
                           const struct policy_limits *of, int64_t now_ms)
{
    const struct bucket *b = map_get(&l->buckets, name);
    if (!b)
        return 0; /* a limit is never below one */
    if (of->per_session && b->used >= (uint64_t)of->per_session)
        return -1;
    if (of->requests.count == 0)
        return 0;
    int64_t left = left_now(b, &of->requests, now_ms);
    if (left >= WHOLE)
        return 0;
    int64_t full = (int64_t)of->requests.count * WHOLE;
    return (int64_t)((__int128)(WHOLE - left) * of->requests.window_ms / full) + 1;
}

void inject_limits_take(struct inject_limits *l, const char *name, const struct policy_limits *of,
                        int64_t now_ms)
{
    if (of->per_session == 0 && of->requests.count == 0)
        return;
    struct bucket *b = bucket_of(l, name);
    b->used++;
    if (of->requests.count == 0)
        return;
    int64_t left = left_now(b, &of->requests, now_ms);
    b->left = left - (left < WHOLE ? left : WHOLE);
    b->then_ms = now_ms > b->then_ms || !b->begun ? now_ms : b->then_ms;
    b->begun = true;
}

#define RULE_NAME_MAX 24

/* "rule 7": no credential can have that name. */
static void name_rule(const struct policy_rule *rule, char ret[RULE_NAME_MAX])
{
    (void)snprintf(ret, RULE_NAME_MAX, "rule %u", (unsigned)rule->position);
}

int64_t inject_limits_wait_rule(struct inject_limits *l, const struct policy_rule *rule,
                                int64_t now_ms)
{
    char name[RULE_NAME_MAX];
    name_rule(rule, name);
    return inject_limits_wait(l, name, &rule->limits, now_ms);
}

void inject_limits_take_rule(struct inject_limits *l, const struct policy_rule *rule,
                             int64_t now_ms)
{
    char name[RULE_NAME_MAX];
    name_rule(rule, name);
    inject_limits_take(l, name, &rule->limits, now_ms);
}

uint64_t inject_limits_used(const struct inject_limits *l, const char *name)
{
    const struct bucket *b = map_get(&l->buckets, name);
    return b ? b->used : 0;
}
