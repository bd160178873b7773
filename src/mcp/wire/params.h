/* params - which arguments of a tool also stand in a header (x-mcp-header, MCP 2026-07-28,
 * basic/transports/streamable-http). Pure. */
#pragma once

#include "base/json.h"
#include "base/limits.h"

struct buf;
struct err;

#define MCP_PARAMS_MAX 32 /* parameters of one tool that are mirrored */

/* One of them: the header is Mcp-Param-NAME. */
struct mcp_param {
    const char *name; /* as the schema has it: a token (RFC 9110 5.6.2) of 1 to 128 bytes */
    const char *keys[LIMIT_JSON_DEPTH]; /* where its value stands in `arguments` */
    size_t n;
};
/* Calls `each` for every parameter that an inputSchema mirrors, in the order of the schema; what it returns below 0
 * ends the walk. x-mcp-header is a token, unique without regard to case, on a string, integer or boolean that is
 * reached from the root through `properties` alone. 0; -E_PARSE with words when a rule is broken, which may be
 * after some calls of `each`; or the code of `each`. */
int mcp_params_walk(const json_t *schema, int (*each)(void *arg, const struct mcp_param *p),
                    void *arg, struct err *e) WARN_UNUSED;
/* The value at a parameter's place; NULL: there is none. */
const json_t *mcp_param_value(const json_t *arguments, const char *const *keys, size_t n);
/* Appends a value as the text that is mirrored, not yet encoded. 0; -EINVAL: it is no string, boolean or integer of
 * at most 2^53-1; the error of `out`. */
int mcp_param_text(const json_t *value, struct buf *out) WARN_UNUSED;
