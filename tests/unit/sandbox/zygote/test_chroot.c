/* test_chroot.c - a chroot is told apart from the root of a mount namespace, as root and as an
 * ordinary user. Only root can make one. */
#include "unit/sandbox/build/made_dir.h"

#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/zygote/chroot.h"

enum where { AT_HOME, IN_NAMESPACE, IN_DIRECTORY, ON_MOUNT };

/* In a child: goes there, becomes `uid`, and exits with 1 when it is told that it is a chroot. */
static int ask(enum where where, uid_t uid, const char *dir)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = {.code = 0};
        AUTO_FREE char *proc = mem_printf("%s/proc", dir);
        if (where != AT_HOME &&
            (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
            _exit(100);
        if (where == ON_MOUNT && mount("x", dir, "tmpfs", 0, NULL) < 0)
            _exit(101);
        if (where >= IN_DIRECTORY &&
            ((where == ON_MOUNT && mkdir(proc, 0755) < 0) ||
             mount("proc", proc, "proc", 0, NULL) < 0 || chroot(dir) < 0 || chdir("/") < 0))
            _exit(102);
        if (uid != 0 && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
            _exit(103);
        int r = chroot_check(&e);
        _exit(r == 0 ? 0 : r == -EPERM && strstr(e.msg, "in a chroot") ? 1 : 104);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_chroot_is_told(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    static const struct {
        enum where where;
        uid_t uid;
        int want;
    } cases[] = {
        {AT_HOME, 0, 0},      {AT_HOME, 12345, 0},      {IN_NAMESPACE, 0, 0},
        {IN_DIRECTORY, 0, 1}, {IN_DIRECTORY, 12345, 1}, {ON_MOUNT, 0, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *dir = made_dir("mkdir proc");
        int got = ask(cases[i].where, cases[i].uid, dir);
        if (got != cases[i].want)
            fail_msg("case %zu: %d", i, got);
        made_dir_gone(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_chroot_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
