/* file - regular files of the operator's: no links followed at the last place, no pipe or device
 * opened, names made durable. All of it blocks. */
#pragma once

#include "base/base.h"

struct err;

/* The directory that `path` lies in. malloc'ed. */
char *file_folder(const char *path) __attribute__((returns_nonnull));
/* Opens a regular file, never through a link, never waiting. A descriptor or -errno, with words
 * unless it is -ENOENT. */
int file_open(const char *path, int flags, struct err *e) WARN_UNUSED;
/* Makes a file (0600) that is not there yet, and its name durable. A descriptor or a negative code
 * with words. Blocks. */
int file_make(const char *path, mode_t mode, struct err *e) WARN_UNUSED;
/* Whether this process can make files in a directory: makes one without a name, which is gone at once. A file system
 * that knows no such files is not asked further. Blocks. 0, or -errno with words. */
int file_can_make_in(const char *folder, struct err *e) WARN_UNUSED;
/* Puts the names of the directory of `path` on disk. Blocks. */
int file_flush_names(const char *path, struct err *e) WARN_UNUSED;
/* Whether `path` still names what `fd` is. Blocks. */
bool file_is_named(int fd, const char *path);
/* Reads the whole of a small file, at most `cap` bytes (else -EFBIG). Bytes or a negative code. */
ssize_t file_read_small(int fd, void *p, size_t cap) WARN_UNUSED;
/* What the name of a file ends in that is not whole yet. Nobody else uses it, for it is removed. */
#define FILE_STAGED ".sallyport-new"
/* Makes `path` with `n` bytes in it, durable: all of it or nothing, and never over another one
 * (-EEXIST). 0 or a negative code with words. */
int file_write_new(const char *path, mode_t mode, const void *p, size_t n, struct err *e)
    WARN_UNUSED;
/* A file that takes the place of `path`, or begins it, in two steps, so that several can change within a
 * moment. file_stage writes it beside `path`, durable, with owner and mode of what is at `path`, else with `mode`;
 * file_publish gives it the name, durable. What was there stays whole until then. A link is refused: it
 * would be replaced, not what it leads to. 0 or a negative code with words. Both block. */
int file_stage(const char *path, mode_t mode, const void *p, size_t n, struct err *e) WARN_UNUSED;
int file_publish(const char *path, struct err *e) WARN_UNUSED;
/* Forgets what was staged. */
void file_unstage(const char *path);
/* Whether what is open as `fd` is ours or root's and nobody else may read it. 0, or -EPERM with
 * words that tell what to do. */
int file_is_private(int fd, const char *path, struct err *e) WARN_UNUSED;
