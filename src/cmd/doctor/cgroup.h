/* cgroup - which control groups this process could give to sandboxes.
 *
 * Where they are is asked of the engine's own finder; what the engine does for good (groups,
 * limits, moved processes), doctor only tries for a moment. */
#pragma once

#include "base/base.h"

enum doctor_controller { CONTROLLER_MEMORY, CONTROLLER_CPU, CONTROLLER_PIDS, CONTROLLER_COUNT };
extern const char *const doctor_controller_name[CONTROLLER_COUNT];

/* Where the process's own group of each controller is. */
struct cgroup_place {
    int version[CONTROLLER_COUNT]; /* 1, 2, or 0: no hierarchy has the controller */
    char *dir[CONTROLLER_COUNT];   /* malloc'ed absolute path, NULL with version 0 */
    char *unified;                 /* own group on version 2, NULL without one */
};
void cgroup_place_done(struct cgroup_place *c);

/* Reads it out of /proc/self/cgroup and /proc/self/mountinfo, given as text. Version 2 says only
 * where its group is: which controllers it has is in that group's cgroup.controllers, of which
 * `controllers` is the text ("" when unknown). Pure. */
void cgroup_place_find(const char *cgroup, const char *mountinfo, const char *controllers,
                       struct cgroup_place *ret);
/* Own group on version 2 out of the same two texts; malloc'ed, NULL without one. Pure. */
char *cgroup_unified_dir(const char *cgroup, const char *mountinfo);

struct cgroup_look {
    struct cgroup_place place;
    int error[CONTROLLER_COUNT]; /* errno of trying to use it; 0: it can be used */
    bool at_top;                 /* our version 2 group is the root of the hierarchy */
    /* Our version 2 group is a unit of systemd's that was not delegated to us: what is set in it
     * can vanish whenever systemd arranges its groups anew. */
    bool systemds;
};
/* Looks, and tries: makes an empty group "sallyport-doctor-PID" in each, writes a limit where there
 * is a file for it, and removes it again. */
void cgroup_look(struct cgroup_look *ret);
void cgroup_look_done(struct cgroup_look *l);
