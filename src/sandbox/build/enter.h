/* enter - the birth of a sandbox: from a fresh clone of the zygote to a locked-down init with its
 * own root. */
#pragma once

#include "sandbox/build/args.h"

/* Runs in the clone; does not return. A failure is written to channel_fd as
 * {"ready":false,"error":"...","code":errno}, success as {"ready":true}; then it serves tool calls
 * as init. */
NORETURN void enter_sandbox(const struct enter_args *j);
