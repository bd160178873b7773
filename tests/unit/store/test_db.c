/* The store's contract: statements, isolation, grouping, reads, opening and refusing. */
#include "unit/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"
#include "store/schema.h"
#include "unit/store/scratch.h"

static struct db *open_db(const struct scratch *s)
{
    struct db *d = NULL;
    struct err e = {0};
    int r = db_open(s->dir, &d, &e);
    if (r < 0)
        fail_msg("db_open: %s", e.msg);
    return d;
}

#define PUT "INSERT INTO meta (name, value) VALUES ($1, $2)"
#define GET "SELECT value FROM meta WHERE name = $1"

struct row {
    const char *name, *value;
    char got[64];
    int fail; /* returned after the insert */
};

static int put_tx(struct tx *tx, void *arg)
{
    struct row *row = arg;
    int r = tx_exec(tx, PUT, "tt", row->name, row->value);
    return r < 0 ? r : row->fail;
}

static int get_tx(struct tx *tx, void *arg)
{
    struct row *row = arg;
    struct stmt *s = tx_prepare(tx, GET);
    stmt_bind_text(s, 1, row->name);
    int r = stmt_step(s);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    snprintf(row->got, sizeof(row->got), "%s", stmt_text(s, 0, NULL));
    return 0;
}

static int count_tx(struct tx *tx, void *arg)
{
    struct stmt *s = tx_prepare(tx, "SELECT count(*) FROM meta");
    int r = stmt_step(s);
    if (r == 1)
        *(int64_t *)arg = stmt_int(s, 0);
    return r < 0 ? r : 0;
}

static int64_t count(struct db *d)
{
    int64_t n = -1;
    assert_int_equal(db_read(d, count_tx, &n), 0);
    return n;
}

/* ---- statements ---- */

static int types_tx(struct tx *tx, void *arg)
{
    (void)arg;
    int64_t seven = 7;
    /* Parameters in another order than their numbers, one used twice. */
    struct stmt *s = tx_prepare(tx, "SELECT $2, $1, $2, $3");
    stmt_bind_text(s, 1, "one");
    stmt_bind_int(s, 2, INT64_MIN);
    stmt_bind_textn(s, 3, "a\0b", 3);
    assert_int_equal(stmt_step(s), 1);
    size_t n;
    assert_true(stmt_int(s, 0) == INT64_MIN);
    assert_string_equal(stmt_text(s, 1, &n), "one");
    assert_int_equal(n, 3);
    assert_true(stmt_int(s, 2) == INT64_MIN);
    assert_memory_equal(stmt_text(s, 3, &n), "a\0b", 3);
    assert_int_equal(n, 3);
    assert_int_equal(stmt_step(s), 0);

    /* The same text again: bindings of the last use are gone. */
    s = tx_prepare(tx, "SELECT $2, $1, $2, $3");
    assert_int_equal(stmt_step(s), 1);
    assert_true(stmt_is_null(s, 0));
    assert_null(stmt_text(s, 1, &n));
    assert_int_equal(n, 0);
    stmt_reset(s);

    /* Nineteen columns need two-digit parameters. */
    s = tx_prepare(tx, "SELECT $1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11");
    for (int i = 1; i <= 11; i++)
        stmt_bind_int(s, i, i * 100);
    assert_int_equal(stmt_step(s), 1);
    assert_int_equal(stmt_int(s, 10), 1100);
    assert_int_equal(stmt_int(s, 1), 200);

    assert_int_equal(tx_exec(tx, PUT, "tt", "k", "v"), 0);
    assert_int_equal(tx_changes(tx), 1);
    assert_int_equal(tx_exec(tx, "UPDATE meta SET value = $1 WHERE name = $2", "tt", "x", "no"), 0);
    assert_int_equal(tx_changes(tx), 0);
    assert_int_equal(tx_exec(tx, "UPDATE environment_keys SET last_used_at = $1, expires_at = $2",
                             "Ii", &seven, (int64_t)8),
                     0);
    return 0;
}

static void statements_bind_and_read(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = open_db(&s);
    assert_int_equal(db_write(d, types_tx, NULL), 0);
    db_close(d);
    scratch_done(&s);
}

