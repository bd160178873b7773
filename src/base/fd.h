/* fd - what a blocking descriptor needs done to the end.
 *
 * The one place where base touches a descriptor, because every room needs it and sandbox/ includes
 * nothing else: pure helpers around one system call each, which open nothing, keep nothing and know
 * no loop. Descriptors of fibers are io/'s business. */
#pragma once

#include "base/base.h"

/* Writes all of it, however many calls that takes. Blocks; not for non-blocking descriptors. 0, or
 * -errno (-ENOSPC when nothing more is taken) after a part may have been written. */
int fd_write_all(int fd, const void *p, size_t n) WARN_UNUSED;
/* The same at `offset`; the file's own position stays. */
int fd_pwrite_all(int fd, const void *p, size_t n, int64_t offset) WARN_UNUSED;

#define FD_SEND_MAX 253u /* SCM_MAX_FD: the kernel takes no more at once */
/* One sendmsg(2) on a Unix socket: `n` bytes with copies of `n_fds` descriptors, which stay the caller's.
 * On a stream they travel with at least one byte. `flags` as of sendmsg; no SIGPIPE. Bytes sent (of a
 * stream perhaps fewer; the descriptors went along), or -errno, -EINTR among them. */
ssize_t fd_send(int fd, const void *p, size_t n, const int *fds, size_t n_fds, int flags)
    WARN_UNUSED;
