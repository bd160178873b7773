/* import - from a file somebody gives us to an image in its place. */
#pragma once

#include "base/json.h"
#include "image/order.h"

/* Imports. The archive is read by a child process that can do nothing else (child.h), so the
 * caller must have no threads. On success *ret_record (a new reference) is the image's record. On
 * failure nothing is left but what was there. -EEXIST (and no `replace`), -EBUSY (another import of
 * the name is running, or what is to be replaced is in use), and all that image_child_unpack and
 * image_tree_measure return, with words. */
int image_import(const struct image_import *in, json_t **ret_record, struct err *e) WARN_UNUSED;
