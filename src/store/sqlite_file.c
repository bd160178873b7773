/* sqlite_file.c - the database file as a whole: whose it is, which version, and whether it is
 * sound.
 *
 * Called when a store is opened for writing (directory.c) and by `sallyport server --check`, on a
 * thread that may block. A file that is not ours, or that a newer program wrote, is left as it is:
 * that is looked at before the first write. Every step of a migration is a transaction of its own,
 * with the version it brings, so a kill between two leaves a file that the next start goes on with.
 * Whoever can write the file can do anything to it; it is an operator's, not a peer's. */
#include "store/sqlite.h"
#include "store/sqlite_lib.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "store/schema.h"

#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x53414c59 /* "SALY": tells our file from any other SQLite database */

/* ---- schema ---- */

/* The first column of the first row as a number. */
static int query_int(struct tx *tx, const char *sql, int64_t *ret, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(sqlite_handle(tx), sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    int r = 0;
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    else
        r = err_set(e, sqlite_code(sqlite_handle(tx), rc), "%s", sqlite3_errmsg(sqlite_handle(tx)));
    sqlite3_finalize(st);
    return r;
}

static int64_t newest_version(void)
{
    int64_t n = 0;
    while (schema_migrations[n])
        n++;
    return n;
}

int sqlite_schema_version(struct tx *tx, const char *path, int64_t *ret, struct err *e)
{
    int64_t version = 0, app = 0, objects = 0;
    int r = query_int(tx, "PRAGMA user_version", &version, e);
    if (r == 0)
        r = query_int(tx, "PRAGMA application_id", &app, e);
    if (r == 0)
        r = query_int(tx, "SELECT count(*) FROM sqlite_master", &objects, e);
    if (r == -E_CORRUPT)
        return err_set(e, r, "%s is damaged or not a database; restore it from a backup", path);
    if (r < 0)
        return err_wrap(e, r, "cannot read %s", path);
    if (app != APPLICATION_ID && (version != 0 || objects != 0))
        return err_set(e, -E_SCHEMA,
                       "%s belongs to another program; give Sallyport a directory of its own",
                       path);
    if (version > newest_version())
        return err_set(e, -E_SCHEMA,
                       "%s has schema version %lld, this program knows versions up to %lld; "
                       "run the newer program that wrote it",
                       path, (long long)version, (long long)newest_version());
    *ret = version;
    return 0;
}

/* Brings the file to the newest version, each step in a transaction of its own. */
static int migrate(struct tx *tx, const char *path, struct err *e)
{
    int64_t version = 0;
    int r = sqlite_schema_version(tx, path, &version, e);
    for (; r == 0 && schema_migrations[version]; version++) {
        r = sqlite_exec(tx, "BEGIN IMMEDIATE", e);
        for (const char *const *sql = schema_migrations[version]; r == 0 && *sql; sql++)
            r = sqlite_exec(tx, *sql, e);
        char mark[96];
        snprintf(mark, sizeof(mark), "PRAGMA application_id=%d; PRAGMA user_version=%lld",
                 APPLICATION_ID, (long long)version + 1);
        if (r == 0)
            r = sqlite_exec(tx, mark, e);
        if (r == 0)
            r = sqlite_exec(tx, "COMMIT", e);
        if (r < 0) {
            if (!sqlite3_get_autocommit(sqlite_handle(tx)))
                (void)!sqlite_exec(tx, "ROLLBACK", NULL);
            return err_wrap(e, r, "cannot bring %s to schema version %lld", path,
                            (long long)version + 1);
        }
    }
    return r;
}

/* ---- soundness ---- */

/* Runs a pragma whose rows are findings; a single row "ok" is none. Returns the
 * number of findings. */
static int findings(struct tx *tx, const char *pragma, struct buf *out, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int n = 0, rc = sqlite3_prepare_v2(sqlite_handle(tx), pragma, -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
            break;
        const char *text = (const char *)sqlite3_column_text(st, 0);
        if (str_eq(text, "ok"))
            continue;
        n++;
        buf_addf(out, "%s: ", pragma);
        str_escape(out, text ? text : "", text ? strlen(text) : 0, 200);
        buf_addc(out, '\n');
    }
    sqlite3_finalize(st);
    if (rc == SQLITE_DONE)
        return n;
    int r = sqlite_code(sqlite_handle(tx), rc);
    if (r == -E_CORRUPT) {
        buf_addf(out, "%s: %s\n", pragma, sqlite3_errmsg(sqlite_handle(tx)));
        return n + 1;
    }
    return err_set(e, r, "%s: %s", pragma, sqlite3_errmsg(sqlite_handle(tx)));
}

/* Reads the file through once when that is cheap. A larger one is looked at beside the work
 * (db_check_quickly). */
static int check_at_start(struct tx *tx, const char *path, struct err *e)
{
    int64_t pages = 0, page_bytes = 0;
    int r = query_int(tx, "PRAGMA page_count", &pages, e);
    if (r == 0)
        r = query_int(tx, "PRAGMA page_size", &page_bytes, e);
    if (r < 0 || pages * page_bytes > SQLITE_CHECK_AT_START_BYTES)
        return r;
    AUTO(buf) out = BUF_INIT(4096);
    r = findings(tx, "PRAGMA quick_check(1)", &out, e);
    if (r <= 0)
        return r;
    return err_set(e, -E_CORRUPT,
                   "%s is damaged (%.*s); restore a backup (sallyport server restore). sallyport "
                   "server --check-db tells all that is wrong",
                   path, (int)strcspn(buf_str(&out), "\n"), buf_str(&out));
}

int sqlite_open_writer(const char *path, struct tx **ret, struct err *e)
{
    struct tx *tx = NULL;
    int r = sqlite_connect(path, false, &tx, e);
    if (r < 0)
        return r;
    if (sqlite3_db_readonly(sqlite_handle(tx), "main") == 1)
        r = err_set(e, -EACCES, "%s cannot be written; check its permissions", path);
    int64_t version = 0;
    if (r == 0) /* before the first write, so that a foreign file is left as it is */
        r = sqlite_schema_version(tx, path, &version, e);
    if (r == 0 && version > 0)
        r = check_at_start(tx, path, e);
    if (r == 0 && version == 0) /* before the first page: upkeep.c gives space back */
        r = sqlite_exec(tx, "PRAGMA auto_vacuum=INCREMENTAL", e);
    if (r == 0) {
        r = sqlite_exec(tx, "PRAGMA journal_mode=WAL", e);
        if (r < 0)
            r = err_wrap(e, r, "cannot prepare %s", path);
    }
    if (r == 0)
        r = migrate(tx, path, e);
    if (r == 0)
        r = sqlite_prepare_own(tx, e);
    if (r < 0) {
        driver_close(tx);
        return r;
    }
    *ret = tx;
    return 0;
}

int sqlite_check(const char *path, struct buf *out, struct err *e)
{
    struct tx *tx = NULL;
    int r = sqlite_connect(path, true, &tx, e);
    if (r < 0)
        return r;
    sqlite3_db_config(sqlite_handle(tx), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int64_t version = 0;
    int n = 0;
    r = sqlite_schema_version(tx, path, &version, e);
    if (r == 0) {
        buf_addf(out, "schema version %lld of %lld\n", (long long)version,
                 (long long)newest_version());
        r = n = findings(tx, "PRAGMA integrity_check", out, e);
    }
    if (r >= 0) {
        r = findings(tx, "PRAGMA foreign_key_check", out, e);
        n += r > 0 ? r : 0;
    }
    driver_close(tx);
    if (r < 0)
        return r;
    if (n > 0)
        return err_set(e, -E_CORRUPT, "%s is damaged: %d findings", path, n);
    return 0;
}

int db_check(const char *dir, struct buf *out, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/" SQLITE_FILE, dir);
    return sqlite_check(path, out, e);
}

/* ---- a copy ---- */

int sqlite_copy(const char *from, const char *to, struct err *e)
{
    struct tx *tx = NULL;
    int64_t version = 0;
    int r = sqlite_connect(from, false, &tx, e);
    if (r < 0)
        return r;
    sqlite3_limit(sqlite_handle(tx), SQLITE_LIMIT_ATTACHED, 1); /* VACUUM INTO attaches the copy */
    r = sqlite_schema_version(tx, from, &version, e);
    if (r == 0 && version == 0)
        r = err_set(e, -E_SCHEMA, "%s holds nothing of Sallyport", from);
    sqlite3_stmt *st = NULL;
    if (r == 0) {
        errno = 0;
        int rc = sqlite3_prepare_v2(sqlite_handle(tx), "VACUUM INTO $1", -1, &st, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_text(st, 1, to, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(st);
        if (rc != SQLITE_DONE)
            r = err_set(e, sqlite_code(sqlite_handle(tx), rc), "cannot copy %s: %s", from,
                        sqlite3_errmsg(sqlite_handle(tx)));
    }
    sqlite3_finalize(st);
    driver_close(tx);
    return r;
}
