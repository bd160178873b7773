/* test_fd.c - all of it is written, through a pipe smaller than it, and a full disk is said; descriptors
 * arrive. */
#include "base/fd.h"
#include "unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

/* As many as the kernel takes in one message arrive, and one too many is not tried. */
static void descriptors_along(void **state)
{
    (void)state;
    int s[2], fds[FD_SEND_MAX];
    union {
        char bytes[CMSG_SPACE(sizeof(fds))];
        struct cmsghdr align;
    } control;
    char got[8];
    struct iovec iov = {.iov_base = got, .iov_len = sizeof(got)};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof(control.bytes)};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s), 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = s[0];
    assert_int_equal(fd_send(s[0], "abc", 3, fds, FD_SEND_MAX, 0), 3);
    assert_int_equal(fd_send(s[0], "d", 1, NULL, 0, 0), 1);
    assert_int_equal(recvmsg(s[1], &mh, MSG_CMSG_CLOEXEC), 3);
    const struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
    assert_non_null(c);
    assert_int_equal(c->cmsg_type, SCM_RIGHTS);
    assert_int_equal(c->cmsg_len, CMSG_LEN(sizeof(fds)));
    memcpy(fds, CMSG_DATA(c), sizeof(fds));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        assert_int_equal(close(fds[i]), 0);
    assert_int_equal(recv(s[1], got, sizeof(got), 0), 1);
    assert_int_equal(fd_send(s[0], "x", 1, (const int[]){-1}, 1, 0), -EBADF);
    assert_int_equal(close(s[1]), 0);
    assert_int_equal(fd_send(s[0], "x", 1, NULL, 0, 0), -EPIPE); /* and no signal */
    assert_int_equal(close(s[0]), 0);
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
        cmocka_unit_test(descriptors_along),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
