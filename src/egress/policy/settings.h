/* settings - reading what concerns the whole policy: mode, DNS, the proxy, files. */
#pragma once

#include "egress/policy/compiled.h"
#include "base/document.h"

/* Fills p->settings and what it points to. What was filled is policy_unref's to release, also
 * after a failure. */
int settings_read(const struct place *section, struct policy *p) WARN_UNUSED;
