/* try - whether a keeper would take a policy: sources, formats and exporter as it checks them. */
#pragma once

#include "egress/policy/policy.h"

/* Reads no secret and takes no variable. What only the process that serves can know, whether it was
 * given a systemd credential, is not looked at. 0, or the code and words of the keeper. Suspends. */
int egress_try_policy(const struct policy *p, struct err *e) WARN_UNUSED;
/* The policy of a file, when a keeper would take it; otherwise words that begin with its name. One
 * reference. Suspends. */
int egress_try_file(const char *path, struct policy **ret, struct err *e) WARN_UNUSED;
