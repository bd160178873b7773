/* hooks - the operator's commands of one session: when they run, what they are given, and when they
 * are cut off. How one is run is hook.h's business. */
#pragma once

#include "worker/config.h"
#include "worker/remote.h"
#include "worker/watch.h"

struct hooks {
    const struct worker_config *cfg;
    const char *session_id, *work_id;
    const struct phase *phase;
    struct waitq *changed; /* woken when the phase changes */
    const char *metadata;  /* of the session, as JSON; borrowed */
};
/* Runs on_claim, if there is one; cut off when `over` says so. Suspends. */
void hooks_run_claim(struct hooks *h, bool (*over)(void *arg), void *arg);
/* Runs on_end, if there is one; since it has to clean up, only a second signal cuts it off.
 * Suspends. */
void hooks_run_end(struct hooks *h);
