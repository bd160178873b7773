/* Copies of the database and their way back; what a directory that has lost its database says. */
#include "unit/unit.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "store/backup.h"
#include "store/db.h"
#include "store/schema.h"
#include "store/upkeep.h"
#include "unit/store/scratch.h"

struct place {
    struct scratch s;
    char copy[192];
};

static int setup(void **state)
{
    struct place *p = mem_new(struct place);
    scratch_init(&p->s);
    snprintf(p->copy, sizeof(p->copy), "%s/copy", p->s.dir);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    AUTO_FREE char *rm = mem_printf("rm -rf '%s'", p->s.dir);
    int r = system(rm);
    free(p);
    return r;
}

static struct db *open_db(const struct place *p)
{
    struct db *d = NULL;
    struct err e = {0};
    if (db_open(p->s.dir, &d, &e) < 0)
        fail_msg("db_open: %s", e.msg);
    return d;
}

static void open_refused(const struct place *p, int code, const char *words)
{
    struct db *d = NULL;
    struct err e = {0};
    assert_int_equal(db_open(p->s.dir, &d, &e), code);
    if (!strstr(e.msg, words))
        fail_msg("\"%s\" does not say \"%s\"", e.msg, words);
}

static int put_tx(struct tx *tx, void *arg)
{
    return tx_exec(tx, "INSERT INTO meta (name, value) VALUES ($1, 'x')", "t", arg);
}

static void put(struct db *d, const char *name)
{
    assert_int_equal(db_write(d, put_tx, (void *)(uintptr_t)name), 0);
}

static int has_tx(struct tx *tx, void *arg)
{
    struct stmt *s = tx_prepare(tx, "SELECT 1 FROM meta WHERE name = $1");
    stmt_bind_text(s, 1, arg);
    int r = stmt_step(s);
    stmt_reset(s);
    return r < 0 ? r : r == 1 ? 0 : -ENOENT;
}

static bool has(struct db *d, const char *name)
{
    return db_read(d, has_tx, (void *)(uintptr_t)name) == 0;
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? -1 : st.st_size;
}

