/* order - what an import is asked to do, and within which limits. */
#pragma once

#include "image/layer.h"
#include "image/layout.h"

#define IMAGE_BYTES_DEFAULT (16ull << 30) /* larger than any image that is meant for people */
#define IMAGE_FILES_DEFAULT 1000000ull    /* a desktop distribution has 400,000 */
#define IMAGE_DEPTH_DEFAULT 64ull         /* node_modules reach 30 */
#define IMAGE_RATIO_DEFAULT 200ull        /* text compresses 10:1, zeros 1000:1 and more */

struct image_import {
    const char *data_dir; /* exists */
    const char *name;
    int fd; /* the archive, borrowed; a pipe is fine */
    bool replace;
    struct image_choice choice;
    struct image_limits limits;
    /* Called often while bytes are read. A negative value ends the import with that code. May be
     * NULL. */
    int (*tick)(void *arg, const struct image_tally *t);
    /* Told what a person should know though it is no failure. May be NULL. */
    void (*note)(void *arg, const char *text);
    void *tick_arg; /* of both */
};
