/* etc_known - what the packages of this host have put into /etc. */
#pragma once

#include "base/base.h"

struct etc_known; /* a set of paths below /etc */

/* Reads the package manager's lists of files in directory `lists` ("/var/lib/dpkg/info": one path a
 * line in each *.list). Without that directory a name of /etc counts as packaged when `usr` ("/usr")
 * has a directory of that name in its share or lib, as most programs do. Both are the caller's and
 * outlive the set. Lists that cannot be read bring nothing. Never NULL; the caller's. */
struct etc_known *etc_known_new(const char *lists, const char *usr);
void etc_known_free(struct etc_known *k);

/* Whether a package brings the first part of `path` (below /etc), and whether one lists all of it. */
bool etc_known_packaged(const struct etc_known *k, const char *path);
bool etc_known_listed(const struct etc_known *k, const char *path);
