/* limits - how often a credential may be used: a bucket for each, of one session.
 *
 * A rate of 100/m is a bucket of 100 that fills evenly within a minute. Nothing is read from a clock:
 * the caller says what time it is. One thread. */
#pragma once

#include "egress/policy/model.h"

struct inject_limits;

struct inject_limits *inject_limits_new(void);    /* never NULL */
void inject_limits_free(struct inject_limits *l); /* NULL is fine */

/* Whether one more use of `name` (a credential) is within `of`. 0: yes; > 0: in so many milliseconds; -1: not in this session any more. Counts
 * nothing. */
int64_t inject_limits_wait(struct inject_limits *l, const char *name,
                           const struct policy_limits *of, int64_t now_ms) WARN_UNUSED;
/* Counts one use. */
void inject_limits_take(struct inject_limits *l, const char *name, const struct policy_limits *of,
                        int64_t now_ms);
/* The same of a rule: of each request, or of each connection that carries none. */
int64_t inject_limits_wait_rule(struct inject_limits *l, const struct policy_rule *rule,
                                int64_t now_ms) WARN_UNUSED;
void inject_limits_take_rule(struct inject_limits *l, const struct policy_rule *rule,
                             int64_t now_ms);
/* Uses so far. */
uint64_t inject_limits_used(const struct inject_limits *l, const char *name);
