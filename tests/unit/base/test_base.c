/* test_base.c - allocation helpers, hand-over macros, descriptor cleanup, and that MUST ends the
 * process. */
#include "unit/unit.h"
#include "base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void memory_is_zeroed_and_copies_end(void **state)
{
    (void)state;
    AUTO_FREE
    char *z = mem_zalloc(16);
    for (int i = 0; i < 16; i++)
        assert_int_equal(z[i], 0);
    AUTO_FREE
    char *s = mem_strndup("abcdef", 3);
    assert_string_equal(s, "abc");
    AUTO_FREE
    char *shorter = mem_strndup("ab", 30);
    assert_string_equal(shorter, "ab");
    AUTO_FREE
    char *copy = mem_strdup("");
    assert_string_equal(copy, "");
    AUTO_FREE
    char *f = mem_printf("%d-%s", 7, "x");
    assert_string_equal(f, "7-x");
    AUTO_FREE
    int *a = mem_array(0, sizeof(int)); /* zero elements still give a pointer */
    assert_non_null(a);
}

static void take_leaves_nothing_behind(void **state)
{
    (void)state;
    char *p = mem_strdup("x");
    char *q = TAKE(p);
    assert_null(p);
    assert_string_equal(q, "x");
    free(q);
    int fd = 5;
    assert_int_equal(TAKE_FD(fd), 5);
    assert_int_equal(fd, -1);
}

static void auto_close_closes_and_keeps_errno(void **state)
{
    (void)state;
    int seen;
    {
        AUTO_CLOSE
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        seen = fd;
        errno = EILSEQ;
    }
    assert_int_equal(errno, EILSEQ);
    assert_int_equal(fcntl(seen, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
}

/* Runs fn in a child and returns how it ended; its stderr is returned in `text`. */
static int run_child(void (*fn)(void), char *text, size_t cap)
{
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(p[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(p[1]);
    size_t at = 0;
    for (ssize_t n; (n = read(p[0], text + at, cap - 1 - at)) > 0;)
        at += (size_t)n;
    text[at] = '\0';
    close(p[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void holds(void)
{
    MUST(1 + 1 == 2);
}

static void fails(void)
{
    MUST(1 + 1 == 3);
}

static void overflows(void)
{
    volatile size_t n = SIZE_MAX / 2;
    free(mem_array(n, 4));
}

static void must_ends_the_process_with_its_place(void **state)
{
    (void)state;
    static char text[4096];
    assert_int_equal(run_child(holds, text, sizeof(text)), 0);
    assert_string_equal(text, "");
    assert_true(WIFSIGNALED(run_child(fails, text, sizeof(text))));
    assert_non_null(strstr(text, "test_base.c:"));
    assert_non_null(strstr(text, "1 + 1 == 3"));
}

static void an_array_that_overflows_ends_the_process(void **state)
{
    (void)state;
#if SANITIZED
    /* The sanitizer's allocator ends the process itself, with an exit status. */
    static char text[8192];
    assert_int_not_equal(run_child(overflows, text, sizeof(text)), 0);
#else
    static char text[4096];
    int status = run_child(overflows, text, sizeof(text));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_copies_end),
        cmocka_unit_test(take_leaves_nothing_behind),
        cmocka_unit_test(must_ends_the_process_with_its_place),
        cmocka_unit_test(auto_close_closes_and_keeps_errno),
        cmocka_unit_test(an_array_that_overflows_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
