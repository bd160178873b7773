/* test_state.c - directories of a run: found when it is dead, left alone while it lives, removed
 * whatever is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "box/state.h"

static char base[] = "/tmp/sallyport-state-XXXXXX";

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void a_directory_lives_and_dies_with_its_run(void **state)
{
    (void)state;
    AUTO_FREE char *dir = mem_printf("%s/s", base);
    struct state a = STATE_NONE, b = STATE_NONE;
    struct err e;
    size_t swept = 9;
    assert_int_equal(state_open(dir, &a, &swept, &e), 0);
    assert_int_equal(swept, 0);
    AUTO_FREE char *one = state_make(&a, &e);
    AUTO_FREE char *two = state_make(&a, &e);
    assert_non_null(one);
    assert_string_not_equal(one, two);
    assert_int_equal(state_open(dir, &b, &swept, &e), 0); /* another worker on the same directory */
    assert_int_equal(swept, 0);
    assert_true(exists(one));
    state_done(&b);
    assert_true(exists(one));
    state_done(&a);
    assert_false(exists(one));
    assert_int_equal(rmdir(dir), 0); /* nothing else was left */
}

static void what_dead_runs_left_is_swept(void **state)
{
    (void)state;
    AUTO_FREE char *dir = mem_printf("%s/d", base);
    pid_t pid = fork();
    if (pid == 0) {
        struct state s = STATE_NONE;
        if (state_open(dir, &s, NULL, NULL) < 0 || !state_make(&s, NULL))
            _exit(1);
        _exit(0); /* without state_done: the lock goes, the directory stays */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct state s = STATE_NONE;
    size_t swept = 0;
    assert_int_equal(state_open(dir, &s, &swept, NULL), 0);
    assert_int_equal(swept, 1);
    state_done(&s);
    assert_int_equal(rmdir(dir), 0);
}

static void a_hostile_tree_is_removed(void **state)
{
    (void)state;
    AUTO_FREE char *outside = mem_printf("%s/outside", base),
                   *precious = mem_printf("%s/outside/file", base);
    AUTO_FREE char *tree = mem_printf("%s/tree", base);
    assert_int_equal(mkdir(outside, 0755), 0);
    close(open(precious, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    assert_int_equal(mkdir(tree, 0755), 0);
    int top = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat(outside, top, "link"), 0);
    assert_int_equal(symlinkat("/", top, "root"), 0);
    assert_int_equal(mkfifoat(top, "fifo", 0600), 0);
    assert_int_equal(mkdirat(top, ".gone-0", 0755), 0); /* the names the removal itself uses */
    assert_int_equal(mkdirat(top, ".gone-1", 0755), 0);
    /* Far deeper than any path or descriptor table. */
    int at = dup(top);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        close(openat(at, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0));
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    assert_int_equal(symlinkat(outside, at, "link"), 0);
    close(at);
    assert_int_equal(mkdirat(top, "locked", 0755), 0);
    assert_int_equal(mkdirat(top, "locked/in", 0755), 0);
    assert_int_equal(fchmodat(top, "locked/in", 0, 0), 0);
    assert_int_equal(fchmodat(top, "locked", 0, 0), 0);
    close(top);
    assert_int_equal(state_remove_tree(AT_FDCWD, tree), 0);
    assert_false(exists(tree));
    assert_true(exists(precious));
    assert_int_equal(state_remove_tree(AT_FDCWD, tree), 0); /* already gone is fine */
    assert_int_equal(state_remove_tree(AT_FDCWD, outside), 0);
}

/* What an ordinary user's sandbox leaves can be closed to that user, from the top on. */
static void what_is_closed_is_removed(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        char dir[] = "/tmp/sallyport-closed-XXXXXX";
        if (geteuid() == 0 &&
            (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534)))
            _exit(2);
        if (!mkdtemp(dir))
            _exit(3);
        AUTO_FREE char *in = mem_printf("%s/in", dir), *deep = mem_printf("%s/in/deep", dir);
        if (mkdir(in, 0700) < 0 || mkdir(deep, 0) < 0 || chmod(in, 0) < 0 || chmod(dir, 0) < 0)
            _exit(4);
        _exit(state_remove_tree(AT_FDCWD, dir) == 0 && !exists(dir) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(base) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_lives_and_dies_with_its_run),
        cmocka_unit_test(what_dead_runs_left_is_swept),
        cmocka_unit_test(a_hostile_tree_is_removed),
        cmocka_unit_test(what_is_closed_is_removed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
