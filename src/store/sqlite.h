/* sqlite - what the files that call SQLite, sqlite.c and sqlite_file.c, share with each other and
 * with directory.c. */
#pragma once

#include "store/driver.h"

#define SQLITE_FILE "sallyport.db"
/* A start reads a file of up to this size through, some 0.2 s when the system has it in memory (1 GB/s measured); what
 * is larger is looked at once the server runs. */
#define SQLITE_CHECK_AT_START_BYTES (256ll << 20)

/* Opens an existing file, with this program's pragmas. Blocks. */
int sqlite_connect(const char *path, bool read_only, struct tx **ret, struct err *e) WARN_UNUSED;
/* Opens an existing, perhaps empty, file for writing: refuses foreign and newer ones untouched,
 * turns WAL on, migrates. */
int sqlite_open_writer(const char *path, struct tx **ret, struct err *e) WARN_UNUSED;
/* Schema version of an open database, 0 when it is empty. -E_SCHEMA when it is
 * not ours or newer. */
int sqlite_schema_version(struct tx *tx, const char *path, int64_t *ret, struct err *e) WARN_UNUSED;

/* db_check of a file by its path. Blocks. */
struct buf;
int sqlite_check(const char *path, struct buf *out, struct err *e) WARN_UNUSED;
/* Writes what `from` holds now, whoever else uses it, into `to`, an empty file, without what is
 * unused in it. Not flushed. Blocks. 0 or a negative code, with words; `to` may be incomplete
 * then. */
int sqlite_copy(const char *from, const char *to, struct err *e) WARN_UNUSED;

/* ---- for sqlite*.c only ---- */

struct sqlite3;
struct sqlite3 *sqlite_handle(struct tx *tx);
/* Our code for what a call on the connection (may be NULL) returned. */
int sqlite_code(struct sqlite3 *sq, int rc);
/* Runs a text of one or more statements, rows ignored. */
int sqlite_exec(struct tx *tx, const char *sql, struct err *e) WARN_UNUSED;
/* Compiles the statements that transactions are made of: last, when the schema is the newest. */
int sqlite_prepare_own(struct tx *tx, struct err *e) WARN_UNUSED;
