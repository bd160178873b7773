/* test_writer.c - the chain goes on over ends, rotations, crashes and full disks; nothing opens
 * through a link; what was reserved fits. */
#include "unit/audit/log.h"

#include "base/time.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void a_log_that_is_closed_and_opened_again_holds(void **state)
{
    (void)state;
    struct test_log l;
    struct audit_report report;
    log_make(&l);
    for (int i = 0; i < 3; i++) {
        struct audit_writer *w = log_open(&l);
        log_add(w, "sesn_1", 10);
        log_close(w);
    }
    log_holds(&l, &report);
    /* start, new, 10, close; then twice open, 10, close */
    assert_int_equal(report.lines, 1 + 1 + 10 + 1 + 2 * 12);
    assert_int_equal(report.checkpoints, 6);
    assert_int_equal(report.restarts, 2);
    assert_int_equal(report.open_lines, 0);
    assert_int_equal(report.first_seq, 0);
    assert_false(report.begins_late);
    log_remove(&l);
}

static void files_are_private_and_the_public_key_is_not(void **state)
{
    (void)state;
    struct test_log l;
    struct stat st;
    log_make(&l);
    mode_t before = umask(0);
    log_close(log_open(&l));
    (void)umask(before);
    assert_int_equal(stat(l.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(l.key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(l.pub, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    log_remove(&l);
}

/* Who looks first is told the same, but for a log that somebody writes. */
static int open_fails(struct test_log *l, struct err *e)
{
    struct audit_writer *w = NULL;
    struct audit_options o = {.path = l->path};
    int looked = audit_writer_look(l->path, &(struct err){0});
    int r = audit_writer_open(&o, &w, e);
    assert_int_equal(looked, r == -EBUSY ? 0 : r);
    if (r == 0)
        (void)audit_writer_close(w, NULL);
    return r;
}

static void a_log_that_is_a_link_or_a_pipe_is_refused(void **state)
{
    (void)state;
    struct test_log l;
    struct err e = {0};
    char other[128];
    log_make(&l);
    snprintf(other, sizeof(other), "%s/other", l.dir);
    log_write(other, "", 0);
    assert_int_equal(symlink(other, l.path), 0);
    assert_int_equal(open_fails(&l, &e), -ELOOP);
    assert_non_null(strstr(e.msg, "it is a link"));
    assert_int_equal(unlink(l.path), 0);
    assert_int_equal(mkfifo(l.path, 0600), 0);
    assert_true(open_fails(&l, &e) < 0);
    assert_int_equal(unlink(l.path), 0);
    char lock[128];
    snprintf(lock, sizeof(lock), "%s.lock", l.path);
    (void)unlink(lock);
    assert_int_equal(symlink(other, lock), 0);
    assert_int_equal(open_fails(&l, &e), -ELOOP);
    log_remove(&l);
}

static void a_key_that_others_may_read_is_refused(void **state)
{
    (void)state;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    log_close(log_open(&l));
    assert_int_equal(chmod(l.key, 0640), 0);
    assert_int_equal(open_fails(&l, &e), -EPERM);
    assert_non_null(strstr(e.msg, "chmod 600"));
    log_remove(&l);
}

static void a_log_whose_key_is_gone_is_refused_not_signed_anew(void **state)
{
    (void)state;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    log_close(log_open(&l));
    assert_int_equal(unlink(l.key), 0);
    assert_int_equal(open_fails(&l, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "is gone"));
    struct stat st;
    assert_int_equal(stat(l.key, &st), -1);
    log_remove(&l);
}

static void another_key_does_not_go_on_with_a_log(void **state)
{
    (void)state;
    struct test_log l, m;
    struct err e = {0};
    log_make(&l);
    log_make(&m);
    log_close(log_open(&l));
    log_close(log_open(&m));
    assert_int_equal(rename(m.key, l.key), 0);
    assert_int_equal(rename(m.pub, l.pub), 0);
    assert_int_equal(open_fails(&l, &e), -E_CORRUPT);
    log_remove(&l);
    log_remove(&m);
}

static void a_file_that_is_no_log_is_left_alone(void **state)
{
    (void)state;
    static const char *const texts[] = {"one line\n", "{\"a\":1}\n", "no end", "{\"seq\":1}\n{}\n",
                                        "{}\n{}\n{}\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct test_log l;
        struct err e = {0};
        size_t n;
        log_make(&l);
        log_close(log_open(&l)); /* there is a key */
        log_write(l.path, texts[i], strlen(texts[i]));
        assert_int_equal(open_fails(&l, &e), -E_CORRUPT);
        AUTO_FREE char *after = log_read(l.path, &n);
        assert_string_equal(after, texts[i]);
        log_remove(&l);
    }
}

static void one_process_writes(void **state)
{
    (void)state;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_writer *w = log_open(&l);
    assert_int_equal(open_fails(&l, &e), -EBUSY);
    log_close(w);
    log_remove(&l);
}

static void checkpoints_come_by_count_and_when_asked(void **state)
{
    (void)state;
    struct test_log l;
    struct audit_report report;
    struct err e = {0};
    log_make(&l);
    struct audit_writer *w = log_open_with(&l, 0, 4);
    log_add(w, "s", 9);
    assert_true(audit_writer_due(w));
    assert_int_equal(audit_writer_checkpoint(w, "time", &e), 0);
    assert_false(audit_writer_due(w));
    assert_int_equal(audit_writer_checkpoint(w, "time", &e), 0); /* nothing new: none */
    log_holds(&l, &report);
    assert_int_equal(report.checkpoints, 1 + 2 + 1);
    assert_int_equal(report.lines, 1 + 1 + 9 + 3);
    log_close(w);
    log_remove(&l);
}

static void a_log_rotates_and_the_chain_goes_on(void **state)
{
    (void)state;
    struct test_log l;
    struct audit_report report;
    log_make(&l);
    for (int i = 0; i < 2; i++) {
        struct audit_writer *w = log_open_with(&l, 8000, 0);
        log_add(w, "s", 100);
        log_close(w);
    }
    log_holds(&l, &report);
    assert_in_range(report.files, 6, 20);
    /* Older files may be removed: the rest begins with a checkpoint that tells where it stands. */
    char first[128];
    snprintf(first, sizeof(first), "%s.000001", l.path);
    assert_int_equal(unlink(first), 0);
    uint64_t files = report.files;
    log_holds(&l, &report);
    assert_true(report.begins_late);
    assert_int_equal(report.files, files - 1);
    /* One in between may not. */
    struct err e = {0};
    snprintf(first, sizeof(first), "%s.000003", l.path);
    assert_int_equal(unlink(first), 0);
    assert_int_equal(log_verify(&l, &report, &e), -E_CORRUPT);
    audit_report_done(&report);
    log_remove(&l);
}

/* Every place at which a rotation can be cut short. */
static void a_crash_within_a_rotation_costs_nothing(void **state)
{
    (void)state;
    for (int at = 0; at < 4; at++) {
        struct test_log l;
        struct audit_report report;
        char full[128], next[128];
        log_make(&l);
        struct audit_writer *w = log_open(&l);
        log_add(w, "s", 10);
        log_close(w);
        snprintf(full, sizeof(full), "%s.000001", l.path);
        snprintf(next, sizeof(next), "%s.next", l.path);
        log_write(next, "", 0);
        if (at > 0)
            assert_int_equal(rename(l.path, full), 0);
        if (at > 1)
            assert_int_equal(rename(next, l.path), 0);
        if (at > 2)
            log_write(l.path, "{\"seq\":13,\"prev", 15); /* of the new file's checkpoint */
        w = log_open(&l);
        log_add(w, "s", 10);
        log_close(w);
        log_holds(&l, &report);
        assert_int_equal(report.last_seq, 1 + 10 + 1 + 1 + 10 + 1 + (at > 2));
        assert_int_equal(report.torn_ends, at > 2);
        assert_int_equal(report.files, at > 0 ? 2 : 1);
        log_remove(&l);
    }
}

/* The end of a log as `kill -9` or a power failure leave it, cut at every byte. */
static void a_torn_end_is_set_aside_and_told(void **state)
{
    (void)state;
    struct test_log l;
    size_t n;
    log_make(&l);
    struct audit_writer *w = log_open(&l);
    struct err e = {0};
    assert_int_equal(audit_writer_checkpoint(w, "time", &e), 0);
    struct stat st;
    assert_int_equal(stat(l.path, &st), 0);
    size_t keep = (size_t)st.st_size;
    log_add(w, "sesn_torn", 3);
    AUTO_FREE char *all = log_read(l.path, &n);
    log_close(w);
    for (size_t cut = keep; cut < n; cut += 7) {
        struct audit_report report;
        log_write(l.path, all, cut);
        w = log_open(&l);
        log_add(w, "after", 1);
        log_close(w);
        log_holds(&l, &report);
        bool torn = cut != keep && all[cut - 1] != '\n';
        assert_int_equal(report.torn_ends, torn);
        if (torn) {
            char name[160];
            size_t n_torn, line = cut;
            while (all[line - 1] != '\n')
                line--;
            size_t lines = 0;
            for (size_t i = 0; i < line; i++)
                lines += all[i] == '\n';
            snprintf(name, sizeof(name), "%s.torn-%zu", l.path, lines);
            AUTO_FREE char *aside = log_read(name, &n_torn);
            assert_int_equal(n_torn, cut - line);
            assert_memory_equal(aside, all + line, n_torn);
            (void)unlink(name);
        }
    }
    log_remove(&l);
}

/* After a power failure whole pages behind the last flush may be zeros, with good lines behind. */
static void a_hole_behind_the_last_checkpoint_is_set_aside(void **state)
{
    (void)state;
    struct test_log l;
    struct audit_report report;
    size_t n, before;
    log_make(&l);
    struct audit_writer *w = log_open(&l);
    free(log_read(l.path, &before));
    log_add(w, "s", 30);
    AUTO_FREE char *all = log_read(l.path, &n);
    log_close(w);
    memset(all + before + 500, 0, 4096);
    log_write(l.path, all, n);
    w = log_open(&l);
    log_add(w, "s", 1);
    log_close(w);
    log_holds(&l, &report);
    assert_int_equal(report.torn_ends, 1);
    /* start, new, one record; then open, note, record, close */
    assert_int_equal(report.lines, 3 + 4);
    log_remove(&l);
}

static void a_changed_last_checkpoint_is_no_accident(void **state)
{
    (void)state;
    struct test_log l;
    struct err e = {0};
    size_t n;
    log_make(&l);
    log_close(log_open(&l));
    AUTO_FREE char *all = log_read(l.path, &n);
    char *time = strstr(strrchr(all, '{'), "\"time\":\"20");
    assert_non_null(time);
    time[9] = '3';
    log_write(l.path, all, n);
    assert_int_equal(open_fails(&l, &e), -E_CORRUPT);
    assert_non_null(strstr(e.msg, "sallyport audit verify"));
    log_remove(&l);
}

/* Writers that are killed at random places; every line that a child has told of must be there. */
static void a_writer_that_is_killed_loses_nothing_it_has_told(void **state)
{
    (void)state;
    struct test_log l;
    struct audit_report report;
    log_make(&l);
    uint64_t told_last = 0;
    for (int i = 0; i < 12; i++) {
        int p[2];
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct audit_writer *w = NULL;
            struct err e = {0};
            struct audit_options o = {.path = l.path, .rotate_bytes = 40000};
            if (audit_writer_open(&o, &w, &e) < 0)
                _exit(1);
            for (;;) {
                struct audit_record r = log_record("sesn_killed", "/");
                uint64_t seq = audit_writer_seq(w);
                if (audit_writer_reserve(w, 1, &e) < 0 ||
                    audit_writer_add(w, "test", NULL, 0, &r, &e) < 0 ||
                    audit_writer_flush(w, &e) < 0 || write(p[1], &seq, 8) != 8)
                    _exit(1);
            }
        }
        (void)close(p[1]);
        uint64_t seq = 0, count = 0, stop_after = (uint64_t)(1 + i * 29);
        while (count < stop_after && read(p[0], &seq, 8) == 8)
            count++;
        assert_int_equal(count, stop_after);
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(p[0], &seq, 8) == 8)
            count++;
        (void)close(p[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        log_holds(&l, &report);
        assert_true(report.last_seq >= seq);
        assert_true(seq > told_last);
        told_last = seq;
    }
    log_close(log_open(&l));
    log_holds(&l, &report);
    assert_true(report.last_seq > told_last);
    log_remove(&l);
}

/* ---- full disks ---- */

/* Reserves until it is refused, then appends all of it: each must fit. The child's exit code says
 * where it failed. */
static int fill_up(struct test_log *l)
{
    struct audit_writer *w = NULL;
    struct err e = {0};
    struct audit_options o = {.path = l->path, .checkpoint_records = 3};
    if (audit_writer_open(&o, &w, &e) < 0)
        return 10;
    size_t n = 0;
    int r;
    while ((r = audit_writer_reserve(w, 1, &e)) == 0)
        n++;
    if ((r != -ENOSPC && r != -EFBIG) || !strstr(e.msg, "no room") || n < 10)
        return 11;
    /* The longest records there can be. */
    static char text[2000];
    memset(text, '\001', sizeof(text));
    struct audit_text t = {text, sizeof(text)};
    struct audit_record record = {.kind = AUDIT_REQUEST};
#define LONG_(name, max) record.name = t;
    AUDIT_TEXTS(LONG_)
#undef LONG_
    for (size_t i = 0; i < n; i++)
        if (audit_writer_add(w, "test", NULL, 0, &record, &e) < 0 || audit_writer_flush(w, &e) < 0)
            return 12;
    if (audit_writer_state(w, &e) < 0)
        return 13;
    /* Short ones have left room for more. */
    if (audit_writer_close(w, &e) < 0)
        return 14;
    struct audit_report report;
    if (log_verify(l, &report, &e) < 0)
        return 15;
    return report.open_lines == 0 ? 0 : 16;
}

static void in_child(int (*fn)(struct test_log *l), struct test_log *l, bool *ret_skipped)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(l));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    *ret_skipped = WEXITSTATUS(status) == 77;
    if (!*ret_skipped)
        assert_int_equal(WEXITSTATUS(status), 0);
}

static int on_small_tmpfs(struct test_log *l)
{
    if (!log_on_tmpfs(l, "512k"))
        return 77;
    return fill_up(l);
}

static void on_a_full_disk_what_was_reserved_fits_and_the_rest_is_refused(void **state)
{
    (void)state;
    struct test_log l;
    bool skipped;
    log_make(&l);
    in_child(on_small_tmpfs, &l, &skipped);
    log_remove(&l);
    if (skipped)
        skip();
}

static int with_a_file_limit(struct test_log *l)
{
    struct rlimit limit = {300000, 300000};
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 77;
    return fill_up(l);
}

static void a_limit_of_file_sizes_is_a_full_disk_and_no_signal(void **state)
{
    (void)state;
    struct test_log l;
    bool skipped;
    log_make(&l);
    in_child(with_a_file_limit, &l, &skipped);
    log_remove(&l);
    assert_false(skipped);
}

/* The disk fills up between reservation and record, and while the log would rotate. */
static int fills_up_meanwhile(struct test_log *l)
{
    if (!log_on_tmpfs(l, "16m"))
        return 77;
    struct audit_writer *w = NULL;
    struct err e = {0};
    struct audit_options o = {.path = l->path, .rotate_bytes = 60000};
    if (audit_writer_open(&o, &w, &e) < 0 || audit_writer_reserve(w, 500, &e) < 0)
        return 20;
    static char block[4096];
    char ballast[128];
    snprintf(ballast, sizeof(ballast), "%s/ballast", l->dir);
    int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof(block)) > 0)
        continue;
    for (int i = 0; i < 500; i++) {
        struct audit_record r = log_record("s", "/");
        if (audit_writer_add(w, "test", NULL, 0, &r, &e) < 0 || audit_writer_flush(w, &e) < 0)
            return 21;
    }
    size_t more = 0; /* what the short lines have left of their slots */
    while (audit_writer_reserve(w, 1, &e) == 0)
        more++;
    if (more > 2000)
        return 22;
    audit_writer_release(w, more);
    (void)close(fd);
    if (unlink(ballast) < 0)
        return 23;
    /* There is room again: it goes on, and rotates. */
    for (int i = 0; i < 500; i++) {
        struct audit_record r = log_record("s", "/");
        if (audit_writer_reserve(w, 1, &e) < 0 ||
            audit_writer_add(w, "test", NULL, 0, &r, &e) < 0 || audit_writer_flush(w, &e) < 0)
            return 24;
    }
    if (audit_writer_close(w, &e) < 0)
        return 25;
    struct audit_report report;
    if (log_verify(l, &report, &e) < 0)
        return 26;
    return report.files > 1 ? 0 : 27;
}

