/* worker - claims sessions from a self_hosted environment and runs their tools, one sandbox per
 * session.
 *
 * What lives in this folder: what the worker is told (config), the calls to the platform (remote),
 * the claim loop (worker) and how far it is on its way out (phase); then one session: the lease of
 * its item (lease), what its events tell (feed), the reader of these events (follow), the execution
 * of its calls (runner, watch), their results (post), the operator's commands (hooks, hook), and
 * sandboxes kept for it (kept). What does not: sandboxes as one sees them from outside (box/),
 * namespaces and tools themselves (sandbox/), the way out of a sandbox (egress/).
 *
 * Rules: worker.md; wire facts: api.md section 4. */
#pragma once

#include "worker/config.h"

struct err;

/* By memory and cores: 1 per 256 MiB, at most 16 per core, at least 1. */
size_t worker_default_capacity(void);

/* Serves until worker_stop or a permanent error (wrong key, unknown environment: words in `e`).
 * Suspends. `on_ready` (may be NULL) is called after the first accepted poll. Returns 0 or a
 * negative code. */
int worker_run(const struct worker_config *cfg, void (*on_ready)(void *arg), void *arg,
               struct err *e);
/* From another fiber: first call, stop claiming and give running calls the grace period; second
 * call, now. */
void worker_stop(void);
