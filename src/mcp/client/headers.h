/* headers - what MCP 2026-07-28 mirrors from a request's body into its HTTP headers
 * (basic/transports/streamable-http, "Request Metadata"). Pure. */
#pragma once

#include "base/json.h"
#include "http/client/client.h"
#include "mcp/wire/params.h"

struct err;

#define MCP_HEADERS_MAX      96   /* rows: the caller's, ours, and those of a tool's parameters */
#define MCP_HEADER_VALUE_MAX 8192 /* of one value, as it is sent: what servers take at least */

/* Rows that are owned. Zeroed: none. */
struct mcp_headers {
    struct client_header rows[MCP_HEADERS_MAX];
    size_t n;
};
void mcp_headers_done(struct mcp_headers *h); /* wipes the values, which may be credentials */
/* Copies. False when there is no room. */
bool mcp_headers_add(struct mcp_headers *h, const char *name, const char *value) WARN_UNUSED;

/* A value that is no plain ASCII (or looks like an encoded one) is written as =?base64?...?=. Appends;
 * returns buf's error. */
int mcp_header_value(struct buf *out, const char *s, size_t n);

/* Whether a tool's inputSchema mirrors parameters by the rules: x-mcp-header is a token, unique without
 * regard to case, on a string, integer or boolean that is reached from the root through `properties`
 * alone. 0, or -E_PARSE with words. */
int mcp_params_check(const json_t *schema, struct err *e) WARN_UNUSED;
/* Appends Mcp-Param-NAME for each mirrored parameter that `arguments` has. 0; -E_PARSE as above;
 * -EINVAL with words when an argument is none that a header can carry. */
int mcp_params_add(const json_t *schema, const json_t *arguments, struct mcp_headers *h,
                   struct err *e) WARN_UNUSED;
