/* tools - which tools an agent has, as the model is told about them and as a call is looked up. */
#pragma once

#include "base/json.h"

enum tool_kind {
    TOOL_UNKNOWN, /* nobody has a tool of this name, or the agent does not */
    TOOL_BUILTIN, /* of base/toolset.h: a worker runs it */
    TOOL_CUSTOM,  /* the client answers it */
    TOOL_UNBUILT, /* of base/toolset.h, but not built in this server */
};

struct tool {
    enum tool_kind kind;
    char policy[16]; /* always_allow, always_ask, auto, always_deny; "" for custom tools */
};

/* Messages API `tools` for an agent snapshot: what is enabled, in a fixed order (new reference).
 * Tools that are not built are not offered. */
json_t *tools_for_model(const json_t *agent);

/* What a call of `name` means for this agent. */
struct tool tools_find(const json_t *agent, const char *name);

/* The sentence for a model that called a tool it does not have (malloc'ed, never NULL). */
char *tools_refusal(const json_t *agent, const char *name, enum tool_kind kind);