static int bad_sql_tx(struct tx *tx, void *arg)
{
    return tx_exec(tx, arg, "");
}

static int bad_param_tx(struct tx *tx, void *arg)
{
    (void)arg;
    struct stmt *s = tx_prepare(tx, "SELECT $1");
    stmt_bind_int(s, 2, 1);
    return stmt_step(s);
}

/* Swallows the error: db_write must report it all the same. */
static int careless_tx(struct tx *tx, void *arg)
{
    (void)arg;
    if (tx_exec(tx, PUT, "tt", "careless", "1") < 0 || tx_exec(tx, PUT, "tt", "careless", "2") < 0)
        return 0;
    return 0;
}

static void errors_stick(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = open_db(&s);
    assert_int_equal(db_write(d, bad_sql_tx, (void *)(uintptr_t) "SELEC 1"), -EINVAL);
    assert_int_equal(db_write(d, bad_param_tx, NULL), -EINVAL);
    assert_int_equal(db_write(d, careless_tx, NULL), -EEXIST);
    assert_int_equal(count(d), 0);
    /* A read cannot write. */
    assert_true(db_read(d, bad_sql_tx, (void *)(uintptr_t) "DELETE FROM meta") < 0);
    struct row row = {.name = "a", .value = "1"};
    assert_int_equal(db_write(d, put_tx, &row), 0);
    assert_int_equal(db_write(d, put_tx, &row), -EEXIST);
    row.name = NULL; /* NOT NULL is not a duplicate */
    row.value = NULL;
    assert_int_equal(db_write(d, put_tx, &row), -EINVAL);
    assert_int_equal(count(d), 1);
    db_close(d);
    scratch_done(&s);
}

static int unfinished_tx(struct tx *tx, void *arg)
{
    (void)arg;
    struct stmt *s = tx_prepare(tx, "SELECT name FROM meta ORDER BY name");
    assert_int_equal(stmt_step(s), 1);
    return 0; /* leaves the cursor open */
}

static void unfinished_statements_keep_no_snapshot(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = open_db(&s);
    struct row a = {.name = "a", .value = "1"}, b = {.name = "b", .value = "2"};
    assert_int_equal(db_write(d, put_tx, &a), 0);
    assert_int_equal(db_read(d, unfinished_tx, NULL), 0);
    assert_int_equal(db_write(d, unfinished_tx, NULL), 0);
    assert_int_equal(db_write(d, put_tx, &b), 0);
    assert_int_equal(count(d), 2);
    db_close(d);
    scratch_done(&s);
}

/* ---- grouping and isolation ---- */

struct group {
    struct db *d;
    sem_t entered, go;
    struct scope scope;
    struct row rows[12];
    int results[12];
    int n;
};

static int blocking_tx(struct tx *tx, void *arg)
{
    struct group *g = arg;
    sem_post(&g->entered);
    sem_wait(&g->go);
    return tx_exec(tx, PUT, "tt", "blocker", "1");
}

static int block_fiber(void *arg)
{
    struct group *g = arg;
    return db_write(g->d, blocking_tx, g);
}

struct member {
    struct group *g;
    int i;
};

static int member_fiber(void *arg)
{
    struct member *m = arg;
    m->g->results[m->i] = db_write(m->g->d, put_tx, &m->g->rows[m->i]);
    return 0;
}

static int group_root(void *arg)
{
    struct group *g = arg;
    struct member members[12];
    AUTO(scope) scope;
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "blocker", block_fiber, g, NULL), 0);
    assert_int_equal(fiber_yield(), 0);
    sem_wait(&g->entered); /* the writer is inside the first transaction */
    for (int i = 0; i < g->n; i++) {
        members[i] = (struct member){g, i};
        assert_int_equal(fiber_spawn(&scope, "member", member_fiber, &members[i], NULL), 0);
    }
    assert_int_equal(fiber_yield(), 0); /* each has queued its write */
    sem_post(&g->go);
    return scope_join(&scope);
}

static void run_group(struct group *g, struct scratch *s)
{
    scratch_init(s);
    g->d = open_db(s);
    sem_init(&g->entered, 0, 0);
    sem_init(&g->go, 0, 0);
    run_on_loop(group_root, g);
}

