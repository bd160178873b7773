/* sqlite - what sqlite.c and directory.c share. */
#pragma once

#include "store/driver.h"

#define SQLITE_FILE "sallyport.db"

/* Opens an existing file, with this program's pragmas. Blocks. */
int sqlite_connect(const char *path, bool read_only, struct tx **ret, struct err *e) WARN_UNUSED;
/* Opens an existing, perhaps empty, file for writing: refuses foreign and newer ones untouched,
 * turns WAL on, migrates. */
int sqlite_open_writer(const char *path, struct tx **ret, struct err *e) WARN_UNUSED;
/* Schema version of an open database, 0 when it is empty. -E_SCHEMA when it is
 * not ours or newer. */
int sqlite_schema_version(struct tx *tx, const char *path, int64_t *ret, struct err *e) WARN_UNUSED;
