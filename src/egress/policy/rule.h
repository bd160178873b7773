/* rule - reading the rules of `allow` and `deny`, and what they have in common with credentials. */
#pragma once

#include "base/document.h"
#include "egress/policy/model.h"

/* Reads one item of `allow` or `deny` into *ret, which the caller releases also after a failure. */
int rule_read(const struct place *item, bool deny, struct policy_rule *ret) WARN_UNUSED;
void rule_done(struct policy_rule *r);

/* A list of networks. */
int rule_read_networks(const struct place *list, struct cidr_list *ret) WARN_UNUSED;
/* `limits`; `rule`: those of a rule, which has more of them. */
int rule_read_limits(const struct place *at, bool rule, struct policy_limits *ret) WARN_UNUSED;
