/* root - the root file system of one sandbox: a tmpfs that goes with it and the template's system
 * mounted into that, or an overlay with such a tmpfs as its upper layer over a given image. */
#pragma once

#include "sandbox/build/args.h"

struct err;

struct root {
    int old; /* the template's root, where the namespace starts */
    /* The tmpfs: "tmp", "shm", "files" (size_files.h) with an empty directory "empty", and the upper
     * layers. */
    int scratch;
    int top; /* the new root */
};
#define ROOT_NONE ((struct root){.old = -1, .scratch = -1, .top = -1})
void root_done(struct root *r);

/* Builds the root in the calling process's mount namespace (a copy of the template's), with /dev,
 * /usr and mount points for all that follows; /proc, /tmp, /dev/shm and /workspace are still empty.
 * The caller holds all capabilities in its user namespace. 0, or a negative code with words. */
int root_build(const struct enter_args *j, struct root *ret, struct err *e) WARN_UNUSED;

/* Makes it the root of the process and its namespace; nothing of the template is left in there.
 * Mounts that need the old root in sight (procfs) or copies of the scratch tmpfs come before. */
int root_enter(struct root *r, struct err *e) WARN_UNUSED;

/* Refuses a bind at `target` (an absolute path that sandbox_path_ok accepts) that is on or below
 * what makes the system (/usr, /dev, /proc, ...), on /, /etc, /tmp or /workspace themselves, or on what
 * libc reads of /etc (etc_rule.h). 0, or -EINVAL with words. Pure; every engine asks. */
int root_check_target(const char *target, struct err *e) WARN_UNUSED;

/* Whether a target is below /etc; whether a sandbox needs a layer of its own over the template's. */
bool root_in_etc(const char *target);
bool root_has_own_etc(const struct sandbox_spec *s);
