/* runner - one claimed session, from the first heartbeat to the stop. */
#pragma once

#include "base/json.h"
#include "base/list.h"
#include "worker/config.h"
#include "worker/phase.h"

struct box_host;
struct kept;

struct runner_env {
    const struct worker_config *cfg;
    struct box_host *boxes;
    struct phase phase;
    struct kept *kept;    /* sandboxes of sessions at rest */
    struct list sessions; /* live runners, to be woken when the phase changes */
};

/* Serves one work item until it is done with. `work` is the poll's answer (borrowed for the call).
 * Suspends. Logs its own errors: the poller has nothing to do about them. */
void runner_serve(struct runner_env *env, const json_t *work);
/* Wakes every runner to look at env->phase again. */
void runner_wake_all(struct runner_env *env);
