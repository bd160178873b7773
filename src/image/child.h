/* child - image_unpack in a process of its own that can do nothing else. */
#pragma once

#include "image/unpack.h"

/* The same contract as image_unpack, and more failures: -E_PROTO (the process said what it cannot
 * have found), -EIO (it ended without an answer), -E_DENIED (it was ended for a system call that
 * unpacking does not need), and all of image_jail_enter. When this returns the process is gone.
 * What it left below the root is for the caller to look at (image_tree_measure). */
int image_child_unpack(const struct image_import *in, const struct image_place *at,
                       struct image_plan *ret, struct image_tally *ret_tally, struct err *e)
    WARN_UNUSED;
