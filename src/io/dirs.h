/* dirs - a directory and what is missing above it. */
#pragma once

#include "base/base.h"

struct err;

/* Makes `dir` and its missing parents, 0700 each. What is there already is left as it is. Blocks.
 * 0; -ENOTDIR, -EINVAL (no name), or -errno, with words. */
int dirs_make(const char *dir, struct err *e) WARN_UNUSED;
/* The same, for one that may have to be taken back: *ret_made tells how many directories were made,
 * also when it fails. */
int dirs_make_counted(const char *dir, size_t *ret_made, struct err *e) WARN_UNUSED;
/* Removes the last `made` directories on the way to `dir`, as far as they are empty. Blocks. */
void dirs_unmake(const char *dir, size_t made);
