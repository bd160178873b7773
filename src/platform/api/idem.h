/* idem - Idempotency-Key on every POST: the first answer is kept for 24 hours and given again to a
 * repetition. */
#pragma once

#include "platform/api/api.h"

struct idem_inflight;
struct idem {
    char *key;      /* as the client sent it */
    char scope[72]; /* whose key it is: the caller's id */
    char hash[65];  /* SHA-256 of method, target and body */
    bool stored;    /* the answer is durable already */
    struct idem_inflight *inflight;
};

/* Looks at the request's Idempotency-Key, if any. 0: go on (c->idem set when there is a key). 1:
 * the call has been answered (a stored answer, or a refusal). Negative: the connection is gone.
 * Suspends while another request with the same key runs. `raw` is the request body. */
int idem_begin(struct api_call *c, const char *raw, size_t n) WARN_UNUSED;
/* Ends what idem_begin began; harmless without a key. */
void idem_end(struct api_call *c);

/* Keeps the answer. _tx: inside the transaction that does the work, so that both are durable or
 * neither; the handler calls idem_stored(c) after db_write returned 0. idem_store: on its own, by
 * api_reply, for every other 2xx. */
int idem_store_tx(struct tx *tx, const struct idem *i, int status, const json_t *answer)
    WARN_UNUSED;
static inline void idem_stored(struct api_call *c)
{
    if (c->idem)
        c->idem->stored = true;
}
int idem_store(struct api_call *c, int status, const char *text) WARN_UNUSED; /* Suspends */
