/* slack - the memory that a burst of connections leaves behind, given back when it is calm. */
#pragma once

#include "base/base.h"

/* In the owner's struct, all zero; one adds 1 to it with whatever comes and with whatever goes. */
struct slack {
    uint64_t turns;
};

/* A fiber's main, with a struct slack: gives back what the allocator keeps whenever nothing has come or gone
 * for five seconds, and enough before that to be worth it. Suspends; until it is cancelled: 0. */
int slack_run(void *slack);
