/* ledger - what this worker remembers of calls beyond the leases under which it ran them: how often it
 * has begun one, and results that it could not post. No I/O. */
#pragma once

#include "base/json.h"
#include "base/list.h"
#include "base/map.h"

struct ledger {
    struct map calls;   /* call id -> struct entry */
    struct list recent; /* the longest untouched first */
    size_t bytes;       /* of the results */
};
void ledger_init(struct ledger *l);
void ledger_done(struct ledger *l);
/* Another run of the call begins. Returns how many have begun here, with this one. */
int ledger_begin(struct ledger *l, const char *call_id);
/* A result that could not be posted (a reference is taken), for the time when the session is ours again. Too
 * large ones, and the oldest when there are too many, are dropped: then the call is run again. */
void ledger_keep(struct ledger *l, const char *call_id, json_t *content, bool is_error);
/* The result kept for this call, now the caller's (content: a new reference), or false. */
bool ledger_take(struct ledger *l, const char *call_id, json_t **ret_content, bool *ret_is_error);
/* The call has its answer. */
void ledger_forget(struct ledger *l, const char *call_id);
