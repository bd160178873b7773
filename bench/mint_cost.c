/* mint_cost.c - what a leaf certificate costs that is minted for a host, and one from the cache.
 *
 * Usage: mint_cost [LEAVES]. One JSON line: leaves signed a second of CPU (the best of 8 rounds of
 * that many hosts, each a new one), and nanoseconds for one that is in the cache. */
#include "base/err.h"
#include "base/str.h"
#include "crypto/cert.h"
#include "stats.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROUNDS 8
#define CACHED 1000

/* Of this thread: others on the machine count as little as they can. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0)
        stats_die("clock_gettime");
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void give_up(const struct err *e)
{
    (void)fprintf(stderr, "mint_cost: %s\n", e->msg);
    exit(1);
}

static int64_t mint(struct cert_ca *ca, unsigned round, size_t leaves)
{
    char host[64];
    struct err e = {0};
    int64_t from = cpu_ns();
    for (size_t i = 0; i < leaves; i++) {
        struct cert_identity *id;
        (void)snprintf(host, sizeof(host), "host%zu.round%u.example.com", i, round);
        if (cert_leaf(ca, host, false, &id, &e) < 0)
            give_up(&e);
        cert_identity_unref(id);
    }
    return cpu_ns() - from;
}

static int64_t look_up(struct cert_cache *cache, size_t times)
{
    char host[64];
    struct err e = {0};
    int64_t from = cpu_ns();
    for (size_t i = 0; i < times; i++) {
        struct cert_identity *id;
        (void)snprintf(host, sizeof(host), "host%zu.example.com", i % CACHED);
        if (cert_cache_get(cache, host, false, &id, &e) < 0)
            give_up(&e);
        cert_identity_unref(id);
    }
    return cpu_ns() - from;
}

int main(int argc, char **argv)
{
    uint64_t leaves = 2000;
    if (argc > 1 && (str_to_u64(argv[1], strlen(argv[1]), 1000000, &leaves) < 0 || leaves == 0)) {
        (void)fprintf(stderr, "usage: mint_cost [LEAVES], at most 1000000\n");
        return 2;
    }
    struct err e = {0};
    struct cert_ca *ca;
    if (cert_ca_new(&(struct cert_ca_options){.lifetime_s = 365 * 86400}, &ca, &e) < 0)
        give_up(&e);
    int64_t best = INT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int64_t ns = mint(ca, round, leaves);
        best = ns < best ? ns : best;
    }
    struct cert_cache *cache = cert_cache_new(ca, CACHED);
    (void)look_up(cache, CACHED);
    int64_t cached = look_up(cache, 100 * CACHED);
    (void)printf("{\"leaves_per_s\":%.0f,\"leaf_us\":%.1f,\"cached_ns\":%.0f}\n",
                 1e9 * (double)leaves / (double)best, (double)best / 1e3 / (double)leaves,
                 (double)cached / (100.0 * CACHED));
    cert_cache_free(cache);
    cert_ca_free(ca);
    return 0;
}
