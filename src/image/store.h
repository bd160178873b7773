/* store - the directory DATA/rootfs: who may change which image when.
 *
 * Names in it: NAME (an image), .import-NAME (being unpacked), .gone-RANDOM (being removed), .lock.
 * import.c makes images, this file places and removes them, image.c reads those that are there. */
#pragma once

#include "base/base.h"

struct err;

#define IMAGE_RECORD "image.json"
#define IMAGE_ROOT   "rootfs"

#define IMAGE_NAME_MAX 64
/* [a-z0-9][a-z0-9._-]{0,63} */
bool image_name_ok(const char *name);
/* -EINVAL with words when that can be no image's name. */
int image_store_check_name(const char *name, struct err *e) WARN_UNUSED;

/* The directory, for reading: a descriptor; -ENOENT without words when there is none; any other
 * code with words, as for one that others could change. */
int image_store_open(const char *data_dir, struct err *e) WARN_UNUSED;
/* Holds an image so that it can be neither removed nor replaced, until the descriptor of its
 * directory, which this returns, is closed. -ENOENT without words; any other code with words. */
int image_store_hold(int store_fd, const char *name, struct err *e) WARN_UNUSED;
/* Removes an image. 0; 1: there is none of that name; -EBUSY (in use) and others, with words. */
int image_store_remove(const char *data_dir, const char *name, struct err *e) WARN_UNUSED;

/* A place for a new image, kept by a lock until it is committed or abandoned. */
struct image_staging {
    int store_fd;
    int fd;        /* of the directory; `rootfs` (0755, empty) is in it */
    int root_fd;   /* of that */
    char temp[80]; /* its name for now */
    char name[80]; /* its name to be */
    bool replace;
};

/* Makes the place, and removes what imports left that did not end. -EEXIST, -EBUSY, with words. */
int image_staging_begin(const char *data_dir, const char *name, bool replace,
                        struct image_staging *ret, struct err *e) WARN_UNUSED;
/* A file in it without a name, for reading and writing: a descriptor, or negative with words. */
int image_staging_spool(const struct image_staging *s, struct err *e) WARN_UNUSED;
/* Makes it the image: everything in it is on disk first. Closes `s`, also on failure. */
int image_staging_commit(struct image_staging *s, struct err *e) WARN_UNUSED;
/* Removes it. Closes `s`. */
void image_staging_abandon(struct image_staging *s);
