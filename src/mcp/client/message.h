/* message - JSON-RPC 2.0 messages as MCP uses them: what one is, and how ours are written. Pure. */
#pragma once

#include "base/json.h"

struct err;

enum mcp_kind {
    MCP_RESULT,
    MCP_ERROR,
    MCP_REQUEST,
    MCP_NOTIFICATION,
};

/* One message, read; everything is borrowed from the JSON. */
struct mcp_message {
    enum mcp_kind kind;
    /* Of a result or an error: the id of ours that it answers; 0 when it cannot be one of ours. Of a
     * request: not set, json_id is sent back as it came. */
    uint64_t id;
    const json_t *json_id;
    const char *method;
    const json_t *params; /* NULL: none */
    const json_t *result;
    const json_t *error; /* code is an integer, message a string */
};

/* Tells what `j` is. 0, or -E_PARSE with words that name the rule and quote nothing. */
int mcp_message_read(const json_t *j, struct mcp_message *ret, struct err *e) WARN_UNUSED;

/* {"jsonrpc", "id", "method", "params"}. `id` 0: a notification. `params` may be NULL; borrowed. New
 * reference. */
json_t *mcp_message_request(uint64_t id, const char *method, json_t *params);
/* The answer to a request of the server: with a result (stolen), or, when that is NULL, an error. */
json_t *mcp_message_answer(const json_t *id, json_t *result, int code, const char *message);
