/* sqlite.c - SQLite, which only sqlite*.c call: connections, cached statements, errors,
 * transactions.
 *
 * A struct tx is a connection used by one thread (db.c decides which), so SQLite's own mutexes are
 * off. Statements are compiled once per connection and found again by their text; whatever a
 * transaction function left unfinished is reset when its savepoint ends, so no cursor keeps an old
 * snapshot alive. The first error sticks to the tx: later steps return it, and the savepoint it
 * happened in is undone.
 *
 * Durability: WAL with synchronous=FULL, one fsync of the log per commit. A disk that is full or
 * broken shows either in a step or at the commit; SQLite may then have given up the whole
 * transaction by itself, which driver_undo reports. Files that somebody has moved or deleted take
 * writes as before, and no start would find them again: each commit looks whether they are in place.
 * Memory: small page caches, no mmap, savepoint
 * journals in memory (their pages are few: one request's). */
#include "store/driver.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"
#include "store/sqlite.h"
#include "store/sqlite_lib.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_PARAMS      32
#define MAX_STATEMENTS  256  /* per connection; the program has fewer texts than that */
#define BUSY_TIMEOUT_MS 5000 /* only an operator's sqlite3 shell can hold the lock */

struct stmt {
    struct tx *tx;
    sqlite3_stmt *st;      /* NULL: stands in for a statement that could not be had */
    int index[MAX_PARAMS]; /* $i -> SQLite's own numbering; 0 when the text has no $i */
    struct list used;      /* in tx.used between prepare and the end of the savepoint */
};

struct tx {
    sqlite3 *sq;
    struct map stmts; /* text -> struct stmt */
    struct list used;
    struct stmt none;
    int error;
    char text[160];
    ino_t log_inode; /* of the write-ahead log, 0 before the first commit */
    struct stmt *begin, *begin_write, *commit, *rollback, *save, *release, *undo;
};

/* ---- errors ---- */

/* What the operating system said: SQLite remembers it for some failures only (not for those of a
 * commit), so the callers clear errno before a step and SQLite's own successful calls leave it
 * alone. */
static int os_error(sqlite3 *sq)
{
    int os = errno;
    int theirs = sq ? sqlite3_system_errno(sq) : 0;
    return theirs != 0 ? theirs : os;
}

int sqlite_code(sqlite3 *sq, int rc)
{
    int os;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_IOERR:
        os = os_error(sq);
        return os == ENOSPC || os == EDQUOT || os == EFBIG ? -ENOSPC : -EIO;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CANTOPEN:
        os = os_error(sq);
        return os > 0 ? -os : -EIO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -E_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_TOOBIG:
        return -EMSGSIZE;
    case SQLITE_CONSTRAINT:
        return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ? -EEXIST
                                                                                    : -EINVAL;
    case SQLITE_ERROR: /* a text SQLite does not understand: ours, so a defect */
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        return -EINVAL;
    default:
        return -EIO;
    }
}

/* Makes an error stick, unless one does already. Returns the one that sticks. */
static int stick(struct tx *tx, int code, const char *text)
{
    if (tx->error == 0) {
        tx->error = code;
        str_copy(tx->text, sizeof(tx->text), text ? text : err_text(code));
    }
    return tx->error;
}

static int stick_rc(struct tx *tx, int rc)
{
    return stick(tx, sqlite_code(tx->sq, rc), sqlite3_errmsg(tx->sq));
}

int driver_error(const struct tx *tx)
{
    return tx->error;
}

const char *driver_error_text(const struct tx *tx)
{
    return tx->text;
}

/* ---- statements ---- */

static void stmt_free(struct stmt *s)
{
    if (!s)
        return;
    sqlite3_finalize(s->st);
    free(s);
}

/* Compiles `sql`. NULL when it cannot be; the error sticks. */
static struct stmt *compile(struct tx *tx, const char *sql)
{
    sqlite3_stmt *st = NULL;
    const char *rest = NULL;
    int rc = sqlite3_prepare_v3(tx->sq, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, &rest);
    if (rc != SQLITE_OK) {
        stick_rc(tx, rc);
        return NULL;
    }
    struct stmt *s = mem_new(struct stmt);
    s->tx = tx;
    s->st = st;
    list_init(&s->used);
    for (int i = 1; i < MAX_PARAMS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "$%d", i);
        s->index[i] = sqlite3_bind_parameter_index(st, name);
    }
    return s;
}

static void reset(struct stmt *s)
{
    sqlite3_reset(s->st); /* repeats the step's error, which has been taken note of */
    sqlite3_clear_bindings(s->st);
    list_remove(&s->used);
}

static void reset_used(struct tx *tx)
{
    while (!list_empty(&tx->used))
        reset(LIST_ENTRY(tx->used.next, struct stmt, used));
}

static void forget_statements(struct tx *tx)
{
    const char *key;
    void *value;
    size_t pos = 0;
    while (map_next(&tx->stmts, &pos, &key, &value))
        stmt_free(value);
    map_done(&tx->stmts);
    map_init(&tx->stmts);
}

