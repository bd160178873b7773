/* state - directories on the host that belong to one run of a worker and must not outlive it.
 *
 *   STATE_DIR/run-XXXX.lock   held with flock(2) as long as the run lives
 *   STATE_DIR/run-XXXX/N      one directory per sandbox that wants its workspace on disk
 *
 * Blocks (file system calls); call it at start or from a thread pool. */
#pragma once

#include "base/base.h"

struct err;

struct state {
    int dir;    /* STATE_DIR */
    int lock;   /* the lock file */
    char *name; /* "run-XXXX" */
    char *path; /* STATE_DIR/run-XXXX, absolute */
    uint64_t next;
};
#define STATE_NONE ((struct state){.dir = -1, .lock = -1})

/* Opens `path`, which must be a directory that the caller owns and no other user can write to:
 * otherwise another user may have put files there. A descriptor, or a negative code that fills
 * `e`. */
int state_open_dir(const char *path, struct err *e) WARN_UNUSED;

/* Opens (and makes, 0700) `path`, removes what dead runs have left, and makes a directory for this
 * run. `*ret_swept` (may be NULL) is the number of runs removed. */
int state_open(const char *path, struct state *ret, size_t *ret_swept, struct err *e) WARN_UNUSED;

/* Removes this run's directory and closes. Zeroed and STATE_NONE are fine. */
void state_done(struct state *s);

/* Makes a directory for one sandbox (0700); malloc'ed absolute path, NULL with words. */
char *state_make(struct state *s, struct err *e);

/* Removes a whole tree, however deep, following no links. `dirfd`, `name`: as for unlinkat.
 * Directories that refuse to be read are made readable first. 0 or the first -errno met (what can
 * be removed is removed). */
int state_remove_tree(int dirfd, const char *name) WARN_UNUSED;
