/* image - container images as root file systems for sandboxes: found, listed, removed (import makes
 * them).
 *
 * DATA/rootfs/NAME/rootfs is the tree, DATA/rootfs/NAME/image.json says what it is. An image is
 * whole or not there: it is unpacked beside its place and renamed into it. No daemon, no registry,
 * no program is run, and nothing in an image is trusted (layer.c, layout.c).
 *
 * All of this blocks the thread. Whoever is on the loop thread and cannot wait for a small file to
 * be read calls image_find before the loop runs, or through a pool. */
#pragma once

#include "base/base.h"
#include "base/json.h"

struct err;

/* An image in use. While one is held the image cannot be removed or replaced (a shared flock on
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
