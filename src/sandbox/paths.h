/* paths - where the tools of this init live. In a sandbox that is always SANDBOX_HOME and
 * SANDBOX_SPOOL; without one (`isolation: none`) they are directories of the worker's. Set once,
 * before the first tool runs. */
#pragma once

#include "base/base.h"

struct paths {
    const char *home;  /* working directory, HOME, where relative names start */
    const char *spool; /* where whole outputs are left */
    /* No pid namespace: other processes of this machine are in sight, and only our own descendants
     * may be counted or ended. */
    bool shared;
};

const struct paths *paths(void);
/* Copies the texts. Called at most once per process, by init before anything else. */
void paths_set(const char *home, const char *spool, bool shared);
