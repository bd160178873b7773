/* cover - keeps from a sandbox what programs of the host act on by themselves, in the directories
 * that it may write. */
#pragma once

#include "base/base.h"

struct err;

/* Covers what orders_scan finds in the bind that is mounted at `target` (absolute, inside) of the new
 * root. The caller holds all capabilities in its user namespace. 0, or a negative code with words:
 * what could not be covered would be open. */
int cover_guarded(int root, const char *target, struct err *e) WARN_UNUSED;
