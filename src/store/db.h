/* store - durable state. One set of SQL statements (the dialect SQLite and PostgreSQL share),
 * drivers behind db.h; this is the SQLite one today.
 *
 * Writes: transactions are functions run on the one writer thread; those that queue up meanwhile
 * are run as savepoints of one transaction and committed together (synchronous=FULL), so db_write
 * returns after the data is durable. Reads run on a small pool of reader connections and see what
 * was committed before the call. Transaction functions run on another thread: they touch only `arg`
 * and the tx; they must not suspend, log, or use fiber-bound state. They may be run again from the
 * start after a savepoint was rolled back by a busy database. */
#pragma once

#include "base/base.h"

struct db;
struct tx;
struct stmt;
struct err;

/* Opens DIR/sallyport.db (DIR made 0700 if missing), migrates. -E_SCHEMA when the file is of a
 * newer program, -EBUSY when another server has it open, -EROFS / -EACCES / -ENOSPC with words.
 * Suspends not: at start. Ignores SIGXFSZ for the process, so that a file-size limit reads as a
 * full disk. */
int db_open(const char *dir, struct db **ret, struct err *e) WARN_UNUSED;
/* Integrity and foreign-key checks, schema version; appends findings to `out`. 0 when sound,
 * -E_CORRUPT. */
struct buf;
int db_check(const char *dir, struct buf *out, struct err *e) WARN_UNUSED;
/* Finishes what is queued, joins the threads. Does not suspend (it blocks): no fiber may be in
 * db_write or db_read. */
void db_close(struct db *d);
/* The same for a start that has failed: what this db_open has made is removed, so that nothing is
 * left of a first start. What was there before stays. */
void db_discard(struct db *d);
/* Whether this db_open has made the database. */
bool db_is_new(const struct db *d);
/* Tells the starts to come that this process lets go of the directory, in so long at most. Blocks
 * for a moment. */
void db_note_stopping(struct db *d, int64_t at_most_ms);

struct db_stats {
    uint64_t writes, reads; /* transaction functions run */
    uint64_t commits;       /* durable commits: fewer than writes when they were grouped */
    uint64_t failed_commits;
};
void db_get_stats(struct db *d, struct db_stats *ret);
/* The last commit failed, and none has worked since. Any thread. */
bool db_is_failing(struct db *d);

/* Run fn(tx, arg). Suspend (not cancellable: arg may be on the stack); outside a fiber they block.
 * fn's negative return rolls back its own savepoint only and is returned; so does an error stuck to
 * the tx. Write: also -ENOSPC, -EIO, -EROFS (nothing of it is kept then, nor of the others
 * committed with it). */
typedef int tx_fn(struct tx *tx, void *arg);
int db_write(struct db *d, tx_fn *fn, void *arg) WARN_UNUSED;
int db_read(struct db *d, tx_fn *fn, void *arg) WARN_UNUSED;

/* Statements. `sql` must be a constant string (it is the cache key); parameters are $1..$31 in any
 * order. stmt = tx_prepare(); bind; then stmt_step until 0; the statement is reset by the next
 * prepare of the same text or by stmt_reset. Errors stick to the tx and make stmt_step return
 * negative, so binds need no check. */
struct stmt *tx_prepare(struct tx *tx, const char *sql);
void stmt_bind_text(struct stmt *s, int i, const char *v); /* NULL binds null; copied */
void stmt_bind_textn(struct stmt *s, int i, const char *v, size_t n);
void stmt_bind_int(struct stmt *s, int i, int64_t v);
void stmt_bind_null(struct stmt *s, int i);
int stmt_step(struct stmt *s) WARN_UNUSED; /* 1 row, 0 done, negative error (-EEXIST: unique) */
/* `col` from 0; NULL for null; valid until the next step. */
const char *stmt_text(struct stmt *s, int col, size_t *ret_len);
int64_t stmt_int(struct stmt *s, int col);
bool stmt_is_null(struct stmt *s, int col);
int64_t tx_changes(struct tx *tx); /* rows touched by the last statement */
void stmt_reset(struct stmt *s);
/* Prepares, binds and steps; no rows are expected. A letter of `types` for each value:
 *     t  const char *, NULL binds null
 *     i  int64_t
 *     I  const int64_t *, NULL binds null
 *     n  null, takes no value
 * as in tx_exec(tx, sql, "tit", a, (int64_t)1, b). */
int tx_exec(struct tx *tx, const char *sql, const char *types, ...) WARN_UNUSED;
