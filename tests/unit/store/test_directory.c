/* Who has the data directory, what its lock file tells the next start, and what a first start that
 * fails leaves there. */
#include "unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "store/db.h"
#include "store/directory.h"
#include "unit/store/scratch.h"

static bool there(const struct scratch *s, const char *name)
{
    struct stat st;
    return lstat(scratch_file(s, name), &st) == 0;
}

static struct db *open_db(const struct scratch *s)
{
    struct db *d = NULL;
    struct err e = {0};
    if (db_open(s->dir, &d, &e) < 0)
        fail_msg("db_open: %s", e.msg);
    return d;
}

static void write_lock(const struct scratch *s, const char *text)
{
    FILE *f = fopen(scratch_file(s, "sallyport.lock"), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_discarded_first_start_leaves_nothing(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = open_db(&s);
    assert_true(db_is_new(d));
    db_discard(d);
    assert_int_equal(rmdir(s.dir), 0);

    assert_int_equal(mkdir(s.dir, 0700), 0);
    db_close(open_db(&s));
    d = open_db(&s);
    assert_false(db_is_new(d));
    db_discard(d); /* it was there before */
    assert_true(there(&s, "sallyport.db") && there(&s, "sallyport.lock"));
    db_close(open_db(&s));
    scratch_done(&s);
}

static void an_open_that_fails_takes_its_lock_along(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = NULL;
    struct err e = {0};
    assert_int_equal(mkdir(scratch_file(&s, "sallyport.db"), 0700), 0);
    assert_true(db_open(s.dir, &d, &e) < 0);
    assert_false(there(&s, "sallyport.lock"));
    assert_int_equal(rmdir(scratch_file(&s, "sallyport.db")), 0); /* not ours: it stays */
    assert_int_equal(rmdir(s.dir), 0);
}

static void a_killed_server_that_was_stopping_has_had_a_database(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = open_db(&s);
    db_note_stopping(d, 3600000);
    db_close(d);
    struct directory had = DIRECTORY_NONE;
    struct err e = {0};
    assert_int_equal(directory_open(s.dir, &had, &e), 0);
    assert_true(had.had_database && !had.made_lock);
    close(had.lock_fd);
    write_lock(&s, "17\ndatabase\nstopping 99999999999999999999\nlater: more\n");
    assert_int_equal(directory_open(s.dir, &had, &e), 0);
    assert_true(had.had_database);
    close(had.lock_fd);
    write_lock(&s, "17\nstopping 1\ndatabase of theirs\n");
    assert_int_equal(directory_open(s.dir, &had, &e), 0);
    assert_false(had.had_database);
    close(had.lock_fd);
    scratch_done(&s);
}

static char told_pid[32];
static int64_t told_s;
static int n_told, ends_with_telling = -1;

static void tell(const char *pid, int64_t at_most_s)
{
    str_copy(told_pid, sizeof(told_pid), pid);
    told_s = at_most_s;
    n_told++;
    if (ends_with_telling >= 0)
        close(ends_with_telling);
    ends_with_telling = -1;
}

static void only_one_that_stops_is_waited_for(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    directory_await(s.dir, tell); /* nobody was ever here */
    struct directory d = DIRECTORY_NONE, other = DIRECTORY_NONE;
    struct err e = {0};
    assert_int_equal(directory_open(s.dir, &d, &e), 0);
    directory_await(s.dir, tell); /* it runs */
    assert_int_equal(n_told, 0);
    assert_int_equal(directory_open(s.dir, &other, &e), -EBUSY);
    AUTO_FREE char *pid = mem_printf("(pid %d) already uses", (int)getpid());
    assert_non_null(strstr(e.msg, pid));

    directory_note_stopping(&d, 40000);
    assert_int_equal(directory_open(s.dir, &other, &e), -EBUSY);
    assert_non_null(strstr(e.msg, "was told to stop"));
    ends_with_telling = d.lock_fd;
    directory_await(s.dir, tell);
    assert_int_equal(n_told, 1);
    assert_true(told_s > 30 && told_s <= 41);
    assert_int_equal(atoi(told_pid), getpid());
    assert_int_equal(directory_open(s.dir, &other, &e), 0);

    /* One that should have gone long ago is waited for no more. */
    write_lock(&s, "1\nstopping 1\n");
    directory_await(s.dir, tell);
    assert_int_equal(n_told, 1);
    close(other.lock_fd);
    directory_await(s.dir, tell); /* and one that was killed, not at all */
    scratch_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_discarded_first_start_leaves_nothing),
        cmocka_unit_test(an_open_that_fails_takes_its_lock_along),
        cmocka_unit_test(a_killed_server_that_was_stopping_has_had_a_database),
        cmocka_unit_test(only_one_that_stops_is_waited_for),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
