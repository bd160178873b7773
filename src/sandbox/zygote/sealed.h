/* sealed - running from a copy of the program that no process can write to. */
#pragma once

#include "base/base.h"

struct err;

/* True when this process was executed from a sealed memfd. */
bool sealed_is(void);

/* Copies what is loaded of /proc/self/exe into a memfd and seals it against every change. A
 * descriptor, or a negative code with words. */
int sealed_copy(struct err *e) WARN_UNUSED;

/* The same, and executes it with `argv` and an empty environment. Returns only on failure. */
int sealed_exec(char *const argv[], struct err *e) WARN_UNUSED;
