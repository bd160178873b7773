/* lookup - what a name that is asked for inside becomes.
 *
 * Nothing is looked up outside, here or anywhere before a connection is made: a question costs its
 * asker an answer and tells nobody anything (boundary 2, A10, A27). Under a wildcard rule every
 * *different* name is counted against the rule's limits.names, because the name itself would be what
 * leaves once it is connected to. Pure; nothing suspends. */
#pragma once

#include "base/map.h"
#include "egress/capture/names.h"
#include "egress/policy/policy.h"

/* The host that is egress itself (self.h): it resolves under every policy. */
#define LOOKUP_SELF "egress.sallyport"

enum lookup {
    LOOKUP_ADDRESS,   /* ret_name has it */
    LOOKUP_LOCALHOST, /* 127.0.0.1 and ::1 (RFC 6761 6.3) */
    LOOKUP_NONE,     /* there is no such name: not a host, one label, strict, reserved for others */
    LOOKUP_TOO_LONG, /* more labels or bytes than a name under the wildcard may have */
    LOOKUP_TOO_MANY, /* more different names than the wildcard rule allows in its time */
    LOOKUP_FULL,     /* every address is in use by open connections */
};

/* Counts different names, by the wildcard that they came under. Zeroed is empty. */
struct lookup_counts {
    struct map by_pattern;
};
void lookup_counts_init(struct lookup_counts *c);
void lookup_counts_done(struct lookup_counts *c);

/* What the name becomes under the policy, and the name with its address for LOOKUP_ADDRESS.
 * `ret_name` NULL: only whether it is there is wanted; nothing is counted and no address given. `port`
 * 0: the one who asks has not said (DNS), and any port that the policy names will do. *ret_rule (may
 * be NULL): the wildcard rule whose limit was reached. */
enum lookup lookup_name(const struct policy *p, struct names *n, struct lookup_counts *c,
                        const struct host *h, uint16_t port, struct name **ret_name,
                        const struct policy_rule **ret_rule);
