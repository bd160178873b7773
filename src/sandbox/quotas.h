/* quotas - what the kernel counts for each user of the machine, and what of that sandboxes may have
 * that run as an ordinary user of it (docs/internals/quotas.md has the whole table). */
#pragma once

#include <sys/resource.h>

#include "base/base.h"

/* Counted per user namespace, and for whoever made that in the namespace above, and so on up. */
enum quota { QUOTA_INOTIFY_INSTANCES, QUOTA_INOTIFY_WATCHES, QUOTAS };

/* How much of what the machine gives its user: all sandboxes of one zygote together, and one. */
#define QUOTA_ZYGOTE  2
#define QUOTA_SANDBOX 4

struct quotas {
    uint64_t most[QUOTAS]; /* what this machine gives one user; 0: not known */
};

/* What the user namespace of the caller allows, from the procfs at `proc`. */
void quotas_read(int proc, struct quotas *ret);

/* Writes a `part`th of it as what the caller's own user namespace allows; needs CAP_SYS_RESOURCE
 * there. 0, or -errno of the first that could not be written. */
int quotas_write(int proc, const struct quotas *q, unsigned part) WARN_UNUSED;

/* Limits (getrlimit(2)) that become those of a user namespace with all that is in it: lowered to a
 * QUOTA_ZYGOTEth before the namespace is made, and as they were after. */
#define QUOTA_LIMITS 4
struct quotas_saved {
    struct rlimit was[QUOTA_LIMITS];
};
int quotas_lower_limits(struct quotas_saved *ret) WARN_UNUSED;
int quotas_restore_limits(const struct quotas_saved *s) WARN_UNUSED;
