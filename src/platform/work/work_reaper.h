/* work_reaper - leases that run out. */
#pragma once

#include "platform/work/work_clock.h"

struct err;
/* At start, before the first request: every lease gets a whole time to live from now on, because no
 * worker could renew one while the server was down. Suspends. */
int work_start(struct platform *p, struct err *e) WARN_UNUSED;
/* The fiber that ends leases when they run out; `arg` is the struct platform. Sleeps exactly until
 * the next one. Runs until it is cancelled. */
int work_reaper(void *arg);
