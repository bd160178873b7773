/* idmap - id maps: of a new user namespace, and of mounts that show one owner's files as another's.
 *
 * Used by the zygote only, which has the rights to write maps. */
#pragma once

#include "base/base.h"
#include <sys/types.h>

struct err;

/* `count` ids from `inside` on, as a namespace (or a file system) knows them, are the ids from
 * `outside` on. */
struct idmap {
    uint32_t inside, outside, count;
};

/* Writes `text` to /proc/`pid`/`file`. `proc` is a verified procfs. 0, or a negative code with
 * words. */
int idmap_write_proc(int proc, pid_t pid, const char *file, const char *text, struct err *e)
    WARN_UNUSED;

/* Gives process `pid`, alone in a new user namespace, this map for users and groups. */
int idmap_apply(int proc, pid_t pid, const struct idmap *m, struct err *e) WARN_UNUSED;

/* A descriptor of a user namespace that exists for its maps alone (a short-lived child makes it):
 * `uids` and `gids` say which owners on disk are which ids of this machine. The caller's. Negative
 * with words. Does not suspend; takes a fraction of a millisecond. */
int idmap_userns(int proc, const struct idmap *uids, const struct idmap *gids, struct err *e)
    WARN_UNUSED;
