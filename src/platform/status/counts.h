/* counts - how many sessions and work items are in which state. */
#pragma once

#include "platform/api/state.h"
#include "store/upkeep.h"

enum { COUNT_IDLE, COUNT_RUNNING, COUNT_RESCHEDULING, COUNT_TERMINATED, COUNT_STATUSES };
/* Work items that are not over. WAITING: in the queue with a call that a worker must run; RESTING:
 * nothing is to be run and none is expected: in the queue without such a call, or held by a worker
 * for a session that is idle; CLAIMED: offered to a worker that has not acknowledged yet; ACTIVE:
 * held, and the session is at work. */
enum {
    COUNT_WAITING,
    COUNT_RESTING,
    COUNT_CLAIMED,
    COUNT_STARTING,
    COUNT_ACTIVE,
    COUNT_STOPPING,
    COUNT_STATES
};
extern const char *const count_status_names[COUNT_STATUSES];
extern const char *const count_state_names[COUNT_STATES];

#define COUNTS_ENVIRONMENTS_MAX 256

struct env_counts {
    char id[64];
    int64_t states[COUNT_STATES];
    int64_t
        oldest_us; /* wall clock: since when the longest waiting call's item is queued; 0: none */
};

struct counts {
    int64_t sessions[COUNT_STATUSES];                /* archived ones left out */
    int64_t states[COUNT_STATES];                    /* of all environments */
    int64_t oldest_us;                               /* likewise */
    struct env_counts envs[COUNTS_ENVIRONMENTS_MAX]; /* those with items that are not over */
    size_t n_envs;
    struct upkeep_size database;
};
/* Suspends. 0 or a negative code. `ret` is large: keep it on the heap. */
int counts_read(struct platform *p, struct counts *ret) WARN_UNUSED;
