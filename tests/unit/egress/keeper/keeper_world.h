/* keeper_world - a keeper without processes, for tests of its parts. */
#pragma once

#include "unit/unit.h"
#include "unit/json.h"
#include "egress/keeper/internal.h"

static inline struct policy *policy_of(const char *text)
{
    AUTO_JSON json_t *j = js(text);
    struct policy *p = NULL;
    struct err e = {.code = 0};
    if (policy_new(j, "egress", NULL, &p, &e) < 0)
        fail_msg("%s", e.msg);
    return p;
}

static inline struct keeper *keeper_new(void)
{
    struct keeper *k = mem_new(struct keeper);
    map_init(&k->secrets);
    map_init(&k->old_secrets);
    map_init(&k->bindings);
    scope_init(&k->scope);
    waitq_init(&k->changed);
    fmutex_init(&k->taking);
    fmutex_init(&k->telling);
    return k;
}
