/* examine_tools.c - the tools that a route's server has, against those that its callers get.
 *
 * Called by the doctor for each route with rules whose server has listed its tools (mcp_look). Names are a stranger's:
 * printed escaped and cut, a few of each kind. A rule that is about no tool of the server is most often a slip of the
 * hand, and then what it was meant for is not denied, and nobody is asked about it: that is told, if the list was whole. */
#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "mcp/policy/tools.h"
#include "tunnel/gateway/examine_internal.h"

#include <string.h>

#define SHOWN_MAX 8
#define NAME_SHOW 64
#define TEXT_MAX  4096

struct shown {
    struct buf text;
    size_t n;
};

static void add(struct shown *l, const char *name, const char *rule, const char *pattern)
{
    if (l->n++ >= SHOWN_MAX)
        return;
    (void)buf_adds(&l->text, l->n > 1 ? ", " : "");
    str_escape(&l->text, name, strlen(name), NAME_SHOW);
    if (rule)
        (void)buf_addf(&l->text, " (%s%s%s)", rule, pattern ? ": " : "", pattern ? pattern : "");
}

/* With how many were left out. */
static const char *text_of(struct shown *l)
{
    if (l->n > SHOWN_MAX)
        (void)buf_addf(&l->text, " and %zu more", l->n - SHOWN_MAX);
    return buf_str(&l->text);
}

static bool is_about_one(const json_t *names, const char *pattern, bool any_case)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (tool_pattern_matches(pattern, json_string_value(json_array_get(names, i)), any_case))
            return true;
    return false;
}

static void add_idle(struct shown *l, const json_t *names, const char *rule,
                     const struct tool_patterns *patterns, bool any_case)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (!is_about_one(names, patterns->items[i], any_case))
            add(l, patterns->items[i], rule, NULL);
}

static void tell_idle(const struct examine *x, const char *route, const struct tool_policy *p,
                      const json_t *names)
{
    struct shown idle = {.text = BUF_INIT(TEXT_MAX)};
    add_idle(&idle, names, "tools.allow", &p->allow, false);
    add_idle(&idle, names, "tools.deny", &p->deny, true);
    add_idle(&idle, names, "tools.confirm", &p->confirm, true);
    for (size_t i = 0; i < p->arguments.n; i++)
        if (!is_about_one(names, p->arguments.tools[i].tool, true))
            add(&idle, p->arguments.tools[i].tool, "tools.arguments", NULL);
    if (idle.n > 0)
        TELL(x, EXAMINE_ROUTES, "route_rules", route, FINDING_NOTE,
             "what they were meant for is not held to them",
             "are they spelled as the server spells its tools (sallyport mcp list)?",
             "rules that are about no tool of the server: %s", text_of(&idle));
    buf_done(&idle.text);
}

void examine_tools(const struct examine *x, const struct gateway_route *route, const json_t *names,
                   bool more)
{
    const struct tool_policy *p = route->tools;
    struct shown hidden = {.text = BUF_INIT(TEXT_MAX)};
    const size_t n = json_array_size(names);
    if (!p || !names)
        return;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(names, i)), *rule, *pattern;
        if (!tool_policy_allows(p, name, &rule, &pattern))
            add(&hidden, name, rule, pattern);
    }
    const bool none = n > 0 && hidden.n == n;
    TELL(x, EXAMINE_ROUTES, "route_tools", route->host.text, none ? FINDING_NOTE : FINDING_OK,
         none ? "callers of this route see no tool" : NULL,
         none ? "look at tools.allow and tools.deny of the route" : NULL,
         "of %zu%s tool%s of the server %zu %s offered%s%s%s%s", n, more ? " first" : "",
         n == 1 ? "" : "s", n - hidden.n, n - hidden.n == 1 ? "is" : "are",
         hidden.n ? "; not " : "", hidden.n ? text_of(&hidden) : "",
         route->pins != PIN_OFF ? "; pins decide, too: sallyport gateway pins" : "",
         p->confirm.n ? "; a person is asked about those of tools.confirm" : "");
    buf_done(&hidden.text);
    if (!more)
        tell_idle(x, route->host.text, p, names);
}
