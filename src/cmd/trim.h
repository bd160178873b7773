/* trim - gives back the memory that only starting up needed, and sees to it that later peaks are
 * given back. */
#pragma once

#include "base/base.h"

/* Drops the resident pages of read-only mappings of the program and its libraries (symbol tables,
 * relocations, start-up code: clean pages of the page cache, faulted in again when touched) and the
 * heap's free tail. From now on the heap gives back what large requests leave behind. Costs some
 * soft page faults afterwards; for long-lived processes, once, when they are ready. Thread-safe;
 * never fails. */
void trim_after_start(void);
