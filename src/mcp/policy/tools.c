/* tools.c - decides by a tool's name.
 *
 * Called for each call and for each tool of a list. The name is a caller's or a server's, decoded, of any
 * length up to a message's. Names are compared byte by byte. Denying
 * does not look at the case of ASCII letters: a server that takes `Delete_All` for `delete_all` would
 * otherwise open what was closed. Allowing does: nothing is open that was not written down. */
#include "mcp/policy/tools.h"

#include "base/str.h"

bool tool_policy_hides(const struct tool_policy *p)
{
    return p->has_allow || p->deny.n > 0;
}

void tool_policy_done(struct tool_policy *p)
{
    if (!p)
        return;
    free(p->allow.items);
    free(p->deny.items);
    free(p->confirm.items);
    argument_policy_done(&p->arguments);
    *p = (struct tool_policy){.has_allow = false};
}

static const char *first(const struct tool_patterns *l, const char *name, bool any_case)
{
    for (size_t i = 0; i < l->n; i++)
        if (tool_pattern_matches(l->items[i], name, any_case))
            return l->items[i];
    return NULL;
}

bool tool_policy_allows(const struct tool_policy *p, const char *name, const char **ret_rule,
                        const char **ret_pattern)
{
    const char *denied = first(&p->deny, name, true);
    if (!denied && (!p->has_allow || first(&p->allow, name, false)))
        return true;
    if (ret_rule)
        *ret_rule = denied ? "tools.deny" : "tools.allow";
    if (ret_pattern)
        *ret_pattern = denied;
    return false;
}

const char *tool_policy_confirms(const struct tool_policy *p, const char *name)
{
    return first(&p->confirm, name, true);
}