static void a_disk_that_fills_up_costs_no_running_request_its_record(void **state)
{
    (void)state;
    struct test_log l;
    bool skipped;
    log_make(&l);
    in_child(fills_up_meanwhile, &l, &skipped);
    log_remove(&l);
    if (skipped)
        skip();
}

static void a_log_that_is_moved_away_stops_the_writer(void **state)
{
    (void)state;
    struct test_log l;
    struct err e = {0};
    char other[128];
    log_make(&l);
    struct audit_writer *w = log_open(&l);
    log_add(w, "s", 1);
    snprintf(other, sizeof(other), "%s.old", l.path);
    assert_int_equal(rename(l.path, other), 0);
    assert_int_equal(audit_writer_checkpoint(w, "time", &e), -ESTALE);
    assert_non_null(strstr(e.msg, "moved away"));
    assert_int_equal(audit_writer_reserve(w, 1, &e), -ESTALE);
    assert_int_equal(audit_writer_close(w, &e), -ESTALE);
    log_remove(&l);
}

static void a_disk_that_fails_stops_the_writer(void **state)
{
    (void)state;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_writer *w = log_open(&l);
    audit_writer_synced(w, 0);
    assert_int_equal(audit_writer_reserve(w, 1, &e), 0);
    audit_writer_synced(w, -EIO);
    assert_int_equal(audit_writer_reserve(w, 1, &e), -EIO);
    struct audit_record r = log_record("s", "/");
    assert_int_equal(audit_writer_add(w, "test", NULL, 0, &r, &e), -EIO);
    assert_int_equal(audit_writer_close(w, &e), -EIO);
    log_remove(&l);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_is_closed_and_opened_again_holds),
        cmocka_unit_test(files_are_private_and_the_public_key_is_not),
        cmocka_unit_test(a_log_that_is_a_link_or_a_pipe_is_refused),
        cmocka_unit_test(a_key_that_others_may_read_is_refused),
        cmocka_unit_test(a_log_whose_key_is_gone_is_refused_not_signed_anew),
        cmocka_unit_test(another_key_does_not_go_on_with_a_log),
        cmocka_unit_test(a_file_that_is_no_log_is_left_alone),
        cmocka_unit_test(one_process_writes),
        cmocka_unit_test(checkpoints_come_by_count_and_when_asked),
        cmocka_unit_test(a_log_rotates_and_the_chain_goes_on),
        cmocka_unit_test(a_crash_within_a_rotation_costs_nothing),
        cmocka_unit_test(a_torn_end_is_set_aside_and_told),
        cmocka_unit_test(a_hole_behind_the_last_checkpoint_is_set_aside),
        cmocka_unit_test(a_changed_last_checkpoint_is_no_accident),
        cmocka_unit_test(a_writer_that_is_killed_loses_nothing_it_has_told),
        cmocka_unit_test(on_a_full_disk_what_was_reserved_fits_and_the_rest_is_refused),
        cmocka_unit_test(a_limit_of_file_sizes_is_a_full_disk_and_no_signal),
        cmocka_unit_test(a_disk_that_fills_up_costs_no_running_request_its_record),
        cmocka_unit_test(a_log_that_is_moved_away_stops_the_writer),
        cmocka_unit_test(a_disk_that_fails_stops_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
