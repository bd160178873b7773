/* former - the policies that were in force before the one of now, for a while.
 *
 * An origin that a policy gave a credential may have kept the secret, and say it again under the next
 * policy, which gives it none. So its connections are looked into, and its answers scrubbed, for
 * EGRESS_REMEMBER_MS more. The last FORMER_MAX different policies with credentials are remembered: who
 * loads more within that time loses the oldest. One thread; nothing suspends. */
#pragma once

#include "egress/policy/policy.h"

#define FORMER_MAX 8

/* Zeroed at the start. */
struct former {
    struct {
        struct policy *policy;
        int64_t until_ns;
    } all[FORMER_MAX]; /* the latest first */
    size_t n;
};

/* `p` is not in force any more from now on. A reference is taken. */
void former_add(struct former *f, struct policy *p);
/* Whether one of them gave the host a credential, on whatever port. */
bool former_gave(const struct former *f, const struct policy_query *q);
/* Lets those go whose time is over. */
void former_forget(struct former *f);
void former_done(struct former *f);
