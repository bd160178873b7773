/* probe - tries what the sandbox engine uses, one thing at a time, in child processes that
 * are thrown away.
 *
 * Blocks; must be called while the process has one thread, before any event loop. Nothing is
 * changed outside the children. */
#pragma once

#include "base/base.h"

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

struct probe {
    int error;     /* 0: it works; else errno of the step that did not */
    int signal;    /* the child was ended by this signal (a filter that kills); error is EFAULT */
    int64_t value; /* PROBE_LANDLOCK: the ABI */
    char step[48]; /* the call that failed, "unshare(CLONE_NEWUSER)" */
    bool tried;
};

struct probe_input {
    bool root;             /* effective uid 0: ids are mapped as the engine does for root */
    uint64_t uid_last;     /* highest uid that can be mapped */
    const char *idmap_dir; /* an existing directory; NULL: not tried */
};

/* Runs them all. Where PROBE_USERNS fails, what needs one is not tried. */
void probe_all(const struct probe_input *in, struct probe ret[PROBE_COUNT]);

/* One of them. */
void probe_one(const struct probe_input *in, enum probe_id id, struct probe *ret);
