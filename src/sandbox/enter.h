/* enter - from a fresh clone of the zygote to a locked-down init with its own root. */
#pragma once

#include "sandbox/spec.h"

struct seccomp_filter;

/* What the clone inherits by being a copy of the zygote. Descriptors are the clone's to use. */
struct enter_job {
    const struct sandbox_spec *spec;
    const struct seccomp_filter *filter;
    int go_fd;        /* one byte arrives when the id maps are written; end of file: give up */
    int channel_fd;   /* init's end of the stream socket to the worker */
    int workspace_fd; /* detached mount for /workspace, or -1 for a tmpfs */
    int *bind_fds;    /* detached mounts, spec->n_binds of them */
};

/* Runs in the clone; does not return. Whatever fails is written as {"ready":false,"error":"..."} to
 * channel_fd, success as {"ready":true}; then it serves tool calls as init. */
NORETURN void enter_sandbox(const struct enter_job *j);
