/* files - the files of a log: PATH, which is written; PATH.000001, PATH.000002, ..., which are full;
 * PATH.lock; PATH.key and PATH.pub; PATH.torn-SEQ, what a crash left unfinished. */
#pragma once

#include "base/base.h"

struct err;

#define AUDIT_FILES_MAX 999999

/* The numbers of the full files, ascending. malloc'ed; NULL when there are none. Blocks. 0 or a
 * negative code with words. */
int audit_files_list(const char *path, unsigned **ret, size_t *ret_n, struct err *e) WARN_UNUSED;
/* "PATH.000007". malloc'ed. */
char *audit_files_name(const char *path, unsigned number);
/* Opens a regular file, never through a link, never waiting. A descriptor or -errno, with words
 * unless it is -ENOENT. */
int audit_files_open(const char *path, int flags, struct err *e) WARN_UNUSED;
/* Makes a file (0600) that is not there yet, and its name durable. A descriptor or a negative code
 * with words. Blocks. */
int audit_files_make(const char *path, mode_t mode, struct err *e) WARN_UNUSED;
/* Puts the names of the directory of `path` on disk. Blocks. */
int audit_files_flush_names(const char *path, struct err *e) WARN_UNUSED;
/* Whether `path` still names what `fd` is. Blocks. */
bool audit_files_is_named(int fd, const char *path);
/* Reads the whole of a small file, at most `cap` bytes (else -EFBIG). Bytes or a negative code. */
ssize_t audit_files_read_small(int fd, void *p, size_t cap) WARN_UNUSED;
