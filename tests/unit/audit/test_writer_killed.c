/* test_writer_killed.c - a writer that is killed at each of its system calls, before it and behind it:
 * the next one goes on, and nothing that was flushed is missing. */
#include "unit/audit/log.h"
#include "io/file.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

typedef int op_fn(struct test_log *l, volatile uint64_t *flushed);

/* Runs `op` in a child up to its system call stop number `n` (each call has two) and kills it there.
 * False when it has come to its end before. */
static bool kill_at(op_fn *op, struct test_log *l, volatile uint64_t *flushed, long n)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        (void)raise(SIGSTOP);
        _exit(op(l, flushed));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 77);
        skip();
    }
    for (long i = 0; i < n; i++) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return false;
        }
        assert_true(WIFSTOPPED(status));
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    do
        assert_int_equal(waitpid(pid, &status, 0), pid);
    while (!WIFSIGNALED(status));
    return true;
}

static int write_some(struct test_log *l, int64_t rotate, int n, volatile uint64_t *flushed)
{
    struct audit_writer *w = NULL;
    struct err e = {0};
    struct audit_options o = {.path = l->path, .rotate_bytes = rotate, .checkpoint_records = 3};
    if (audit_writer_open(&o, &w, &e) < 0)
        return 1;
    for (int i = 0; i < n; i++) {
        struct audit_record r = log_record("sesn_1", "/");
        if (audit_writer_reserve(w, 1, &e) < 0)
            return 2;
        uint64_t seq = audit_writer_seq(w);
        if (audit_writer_add(w, "test", NULL, 0, &r, &e) < 0 || audit_writer_flush(w, &e) < 0)
            return 3;
        *flushed = seq;
    }
    return audit_writer_close(w, &e) < 0 ? 4 : 0;
}

static int first_start(struct test_log *l, volatile uint64_t *flushed)
{
    return write_some(l, 0, 1, flushed);
}

static int rotations(struct test_log *l, volatile uint64_t *flushed)
{
    return write_some(l, 1500, 8, flushed);
}

/* With a torn end in front. */
static int recovery(struct test_log *l, volatile uint64_t *flushed)
{
    struct err e = {0};
    if (*flushed == 0) { /* the log is made once, by a child as well */
        if (write_some(l, 0, 3, flushed) != 0)
            return 5;
        int fd = file_open(l->path, O_WRONLY | O_APPEND, &e);
        if (fd < 0 || write(fd, "{\"seq\":7", 8) != 8)
            return 6;
        (void)close(fd);
    }
    return write_some(l, 0, 1, flushed);
}

static void each_place(op_fn *op, long step)
{
    volatile uint64_t *flushed =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(flushed != MAP_FAILED);
    bool killed = true;
    long n = 1;
    for (; killed; n += step) {
        struct test_log l;
        struct audit_report report;
        log_make(&l);
        *flushed = 0;
        killed = kill_at(op, &l, flushed, n);
        struct audit_writer *w = log_open(&l);
        log_add(w, "sesn_2", 1);
        log_close(w);
        log_holds(&l, &report);
        if (report.last_seq <= *flushed)
            fail_msg("at stop %ld: line %llu is missing", n, (unsigned long long)*flushed);
        log_remove(&l);
    }
    assert_true(n > 30);
    (void)munmap((void *)(uintptr_t)flushed, 4096);
}

static void a_first_start_killed_anywhere_is_followed_by_another(void **state)
{
    (void)state;
    each_place(first_start, 1);
}

static void rotations_killed_anywhere_lose_nothing(void **state)
{
    (void)state;
    each_place(rotations, SANITIZED ? 7 : 2);
}

static void a_recovery_killed_anywhere_is_done_again(void **state)
{
    (void)state;
    each_place(recovery, SANITIZED ? 5 : 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_start_killed_anywhere_is_followed_by_another),
        cmocka_unit_test(rotations_killed_anywhere_lose_nothing),
        cmocka_unit_test(a_recovery_killed_anywhere_is_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
