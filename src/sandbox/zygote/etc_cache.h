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

/* Where the copies of `user`, an id of the machine, are: in a directory "sallyport" of this one. The
 * caller's. */
char *etc_cache_parent(uid_t user);

/* Finds or makes the copy of /etc (etc_fill) in the directory `parent`. Needs the host's
 * view. When not only this user can write there, or anything is odd about it, ret->tree is -1: then
 * the caller makes one of its own. */
void etc_cache_open(const char *parent, struct etc_cache *ret);

/* Whether `path` (absolute) is where the copies of `user` are, or a directory above that: in a
 * writable bind they would be whatever the last sandbox has made of them. */
bool etc_cache_holds(uid_t user, const char *path);
