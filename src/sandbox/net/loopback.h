/* loopback - the one network interface a sandbox may have. */
#pragma once

#include "base/base.h"

/* Brings up the loopback interface of the current network namespace, over which the caller needs
 * CAP_NET_ADMIN. 0 or -errno. */
int loopback_up(void) WARN_UNUSED;
