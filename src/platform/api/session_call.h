/* session_call - what calls about a session share: finding it, if the caller may see it, and the
 * end of a call that changed its log. */
#pragma once

#include "platform/api/api.h"
#include "session/log.h"

/* Loads the session with this id, if it exists and the caller may see it. 0, or -E_DENIED after
 * answering (404, 500). Release with log_session_done. Suspends. */
int session_load(struct api_call *c, const char *session_id, struct log_session *ret) WARN_UNUSED;
/* The same check inside a transaction that goes on to change it: 0; -E_DENIED with `r` filled
 * (404); other negative. */
int session_load_tx(struct tx *tx, const struct caller *who, const char *session_id,
                    struct refusal *r, struct log_session *ret) WARN_UNUSED;
/* Ends a call whose transaction returned `code`:
 * publishes `b` and sends `answer`, or sends the refusal or the failure. Suspends. */
void session_call_end(struct api_call *c, int code, struct log_batch *b, const json_t *answer,
                      struct refusal *r);
/* The failing half of it, for calls that change nothing: `code` < 0. */
void session_call_failed(struct api_call *c, int code, struct refusal *r);
