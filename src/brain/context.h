/* context - the session's log as a model request: Messages API `messages`. */
#pragma once

#include "base/json.h"

struct tx;

/* Builds messages out of events, one by one, in log order. */
struct model_context {
    json_t *messages; /* what is finished */
    json_t *open;     /* content of the message being built, or NULL */
    bool open_is_user;
    json_t *results; /* tool_use_id -> tool_result block, of results not yet placed */
    json_t *calls; /* ids of the calls of the last assistant message, in order, not yet answered */
    int requests;  /* model requests since the last user.message */
    size_t bytes;  /* stored text of the events taken in */
    json_t *left_out; /* names of parts not to be sent ("sevt_…:0", "thinking"), as keys */
};
void model_context_init(struct model_context *c);
void model_context_done(struct model_context *c);
/* One event: body and hidden are the stored columns (hidden may be NULL). Events that say nothing
 * to the model are skipped. 0, -ENOMEM or -E_CORRUPT. */
int model_context_add(struct model_context *c, const char *id, const char *type, const char *body,
                      const char *hidden) WARN_UNUSED;
/* Closes the last message and hands `messages` over (new reference). *ret_origins, when wanted: which
 * part of the log a block came from, as an object {"3.1": "sevt_…:0"} (block 1 of message 3; "3.1.0"
 * inside a tool result), new reference. */
json_t *model_context_take(struct model_context *c, json_t **ret_origins);

/* The parts to leave out, so that what a provider blamed (model_result.blame) is not sent again: an
 * array of names for model_context.left_out, NULL when the blame is on nothing of that kind. New
 * reference. */
json_t *model_context_blamed(const json_t *messages, const json_t *origins, const char *blame);

/* Reads the session's events with seq < `until` and builds the messages; for db_read. */
struct model_context_load {
    const char *session_id;
    int64_t until;
    json_t *ret_messages; /* new reference */
    json_t *ret_origins;  /* new reference */
    int ret_requests;
    bool ret_too_large; /* more than LIMIT_MODEL_CONTEXT_BYTES: ret_messages is not the whole */
};
int model_context_load_tx(struct tx *tx, void *arg /* struct model_context_load */);