static void writes_commit_together(void **state)
{
    (void)state;
    struct scratch s;
    char names[12][16];
    struct group g = {.n = 12};
    for (int i = 0; i < g.n; i++) {
        snprintf(names[i], sizeof(names[i]), "n%d", i);
        g.rows[i] = (struct row){.name = names[i], .value = "v"};
    }
    run_group(&g, &s);
    for (int i = 0; i < g.n; i++)
        assert_int_equal(g.results[i], 0);
    struct db_stats st;
    db_get_stats(g.d, &st);
    assert_int_equal(st.writes, 13);
    assert_int_equal(st.commits, 2); /* the blocker, then all twelve at once */
    assert_int_equal(count(g.d), 13);
    db_close(g.d);
    scratch_done(&s);
}

static void a_failing_write_spoils_no_other(void **state)
{
    (void)state;
    struct scratch s;
    struct group g = {.n = 6,
                      .rows = {
                          {.name = "a", .value = "1"},
                          {.name = "b", .value = "1", .fail = -E_DENIED},
                          {.name = "a", .value = "2"}, /* duplicate */
                          {.name = "b", .value = "3"}, /* free again: the second was taken back */
                          {.name = "d", .value = NULL},
                          {.name = "c", .value = "5"},
                      }};
    run_group(&g, &s);
    const int want[] = {0, -E_DENIED, -EEXIST, 0, -EINVAL, 0};
    for (int i = 0; i < g.n; i++)
        assert_int_equal(g.results[i], want[i]);
    struct row row = {.name = "b"};
    assert_int_equal(db_read(g.d, get_tx, &row), 0);
    assert_string_equal(row.got, "3");
    row = (struct row){.name = "a"};
    assert_int_equal(db_read(g.d, get_tx, &row), 0);
    assert_string_equal(row.got, "1");
    assert_int_equal(count(g.d), 4);
    struct db_stats st;
    db_get_stats(g.d, &st);
    assert_int_equal(st.commits, 2);
    db_close(g.d);
    scratch_done(&s);
}

static int own_writes_fiber(void *arg)
{
    struct db *d = arg;
    for (int i = 0; i < 50; i++) {
        char name[48];
        snprintf(name, sizeof(name), "%llu-%d", (unsigned long long)fiber_id(fiber_self()), i);
        struct row row = {.name = name, .value = "mine"};
        int r = db_write(d, put_tx, &row);
        if (r < 0)
            return r;
        r = db_read(d, get_tx, &row);
        if (r < 0)
            return r;
        assert_string_equal(row.got, "mine");
    }
    return 0;
}

static int many_root(void *arg)
{
    AUTO(scope) scope;
    scope_init(&scope);
    for (int i = 0; i < 16; i++)
        assert_int_equal(fiber_spawn(&scope, "own", own_writes_fiber, arg, NULL), 0);
    int r = scope_join(&scope);
    return r < 0 ? r : scope.first_error;
}

static void a_fiber_reads_what_it_wrote(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = open_db(&s);
    run_on_loop(many_root, d);
    assert_int_equal(count(d), 800);
    struct db_stats st;
    db_get_stats(d, &st);
    assert_int_equal(st.writes, 800);
    assert_true(st.commits < st.writes);
    db_close(d);
    scratch_done(&s);
}

static int cancelled_fiber(void *arg)
{
    struct group *g = arg;
    fiber_cancel(fiber_self());
    g->results[0] = db_write(g->d, put_tx, &g->rows[0]);
    g->results[1] = db_read(g->d, get_tx, &g->rows[0]);
    return 0;
}

static int cancelled_root(void *arg)
{
    AUTO(scope) scope;
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "cancelled", cancelled_fiber, arg, NULL), 0);
    return scope_join(&scope);
}

static void cancellation_does_not_end_a_write(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct group g = {.d = open_db(&s), .results = {1, 1}, .rows = {{.name = "a", .value = "1"}}};
    run_on_loop(cancelled_root, &g);
    assert_int_equal(g.results[0], 0);
    assert_int_equal(g.results[1], 0);
    assert_string_equal(g.rows[0].got, "1");
    db_close(g.d);
    scratch_done(&s);
}

