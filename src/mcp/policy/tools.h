/* policy - what may be asked of an MCP server, by rules, and what of its answers is shown.
 *
 * What lives in this folder: the rules (tools, with names: pattern, and arguments: arguments, schema), the verdict about the body of a POST (judge), what headers
 * must say like the body (mirror), lists without what may not be called (lists), the same in a stream of
 * events (events). What does not: HTTP, configuration files, who asks. Pure: nothing here suspends, opens or
 * remembers. Whoever stands between (tunnel/gateway) reads, judges, and only then sends.
 *
 * tools - which tools may be called. */
#pragma once

#include "mcp/policy/arguments.h"
#include "mcp/policy/pattern.h"

#define TOOL_PATTERNS_MAX 256 /* of one list */

/* Patterns are borrowed. */
struct tool_patterns {
    const char **items;
    size_t n;
};
struct tool_policy {
    bool has_allow; /* else what is not denied is allowed */
    struct tool_patterns allow, deny;
    struct tool_patterns confirm; /* a person approves each call */
    int64_t confirm_within_ms;    /* how long one waits for that */
    struct argument_policy arguments;
};
/* Whether lists are to be filtered: there is a rule about names. */
bool tool_policy_hides(const struct tool_policy *p);
void tool_policy_done(struct tool_policy *p); /* frees the lists; NULL and zeroed are fine */

/* Whether `name` may be called. Denied wins, and does not look at case: some servers do not either. False:
 * *ret_rule (may be NULL) says which rule it was, in the words of the configuration, for instance
 * "tools.deny" with *ret_pattern, which is NULL when nothing allows it. */
bool tool_policy_allows(const struct tool_policy *p, const char *name, const char **ret_rule,
                        const char **ret_pattern);
/* The pattern by which a person has to approve calls of `name`; NULL: there is none. Does not look at case. */
const char *tool_policy_confirms(const struct tool_policy *p, const char *name);
