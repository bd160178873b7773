/* chroot - whether this process's root directory is that of its mount namespace. */
#pragma once

#include "base/base.h"

struct err;

/* -EPERM with words in a chroot. Root's answer is exact, and afterwards the working directory is
 * "/"; an ordinary user's may miss a chroot into a directory that something is mounted on. For a
 * process with one thread. 0 elsewhere. */
int chroot_check(struct err *e) WARN_UNUSED;
