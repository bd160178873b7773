/* cover - keeps from a sandbox what programs of the host act on by themselves, in the directories
 * that it may write. */
#pragma once

#include "base/base.h"

struct err;
struct sandbox_bind;
struct sandbox_spec;

/* Covers what orders_scan finds in bind `b` of `s`, which is mounted in the new root, but for what
 * another bind opens. The caller holds all capabilities in its user namespace. 0, or a negative code with words:
 * what could not be covered would be open. */
int cover_guarded(int root, const struct sandbox_spec *s, const struct sandbox_bind *b,
                  struct err *e) WARN_UNUSED;
