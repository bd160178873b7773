/* config_tools.c - reads which tools of a route may be called.
 *
 * Called when a file is loaded. A list that is empty, or an object without one, would say nothing or close
 * everything by accident: `allow: []` closes everything, and is taken because it can mean nothing else; an
 * object without any list is refused. Patterns hold what names of tools hold, so that a mistyped one is told
 * here and not found out by a call that goes through. */
#include "tunnel/gateway/config_tools.h"

#include <string.h>

#include "tunnel/gateway/config_fields.h"

static int read_patterns(const struct place *list, struct tool_patterns *ret)
{
    size_t n;
    if (!list->value)
        return 0;
    int r = place_list(list, TOOL_PATTERNS_MAX, &n);
    if (r < 0)
        return r;
    ret->items = mem_array(n + 1, sizeof(*ret->items));
    for (size_t i = 0; i < n; i++) {
        struct place at = place_item(list, i);
        r = place_text(&at, TOOL_PATTERN_MAX, &ret->items[i]);
        if (r < 0)
            return r;
        const char *s = ret->items[i];
        if (s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:*")])
            return place_fail(&at, "a tool's name is letters, digits and _ - . / :, and * for any "
                                   "characters");
        ret->n++;
    }
    return 0;
}

int config_tools(const struct place *object, struct gateway_route *route)
{
    struct place tools = place_member(object, "tools");
    struct place allow = place_member(&tools, "allow"), deny = place_member(&tools, "deny");
    if (!tools.value)
        return 0;
    struct tool_policy *p = route->tools = mem_new(struct tool_policy);
    int r = place_object(&tools, FIELD_TOOLS);
    if (r == 0 && !allow.value && !deny.value)
        r = place_fail(&tools, "says nothing: give \"allow\", \"deny\" or both");
    p->has_allow = allow.value != NULL;
    if (r == 0)
        r = read_patterns(&allow, &p->allow);
    return r < 0 ? r : read_patterns(&deny, &p->deny);
}

void config_tools_free(struct tool_policy *p)
{
    tool_policy_done(p);
    free(p);
}
