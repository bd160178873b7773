/* session_load - finding the session a call is about, if its caller may see it. */
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
/* Ends a handler whose transaction returned `code` < 0: sends the refusal or the failure. */
void session_write_failed(struct api_call *c, int code, struct refusal *r);
