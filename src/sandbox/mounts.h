/* mounts - mounting by descriptor (open_tree, fsopen, move_mount, mount_setattr), never by an
 * attacker's path.
 *
 * Every call returns 0 or a descriptor (the caller's, CLOEXEC), or -errno. Paths are relative to a
 * descriptor and resolved without following links unless a function says otherwise. */
#pragma once

#include "base/base.h"
#include <sys/mount.h>

/* Opens `path` below `dirfd` with openat2: inside the tree of dirfd, no symlinks, no magic links.
 * `flags` as for open(2), O_CLOEXEC implied. */
int mounts_open(int dirfd, const char *path, int flags) WARN_UNUSED;

/* A detached copy of the mount tree at `path` (a host path: links are followed, it was chosen by
 * the operator), with `attr` (MOUNT_ATTR_*) set on all of it. */
int mounts_copy(const char *path, uint64_t attr) WARN_UNUSED;

/* Like mounts_copy for a character device: verifies its numbers before handing it out (-ENODEV
 * otherwise). */
int mounts_copy_device(const char *path, unsigned major_no, unsigned minor_no) WARN_UNUSED;

/* A new, detached mount of `fstype`; options is "key=value,key=value,flag" or NULL. */
int mounts_new(const char *fstype, const char *options, uint64_t attr) WARN_UNUSED;

/* Attaches a detached mount on the existing directory or file `path` below dirfd (resolved as
 * mounts_open does). */
int mounts_attach(int mount_fd, int dirfd, const char *path) WARN_UNUSED;

/* Changes the flags of the mount that `fd` is the root of. */
int mounts_set(int fd, uint64_t attr, bool recursive) WARN_UNUSED;

/* Translates the owners of a detached mount tree by the maps of user namespace `userns`
 * (mount_setattr(2), "ID-mapped mounts"). -EINVAL, -EPERM where its file system cannot. */
int mounts_set_idmap(int fd, int userns) WARN_UNUSED;

/* 0 when `fd` lies on procfs, -EXDEV when it does not: asked before every write to a /proc file. */
int mounts_is_procfs(int fd) WARN_UNUSED;
