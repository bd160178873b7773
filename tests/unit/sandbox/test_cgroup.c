/* test_cgroup.c - groups as the kernel of this machine applies them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/cgroup.h"

/* Runs fn in a child that joined the group before it ran. Returns the wait status. */
static int run_in(const struct cgroup_root *r, const struct cgroup *g, int (*fn)(void))
{
    int go[2];
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char c;
        close(go[1]);
        if (read(go[0], &c, 1) != 1)
            _exit(99);
        _exit(fn());
    }
    close(go[0]);
    struct err e;
    assert_int_equal(cgroup_join(r, g, pid, &e), 0);
    assert_int_equal(write(go[1], "g", 1), 1);
    close(go[1]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int hog(void)
{
    size_t n = 256u << 20;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < n; i += 4096)
        p[i] = 1;
    return 0;
}

static void memory(void **state)
{
    (void)state;
    struct cgroup_root r;
    struct err e;
    assert_int_equal(cgroup_root_open(&r, &e), 0);
    if (r.why_not)
        print_message("%s\n", r.why_not);
    if (!r.version[CGROUP_MEMORY])
        skip();
    struct cgroup g;
    assert_int_equal(cgroup_make(&r, &(struct cgroup_limits){64u << 20, 500, 16}, &g, &e), 0);
    int fd = cgroup_oom_fd(&r, &g);
    assert_true(fd >= 0);
    assert_int_equal(cgroup_oom_kills(fd), 0);
    int status = run_in(&r, &g, hog);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(cgroup_oom_kills(fd), 1);
    close(fd);
    assert_int_equal(cgroup_remove(&r, &g), 0);
    cgroup_root_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
