/* judge - whether what a POST says may reach the server. Pure. */
#pragma once

#include "mcp/policy/tools.h"
#include "mcp/wire/body.h"

#define JUDGE_WORDS_MAX 400
#define JUDGE_RULE_MAX  160

/* Codes of our own lie in -32000 to -32019 (MCP 2026-07-28). */
#define MCP_CODE_REFUSED  (-32010)
#define MCP_CODE_MISMATCH (-32020)
#define MCP_CODE_PARSE    (-32700)
#define MCP_CODE_INVALID  (-32600)
#define MCP_CODE_PARAMS   (-32602)

struct judge_verdict {
    bool allowed;
    size_t entry; /* which was refused; of those allowed 0 */
    int code;
    char rule[JUDGE_RULE_MAX];   /* "tools.deny: delete_*" */
    char words[JUDGE_WORDS_MAX]; /* for whoever has asked */
};
/* Judges all messages of a body; one that may not pass refuses all. Written always. */
void judge_body(const struct tool_policy *p, const struct mcp_body *b, struct judge_verdict *ret);
/* The name of the tool that an entry calls, NULL when it calls none, or names none. */
const char *judge_tool(const struct mcp_entry *m);
/* The id of the task that an entry asks about (tasks/get, result, update, cancel), NULL when it asks about none, or names
 * none. */
const char *judge_task(const struct mcp_entry *m);
