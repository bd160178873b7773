/* base - the version 2 group in which a run may make its groups. */
#pragma once

#include "sandbox/cgroup/find.h"

struct err;

/* The leaf that the processes of a delegated unit are moved into. */
#define CGROUP_MAIN "sallyport-main"

/* Opens the group below which groups with limits can be made: our own when it is ours to arrange,
 * the one above it when ours is a leaf of a delegated one (systemd's DelegateSubgroup=, or
 * CGROUP_MAIN of an earlier run). Processes that are in it are moved into CGROUP_MAIN first, as
 * version 2 demands; when nothing comes of it they are moved back. `want` names up to `n`
 * controllers; `ret_on[i]` says whether the groups below will have it, and ret_why[i] is set to a
 * clause when not (the caller's to free). A descriptor, or negative with a clause in `e` that says
 * why there is no such group. */
int cgroup_base_open(const struct cgroup_where *w, const char *const *want, size_t n, bool *ret_on,
                     char **ret_why, struct err *e) WARN_UNUSED;
