/* sweep - what programs of the host act on by themselves and was not there before a sandbox: moved
 * aside when the sandbox has ended. */
#pragma once

#include "base/base.h"

struct sweep;

/* Remembers what of the guarded names is at the top of directory `dir` of the host, a descriptor
 * that is the sweep's from here on. `path` is its name for people. */
struct sweep *sweep_new(int dir, const char *path);

/* `name` in `dir` was renamed to `now` (in the same directory as `name`), or could not be: NULL. */
typedef void sweep_moved_fn(void *arg, const char *dir, const char *name, const char *now);

/* Called when nothing of the sandbox runs any more. What has come since, or is another link than
 * before, is renamed to NAME.from-sandbox; of a new repository only what is not plain. Each is told
 * to `moved`. */
void sweep_run(const struct sweep *s, sweep_moved_fn *moved, void *arg);
void sweep_free(struct sweep *s);
