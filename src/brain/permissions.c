/* permissions.c - policy to verdict.
 *
 * Called while a call is recorded, on a store thread; pure. Starts at "deny" and leaves it in one
 * place per verdict: a policy this file does not know denies.
 *
 * `auto` is the server's own judgement. Ours is simple and can be stated in one line: tools that
 * only look (base/toolset.def says which) are allowed, tools that change something ask. */
#include "brain/permissions.h"

#include "base/str.h"
#include "base/toolset.h"

static bool only_looks(const char *name)
{
    const struct toolset_tool *row = toolset_find(name);
    return row && row->only_looks;
}

struct permission permission_evaluate(const char *policy, const char *name)
{
    struct permission p = {.evaluated = "deny"};
    if (str_eq(policy, "always_allow")) {
        p.evaluated = "allow";
        p.evaluation = json_typed("always_allow");
    } else if (str_eq(policy, "always_ask")) {
        p.evaluated = "ask";
        p.evaluation = json_typed("always_ask");
    } else if (str_eq(policy, "auto")) {
        p.evaluated = only_looks(name) ? "allow" : "ask";
        json_t *verdict = json_typed(p.evaluated);
        if (!only_looks(name))
            json_put_str(verdict, "reason_code", "may_change_state");
        p.evaluation = json_typed("auto");
        json_put(p.evaluation, "evaluated_permission", verdict);
    }
    return p;
}

void permission_done(struct permission *p)
{
    json_decref(p->evaluation);
    p->evaluation = NULL;
}
