/* template - the template: a mount namespace that holds nothing but what every sandbox may see.
 *
 * The zygote builds it once and lives in it. A clone with CLONE_NEWNS | CLONE_NEWUSER starts with a
 * copy whose mounts the kernel has locked (they come from a more privileged namespace), so the
 * host's file systems were never in a sandbox's namespace, and nothing needs to be hidden or
 * detached at start. */
#pragma once

#include "sandbox/sandbox.h"

#include <sys/types.h>

struct err;
struct idmap;

struct rootfs {
    int host_ns;     /* mount namespace with the host's view, for bind sources */
    int template_ns; /* the one the zygote lives in afterwards */
    int etc_lock;    /* holds the copy of /etc that the template has mounted (etc_cache.h); or -1 */
    uid_t user;      /* who started the zygote, as the machine counts */
};
#define ROOTFS_NONE ((struct rootfs){.host_ns = -1, .template_ns = -1, .etc_lock = -1})

/* Builds the template for zygotes of `user` and moves the calling process into it: afterwards the
 * host's files are out of its reach but for rootfs_host_tree. Needs CAP_SYS_ADMIN over the caller's
 * mount namespace. */
int rootfs_build(uid_t user, struct rootfs *ret, struct err *e) WARN_UNUSED;
void rootfs_done(struct rootfs *r);

/* How a directory of the host is to be seen. */
struct rootfs_tree {
    bool write;
    bool socket;     /* it must be a Unix socket, else it must not */
    int64_t give_to; /* >= 0: its top directory is given to this uid and gid first */
    /* >= 0: its owner's files show as those of this uid and gid, and what that uid makes belongs to
     * the owner (an idmapped mount; where the file system cannot do that, owners stay as they
     * are). */
    int64_t owner_is;
    const struct idmap *map; /* not NULL: owners are translated by this (likewise) */
    int proc;                /* a verified procfs, for the maps */
};

/* A detached, recursive copy of host path `path`, nosuid and nodev. A descriptor, or a negative
 * code with words. */
int rootfs_host_tree(const struct rootfs *r, const char *path, const struct rootfs_tree *how,
                     struct err *e) WARN_UNUSED;

/* Host directory `path`, opened with O_PATH: a descriptor, -ENOTDIR without words when it is none, or
 * another negative code with words. */
int rootfs_host_dir(const struct rootfs *r, const char *path, struct err *e) WARN_UNUSED;

/* A copy like that of rootfs_host_tree of `path` of the template ("/etc" or "/usr", without what is mounted below it), for use as
 * the lower layer of an overlay; `map` may be NULL. Taken here and not in the clone, where the
 * template's mounts are locked together. -EINVAL where the file system cannot map owners. */
int rootfs_template_tree(const char *path, const struct idmap *map, int proc, struct err *e)
    WARN_UNUSED;
