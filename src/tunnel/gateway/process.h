/* process - the gateway as a process of its own, which its keeper (tunnel/keeper) has started. */
#pragma once

#include "base/base.h"

/* Speaks to the keeper on `ctl_fd`, which is taken over, opens the gateway, locks itself in, serves, and
 * ends with the keeper. `on_ready` is called when it serves (NULL: nothing is). Blocks. The exit code. */
int gateway_process_main(int ctl_fd, void (*on_ready)(void));
