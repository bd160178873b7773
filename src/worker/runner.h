/* runner - one claimed session, from the first heartbeat to the stop. */
#pragma once

#include "base/json.h"
#include "base/list.h"
#include "fiber/sync.h"
#include "worker/config.h"
#include "worker/phase.h"

struct box_host;
struct kept;
struct ledger;
struct slots;

struct runner_env {
    const struct worker_config *cfg;
    struct box_host *boxes;
    struct phase phase;
    struct kept *kept;     /* sandboxes of sessions at rest */
    struct slots *slots;   /* how many are served at once */
    struct ledger *ledger; /* calls that were begun, results that wait */
    struct list sessions;  /* live runners, to be woken when the phase changes */
    struct waitq left;     /* woken when one of them has gone */
    int64_t lease_ms;      /* time to live, as the platform last said; 0: not yet */
};

/* Serves one work item until it is done with, in a slot that was taken for it (slots_take). `work` is the poll's answer
 * (borrowed for the call). Suspends. Logs its own errors: the poller has nothing to do about them. */
void runner_serve(struct runner_env *env, const json_t *work);
/* Before the first session: what is not the caller's to fill. */
void runner_env_init(struct runner_env *env);
/* How many sessions have a sandbox. */
size_t runner_count_boxes(const struct runner_env *env);
/* Wakes every runner to look at env->phase again. */
void runner_wake_all(struct runner_env *env);
