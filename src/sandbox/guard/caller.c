/* caller.c - looking into a program that waits for the guard.
 *
 * On a thread of the guard (guard.c). The program is stopped in its call, but its other threads are
 * not, and it can be killed: what is read here may be that of a later process with the same number.
 * The guard asks the kernel afterwards whether the call still waits. It does not matter for safety:
 * what is used is the copy that was looked at, and every process in here may do the same.
 *
 * All callers share init's root, ids and Landlock rules, so a path means to us what it means to
 * them, but for the working directory and the links of /proc that name "self". Those are turned
 * into the caller's where they stand at the beginning; behind a link they are init's, where nothing
 * is to be found that programs could not open. */
#include "sandbox/guard/caller.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/str.h"

#define THREAD O_EXCL /* PIDFD_THREAD, from Linux 6.9 on */

/* -1 in *ret_fd when there is none. */
static int open_process(pid_t tid)
{
    int fd = pidfd_open(tid, 0);
    if (fd < 0) /* it does not lead its process */
        fd = pidfd_open(tid, THREAD);
    if (fd >= 0)
        return fd;
    int64_t leader = caller_status(tid, "Tgid:", 10);
    fd = leader > 0 ? pidfd_open((pid_t)leader, 0) : -1;
    return fd < 0 ? -ESRCH : fd;
}

int caller_copy(pid_t tid, int fd)
{
    AUTO_CLOSE int process = open_process(tid);
    if (process < 0)
        return process;
    int copy = pidfd_getfd(process, fd, 0);
    return copy < 0 ? -errno : copy;
}

int caller_read(pid_t tid, uint64_t at, void *ret, size_t n)
{
    struct iovec here = {.iov_base = ret, .iov_len = n},
                 there = {.iov_base = (void *)(uintptr_t)at, .iov_len = n};
    ssize_t got = n ? process_vm_readv(tid, &here, 1, &there, 1, 0) : 0;
    return got == (ssize_t)n ? 0 : got < 0 && (errno == EPERM || errno == ESRCH) ? -errno : -EFAULT;
}

/* What follows `prefix` in `path`, when it is all of the first names there; NULL. */
static const char *behind(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(path, prefix, n) == 0 && (path[n] == '/' || path[n] == '\0') ? path + n : NULL;
}

int caller_open(pid_t tid, const char *path)
{
    static const struct {
        const char *ours, *theirs;
    } self[] = {{"/proc/self", ""}, {"/proc/thread-self", ""}, {"/dev/fd", "/fd"}};
    char turned[256];
    const char *rest = NULL;
    for (size_t i = 0; i < ARRAY_LEN(self) && !rest; i++) {
        rest = behind(path, self[i].ours);
        if (rest && snprintf(turned, sizeof(turned), "/proc/%d%s%s", (int)tid, self[i].theirs,
                             rest) >= (int)sizeof(turned))
            return -ENAMETOOLONG;
    }
    AUTO_CLOSE int cwd = -1;
    if (path[0] != '/') {
        char name[32];
        snprintf(name, sizeof(name), "/proc/%d/cwd", (int)tid);
        cwd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (cwd < 0)
            return -errno;
    }
    int fd = openat(cwd, rest ? turned : path, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The text of its /proc/TID/status. */
static int read_status(pid_t tid, char *ret, size_t cap)
{
    char name[32];
    snprintf(name, sizeof(name), "/proc/%d/status", (int)tid);
    AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, cap - 1);
    if (n <= 0)
        return n < 0 ? -errno : -EIO;
    ret[n] = '\0';
    return 0;
}

static unsigned digit(char c)
{
    return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                  : UINT_MAX;
}

/* The number behind `key` at the beginning of a line; 0 when there is none. */
static uint64_t number(const char *text, const char *key, unsigned base)
{
    const char *at = strstr(text, key);
    if (!at || (at != text && at[-1] != '\n'))
        return 0;
    at += strlen(key);
    while (*at == '\t' || *at == ' ')
        at++;
    uint64_t n = 0;
    for (unsigned d; (d = digit(*at)) < base; at++)
        n = n * base + d;
    return n;
}

int64_t caller_status(pid_t tid, const char *key, unsigned base)
{
    char text[3500];
    int r = read_status(tid, text, sizeof(text));
    return r < 0 ? r : (int64_t)number(text, key, base);
}

int caller_interrupted(pid_t tid)
{
    char text[3500];
    int r = read_status(tid, text, sizeof(text));
    if (r < 0)
        return r;
    const uint64_t open = ~number(text, "SigBlk:", 16);
    if (number(text, "SigPnd:", 16) & open)
        return 1;
    if (!(number(text, "ShdPnd:", 16) & open))
        return 0;
    /* A signal for the process goes to its first thread, unless that blocks it. */
    return number(text, "Tgid:", 10) == (uint64_t)tid ? 1 : 2;
}
