/* contents - the file systems that every sandbox has to itself, mounted into its new root. */
#pragma once

#include "sandbox/build/args.h"

struct err;
struct root;

/* Mounts /proc (with the parts covered that programs should not see), /tmp, /dev/shm, /dev/pts,
 * /workspace and the binds into a root that root_build has made and root_enter has not entered yet:
 * a procfs can be mounted only where the template's is in sight. The caller holds all capabilities
 * in its user namespace. 0, or a negative code with words. */
int contents_mount(const struct root *made, const struct enter_args *j, struct err *e) WARN_UNUSED;
