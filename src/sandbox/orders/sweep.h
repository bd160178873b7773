/* sweep - what programs of the host act on by themselves and was not there before a sandbox, or was
 * another file then: moved aside when the sandbox has ended. */
#pragma once

#include "base/base.h"

struct err;
struct sandbox_spec;
struct sweep;

/* Remembers what of the guarded names is at the top of directory `dir` of the host, and every place
 * further down that orders_scan finds, but for what `spec` opens (NULL: nothing). `dir` is a descriptor that is the sweep's from here on, also
 * after a failure. `path` is its name. 0 with a sweep for sweep_free, or a negative code
 * with words. */
int sweep_new(int dir, const char *path, const struct sandbox_spec *spec, struct sweep **ret,
              struct err *e) WARN_UNUSED;

struct sweep_moved {
    const char *dir;  /* the sweep's, for people */
    const char *name; /* a path below it: of what lies further down a sandbox may have chosen it */
    const char *now;  /* what it was renamed to, in the same directory; NULL: it could not be */
    bool replaced;    /* there was another one of that name before */
};

typedef void sweep_moved_fn(void *arg, const struct sweep_moved *m);

/* Called when nothing of the sandbox runs any more. What has come since, or is another file or link
 * than before, is renamed to NAME.from-sandbox; of a repository only what is not plain. A link that
 * has come on the way to a place is renamed itself. Each is told to `moved`. */
void sweep_run(const struct sweep *s, sweep_moved_fn *moved, void *arg);
void sweep_free(struct sweep *s);
