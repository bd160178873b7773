/* work_yield - items of sessions at rest that are taken back, because calls wait and no worker polls
 * for them. */
#pragma once

#include "platform/api/state.h"

/* The fiber that does it; `arg` is the struct platform. Runs until it is cancelled. */
int work_yielder(void *arg);
