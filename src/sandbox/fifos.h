/* fifos - the named pipes in a directory that is to be shown to a sandbox: at the other end somebody
 * outside may read. */
#pragma once

#include "base/base.h"

#define FIFOS_MAX    128   /* that are found; more are refused */
#define FIFOS_LOOKED 50000 /* names that are looked at, those near the top first */

struct fifos {
    char *path[FIFOS_MAX]; /* relative to the directory */
    size_t n;
};
void fifos_done(struct fifos *f);

/* Finds those that are there now. No link is followed; what cannot be opened is passed over. `ret`
 * is the caller's in every case. 0, -E2BIG when there are more, or another -errno. Blocks. */
int fifos_find(int dir, struct fifos *ret) WARN_UNUSED;