/* ---- opening ---- */

#define SALLYPORT_DB 0x53414c59 /* PRAGMA application_id of our files */

/* The ranks that version 2 gave, in order of the items. */
static int copy_ranks_tx(struct tx *tx, void *arg)
{
    const struct row *row = arg;
    return tx_exec(tx,
                   "INSERT INTO meta (name, value) SELECT $1, group_concat(rank, '') FROM"
                   " (SELECT rank FROM work ORDER BY id)",
                   "t", row->name);
}

static void raw(const struct scratch *s, const char *sql)
{
    sqlite3 *sq;
    assert_int_equal(sqlite3_open(scratch_file(s, "sallyport.db"), &sq), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sq, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(sq);
}

static int newest_version(void)
{
    int n = 0;
    while (schema_migrations[n])
        n++;
    return n;
}

/* A database of every older version is brought to this one, with what is in it. */
static void an_older_database_is_brought_up_to_date(void **state)
{
    (void)state;
    for (int version = 1; version < newest_version(); version++) {
        struct scratch s;
        scratch_init(&s);
        for (int v = 0; v < version; v++)
            for (const char *const *sql = schema_migrations[v]; *sql; sql++)
                raw(&s, *sql);
        raw(&s, "INSERT INTO meta (name, value) VALUES ('a', '1');"
                "INSERT INTO calls (id, session_id, seq, kind, name, permission) VALUES"
                " ('c', 'busy', 1, 'builtin', 'bash', 'allow');"
                "INSERT INTO work (id, environment_id, session_id, state, metadata, created_at,"
                " queued_at, ttl_seconds) VALUES ('w1', 'e', 'busy', 'queued', '{}', 1, 1, 90),"
                " ('w2', 'e', 'idle', 'queued', '{}', 1, 1, 90)");
        AUTO_FREE char *mark = mem_printf("PRAGMA application_id = %d; PRAGMA user_version = %d",
                                          SALLYPORT_DB, version);
        raw(&s, mark);
        struct db *d = open_db(&s);
        struct row row = {.name = "a"};
        assert_int_equal(db_read(d, get_tx, &row), 0);
        assert_string_equal(row.got, "1");
        struct row more = {.name = "ranks"};
        assert_int_equal(db_write(d, copy_ranks_tx, &more), 0);
        assert_int_equal(db_read(d, get_tx, &more), 0);
        assert_string_equal(more.got, version < 3 ? "02" : "22");
        db_close(d);
        scratch_done(&s);
    }
}

static void open_refused(const struct scratch *s, int code, const char *words)
{
    struct db *d = NULL;
    struct err e = {0};
    assert_int_equal(db_open(s->dir, &d, &e), code);
    assert_null(d);
    if (!strstr(e.msg, words))
        fail_msg("\"%s\" does not say \"%s\"", e.msg, words);
}

static void a_second_server_is_refused(void **state)
{
    (void)state;
    struct scratch s;
    char words[64];
    scratch_init(&s);
    struct db *d = open_db(&s);
    snprintf(words, sizeof(words), "another server (pid %ld)", (long)getpid());
    open_refused(&s, -EBUSY, words);
    struct row row = {.name = "a", .value = "1"};
    assert_int_equal(db_write(d, put_tx, &row), 0);
    db_close(d);
    d = open_db(&s); /* free again */
    assert_int_equal(count(d), 1);
    db_close(d);
    scratch_done(&s);
}

static void a_newer_schema_is_refused_untouched(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    db_close(open_db(&s));
    raw(&s, "PRAGMA user_version = 4711");
    open_refused(&s, -E_SCHEMA, "schema version 4711");
    struct buf out = BUF_INIT(4096);
    struct err e = {0};
    assert_int_equal(db_check(s.dir, &out, &e), -E_SCHEMA);
    buf_done(&out);
    char back[64];
    snprintf(back, sizeof(back), "PRAGMA user_version = %d", newest_version());
    raw(&s, back);
    db_close(open_db(&s));
    scratch_done(&s);
}

static void a_foreign_file_is_refused_untouched(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    raw(&s, "CREATE TABLE theirs (x)");
    open_refused(&s, -E_SCHEMA, "another program");
    raw(&s, "DROP TABLE theirs"); /* still theirs, and still no WAL */
    assert_int_equal(access(scratch_file(&s, "sallyport.db-wal"), F_OK), -1);
    unlink(scratch_file(&s, "sallyport.db"));

    FILE *f = fopen(scratch_file(&s, "sallyport.db"), "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database. ", f);
    fclose(f);
    open_refused(&s, -E_CORRUPT, "not a database");
    scratch_done(&s);
}

static void a_directory_that_can_not_be_had_is_told(void **state)
{
    (void)state;
    struct scratch s, sub;
    scratch_init(&s);
    fclose(fopen(scratch_file(&s, "file"), "w"));
    snprintf(sub.dir, sizeof(sub.dir), "%.100s/file", s.dir);
    open_refused(&sub, -ENOTDIR, "not a directory");
    snprintf(sub.dir, sizeof(sub.dir), "%.100s/file/x", s.dir);
    open_refused(&sub, -ENOTDIR, "cannot make directory");
    unlink(scratch_file(&s, "file"));

    /* Missing directories are made, for the owner only, and so is the file, whatever the umask. */
    mode_t before = umask(0);
    snprintf(sub.dir, sizeof(sub.dir), "%.100s/a/b", s.dir);
    struct db *d = open_db(&sub);
    struct row row = {.name = "a", .value = "1"};
    assert_int_equal(db_write(d, put_tx, &row), 0);
    umask(before);
    struct stat st;
    assert_int_equal(stat(sub.dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    const char *names[] = {"sallyport.db", "sallyport.db-wal", "sallyport.lock"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(stat(scratch_file(&sub, names[i]), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    db_close(d);
    scratch_done(&sub);
    snprintf(sub.dir, sizeof(sub.dir), "%.100s/a", s.dir);
    rmdir(sub.dir);
    scratch_done(&s);
}

static void check_finds_damage(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct buf out = BUF_INIT(65536);
    struct err e = {0};
    assert_true(db_check(s.dir, &out, &e) < 0); /* nothing there, and nothing is made */
    assert_int_equal(access(scratch_file(&s, "sallyport.db"), F_OK), -1);

    struct db *d = open_db(&s);
    struct row row = {.name = "a", .value = "1"};
    assert_int_equal(db_write(d, put_tx, &row), 0);
    assert_int_equal(db_check(s.dir, &out, &e), 0); /* beside a running server too */
    char words[64];
    snprintf(words, sizeof(words), "schema version %d of %d", newest_version(), newest_version());
    assert_non_null(strstr(buf_str(&out), words));
    db_close(d);

    int fd = open(scratch_file(&s, "sallyport.db"), O_RDWR);
    static char junk[4096 * 8];
    memset(junk, 0x5a, sizeof(junk));
    assert_int_equal(pwrite(fd, junk, sizeof(junk), 4096 * 2), sizeof(junk));
    close(fd);
    buf_reset(&out);
    assert_int_equal(db_check(s.dir, &out, &e), -E_CORRUPT);
    assert_non_null(strstr(buf_str(&out), "integrity_check"));
    buf_done(&out);
    scratch_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_bind_and_read),
        cmocka_unit_test(errors_stick),
        cmocka_unit_test(unfinished_statements_keep_no_snapshot),
        cmocka_unit_test(writes_commit_together),
        cmocka_unit_test(a_failing_write_spoils_no_other),
        cmocka_unit_test(a_fiber_reads_what_it_wrote),
        cmocka_unit_test(cancellation_does_not_end_a_write),
        cmocka_unit_test(a_second_server_is_refused),
        cmocka_unit_test(an_older_database_is_brought_up_to_date),
        cmocka_unit_test(a_newer_schema_is_refused_untouched),
        cmocka_unit_test(a_foreign_file_is_refused_untouched),
        cmocka_unit_test(a_directory_that_can_not_be_had_is_told),
        cmocka_unit_test(check_finds_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
