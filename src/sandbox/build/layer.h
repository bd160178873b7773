/* layer - files of our own in a directory that is to be a layer of a root. */
#pragma once

#include "base/base.h"

#include <sys/stat.h>

/* A file (0644; *ret_st is what it is), and a link, at `path` below `upper`, in place of a file of ours;
 * directories on the way are made. 0 or -errno. */
int layer_put(int upper, const char *path, const void *p, size_t n, struct stat *ret_st)
    WARN_UNUSED;
int layer_link(int upper, const char *path, const char *target) WARN_UNUSED;
