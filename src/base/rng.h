/* rng - random bytes from the kernel; a test may install a seeded generator. */
#pragma once

#include "base/base.h"

void rng_bytes(void *p, size_t n); /* getrandom(2), never fails (aborts if the kernel does) */
uint64_t rng_u64(void);
uint64_t rng_below(uint64_t n);    /* uniform in [0, n), n > 0 */
void rng_test_seed(uint64_t seed); /* tests only: deterministic until rng_test_reset */
void rng_test_reset(void);
