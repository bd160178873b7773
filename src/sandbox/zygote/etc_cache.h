/* etc_cache - the /etc of sandboxes, kept from one start to the next. */
#pragma once

#include "base/base.h"

#include <sys/types.h>

struct err;

struct etc_cache {
    int tree; /* a detached, read-only mount of the directory, or -1: there is none */
    int lock; /* as long as it is open, nobody removes the directory; or -1 */
};
#define ETC_CACHE_NONE ((struct etc_cache){.tree = -1, .lock = -1})
void etc_cache_done(struct etc_cache *c);

/* Where the copies of `user`, an id of the machine, may be: the i-th place to try, an absolute path;
 * NULL behind the last. The caller's. */
char *etc_cache_place(uid_t user, unsigned i);

/* Finds or makes the copy of /etc (etc_fill) at `place`. Needs the host's view. When others could
 * write there, or anything is odd about it, ret->tree is -1: then the caller tries another place, or
 * makes a copy of its own. */
void etc_cache_open(const char *place, struct etc_cache *ret);

/* Whether `path` (absolute) is where the copies of `user` are, or a directory above that: in a
 * writable bind they would be whatever the last sandbox has made of them. */
bool etc_cache_holds(uid_t user, const char *path);
