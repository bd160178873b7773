/* explain - a decision in words, for people, logs and models. */
#pragma once

#include "egress/policy/policy.h"

/* "egress.allow[3] (line 12): api.github.com, ports 80 and 443, GET" in one line. */
void explain_rule(const struct policy_rule *r, struct buf *out);
/* The reason in one sentence: "no rule allows api.github.com". */
void explain_why(const struct policy_query *q, const struct policy_decision *d, struct buf *out);
/* "allow", "deny", "ask", "observe": static. */
const char *explain_verdict(enum policy_verdict v);
/* "", "on another port", ...: static. */
const char *explain_fit(enum policy_fit f);
/* Everything about a decision, in lines, for `sallyport egress check`. */
void explain_decision(const struct policy *p, const struct policy_query *q,
                      const struct policy_decision *d, struct buf *out);
