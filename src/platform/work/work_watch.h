/* work_watch - says in the log that calls wait for a worker, and when that is over. */
#pragma once

#include "base/base.h"

/* One environment in which calls have waited for too long. */
struct work_wait {
    char environment_id[64];
    int64_t calls;          /* items with open calls that nobody has; 0: not any more */
    int64_t oldest_at;      /* when the first of them was queued; wall clock, us */
    int64_t since, said_at; /* wall clock, us */
};
enum work_wait_word { WORK_WAIT_SILENT, WORK_WAIT_SAY, WORK_WAIT_OVER };
/* What to say after a look at `now`, given what the look before it has left in `w`: at first, then
 * once a minute, then that it is over. Pure, but for w->said_at. */
enum work_wait_word work_wait_judge(struct work_wait *w, int64_t now);

/* The fiber that looks; `arg` is the struct platform. Runs until it is cancelled. */
int work_watcher(void *arg);
