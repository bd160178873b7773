/* proc_call - a function run in a process of its own, for work on input that is not to be trusted.
 *
 * For programs without a loop, fibers or other threads (`sallyport rootfs import`): the child is a
 * fork, and the caller waits for it with calls that block. */
#pragma once

#include "base/base.h"

#include <sys/types.h>

struct err;

/* Starts a child that runs fn(arg) and ends with what it returns (0 to 255). In the child: of the
 * caller's descriptors only `keep` are open, under the same numbers; 0, 1 and 2 are /dev/null
 * unless kept; signals do what they do by default; the environment's texts are wiped; it dies when
 * the caller does. The pid, or negative with words. */
pid_t proc_call_start(int (*fn)(void *arg), void *arg, const int *keep, size_t n_keep,
                      struct err *e) WARN_UNUSED;
/* Waits until it has ended, but no longer than `grace_ms` (at least 0): then it is killed. When
 * this returns it is gone. The wait(2) status. */
int proc_call_end(pid_t pid, int grace_ms);
