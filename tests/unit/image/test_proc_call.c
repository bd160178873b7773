/* test_proc_call.c - what a child that runs a function has, and when it goes. */
#include "unit/unit.h"
#include "base/base.h"
#include "base/err.h"
#include "image/proc_call.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_null(int fd)
{
    struct stat st, null;
    return fstat(fd, &st) == 0 && stat("/dev/null", &null) == 0 && st.st_rdev == null.st_rdev &&
           S_ISCHR(st.st_mode);
}

/* 0, or which expectation failed. */
static int look_around(void *arg)
{
    const int *kept = arg;
    for (int fd = 0; fd < 100; fd++) {
        bool open_now = fcntl(fd, F_GETFD) >= 0;
        bool expected = fd < 3 || fd == kept[0] || fd == kept[1];
        if (open_now != expected)
            return 100 + fd;
    }
    if (!is_null(0) || !is_null(1) || (!SANITIZED && !is_null(2)))
        return 2;
    for (char **p = environ; *p; p++)
        if (**p)
            return 3;
    struct sigaction now;
    if (sigaction(SIGUSR1, NULL, &now) < 0 || now.sa_handler != SIG_DFL)
        return 4;
    return write(kept[1], "x", 1) == 1 ? 0 : 5;
}

static void on_signal(int n)
{
    (void)n;
}

static void a_child_has_only_what_it_was_given(void **state)
{
    (void)state;
    int near[2], far[2], kept[2];
    char c;
    struct err e = {0};
    const struct sigaction handler = {.sa_handler = on_signal};
    assert_int_equal(sigaction(SIGUSR1, &handler, NULL), 0);
    assert_non_null(environ[0]);
    assert_int_equal(pipe2(near, O_CLOEXEC), 0);
    assert_int_equal(pipe2(far, O_CLOEXEC), 0);
    kept[0] = fcntl(near[0], F_DUPFD_CLOEXEC, 70);
    kept[1] = fcntl(far[1], F_DUPFD_CLOEXEC, 40); /* in no order, with gaps */
    assert_true(kept[0] >= 70 && kept[1] >= 40);
    const int keep[] = {kept[0], -1, kept[1]};
    pid_t pid = proc_call_start(look_around, kept, keep, ARRAY_LEN(keep), &e);
    assert_true(pid > 0);
    assert_int_equal(proc_call_end(pid, 60000), 0);
    assert_int_equal(read(far[0], &c, 1), 1);
    assert_true(environ[0][0]); /* ours is as it was */
    for (int i = 0; i < 2; i++) {
        close(near[i]);
        close(far[i]);
        close(kept[i]);
    }
}

static int stay(void *arg)
{
    (void)arg;
    return pause();
}

static int number(void *arg)
{
    return *(int *)arg;
}

static void the_end_of_a_child_is_its_status(void **state)
{
    (void)state;
    struct err e = {0};
    int seven = 7;
    int status = proc_call_end(proc_call_start(number, &seven, NULL, 0, &e), 60000);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = proc_call_end(proc_call_start(stay, NULL, NULL, 0, &e), 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = proc_call_end(proc_call_start(stay, NULL, NULL, 0, &e), 1);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* It goes with its parent: the pipe it holds is closed. */
static void a_child_goes_with_its_parent(void **state)
{
    (void)state;
    int fds[2], status;
    struct err e = {0};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t parent = fork();
    assert_true(parent >= 0);
    if (parent == 0) {
        pid_t pid = proc_call_start(stay, NULL, &fds[1], 1, &e);
        _exit(pid < 0 || kill(getpid(), SIGKILL) < 0);
    }
    close(fds[1]);
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFSIGNALED(status));
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_true(p.revents & POLLHUP);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_has_only_what_it_was_given),
        cmocka_unit_test(the_end_of_a_child_is_its_status),
        cmocka_unit_test(a_child_goes_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
