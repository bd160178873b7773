/* args - what the process that is to become a sandbox has got from the zygote: what the stages of
 * its birth (enter.c) work with. */
#pragma once

#include "sandbox/cgroup/cgroup.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"

struct quotas;
struct seccomp_filter;

/* What the clone inherits by being a copy of the zygote. Descriptors are the clone's to use. */
struct enter_args {
    const struct sandbox_spec *spec;
    const struct seccomp_filter *filter;
    int go_fd;        /* one byte arrives when the id maps are written; end of file: give up */
    int channel_fd;   /* init's end of the stream socket to the worker */
    int workspace_fd; /* detached mount for /workspace, or -1 for a tmpfs */
    int root_fd;      /* detached mount of a lower layer: the template's /etc or an image; or -1 */
    int usr_fd;       /* detached mount of /usr with the sandbox's owners; -1: the template's */
    int own_fd;       /* detached mount with files of its own for /etc (own_layer.h), or -1 */
    int oom_fd;       /* counts out-of-memory kills (cgroup.h), or -1 */
    int stat_fd;      /* its memory.stat, or -1 */
    int zygote_fd;    /* a pidfd of the zygote, or -1 */
    struct cgroup_entry entry; /* into its group; none where there is none */
    int *bind_fds;             /* detached mounts, spec->n_binds of them */
    bool net_ready;            /* lo is up already */
    bool id_range;             /* a range of ids from 0 is mapped, not the user's alone */
    /* What the ordinary user has whose uid this is outside, too; NULL: the uid is its own. */
    const struct quotas *quotas;
};

/* User and group of the programs, inside. */
static inline unsigned enter_args_uid(const struct enter_args *j)
{
    return j->spec->user == SANDBOX_USER_ROOT ? 0 : SANDBOX_UID;
}