struct stmt *tx_prepare(struct tx *tx, const char *sql)
{
    if (tx->error < 0)
        return &tx->none;
    struct stmt *s = map_get(&tx->stmts, sql);
    if (s) {
        if (list_linked(&s->used))
            reset(s);
    } else {
        s = compile(tx, sql);
        if (!s)
            return &tx->none;
        (void)map_put(&tx->stmts, sql, s);
    }
    list_push_back(&tx->used, &s->used);
    return s;
}

/* SQLite's number of parameter $i, or 0 (and a stuck error) when the text has none of that name. */
static int param(struct stmt *s, int i)
{
    if (!s->st)
        return 0;
    int n = i > 0 && i < MAX_PARAMS ? s->index[i] : 0;
    if (n == 0)
        (void)stick(s->tx, -EINVAL, "bound a parameter that the statement does not have");
    return n;
}

static void bound(struct stmt *s, int rc)
{
    if (rc != SQLITE_OK)
        stick_rc(s->tx, rc);
}

void stmt_bind_textn(struct stmt *s, int i, const char *v, size_t n)
{
    int k = param(s, i);
    if (k == 0)
        return;
    if (!v)
        bound(s, sqlite3_bind_null(s->st, k));
    else
        bound(s, sqlite3_bind_text64(s->st, k, v, n, SQLITE_TRANSIENT, SQLITE_UTF8));
}

void stmt_bind_text(struct stmt *s, int i, const char *v)
{
    stmt_bind_textn(s, i, v, v ? strlen(v) : 0);
}

void stmt_bind_int(struct stmt *s, int i, int64_t v)
{
    int k = param(s, i);
    if (k != 0)
        bound(s, sqlite3_bind_int64(s->st, k, v));
}

void stmt_bind_null(struct stmt *s, int i)
{
    int k = param(s, i);
    if (k != 0)
        bound(s, sqlite3_bind_null(s->st, k));
}

int stmt_step(struct stmt *s)
{
    struct tx *tx = s->tx;
    if (tx->error < 0)
        return tx->error;
    errno = 0;
    int rc = sqlite3_step(s->st);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    return stick(tx, sqlite_code(tx->sq, sqlite3_extended_errcode(tx->sq)), sqlite3_errmsg(tx->sq));
}

const char *stmt_text(struct stmt *s, int col, size_t *ret_len)
{
    const char *v = s->st ? (const char *)sqlite3_column_text(s->st, col) : NULL;
    if (ret_len)
        *ret_len = v ? (size_t)sqlite3_column_bytes(s->st, col) : 0;
    return v;
}

int64_t stmt_int(struct stmt *s, int col)
{
    return s->st ? sqlite3_column_int64(s->st, col) : 0;
}

bool stmt_is_null(struct stmt *s, int col)
{
    return !s->st || sqlite3_column_type(s->st, col) == SQLITE_NULL;
}

void stmt_reset(struct stmt *s)
{
    if (s->st)
        reset(s);
}

int64_t tx_changes(struct tx *tx)
{
    return sqlite3_changes64(tx->sq);
}

int tx_exec(struct tx *tx, const char *sql, const char *types, ...)
{
    struct stmt *s = tx_prepare(tx, sql);
    va_list ap;
    va_start(ap, types);
    int i = 0;
    for (const char *t = types; *t; t++) {
        i++;
        if (*t == 't') {
            stmt_bind_text(s, i, va_arg(ap, const char *));
        } else if (*t == 'i') {
            stmt_bind_int(s, i, va_arg(ap, int64_t));
        } else if (*t == 'I') {
            const int64_t *v = va_arg(ap, const int64_t *);
            if (v)
                stmt_bind_int(s, i, *v);
        } else {
            MUST(*t == 'n'); /* unbound parameters are null */
        }
    }
    va_end(ap);
    int r;
    while ((r = stmt_step(s)) > 0)
        ;
    stmt_reset(s);
    return r;
}

/* ---- transactions ---- */

static int run(struct tx *tx, struct stmt *s)
{
    errno = 0;
    int rc = sqlite3_step(s->st);
    if (rc == SQLITE_DONE) {
        sqlite3_reset(s->st);
        return 0;
    }
    int r = sqlite_code(tx->sq, sqlite3_extended_errcode(tx->sq));
    str_copy(tx->text, sizeof(tx->text), sqlite3_errmsg(tx->sq));
    sqlite3_reset(s->st);
    return r;
}

int driver_begin(struct tx *tx, bool writes)
{
    tx->error = 0;
    if (tx->stmts.n > MAX_STATEMENTS)
        forget_statements(tx);
    return run(tx, writes ? tx->begin_write : tx->begin);
}

/* Whether the database and its log are still found where the next start will look for them. The
 * log is the same file for as long as it is open. */
