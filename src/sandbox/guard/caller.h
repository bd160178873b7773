/* caller - what a stopped system call of a program means: its descriptors, memory and paths. */
#pragma once

#include "base/base.h"
#include <sys/types.h>

/* A copy of descriptor `fd` of thread `tid`: the same open file. The caller's; -errno, -EBADF when
 * there is none. */
int caller_copy(pid_t tid, int fd) WARN_UNUSED;

/* Reads `n` bytes of its memory. 0, or -EFAULT when they are not all there. */
int caller_read(pid_t tid, uint64_t at, void *ret, size_t n) WARN_UNUSED;

/* Opens what it means by `path` with O_PATH, links followed. The caller's, or -errno. */
int caller_open(pid_t tid, const char *path) WARN_UNUSED;

/* The number in line `key` ("Threads:") of what /proc says about it, read in `base`; -errno. */
int64_t caller_status(pid_t tid, const char *key, unsigned base);
/* Whether a signal waits that it will take: 1 when one waits for this thread and no other can take
 * it, 2 when another thread may, 0 or -errno. */
int caller_interrupted(pid_t tid) WARN_UNUSED;
