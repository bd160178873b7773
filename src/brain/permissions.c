/* permissions.c - policy to verdict.
 *
 * Called while a call is recorded, on a store thread; pure. Starts at "deny" and leaves it in one
 * place per verdict: a policy this file does not know denies.
 *
 * `auto` is the server's own judgement. Ours is simple and can be stated in one line: tools that
 * only look (read, glob, grep) are allowed, tools that change something (bash, write, edit) ask. */
#include "brain/permissions.h"

#include "base/str.h"

static json_t *typed(const char *type)
{
    json_t *o = json_object();
    MUST(o);
    json_put_str(o, "type", type);
    return o;
}

static bool only_looks(const char *name)
{
    return str_eq(name, "read") || str_eq(name, "glob") || str_eq(name, "grep");
}

struct permission permission_evaluate(const char *policy, const char *name)
{
    struct permission p = {.evaluated = "deny"};
    if (str_eq(policy, "always_allow")) {
        p.evaluated = "allow";
        p.evaluation = typed("always_allow");
    } else if (str_eq(policy, "always_ask")) {
        p.evaluated = "ask";
        p.evaluation = typed("always_ask");
    } else if (str_eq(policy, "auto")) {
        p.evaluated = only_looks(name) ? "allow" : "ask";
        json_t *verdict = typed(p.evaluated);
        if (!only_looks(name))
            json_put_str(verdict, "reason_code", "may_change_state");
        p.evaluation = typed("auto");
        json_put(p.evaluation, "evaluated_permission", verdict);
    }
    return p;
}

void permission_done(struct permission *p)
{
    json_decref(p->evaluation);
    p->evaluation = NULL;
}
