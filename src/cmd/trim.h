/* trim - gives back the memory that only starting up needed. */
#pragma once

#include "base/base.h"

/* Drops the resident pages of read-only mappings of the program and its libraries (symbol tables,
 * relocations, start-up code: clean pages of the page cache, faulted in again when touched) and the
 * heap's free tail. Costs some soft page faults afterwards; for long-lived processes, once, when
 * they are ready. Thread-safe; never fails. */
void trim_after_start(void);
