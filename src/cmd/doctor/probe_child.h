/* probe_child - runs one probe in a child process that is thrown away. */
#pragma once

#include "base/base.h"

#include <sys/types.h>

struct probe {
    int error;     /* 0: it works; else errno of the step that did not */
    int signal;    /* the child was ended by this signal (a filter that kills); error is EFAULT */
    int64_t value; /* where a probe finds one: PROBE_LANDLOCK, the ABI */
    char step[48]; /* the call that failed, "unshare(CLONE_NEWUSER)" */
    bool tried;
};

struct probe_input {
    bool root;             /* effective uid 0: ids are mapped as the engine does for root */
    uint64_t uid_last;     /* highest uid that can be mapped */
    const char *idmap_dir; /* an existing directory; NULL: not tried */
};

typedef void probe_fn(const struct probe_input *in, struct probe *p);

/* Notes what failed (errno), keeping the first. Returns true when `r` is a failure. */
bool probe_failed(struct probe *p, long r, const char *step);
/* Runs `fn` in a child and takes over what it found. */
void probe_in_child(probe_fn *fn, const struct probe_input *in, struct probe *p);
/* Called in a child: runs `fn` in a further child within a new user namespace and what else `flags`
 * name. */
void probe_in_userns(unsigned flags, probe_fn *fn, const struct probe_input *in, struct probe *p);
/* The id maps of `pid`, as the zygote writes them: as root somebody else's uid, else our own. */
void probe_write_maps(pid_t pid, const struct probe_input *in, struct probe *p);
