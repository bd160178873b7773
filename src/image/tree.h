/* tree - work on directory trees with untrusted contents, by descriptor.
 *
 * No path is ever a string to be resolved twice: directories are opened below a descriptor, without
 * following a link, and deep trees are walked with a stack of their own. */
#pragma once

#include "base/base.h"

struct err;

/* Directories deeper than this are not walked (-E_LIMIT); importing stops long before. */
#define IMAGE_TREE_DEPTH_MAX 400

/* Opens the directory at the relative path `path` ("a/b", no ".." needed or followed) below
 * `dir_fd`, refusing symbolic links, other file systems and ways out. Flags: O_PATH or O_RDONLY.
 * The descriptor, or -ENOENT, -ENOTDIR (a file is in the way), -ELOOP (a symbolic link is), ... */
int image_tree_open(int dir_fd, const char *path, int flags) WARN_UNUSED;

/* Removes `name` below `dir_fd` with all that is in it. 0, also when there is none; negative with
 * words. Links are removed, not followed. */
int image_tree_remove(int dir_fd, const char *name, struct err *e) WARN_UNUSED;

struct image_tree_size {
    uint64_t files; /* everything that is no directory */
    uint64_t directories;
    uint64_t bytes; /* of regular files, a file with several names once per name */
};
/* Counts what is below `dir_fd`. -E_DENIED for what importing never makes: anything but files,
 * directories and symbolic links, set-id or sticky bits, write permission for others, another
 * owner. */
int image_tree_measure(int dir_fd, struct image_tree_size *ret, struct err *e) WARN_UNUSED;
