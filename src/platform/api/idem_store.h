/* idem_store - the table of answers that were given under an Idempotency-Key. */
#pragma once

#include "base/json.h"
#include "crypto/digest.h"
#include "store/db.h"

struct idem_inflight;
struct idem {
    char *key;                    /* as the client sent it */
    char scope[72];               /* whose key it is: the caller's id */
    char hash[DIGEST_SHA256_HEX]; /* SHA-256 of method, target and body */
    bool stored;                  /* the answer is durable already */
    struct idem_inflight *inflight;
};

#define IDEM_WITHHELD 0 /* status of a row: answered, but the answer held a secret */
struct idem_answer {
    char hash[DIGEST_SHA256_HEX];
    int status;
    char *body; /* the caller's to free, also after a failure */
    size_t body_len;
};
/* The answer kept under this key. 0, -ENOENT or another negative code of the store. Suspends. */
int idem_lookup(struct db *db, const struct idem *i, struct idem_answer *ret) WARN_UNUSED;

/* Keeps the answer. _tx: inside the transaction that does the work, so that both are durable or
 * neither; the handler calls idem_stored(c) after db_write returned 0. idem_store: on its own, by
 * api_reply, for every other 2xx; of a `secret` answer only that it was given. Suspends. */
int idem_store_tx(struct tx *tx, const struct idem *i, int status, const json_t *answer)
    WARN_UNUSED;
int idem_store(struct db *db, struct idem *i, bool secret, int status, const char *text)
    WARN_UNUSED;
