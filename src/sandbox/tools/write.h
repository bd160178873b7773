/* write - replacing a file's content in one step; shared by the write and edit tools. */
#pragma once

#include "base/base.h"

/* Writes `n` bytes to a new file beside the target and renames it over the target. An existing file
 * keeps its permission bits, a new one gets 0600. With `make_parents`, missing directories are
 * made. 0 or -errno. */
int write_atomically(const char *absolute, const void *p, size_t n, bool make_parents) WARN_UNUSED;