static bool in_place(struct tx *tx)
{
    int moved = 0;
    if (sqlite3_file_control(tx->sq, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK || moved)
        return false;
    struct stat st;
    if (stat(sqlite3_filename_wal(sqlite3_db_filename(tx->sq, "main")), &st) < 0)
        return false;
    if (tx->log_inode == 0)
        tx->log_inode = st.st_ino;
    return tx->log_inode == st.st_ino;
}

int driver_commit(struct tx *tx)
{
    reset_used(tx);
    if (!in_place(tx)) {
        str_copy(tx->text, sizeof(tx->text),
                 "the database or its log was moved or deleted while the server runs; put it back, "
                 "or stop the server and restore a backup");
        return -EIO;
    }
    return run(tx, tx->commit);
}

void driver_rollback(struct tx *tx)
{
    reset_used(tx);
    if (!sqlite3_get_autocommit(tx->sq)) {
        sqlite3_step(tx->rollback->st);
        sqlite3_reset(tx->rollback->st);
    }
    MUST(sqlite3_get_autocommit(tx->sq));
}

int driver_save(struct tx *tx)
{
    return run(tx, tx->save);
}

int driver_keep(struct tx *tx)
{
    reset_used(tx);
    return run(tx, tx->release);
}

int driver_undo(struct tx *tx)
{
    int error = tx->error;
    reset_used(tx);
    tx->error = 0;
    if (sqlite3_get_autocommit(tx->sq))
        return error < 0 ? error : -EIO;
    int r = run(tx, tx->undo);
    return r < 0 ? r : run(tx, tx->release);
}

/* ---- connections ---- */

int sqlite_exec(struct tx *tx, const char *sql, struct err *e)
{
    errno = 0;
    int rc = sqlite3_exec(tx->sq, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    int r = sqlite_code(tx->sq, sqlite3_extended_errcode(tx->sq));
    return err_set(e, r, "%s%s", sqlite3_errmsg(tx->sq),
                   (rc & 0xff) == SQLITE_READONLY ? " (look at the permissions of the file and of "
                                                    "its directory, and how it is mounted)"
                                                  : "");
}

struct sqlite3 *sqlite_handle(struct tx *tx)
{
    return tx->sq;
}

static int library_init(struct err *e)
{
    static bool done;
    int r = sqlite_lib_open(e);
    if (r < 0 || __atomic_exchange_n(&done, true, __ATOMIC_ACQ_REL))
        return r;
    /* Statistics cost a process-wide mutex per allocation. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    return 0;
}

int sqlite_connect(const char *path, bool read_only, struct tx **ret, struct err *e)
{
    int loaded = library_init(e);
    if (loaded < 0)
        return loaded;
    struct tx *tx = mem_new(struct tx);
    list_init(&tx->used);
    map_init(&tx->stmts);
    tx->none = (struct stmt){.tx = tx};
    list_init(&tx->none.used);
    errno = 0;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, &tx->sq, flags, NULL);
    if (rc != SQLITE_OK) {
        int r = err_set(e, sqlite_code(tx->sq, rc), "cannot open database %s: %s", path,
                        tx->sq ? sqlite3_errmsg(tx->sq) : "out of memory");
        driver_close(tx);
        return r;
    }
    sqlite3_busy_timeout(tx->sq, BUSY_TIMEOUT_MS);
    sqlite3_db_config(tx->sq, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_limit(tx->sq, SQLITE_LIMIT_ATTACHED, 0);
    int r =
        sqlite_exec(tx,
                    read_only
                        ? "PRAGMA query_only=1; PRAGMA cache_size=-256; PRAGMA mmap_size=0;"
                          " PRAGMA temp_store=MEMORY"
                        : "PRAGMA cache_size=-4096; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
                          " PRAGMA synchronous=FULL; PRAGMA journal_size_limit=16777216;"
                          " PRAGMA wal_autocheckpoint=2000",
                    e);
    if (r < 0) {
        driver_close(tx);
        return err_wrap(e, r, "database %s", path);
    }
    *ret = tx;
    return 0;
}

int sqlite_prepare_own(struct tx *tx, struct err *e)
{
    const struct {
        struct stmt **to;
        const char *sql;
    } table[] = {
        {&tx->begin, "BEGIN"},          {&tx->begin_write, "BEGIN IMMEDIATE"},
        {&tx->commit, "COMMIT"},        {&tx->rollback, "ROLLBACK"},
        {&tx->save, "SAVEPOINT one"},   {&tx->release, "RELEASE one"},
        {&tx->undo, "ROLLBACK TO one"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        *table[i].to = compile(tx, table[i].sql);
        if (!*table[i].to)
            return err_set(e, tx->error, "%s", tx->text);
    }
    return 0;
}

void driver_close(struct tx *tx)
{
    if (!tx)
        return;
    reset_used(tx);
    forget_statements(tx);
    map_done(&tx->stmts);
    struct stmt *own[] = {tx->begin, tx->begin_write, tx->commit, tx->rollback,
                          tx->save,  tx->release,     tx->undo};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        stmt_free(own[i]);
    sqlite3_close(tx->sq);
    free(tx);
}

int driver_open_reader(const char *dir, struct tx **ret, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/" SQLITE_FILE, dir);
    struct tx *tx = NULL;
    int r = sqlite_connect(path, true, &tx, e);
    if (r == 0)
        r = sqlite_prepare_own(tx, e);
    if (r < 0) {
        driver_close(tx);
        return r;
    }
    *ret = tx;
    return 0;
}
