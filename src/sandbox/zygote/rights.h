/* rights - the rights of the zygote itself. */
#pragma once

#include "base/base.h"

struct err;
struct quotas;

/* For an ordinary user: moves into a user namespace where it has all capabilities and is
 * SANDBOX_UID, and which has half of what the kernel counts for that user; *ret is the whole. 0, or
 * a negative code with words. */
int rights_own_namespace(int proc, struct quotas *ret, struct err *e) WARN_UNUSED;

/* Gives up what is not needed to make sandboxes. The last step of getting ready. `root`: of the
 * machine. 0, or a negative code with words. */
int rights_drop(bool root, struct err *e) WARN_UNUSED;
