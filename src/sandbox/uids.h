/* uids - one host uid for each live sandbox, so that what escapes from one owns nothing of
 * another's. */
#pragma once

#include "base/base.h"

struct err;

struct uids {
    uint32_t base, step, count; /* slot i is uid base + i * step + SANDBOX_UID */
};

/* Finds out which uids can be mapped here. `uid_map` is the text of /proc/self/uid_map. -ERANGE
 * when there are too few. */
int uids_init(struct uids *u, const char *uid_map, struct err *e) WARN_UNUSED;

/* Takes a uid that no other zygote of this machine holds. `*ret_lock` is a descriptor that holds
 * it: closing it (or dying) gives it back. */
int uids_take(const struct uids *u, uint32_t *ret_uid, int *ret_lock, struct err *e) WARN_UNUSED;
