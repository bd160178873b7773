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
