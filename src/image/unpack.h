/* unpack - the part of an import that reads the archive.
 *
 * Nothing in here opens, names or locks anything outside the descriptors it is given. */
#pragma once

#include "image/order.h"

/* Where it may write; all borrowed. */
struct image_place {
    int root_fd;  /* the directory that becomes the root; empty */
    int spool_fd; /* for an archive that comes through a pipe; -1: it is a file */
    int plain_fd; /* for what is left of a compressed archive; not used when it is none */
};

/* The most bytes that any one stream, and so any file, may have. */
uint64_t image_unpack_ceiling(const struct image_limits *l);

/* Unpacks what the archive in->fd holds below the root and describes it in *ret, which is the
 * caller's to release. *ret_tally says what was done. All that image_layout_read and
 * image_layer_apply return, with words. */
int image_unpack(const struct image_import *in, const struct image_place *at,
                 struct image_plan *ret, struct image_tally *ret_tally, struct err *e) WARN_UNUSED;