/* The rows lie in the log beside the file: what cp would miss. */
static void a_copy_of_a_running_database_has_all(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    char *kept = NULL;
    struct db *d = open_db(p);
    put(d, "before");
    assert_true(size_of(scratch_file(&p->s, "sallyport.db-wal")) > 0);
    assert_int_equal(backup_make(p->s.dir, p->copy, false, &e), 0);
    struct stat st;
    assert_int_equal(stat(p->copy, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    put(d, "after");

    assert_int_equal(backup_restore(p->copy, p->s.dir, true, &kept, &e), -EBUSY);
    assert_non_null(strstr(e.msg, "another server"));
    db_close(d);
    assert_int_equal(backup_restore(p->copy, p->s.dir, false, &kept, &e), -EEXIST);
    assert_non_null(strstr(e.msg, "--replace"));
    assert_null(kept);
    assert_int_equal(backup_restore(p->copy, p->s.dir, true, &kept, &e), 0);
    assert_non_null(kept);
    assert_true(size_of(kept) > 0);
    free(kept);
    d = open_db(p);
    assert_true(has(d, "before"));
    assert_false(has(d, "after"));
    db_close(d);
}

static void a_name_that_is_taken_stays_as_it_is(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    db_close(open_db(p));
    FILE *f = fopen(p->copy, "w");
    fputs("theirs", f);
    fclose(f);
    assert_int_equal(backup_make(p->s.dir, p->copy, false, &e), -EEXIST);
    assert_int_equal(size_of(p->copy), 6);
    assert_int_equal(backup_make(p->s.dir, p->copy, true, &e), 0);
    assert_true(size_of(p->copy) > 4096);
    /* Nothing half-made lies about. */
    AUTO_FREE char *count = mem_printf("test $(ls '%s' | wc -l) = 3", p->s.dir);
    assert_int_equal(system(count), 0); /* the database, its lock, the copy */
}

static void what_is_no_backup_is_refused(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    char *kept = NULL;
    assert_true(backup_restore(p->copy, p->s.dir, false, &kept, &e) < 0); /* not there */
    assert_non_null(strstr(e.msg, "cannot read"));
    FILE *f = fopen(p->copy, "w");
    fputs("no database, though long enough to be looked at as one ....................", f);
    fclose(f);
    assert_true(backup_restore(p->copy, p->s.dir, false, &kept, &e) < 0);
    unlink(p->copy);
    sqlite3 *sq = NULL;
    assert_int_equal(sqlite3_open(p->copy, &sq), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sq, "CREATE TABLE theirs (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(sq);
    assert_int_equal(backup_restore(p->copy, p->s.dir, false, &kept, &e), -E_SCHEMA);
    assert_int_equal(size_of(scratch_file(&p->s, "sallyport.db")), -1);
    db_close(open_db(p)); /* and the directory is as new */
}

static void a_directory_that_lost_its_database_is_no_new_one(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    char *kept = NULL;
    struct db *d = open_db(p);
    put(d, "x");
    assert_int_equal(backup_make(p->s.dir, p->copy, false, &e), 0);
    db_close(d);
    assert_int_equal(truncate(scratch_file(&p->s, "sallyport.db"), 0), 0);
    open_refused(p, -E_CORRUPT, "is empty");
    assert_int_equal(size_of(scratch_file(&p->s, "sallyport.db")), 0); /* left as it is */
    unlink(scratch_file(&p->s, "sallyport.db"));
    open_refused(p, -E_CORRUPT, "is gone");
    assert_int_equal(size_of(scratch_file(&p->s, "sallyport.db")), -1);
    /* The log of the lost one must not be taken for the new one's. */
    FILE *f = fopen(scratch_file(&p->s, "sallyport.db-wal"), "w");
    fputs("of another database", f);
    fclose(f);
    assert_int_equal(backup_restore(p->copy, p->s.dir, false, &kept, &e), 0);
    assert_null(kept);
    assert_int_equal(size_of(scratch_file(&p->s, "sallyport.db-wal")), -1);
    d = open_db(p);
    assert_true(has(d, "x"));
    db_close(d);
    /* The way to begin anew that the sentence names. */
    unlink(scratch_file(&p->s, "sallyport.db"));
    unlink(scratch_file(&p->s, "sallyport.lock"));
    d = open_db(p);
    assert_false(has(d, "x"));
    db_close(d);
}

static int fill_tx(struct tx *tx, void *arg)
{
    (void)arg;
    int r = 0;
    for (int i = 0; r == 0 && i < 2000; i++) {
        AUTO_FREE char *name = mem_printf("row %d %01000d", i, 0);
        r = tx_exec(tx, "INSERT INTO meta (name, value) VALUES ($1, 'x')", "t", name);
    }
    return r;
}

static int empty_tx(struct tx *tx, void *arg)
{
    (void)arg;
    return tx_exec(tx, "DELETE FROM meta WHERE value = 'x'", "");
}

static void a_damaged_page_is_found_at_the_start(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct db *d = open_db(p);
    assert_int_equal(db_write(d, fill_tx, NULL), 0);
    assert_int_equal(upkeep_check(d, &e), 0);
    db_close(d);
    off_t size = size_of(scratch_file(&p->s, "sallyport.db"));
    assert_true(size > (off_t)1 << 20);
    int fd = open(scratch_file(&p->s, "sallyport.db"), O_RDWR);
    static char junk[4096];
    memset(junk, 0xa5, sizeof(junk));
    assert_int_equal(pwrite(fd, junk, sizeof(junk), size / 2 / 4096 * 4096), sizeof(junk));
    close(fd);
    open_refused(p, -E_CORRUPT, "restore a backup");
}

static void unused_space_goes_back(void **state)
{
    struct place *p = *state;
    struct upkeep_size full, emptied, after = {0};
    struct db *d = open_db(p);
    assert_int_equal(db_write(d, fill_tx, NULL), 0);
    assert_int_equal(upkeep_get_size(d, &full), 0);
    assert_int_equal(db_write(d, empty_tx, NULL), 0);
    assert_int_equal(upkeep_get_size(d, &emptied), 0);
    assert_int_equal(emptied.file_bytes, full.file_bytes);
    assert_true(emptied.free_bytes > full.file_bytes / 2);
    for (int i = 0; i < 100 && (after.free_bytes > 0 || i == 0); i++) {
        assert_int_equal(upkeep_give_back(d), 0);
        assert_int_equal(upkeep_get_size(d, &after), 0);
    }
    assert_int_equal(after.free_bytes, 0);
    assert_true(after.file_bytes < full.file_bytes / 2);
    db_close(d);
}

/* A database of the first version, with an item of a session that is gone. */
static void an_old_database_is_brought_up(void **state)
{
    struct place *p = *state;
    sqlite3 *sq = NULL;
    assert_int_equal(sqlite3_open(scratch_file(&p->s, "sallyport.db"), &sq), SQLITE_OK);
    for (const char *const *sql = schema_migrations[0]; *sql; sql++)
        assert_int_equal(sqlite3_exec(sq, *sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(sq,
                     "PRAGMA application_id=1396788313; PRAGMA user_version=1;"
                     "INSERT INTO work (id, environment_id, session_id, state, metadata, "
                     "created_at, queued_at, ttl_seconds) VALUES "
                     "('w', 'e', 's', 'stopped', '{}', 1, 1, 90);"
                     "INSERT INTO meta (name, value) VALUES ('here', 'x')",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(sq);
    struct db *d = open_db(p);
    assert_true(has(d, "here"));
    db_close(d);
    assert_int_equal(sqlite3_open(scratch_file(&p->s, "sallyport.db"), &sq), SQLITE_OK);
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(sq, "SELECT count(*) FROM work", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(st, 0), 0);
    sqlite3_finalize(st);
    sqlite3_close(sq);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_copy_of_a_running_database_has_all),
        TEST(a_name_that_is_taken_stays_as_it_is),
        TEST(what_is_no_backup_is_refused),
        TEST(a_directory_that_lost_its_database_is_no_new_one),
        TEST(a_damaged_page_is_found_at_the_start),
        TEST(unused_space_goes_back),
        TEST(an_old_database_is_brought_up),
    };
    return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
