/* test_syscall_filter.c - what a table may say, tried in children under the filter. */
#include "unit/unit.h"
#include "base/err.h"
#include "sandbox/lock/syscall_filter.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DONE = 40, REFUSED = 41, FILTER_FAILED = 42 };

/* A table that wants what no table may have, and looks at arguments. */
static const char *const allowed[] = {"exit_group", "getppid",      "fork",
                                      "kill",       "no_such_call", NULL};
static const char *const killed[] = {"getuid", NULL};
static const struct syscall_condition when[] = {
    {"lseek", {SYSCALL_IS(0, 100), SYSCALL_NO_BITS(1, 0xf0)}},
    {"umask", {SYSCALL_HAS(0, 6)}},
    {"umask", {SYSCALL_IS(0, 1)}},
    {"vfork", {SYSCALL_IS(0, 0)}},
};

/* The child's exit code, or minus the signal that ended it. */
static int under_filter(long nr, long a, long b)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct syscall_filter f = {.allowed = allowed,
                                         .killed = killed,
                                         .conditions = when,
                                         .n_conditions = ARRAY_LEN(when),
                                         .threads = true};
        struct err e;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall_filter_install(&f, &e) < 0)
            _exit(FILTER_FAILED);
        const long r = syscall(nr, a, b, 0, 0, 0);
        syscall(SYS_exit_group, r < 0 && errno == EPERM    ? REFUSED
                                : r < 0 && errno == ENOSYS ? 0
                                                           : DONE);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void a_call_has_one_of_three_answers(void **state)
{
    (void)state;
    assert_int_equal(under_filter(SYS_getppid, 0, 0), DONE);
    assert_int_equal(under_filter(SYS_getuid, 0, 0), -SIGSYS);
    assert_int_equal(under_filter(SYS_getgid, 0, 0), REFUSED);
    assert_int_equal(under_filter(SYS_clone3, 0, 0), 0); /* ENOSYS */
}

static void a_table_takes_nothing_away(void **state)
{
    (void)state;
    assert_int_equal(under_filter(SYS_fork, 0, 0), -SIGSYS);
    assert_int_equal(under_filter(SYS_kill, getpid(), 0), -SIGSYS);
    assert_int_equal(under_filter(SYS_vfork, 0, 0), -SIGSYS);
}

static void arguments_are_looked_at(void **state)
{
    (void)state;
    assert_int_equal(under_filter(SYS_umask, 7, 0), DONE);
    assert_int_equal(under_filter(SYS_umask, 6, 0), DONE);
    assert_int_equal(under_filter(SYS_umask, 1, 0), DONE);
    assert_int_equal(under_filter(SYS_umask, 2, 0), REFUSED);
    assert_int_equal(under_filter(SYS_lseek, 100, 0x0f), DONE); /* EBADF: it was let through */
    assert_int_equal(under_filter(SYS_lseek, 100, 0x10), REFUSED);
    assert_int_equal(under_filter(SYS_lseek, 101, 0x0f), REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_has_one_of_three_answers),
        cmocka_unit_test(a_table_takes_nothing_away),
        cmocka_unit_test(arguments_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
