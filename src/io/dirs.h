/* dirs - a directory and what is missing above it. */
#pragma once

#include "base/base.h"

struct err;

/* Makes `dir` and its missing parents, 0700 each. What is there already is left as it is. Blocks.
 * 0; -ENOTDIR, -EINVAL (no name), or -errno, with words. */
int dirs_make(const char *dir, struct err *e) WARN_UNUSED;
