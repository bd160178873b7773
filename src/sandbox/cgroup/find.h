/* find - where a controller's groups are, out of the texts of /proc. Pure functions. */
#pragma once

#include "base/base.h"

struct cgroup_where {
    int version; /* 1 or 2; 0: not usable, `why` says why */
    char *mount; /* mount point in our file system, absolute */
    char *group; /* our own group below the mount, without leading slash; "" is the mount itself */
    char *path;  /* our own group as /proc/self/cgroup names it, for messages */
    bool read_only;                /* the mount cannot be written */
    unsigned dev_major, dev_minor; /* of the file system, to be compared with what is opened */
    char *why;                     /* a clause ("it is not ..."), NULL when version is not 0 */
};
void cgroup_where_done(struct cgroup_where *w);

/* Looks `controller` ("memory", "cpu", "pids") up. `self` is the text of /proc/self/cgroup,
 * `mountinfo` that of /proc/self/mountinfo. A controller with a line of its own in `self` is bound
 * to version 1; otherwise it may be available on version 2, which only its cgroup.controllers can
 * tell. Of several fitting mounts a writable one is preferred, then the one mounted last; one that
 * another mount hides is none. Lines that cannot be understood are skipped. */
void cgroup_find(const char *mountinfo, const char *self, const char *controller,
                 struct cgroup_where *ret);

/* True when the last part of a group's path is the name of a systemd unit: its groups are
 * systemd's to arrange unless they were delegated. */
bool cgroup_is_unit(const char *path);
