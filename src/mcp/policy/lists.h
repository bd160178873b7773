/* lists - answers of a server without the tools that may not be called. Pure. */
#pragma once

#include "mcp/policy/tools.h"

struct buf;
struct err;

/* One message, or a batch, as JSON text. 0: it goes on as it is, nothing was appended. 1: `out` got what goes
 * on instead: a list of tools lacks those that are not allowed and is in the order of their names; in the
 * revision 2026-07-28 (`modern`, or seen in the answer itself) it says that it is for nobody else
 * (cacheScope). All other bytes are the same. -E_PARSE with words: it may hold such a list and has no one
 * reading; the error of `out`. */
int mcp_list_filter(const struct tool_policy *p, bool modern, const char *text, size_t n,
                    struct buf *out, struct err *e) WARN_UNUSED;
/* Whether a text can hold a list at all: for those that cannot the filter need not be called. */
bool mcp_list_possible(const char *text, size_t n);
