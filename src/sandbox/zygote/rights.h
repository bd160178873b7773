/* rights - the rights of the zygote itself. */
#pragma once

#include "base/base.h"

struct err;

/* For an ordinary user: moves into a user namespace where it has all capabilities and is
 * SANDBOX_UID. 0, or a negative code with words. */
int rights_own_namespace(struct err *e) WARN_UNUSED;

/* Gives up what is not needed to make sandboxes. The last step of getting ready. `root`: of the
 * machine. 0, or a negative code with words. */
int rights_drop(bool root, struct err *e) WARN_UNUSED;
