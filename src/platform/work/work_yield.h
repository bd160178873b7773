/* work_yield - items of sessions at rest that are taken back, because calls wait and no worker polls
 * for them. */
#pragma once

#include "platform/work/work_clock.h"
#include "store/db.h"

/* An item that may be taken back. */
struct work_resting {
    char work_id[64], session_id[64];
};
/* Those of an environment, up to `max` (at most WORK_RESTING_MAX) into `ret`, the best ones first; *ret_n tells
 * how many. */
#define WORK_RESTING_MAX 32
int work_resting_tx(struct tx *tx, const char *environment_id, const struct work_time *t,
                    size_t max, struct work_resting ret[WORK_RESTING_MAX], size_t *ret_n)
    WARN_UNUSED;

/* The fiber that does it; `arg` is the struct platform. Runs until it is cancelled. */
int work_yielder(void *arg);
