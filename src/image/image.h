/* image - container images as root file systems for sandboxes: imported, found, listed, removed.
 *
 * DATA/rootfs/NAME/rootfs is the tree, DATA/rootfs/NAME/image.json says what it is. An image is
 * whole or not there: it is unpacked beside its place and renamed into it. No daemon, no registry,
 * no program is run, and nothing in an image is trusted (layer.c, layout.c).
 *
 * All of this blocks the thread. A caller on the loop thread that can not wait for a small file to
 * be read calls image_find before the loop runs, or through a pool. */
#pragma once

#include "base/base.h"
#include "base/json.h"
#include "image/layer.h"
#include "image/layout.h"

struct err;

#define IMAGE_NAME_MAX 64
/* [a-z0-9][a-z0-9._-]{0,63} */
bool image_name_ok(const char *name);

/* An image in use. While one is held the image can not be removed or replaced (a shared flock on
 * its directory, given back when the process ends): keep it as long as a sandbox uses the tree. */
struct image {
    char *rootfs;  /* absolute when the data directory is: hand it to sandbox_spec.rootfs_dir */
    char *workdir; /* where its programs expect to start, or NULL */
    char *user;    /* as the image says it ("1000", "app:app"), or NULL; nothing maps it */
    char **env;    /* "NAME=value", n_env of them */
    size_t n_env;
    json_t *record; /* image.json whole */
    int lock_fd;
};

/* Finds an image by its name. -EINVAL (no such name can be), -ENOENT (no such image; the words say
 * what there is), -EBUSY, -E_CORRUPT (image.json), with words. */
int image_find(const char *data_dir, const char *name, struct image *ret, struct err *e)
    WARN_UNUSED;
void image_done(struct image *i);

/* The records of all images, an array sorted by name; with `ret_damaged` (may be NULL) how many
 * directories have none that can be read. */
int image_list(const char *data_dir, json_t **ret, size_t *ret_damaged, struct err *e) WARN_UNUSED;

/* -ENOENT, -EBUSY (in use), with words. */
int image_remove(const char *data_dir, const char *name, struct err *e) WARN_UNUSED;

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

/* Imports. The archive is read by a child process that can do nothing else (child.h), so the
 * caller must have no threads. On success *ret_record (a new reference) is the image's record. On
 * failure nothing is left but what was there. -EEXIST (and no `replace`), -EBUSY (another import of
 * the name is running, or what is to be replaced is in use), and all that image_child_unpack and
 * image_tree_measure return, with words. */
int image_import(const struct image_import *in, json_t **ret_record, struct err *e) WARN_UNUSED;
