/* brain - the agent loop of the server: sessions that have something to do are stepped until they
 * rest.
 *
 * What lives in this folder: the registry of active sessions (brain), the step loop (turn), the two
 * transactions of a step (step), the model request built from the log (context), tools and
 * permissions, and the model providers (models). What does not: the log itself and what inputs may
 * do to it (session/log), and running tools (worker, sandbox). */
#pragma once

#include "base/base.h"

struct session_log;
struct model;
struct err;
struct brain;

/* Starts the brain on the calling fiber's thread; `log` and `m` are borrowed until brain_stop. `m`
 * NULL: sessions that need a model say in their log which variable to set. Sessions that were at
 * work when the server ended are picked up by a fiber of the brain. Call brain_stop on the same
 * fiber. Does not suspend. 0, or -ENOMEM / -EAGAIN (no fiber). */
int brain_start(struct session_log *log, struct model *m, struct brain **ret, struct err *e)
    WARN_UNUSED;

/* The doorbell: the `wake` of the session log, with the brain as its argument. Never suspends;
 * harmless for a session that has nothing to do and for one that does not exist. */
void brain_wake(void *arg, const char *session_id);

/* Cancels and joins every step in flight; the log takes up from there at the next start. NULL is
 * fine. Suspends. */
void brain_stop(struct brain *b);

/* How a failed model request is repeated: the n-th wait is base_ms * 2^n, at most 30 s, with
 * jitter, unless the provider said Retry-After; after `attempts` failures in a row the turn is
 * given up. Defaults: 500 ms, 8. For tests and configuration. */
void brain_set_retry(struct brain *b, int64_t base_ms, int attempts);
