/* Acknowledged means durable: processes killed at any moment, and disks that fill up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include "store/db.h"
#include "unit/store/scratch.h"

struct item {
    int64_t writer, n;
    size_t bytes;
};

static char filler[256 * 1024];

/* Two rows that belong together. */
static int append_tx(struct tx *tx, void *arg)
{
    struct item *it = arg;
    char id[64];
    for (int half = 0; half < 2; half++) {
        snprintf(id, sizeof(id), "sevt_%lld_%lld_%d", (long long)it->writer, (long long)it->n,
                 half);
        struct stmt *s =
            tx_prepare(tx, "INSERT INTO events (session_id, seq, id, type, processed_at, body)"
                           " VALUES ($1, $2, $3, 'x', 0, $4)");
        stmt_bind_text(s, 1, it->writer ? "b" : "a");
        stmt_bind_int(s, 2, it->n * 2 + half);
        stmt_bind_text(s, 3, id);
        stmt_bind_textn(s, 4, filler, it->bytes);
        int r = stmt_step(s);
        if (r < 0)
            return r;
    }
    return 0;
}

static int count_tx(struct tx *tx, void *arg)
{
    struct item *it = arg;
    struct stmt *s =
        tx_prepare(tx, "SELECT count(*) FROM events WHERE session_id = $1 AND seq < $2");
    stmt_bind_text(s, 1, it->writer ? "b" : "a");
    stmt_bind_int(s, 2, it->n);
    int r = stmt_step(s);
    it->n = stmt_int(s, 0);
    return r < 0 ? r : 0;
}

static int64_t rows(struct db *d, int64_t writer, int64_t below)
{
    struct item it = {.writer = writer, .n = below};
    assert_int_equal(db_read(d, count_tx, &it), 0);
    return it.n;
}

static struct db *open_db(const char *dir)
{
    struct db *d = NULL;
    struct err e = {0};
    int r = db_open(dir, &d, &e);
    if (r < 0)
        fail_msg("db_open: %s", e.msg);
    return d;
}

/* ---- kill -9 ---- */

struct appender {
    struct db *d;
    int64_t writer, first;
    int acks;
};

static void *append_for_ever(void *arg)
{
    struct appender *a = arg;
    for (int64_t n = a->first;; n++) {
        struct item it = {.writer = a->writer, .n = n, .bytes = 300};
        if (db_write(a->d, append_tx, &it) < 0)
            _exit(3);
        if (write(a->acks, &it, sizeof(it)) != sizeof(it)) /* the acknowledgement */
            _exit(4);
    }
    return NULL;
}

static void child(const char *dir, const int64_t first[2], int acks)
{
    struct db *d = NULL;
    if (db_open(dir, &d, NULL) < 0)
        _exit(2);
    struct appender a[2];
    pthread_t t[2];
    for (int i = 0; i < 2; i++) {
        a[i] = (struct appender){d, i, first[i], acks};
        pthread_create(&t[i], NULL, append_for_ever, &a[i]);
    }
    pthread_join(t[0], NULL);
    _exit(5);
}

static void killed_writers_lose_nothing_acknowledged(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    int64_t acked[2] = {0, 0}; /* items acknowledged per writer: 0 .. acked-1 */
    for (int round = 0; round < 12; round++) {
        int p[2];
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(p[0]);
            child(s.dir, acked, p[1]);
        }
        close(p[1]);
        /* Kill it while it works, after a random number of acknowledgements, then read what else it
         * had sent. */
        uint64_t left = 1 + rng_below(150);
        struct item it;
        ssize_t n;
        while ((n = read(p[0], &it, sizeof(it))) == sizeof(it)) {
            assert_int_equal(it.n, acked[it.writer]);
            acked[it.writer]++;
            if (--left == 0)
                kill(pid, SIGKILL);
        }
        assert_int_equal(n, 0);
        close(p[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        struct db *d = open_db(s.dir);
        for (int w = 0; w < 2; w++) {
            assert_int_equal(rows(d, w, acked[w] * 2), acked[w] * 2);
            /* At most the one write in flight is there without having been acknowledged, and then
             * whole. */
            int64_t all = rows(d, w, INT64_MAX);
            assert_true(all == acked[w] * 2 || all == acked[w] * 2 + 2);
            acked[w] = all / 2;
        }
        db_close(d);
        struct buf out = BUF_INIT(4096);
        assert_int_equal(db_check(s.dir, &out, NULL), 0);
        buf_done(&out);
    }
    scratch_done(&s);
}

/* ---- full disks ---- */

/* Appends until the disk is full. Returns the number of items kept. */
static int64_t fill(struct db *d, int64_t first, int *ret_error)
{
    for (int64_t n = first; n < first + 4000; n++) {
        struct item it = {.n = n, .bytes = sizeof(filler)};
        int r = db_write(d, append_tx, &it);
        if (r < 0) {
            *ret_error = r;
            return n;
        }
    }
    *ret_error = 0;
    return -1;
}

/* What both kinds of full disk must show, in a child because limits and mounts are the process's.
 * Exit code: the line that failed, modulo 255 and never 0. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            _exit(__LINE__ % 255 + 1);                                                             \
    } while (0)

static void limited_child(const char *dir)
{
    struct db *d = NULL;
    CHECK(db_open(dir, &d, NULL) == 0);
    struct item it = {.writer = 1, .n = 0, .bytes = 10};
    CHECK(db_write(d, append_tx, &it) == 0);
    struct rlimit lim = {4u << 20, RLIM_INFINITY}, off = {RLIM_INFINITY, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_FSIZE, &lim) == 0);
    int error;
    int64_t kept = fill(d, 0, &error);
    CHECK(kept > 0 && error == -ENOSPC);
    /* Reading goes on, nothing of the refused write is there. */
    struct item seen = {.writer = 0, .n = INT64_MAX};
    CHECK(db_read(d, count_tx, &seen) == 0 && seen.n == kept * 2);
    it.n = 1;
    it.bytes = sizeof(filler);
    CHECK(db_write(d, append_tx, &it) == -ENOSPC);
    struct db_stats st;
    db_get_stats(d, &st);
    CHECK(st.failed_commits >= 1);
    /* Room again: so are writes, without a restart. */
    CHECK(setrlimit(RLIMIT_FSIZE, &off) == 0);
    CHECK(db_write(d, append_tx, &it) == 0);
    seen = (struct item){.writer = 0, .n = INT64_MAX};
    CHECK(db_read(d, count_tx, &seen) == 0 && seen.n == kept * 2);
    seen = (struct item){.writer = 1, .n = INT64_MAX};
    CHECK(db_read(d, count_tx, &seen) == 0 && seen.n == 4);
    db_close(d);
    CHECK(db_open(dir, &d, NULL) == 0);
    seen = (struct item){.writer = 0, .n = INT64_MAX};
    CHECK(db_read(d, count_tx, &seen) == 0 && seen.n == kept * 2);
    db_close(d);
    _exit(0);
}

