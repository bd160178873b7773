/* store - the directory DATA/rootfs: who may change which image when.
 *
 * Names in it: NAME (an image), .import-NAME (being unpacked), .gone-RANDOM (being removed), .lock.
 * Image.c makes images, this file places them. */
#pragma once

#include "base/base.h"

struct err;

#define IMAGE_RECORD "image.json"
#define IMAGE_ROOT   "rootfs"

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
