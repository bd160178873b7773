/* exec_advice - what about this process may have kept a sandbox from starting. */
#pragma once

#include "base/base.h"

/* A sentence that names the cause and what to do about it, or NULL when nothing is odd. `why` is
 * what was said already. The caller's. */
char *exec_advice(const char *why);
