/* path - how file tools reach files: by descriptor, inside the sandbox's root, without magic links.
 *
 * A name is first made absolute (relative ones start at /workspace) and its "." and ".." are taken
 * out by text; then the kernel resolves it with openat2 below a descriptor of "/". Links are
 * followed, links of the /proc/PID/fd kind are not. There is no check before use, so there is no
 * gap between the two. */
#pragma once

#include "base/base.h"
#include <limits.h>

/* "src/../a" -> "/workspace/a". malloc'ed. NULL when the result would be longer than PATH_MAX. */
char *path_absolute(const char *name);

/* Opens; O_CLOEXEC | O_NOCTTY implied. A descriptor or -errno. */
int path_open(const char *absolute, int flags) WARN_UNUSED;

/* Opens a regular file for reading without ever waiting on it; -E_DENIED when it is not a regular
 * file. */
int path_open_regular(const char *absolute, uint64_t *ret_size) WARN_UNUSED;

/* The directory that a file to be written lies in, as a descriptor (O_PATH), and its last name.
 * Links at the last component are followed, so that writing through a link changes its target, also
 * when that is still missing. With `make`, missing directories are made, mode 0700. */
int path_open_parent(const char *absolute, bool make, char ret_name[NAME_MAX + 1]) WARN_UNUSED;
