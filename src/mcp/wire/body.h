/* body - what the body of one POST says to an MCP server: JSON-RPC with one reading. Pure.
 *
 * For whoever stands between a client and a server and has to know what the server will understand. So
 * everything that two readers could read in two ways is refused here, and what is not refused goes on as it
 * came. */
#pragma once

#include "base/json.h"

struct err;

#define MCP_BODY_BYTES       (4u << 20) /* of one POST: what the official servers take */
#define MCP_BODY_ENTRIES_MAX 50         /* of a batch: each is recorded */
#define MCP_BODY_VALUES_MAX  20000      /* and names: one takes up to 320 bytes of memory */
#define MCP_NAME_KEPT_MAX    256        /* mcp_body_shrink */
#define MCP_METHOD_MAX       128
#define MCP_ID_MAX           256 /* bytes of an id that is a text */

struct mcp_entry {
    const char *method;   /* NULL: an answer to a request of the server */
    const json_t *id;     /* a text or an integer; NULL: a notification */
    const json_t *params; /* an object; NULL: none */
};
/* Everything is borrowed from `json`. */
struct mcp_body {
    json_t *json;
    bool batch; /* of the revision 2025-03-26 */
    struct mcp_entry *entries;
    size_t n;
    const json_t *id; /* after a failure too: of the one request, for the answer; NULL: unknown */
};
/* 0, or -E_PARSE with words that name the rule and quote nothing. Done in either case. */
int mcp_body_read(const char *text, size_t n, struct mcp_body *ret, struct err *e) WARN_UNUSED;
/* Lets everything go but the id, and of each message method, id and params.name (a text of MCP_NAME_KEPT_MAX
 * bytes at most), and of methods about tasks params.taskId (as long): for whoever waits long with a body that a stranger made. Fine after a failure. */
void mcp_body_shrink(struct mcp_body *b);
void mcp_body_done(struct mcp_body *b); /* NULL and zeroed are fine */

/* Whether `a` would be taken for `b` by a reader that does not care about case (Go's): ASCII, and the two
 * letters outside of it that fold into it. */
bool mcp_name_folds(const char *a, const char *b);
