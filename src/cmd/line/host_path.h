/* host_path - paths of this host that were given to a command, and where a sandbox of an earlier
 * run may have been at work. */
#pragma once

#include "base/base.h"

struct err;

/* The place that `path` names, absolute and without a link: malloc'ed. Relative paths begin at the
 * working directory. A link is followed only when no sandbox can have gained by making it:
 *
 *   - it leads to something below the directory that it lies in, which is not to be written, or
 *   - that directory belongs to the system: to root, and so does everything above it, and nobody
 *     else may write there. For root itself, who may have shown a directory of its own to a sandbox,
 *     only /, /home, /var, /etc and /usr without /usr/local.
 *
 * $PWD in front of `path` is the working directory, through whatever links the caller has come.
 * Words begin with a path. -ELOOP with words that name the place when a link is not followed; or another code with words. */
int host_path_resolve(const char *path, bool write, char **ret, struct err *e) WARN_UNUSED;

/* Opens a regular file, found as above, to be read: a descriptor, or a negative code with words.
 * Never waits. /dev/fd/N and the like name what the caller has opened already, whatever it is;
 * /dev/null is a file, too. */
int host_path_read(const char *path, struct err *e) WARN_UNUSED;
/* The same for a file to be written, which is made when it is not there. What is in it stays until
 * the caller truncates it. */
int host_path_write(const char *path, struct err *e) WARN_UNUSED;
