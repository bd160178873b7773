/* try - whether a keeper would take a policy: sources, formats and exporter as it checks them. */
#pragma once

#include "egress/policy/policy.h"

/* Whether the certificates that it names can be used: a proxy that finds out would be started again and
 * again. Blocks on the files. 0, or a negative code with words. */
int egress_try_files(const struct policy *p, struct err *e) WARN_UNUSED;
/* Those, and the rest. Reads no secret and takes no variable. What only the process that serves can know, whether it was
 * given a systemd credential, is not looked at. 0, or the code and words of the keeper. Suspends. */
int egress_try_policy(const struct policy *p, struct err *e) WARN_UNUSED;
/* The policy of a file, when a keeper would take it; otherwise words that begin with its name. One
 * reference. Suspends. */
int egress_try_file(const char *path, struct policy **ret, struct err *e) WARN_UNUSED;
