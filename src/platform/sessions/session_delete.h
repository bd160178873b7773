/* session_delete - what goes with a session, for the API's DELETE and for sessions that are kept for
 * a limited time. */
#pragma once

#include "platform/api/state.h"
#include "session/log.h"

/* Removes the session and all that hangs on it, and puts session.deleted into the batch, for readers
 * of its stream: there is no log left to put it in. The session must not be running. */
int session_delete_tx(struct tx *tx, const struct log_session *s, struct log_batch *b) WARN_UNUSED;

/* Deletes sessions at rest, terminated or archived ones among them, whose last event is older than
 * `age_us`; in portions, so that others get between them. Suspends. The number of sessions, or a
 * negative code. */
int64_t sessions_delete_older(struct platform *p, int64_t age_us) WARN_UNUSED;
