/* backup - a copy of the database while a server runs, and its way back. */
#pragma once

#include "base/base.h"

struct err;

/* Writes the database of `dir` as it is now into `file`, mode 0600, on disk when this returns. A
 * server may run. A file that is there already is -EEXIST, unless `replace`; it is replaced as a
 * whole or not at all. Blocks. 0 or a negative code, with words. */
int backup_make(const char *dir, const char *file, bool replace, struct err *e) WARN_UNUSED;

/* Makes what `file` holds the database of `dir`, after looking whether it is sound. No server may
 * run there (-EBUSY). A database that is there already is -EEXIST, unless `replace`: then it is
 * kept beside the new one and its name goes to *ret_kept (the caller's; else NULL). Blocks. 0 or a
 * negative code, with words. */
int backup_restore(const char *file, const char *dir, bool replace, char **ret_kept, struct err *e)
    WARN_UNUSED;
