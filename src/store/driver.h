/* driver - the seam between db.c (threads, queues, group commit; knows no SQL library) and a
 * database library (sqlite.c today). A struct tx is one connection and, between begin and end, the
 * transaction open on it.
 *
 * Every call here blocks and belongs to the thread that owns the connection. None suspends. */
#pragma once

#include "store/db.h"
#include "store/directory.h"

/* Prepares DIR (made 0700 if missing), takes the server's lock on it (ret->lock_fd, the caller's:
 * closing it gives the lock back), and opens and migrates the database. A failure leaves no file
 * behind that it has made. Errors as db_open. */
int driver_start(const char *dir, struct directory *ret, struct tx **ret_writer, struct err *e)
    WARN_UNUSED;
/* One more connection to the same database, for reading only. */
int driver_open_reader(const char *dir, struct tx **ret, struct err *e) WARN_UNUSED;
void driver_close(struct tx *tx); /* NULL is fine */

/* A transaction. begin clears the sticky error. commit is durable when it returns 0; when it fails
 * nothing of the transaction is kept. rollback never fails. 0 or a negative code. */
int driver_begin(struct tx *tx, bool writes) WARN_UNUSED;
int driver_commit(struct tx *tx) WARN_UNUSED;
void driver_rollback(struct tx *tx);

/* One savepoint at a time inside a transaction. undo takes back what was done since save and clears
 * the sticky error; it fails when the library has already given up the whole transaction (disk
 * full, I/O error). */
int driver_save(struct tx *tx) WARN_UNUSED;
int driver_keep(struct tx *tx) WARN_UNUSED;
int driver_undo(struct tx *tx) WARN_UNUSED;

int driver_error(const struct tx *tx); /* the sticky error, or 0 */
/* What the library said about the last failure; no data in it. */
const char *driver_error_text(const struct tx *tx);
