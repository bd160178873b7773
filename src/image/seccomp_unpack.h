/* seccomp_unpack - the system call filter of a process that does nothing but unpack an archive into
 * descriptors it holds. Sandboxes have another (sandbox/lock/seccomp.h): programs run in those. */
#pragma once

#include "base/base.h"

struct err;

/* Puts the calling process under the filter for good. syscall_filter_load() while /usr/lib is in sight, and
 * no_new_privs, come before. What the process may still do: see seccomp_unpack.c. -errno with words. */
int seccomp_unpack_install(struct err *e) WARN_UNUSED;
