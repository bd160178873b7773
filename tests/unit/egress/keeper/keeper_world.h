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

/* A process that lives until it is ended. */
static inline void give_process(struct proxy *p)
{
    static const char *const argv[] = {"sleep", "600", NULL}, *const envp[] = {NULL};
    struct proc_spec spec = {.path = "/bin/sleep",
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = -1,
                             .stderr_fd = 2};
    struct err e = {.code = 0};
    assert_int_equal(proc_start(&p->proc, &spec, &e), 0);
}
