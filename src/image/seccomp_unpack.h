/* seccomp_unpack - the system call filter of a process that does nothing but unpack an archive into
 * descriptors it holds. Sandboxes have another (sandbox/lock/seccomp.h): programs run in those. */
#pragma once

#include "base/base.h"

struct err;

/* Opens libseccomp, which cannot be done any more where /usr/lib is out of sight or somebody else's.
 * 0, or -errno with words. */
int seccomp_unpack_load(struct err *e) WARN_UNUSED;
/* Puts the calling process under the filter for good. no_new_privs must be set already. What the
 * process may still do: see seccomp_unpack.c. -errno with words. */
int seccomp_unpack_install(struct err *e) WARN_UNUSED;
