/* rootfs - the template: a mount namespace that holds nothing but what every sandbox may see.
 *
 * The zygote builds it once and lives in it. A clone with CLONE_NEWNS | CLONE_NEWUSER starts with a
 * copy whose mounts the kernel has locked (they come from a more privileged namespace), so the
 * host's file systems were never in a sandbox's namespace, and nothing needs to be hidden or
 * detached at start. */
#pragma once

#include "base/base.h"

struct err;

struct rootfs {
    int host_ns;     /* mount namespace with the host's view, for bind sources */
    int template_ns; /* the one the zygote lives in afterwards */
};
#define ROOTFS_NONE ((struct rootfs){.host_ns = -1, .template_ns = -1})

/* Builds the template and moves the calling process into it: afterwards the host's files are out of
 * its reach but for rootfs_host_tree. Needs CAP_SYS_ADMIN over the caller's mount namespace. */
int rootfs_build(struct rootfs *ret, struct err *e) WARN_UNUSED;
void rootfs_done(struct rootfs *r);

/* A detached, recursive copy of host path `path`, nosuid and nodev, read-only unless `write`; with
 * `chown_uid` >= 0 its top directory is given to that uid and gid first. A descriptor, or a
 * negative code with words. */
int rootfs_host_tree(const struct rootfs *r, const char *path, bool write, int64_t chown_uid,
                     struct err *e) WARN_UNUSED;

/* The template's directories below which a bind's target may lie ("/mnt", ...), besides /workspace
 * and /tmp. NULL-terminated. */
extern const char *const rootfs_bind_places[];
