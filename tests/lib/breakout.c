/* breakout.c - code of a stranger's in a process that serves, for tests.
 *
 *   LD_PRELOAD=breakout.so LD_BREAKOUT=WHAT[:PATH] COMMAND
 *
 * The first connection that the process accepts takes it over: it tries WHAT, and tells on standard error what
 * came of it, "breakout WHAT: 0" or the error's number. So it happens in the processes that strangers reach,
 * and after they have given up what they do not need. The linker's prefix in the name lets it through to all
 * of them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Under the C library's name, which is taken at the place of its own. */
int taken_accept(int fd, struct sockaddr *a, socklen_t *n, int flags) __asm__("accept4");

static int connect_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static int attempt(const char *what, size_t n, const char *path)
{
    char *const argv[] = {(char[]){"true"}, NULL}, *const envp[] = {NULL};
    if (n == 4 && !memcmp(what, "read", n))
        return open(path, O_RDONLY);
    if (n == 5 && !memcmp(what, "write", n))
        return open(path, O_WRONLY | O_CREAT, 0600);
    if (n == 4 && !memcmp(what, "exec", n))
        return execve("/bin/true", argv, envp);
    if (n == 4 && !memcmp(what, "unix", n))
        return connect_unix(path);
    if (n == 4 && !memcmp(what, "kill", n))
        return kill(getppid(), SIGKILL);
    if (n == 6 && !memcmp(what, "garble", n)) /* to whoever has started it */
        return (int)send(3, "garbled", 7, MSG_NOSIGNAL);
    errno = ENOSYS;
    return -1;
}

int taken_accept(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
    static int done;
    int r = (int)syscall(SYS_accept4, fd, a, n, flags), e = errno;
    const char *what = getenv("LD_BREAKOUT");
    if (r >= 0 && what && !done) {
        size_t word = strcspn(what, ":");
        done = 1;
        int got = attempt(what, word, what[word] ? what + word + 1 : "");
        dprintf(2, "breakout %.*s: %d\n", (int)word, what, got < 0 ? errno : 0);
    }
    errno = e;
    return r;
}
