/* uids - a range of host uids for each live sandbox, so that what escapes from one owns nothing of
 * another's. */
#pragma once

#include "base/base.h"

struct err;

struct uids {
    uint32_t base, step, count; /* slot i is the uids from base + i * step on, `step` of them */
};

/* Finds out which uids can be mapped here. `uid_map` is the text of /proc/self/uid_map. -ERANGE
 * when there are too few. */
int uids_init(struct uids *u, const char *uid_map, struct err *e) WARN_UNUSED;

/* The same with the map of this process. */
int uids_read(struct uids *u, struct err *e) WARN_UNUSED;

/* Takes a range that no other zygote of this machine holds: `u->step` uids from `*ret_first` on
 * (65536, or a single one in a container with few). `*ret_lock` is a descriptor that holds it:
 * closing it (or dying) gives it back. */
int uids_take(const struct uids *u, uint32_t *ret_first, int *ret_lock, struct err *e) WARN_UNUSED;
