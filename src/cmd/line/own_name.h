/* own_name - what a person types to start this program again. */
#pragma once

#include "base/base.h"

/* "sallyport" when the first program of that name in `path` (as $PATH; may be NULL) is this one,
 * else the absolute path of the running program, quoted for a shell where it must be. Malloc'ed.
 * Does not suspend. */
char *own_name(const char *path);
