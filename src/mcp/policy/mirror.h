/* mirror - what the headers of a POST say of its body must be what the body says (MCP 2026-07-28,
 * basic/transports/streamable-http). Pure. */
#pragma once

#include "http/pipe/message.h"
#include "mcp/wire/body.h"

#define MIRROR_MODERN "2026-07-28"

struct err;

/* Whether a request is of the revision 2026-07-28 or a later one, by its header or its body. */
bool mirror_is_modern(const struct http_fields *fs, const struct mcp_body *b);
/* Mcp-Method, Mcp-Name and MCP-Protocol-Version against the body: demanded of a modern request, and compared
 * wherever they stand. One that begins with mcp- and has '_' for '-' is refused. 0; -E_CONFLICT with words. */
int mirror_check(const struct http_fields *fs, const struct mcp_body *b, struct err *e) WARN_UNUSED;
/* A value as it was before it was written into a header: =?base64?...?= undone. 0; -E_PARSE. */
int mirror_decode(struct http_text value, struct buf *out) WARN_UNUSED;
