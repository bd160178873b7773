/* envelope - what has to be changed of a message that many callers' share a stdio server's pipe with: ids and
 * tokens, and nothing else, bit for bit. Pure. */
#pragma once

#include "mcp/client/message.h"
#include "mcp/wire/span.h"

struct buf;
struct err;

#define MCP_ENVELOPE_VALUES_MAX 200000

/* A message, and where in its text those values lie (.p NULL: they are not there). Spans point into the text,
 * everything else into the JSON. */
struct mcp_envelope {
    json_t *json;
    struct mcp_message m;
    struct span id;
    struct span token;     /* params._meta.progressToken of a request; params.progressToken of
                                 notifications/progress */
    struct span cancelled; /* params.requestId of notifications/cancelled */
    struct span
        subscription; /* _meta["io.modelcontextprotocol/subscriptionId"] of a notification or a result */
    const json_t *token_json, *cancelled_json, *subscription_json;
};
/* 0; -E_PARSE with words when it is not one message of JSON-RPC; -E_LIMIT: it has too many values; -ENOMEM. Done in
 * either case. */
int mcp_envelope_read(const char *text, size_t n, struct mcp_envelope *ret, struct err *e)
    WARN_UNUSED;
void mcp_envelope_done(struct mcp_envelope *m); /* zeroed is fine */

/* One value that is written in another one's place. With .p NULL nothing is. */
struct mcp_splice {
    struct span at;
    const char *with;
    size_t n;
};
#define MCP_SPLICES_MAX 4
/* Appends the text as one line without its end: raw line breaks between values become spaces, spans are written anew.
 * They lie in the text, in any order, and do not overlap. The error of `out`. */
int mcp_splice(struct buf *out, const char *text, size_t n, const struct mcp_splice *list,
               size_t n_list) WARN_UNUSED;