static void a_file_size_limit_reads_as_a_full_disk(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    pid_t pid = fork();
    if (pid == 0)
        limited_child(s.dir);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    scratch_done(&s);
}

enum { NO_TMPFS = 254 };

static void tmpfs_child(const char *dir)
{
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        _exit(NO_TMPFS);
    (void)!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=6m") < 0)
        _exit(NO_TMPFS);
    struct db *d = NULL;
    CHECK(db_open(dir, &d, NULL) == 0);
    int error;
    int64_t kept = fill(d, 0, &error);
    CHECK(kept > 0 && error == -ENOSPC);
    struct item seen = {.n = INT64_MAX};
    CHECK(db_read(d, count_tx, &seen) == 0 && seen.n == kept * 2);
    /* Somebody clears up. */
    CHECK(mount("tmpfs", dir, "tmpfs", MS_REMOUNT, "size=64m") == 0);
    struct item it = {.n = kept, .bytes = sizeof(filler)};
    CHECK(db_write(d, append_tx, &it) == 0);
    db_close(d);
    CHECK(db_open(dir, &d, NULL) == 0);
    seen = (struct item){.n = INT64_MAX};
    CHECK(db_read(d, count_tx, &seen) == 0 && seen.n == kept * 2 + 2);
    db_close(d);
    /* A read-only mount is refused with words, and nothing crashes. */
    CHECK(mount("tmpfs", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64m") == 0);
    struct err e = {0};
    CHECK(db_open(dir, &d, &e) == -EROFS && strstr(e.msg, "cannot write in data directory"));
    /* Full from the start. */
    CHECK(umount(dir) == 0 && mount("tmpfs", dir, "tmpfs", 0, "size=8k") == 0);
    CHECK(db_open(dir, &d, &e) == -ENOSPC);
    _exit(0);
}

static void a_full_disk_refuses_and_recovers(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    pid_t pid = fork();
    if (pid == 0)
        tmpfs_child(s.dir);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    scratch_done(&s);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_TMPFS) {
        print_message("this machine lets nobody mount a tmpfs: not tested here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A write into files that no start would find is not acknowledged; put back, they take it again. */
static void files_that_are_gone_take_no_writes(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = NULL;
    assert_int_equal(db_open(s.dir, &d, NULL), 0);
    struct item it = {.n = 0, .bytes = 10};
    assert_int_equal(db_write(d, append_tx, &it), 0);
    const char *const names[] = {"sallyport.db", "sallyport.db-wal"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *there = mem_strdup(scratch_file(&s, names[i]));
        AUTO_FREE char *away = mem_printf("%s.away", there);
        assert_int_equal(rename(there, away), 0);
        it.n++;
        assert_int_equal(db_write(d, append_tx, &it), -EIO);
        assert_true(db_is_failing(d));
        assert_int_equal(rename(away, there), 0);
        assert_int_equal(db_write(d, append_tx, &it), 0);
        assert_false(db_is_failing(d));
    }
    db_close(d);
    assert_int_equal(db_open(s.dir, &d, NULL), 0);
    struct item seen = {.n = INT64_MAX};
    assert_int_equal(db_read(d, count_tx, &seen), 0);
    assert_int_equal(seen.n, 6);
    db_close(d);
    scratch_done(&s);
}

int main(void)
{
    memset(filler, 'x', sizeof(filler));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_writers_lose_nothing_acknowledged),
        cmocka_unit_test(a_file_size_limit_reads_as_a_full_disk),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
        cmocka_unit_test(files_that_are_gone_take_no_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
