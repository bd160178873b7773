/* probe - tries what the sandbox engine uses, one thing at a time, in child processes that
 * are thrown away.
 *
 * Blocks; must be called while the process has one thread, before any event loop. Nothing is
 * changed outside the children. */
#pragma once

#include "cmd/doctor/probe_child.h"

enum probe_id {
    /* calls by themselves */
    PROBE_OPENAT2,
    PROBE_CLONE3,
    PROBE_CLOSE_RANGE,
    PROBE_PIDFD_OPEN,
    PROBE_MOUNT_CALLS, /* open_tree, fsconfig, mount_setattr, move_mount exist */
    PROBE_SECCOMP,
    PROBE_NOTIFY,   /* a filter whose answers come from another process */
    PROBE_LANDLOCK, /* value: the ABI */
    /* rights */
    PROBE_CHROOT,      /* fails in a chroot */
    PROBE_ROOT_MOUNTS, /* root only: a mount namespace without a user namespace */
    PROBE_USERNS,      /* made, mapped, and its capabilities are worth something */
    /* inside a user namespace, each alone */
    PROBE_NS_MNT,
    PROBE_NS_PID,
    PROBE_NS_NET,
    PROBE_NS_IPC,
    PROBE_NS_UTS,
    PROBE_NS_CGROUP,
    PROBE_NS_TIME,
    PROBE_TMPFS, /* the new mount calls, used */
    PROBE_PROC,
    PROBE_DEVPTS,
    PROBE_OVERLAY,
    PROBE_BIND,  /* a read-only copy of /usr by open_tree and mount_setattr */
    PROBE_IDMAP, /* root only: an idmapped mount of `idmap_dir` */
    PROBE_COUNT
};

/* Runs them all. Where PROBE_USERNS fails, what needs one is not tried. */
void probe_all(const struct probe_input *in, struct probe ret[PROBE_COUNT]);

/* One of them. */
void probe_one(const struct probe_input *in, enum probe_id id, struct probe *ret);
