/* context - the session's log as a model request: Messages API `messages`. */
#pragma once

#include "base/json.h"

struct tx;

/* Builds messages out of events, one by one, in log order. */
struct context {
    json_t *messages; /* what is finished */
    json_t *open;     /* content of the message being built, or NULL */
    bool open_is_user;
    json_t *results; /* tool_use_id -> tool_result block, of results not yet placed */
    json_t *calls; /* ids of the calls of the last assistant message, in order, not yet answered */
    int requests;  /* model requests since the last user.message */
};
void context_init(struct context *c);
void context_done(struct context *c);
/* One event: body and hidden are the stored columns (hidden may be NULL). Events that say nothing
 * to the model are skipped. 0 or -E_CORRUPT. */
int context_add(struct context *c, const char *id, const char *type, const char *body,
                const char *hidden) WARN_UNUSED;
/* Closes the last message and hands `messages` over (new reference). */
json_t *context_take(struct context *c);

/* Reads the session's events with seq < `until` and builds the messages; for db_read. */
struct context_load {
    const char *session_id;
    int64_t until;
    json_t *ret_messages; /* new reference */
    int ret_requests;
};
int context_load_tx(struct tx *tx, void *arg /* struct context_load */);
