/* etc - the /etc of a root assembled from the host. */
#pragma once

#include "base/base.h"

struct buf;
struct err;

/* Fills the empty directory "etc" of the directory `root`: what is made up, and of the host's what
 * etc_rule.h shows. `seen` as in etc_tree.h. 0, or a negative code with words. */
int etc_fill(int root, struct buf *seen, struct err *e) WARN_UNUSED;
