/* sealed - running from a copy of the program that no process can write to. */
#pragma once

#include "base/base.h"

struct err;

/* True when this process was executed from a sealed memfd. */
bool sealed_is(void);

/* Copies /proc/self/exe into a memfd, seals it against every change and executes it with `argv` and
 * an empty environment. Returns only on failure. */
int sealed_exec(char *const argv[], struct err *e) WARN_UNUSED;
