/* test_fd.c - all of it is written, through a pipe smaller than it, and a full disk is said. */
#include "base/fd.h"
#include "unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 300000 /* more than any pipe holds */

static void through_a_pipe(void **state)
{
    (void)state;
    static char text[MANY];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7);
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fd[0]);
        _exit(fd_write_all(fd[1], text, sizeof(text)) == 0 ? 0 : 1);
    }
    close(fd[1]);
    static char got[MANY + 1];
    size_t n = 0;
    for (ssize_t k; (k = read(fd[0], got + n, sizeof(got) - n)) > 0;)
        n += (size_t)k;
    assert_int_equal(n, sizeof(text));
    assert_memory_equal(got, text, n);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(fd[0]);
}

static void at_an_offset(void **state)
{
    (void)state;
    AUTO_CLOSE int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, "0123456789", 10), 0);
    assert_int_equal(fd_pwrite_all(fd, "abc", 3, 4), 0);
    assert_int_equal(fd_write_all(fd, "", 0), 0);
    char got[16];
    assert_int_equal(pread(fd, got, sizeof(got), 0), 10);
    assert_memory_equal(got, "0123abc789", 10);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 10);
}

static void failures(void **state)
{
    (void)state;
    AUTO_CLOSE int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(fd_write_all(full, "x", 1), -ENOSPC);
    assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
    assert_int_equal(fd_pwrite_all(-1, "x", 1, 0), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(through_a_pipe),
        cmocka_unit_test(at_an_offset),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
