/* places - the file systems that belong to one sandbox alone: what is made there was made inside. */
#pragma once

#include "sandbox/spec.h"

struct err;

#define PLACES_OWN 4

struct places {
    uint64_t own[PLACES_OWN], named[SANDBOX_BINDS_MAX]; /* mounts */
    size_t n_own, n_named;
};

/* Notes them, as the caller sees them now: before anything untrusted runs, since a mount is told by
 * its number. `root_too`: the root is the sandbox's own, too, and no directory of the host. 0, or a
 * negative code with words. */
int places_note(struct places *p, const struct sandbox_spec *s, bool root_too, struct err *e)
    WARN_UNUSED;

/* Whether what is open as `fd` lies in one of them: 1, 0 or -errno. */
int places_own(const struct places *p, int fd) WARN_UNUSED;
/* Whether a program may connect to it: it is a socket (else -ECONNREFUSED, as the kernel says) and
 * lies there or was named by the operator. 0, -EACCES, or another -errno. */
int places_may_connect(const struct places *p, int fd) WARN_UNUSED;
