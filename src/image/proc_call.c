/* proc_call.c - forking for a function, with as little as possible left in the child.
 *
 * Called on the main thread of a program that has no other. What the function reads may take the
 * child over, so the child gets nothing by accident: descriptors are closed but the ones meant, the
 * terminal is out of reach, and what the environment said (keys of other programs, often) is wiped
 * from its memory. Giving up rights is the function's own business. The child never outlives its
 * parent: the kernel kills it, and one whose parent was gone before that was asked for ends at
 * once. It has no children of its own unless the function makes some. */
#include "image/proc_call.h"
#include "base/err.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOTHING_RUN 125 /* the child could not even start */

static bool is_kept(int fd, const int *keep, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (keep[i] == fd)
            return true;
    return false;
}

static void wipe_environment(void)
{
    for (char **p = environ; p && *p; p++)
        explicit_bzero(*p, strlen(*p));
}

/* Handlers are code of ours for a process of ours. A sanitizer's report what it finds. */
static void forget_handlers(void)
{
    const struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int n = 1; n < NSIG; n++) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (n == SIGSEGV || n == SIGBUS || n == SIGFPE || n == SIGILL || n == SIGABRT)
            continue;
#endif
        (void)sigaction(n, &plain, NULL); /* SIGKILL and SIGSTOP have none */
    }
}

/* Closes everything from 3 on but what is kept. */
static int close_others(const int *keep, size_t n)
{
    int from = 3;
    for (;;) {
        int next = -1;
        for (size_t i = 0; i < n; i++)
            if (keep[i] >= from && (next < 0 || keep[i] < next))
                next = keep[i];
        if (next < 0)
            return close_range((unsigned)from, ~0u, 0);
        if (next > from && close_range((unsigned)from, (unsigned)next - 1, 0) < 0)
            return -1;
        from = next + 1;
    }
}

static int quiet_standard_streams(const int *keep, size_t n)
{
    int last = STDERR_FILENO;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    last = STDOUT_FILENO; /* reports go there */
#endif
    for (int fd = STDIN_FILENO; fd <= last; fd++) {
        if (is_kept(fd, keep, n))
            continue;
        (void)close(fd);
        if (open("/dev/null", O_RDWR | O_CLOEXEC) != fd) /* the lowest that is free */
            return -1;
    }
    return 0;
}

pid_t proc_call_start(int (*fn)(void *arg), void *arg, const int *keep, size_t n_keep,
                      struct err *e)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        int r = -errno;
        return err_set(e, r, "no process can be started: %s", err_text(r));
    }
    if (pid > 0)
        return pid;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
        close_others(keep, n_keep) < 0 || quiet_standard_streams(keep, n_keep) < 0)
        _exit(NOTHING_RUN);
    forget_handlers();
    wipe_environment();
    _exit(fn(arg));
}

int proc_call_end(pid_t pid, int grace_ms)
{
    int status = 0;
    AUTO_CLOSE int fd = grace_ms > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd >= 0)
        (void)poll(&p, 1, grace_ms);
    /* It is not reaped yet, so its number is nobody else's; one that has ended keeps its status. */
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}
