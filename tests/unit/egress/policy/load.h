/* load - policies in C source: YAML text in, policy out. */
#pragma once

#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "egress/policy/path.h"
#include "egress/policy/policy.h"

#include <string.h>

static inline struct policy *load(const char *yaml)
{
    struct policy *p = NULL;
    struct err e = {0};
    if (policy_parse(yaml, strlen(yaml), &p, &e) < 0)
        fail_msg("%s\n%s", yaml, e.msg);
    return p;
}

/* Expects that the text does not load, with exactly these words. */
static inline void refuse(const char *yaml, const char *words)
{
    struct policy *p = NULL;
    struct err e = {0};
    if (policy_parse(yaml, strlen(yaml), &p, &e) >= 0)
        fail_msg("loads: %s", yaml);
    assert_null(p);
    if (strcmp(e.msg, words) != 0)
        fail_msg("%s\ngot  %s\nwant %s", yaml, e.msg, words);
}

/* One question. `path` is a target; all of it is static until the next call. */
static inline struct policy_decision ask(const struct policy *p, const char *host, unsigned port,
                                         enum policy_transport t, const char *method,
                                         const char *path)
{
    static struct host h;
    static char canonical[3 * 4096 + 1];
    struct policy_query q = {.host = &h, .port = (uint16_t)port, .transport = t, .method = method};
    struct policy_decision d;
    struct err e = {0};
    if (host_parse(host, strlen(host), HOST_LITERALS | HOST_UNICODE, &h, &e) < 0)
        fail_msg("%s", e.msg);
    if (path && path_canonical(path, strlen(path), canonical, &q.path_n, &q.path_why) == 0)
        q.path = canonical;
    policy_decide(p, &q, &d);
    return d;
}
