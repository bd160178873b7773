/* idem - Idempotency-Key on every POST: the first answer is kept for 24 hours and given again to a
 * repetition. */
#pragma once

#include "platform/api/api.h"
#include "platform/api/idem_store.h"

/* Looks at the request's Idempotency-Key, if any. 0: go on (c->idem set when there is a key). 1:
 * the call has been answered (a stored answer, or a refusal). Negative: the connection is gone.
 * Suspends while another request with the same key runs. `body_hash`: SHA-256 of the body, hex. */
int idem_begin(struct api_call *c, const char *body_hash) WARN_UNUSED;
/* Ends what idem_begin began; harmless without a key. */
void idem_end(struct api_call *c);

/* After the transaction that ran idem_store_tx was committed. */
static inline void idem_stored(struct api_call *c)
{
    if (c->idem)
        c->idem->stored = true;
}
