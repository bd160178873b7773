/* etc_tree - a copy of the host's /etc with what etc_rule.h shows. */
#pragma once

#include "base/base.h"

struct buf;
struct err;
struct etc_known;

/* Copies from the directory `from` (the host's /etc) into the directory `to`, which holds what is
 * made up and nothing else. What it looked at and found may be appended to `seen` (NULL: not), for
 * etc_tree_same. *ret_left_out, which may be NULL, counts what did not fit: files and entries have a
 * ceiling. 0, or a negative code with words. */
int etc_tree_copy(int from, int to, const struct etc_known *known, struct buf *seen,
                  size_t *ret_left_out, struct err *e) WARN_UNUSED;

/* Whether everything that `seen` (text of etc_tree_copy, `n` bytes) tells of is as it was: then
 * another copy would come out the same. A change shortly before the copy cannot be told from one
 * after it, since clocks of file systems are coarse; *ret_newest_ns is the time of the last change
 * among what was looked at. */
bool etc_tree_same(int from, const char *seen, size_t n, int64_t *ret_newest_ns);
