/* rng.c - random bytes from the kernel.
 *
 * Theory of operation: getrandom(2) on every call, no pool in user space, so there is nothing to
 * reseed after a fork and nothing to find in a core. Any thread, any fiber; never suspends (the
 * kernel's pool is ready long before user space runs). Tests may install splitmix64 with a seed;
 * its state is one atomic counter, so that threads stay well-defined under it. */
#include "base/rng.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

static atomic_bool test_on;
static _Atomic uint64_t test_state;

static uint64_t test_next(void)
{
    uint64_t z = atomic_fetch_add(&test_state, 0x9e3779b97f4a7c15u) + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void rng_bytes(void *p, size_t n)
{
    unsigned char *to = p;
    while (n > 0) {
        size_t k;
        if (atomic_load_explicit(&test_on, memory_order_relaxed)) {
            uint64_t v = test_next();
            k = n < sizeof(v) ? n : sizeof(v);
            memcpy(to, &v, k);
        } else {
            ssize_t got = getrandom(to, n, 0);
            if (got < 0 && errno == EINTR)
                continue;
            MUST(got > 0);
            k = (size_t)got;
        }
        to += k;
        n -= k;
    }
}

uint64_t rng_u64(void)
{
    uint64_t v;
    rng_bytes(&v, sizeof(v));
    return v;
}

uint64_t rng_below(uint64_t n)
{
    MUST(n > 0);
    /* Values below 2^64 mod n would make small results likelier; draw again. */
    uint64_t skip = -n % n, v;
    do
        v = rng_u64();
    while (v < skip);
    return v % n;
}

void rng_test_seed(uint64_t seed)
{
    atomic_store(&test_state, seed);
    atomic_store(&test_on, true);
}

void rng_test_reset(void)
{
    atomic_store(&test_on, false);
}
