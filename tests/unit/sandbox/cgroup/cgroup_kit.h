/* cgroup_kit - processes and control files for the tests of cgroups. */
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "sandbox/cgroup/cgroup.h"

/* In a child: the line number of the first check that failed is its exit status, told on stderr. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* Runs fn(arg) in a child of its own and gives its wait status. */
static inline int kit_child(int (*fn)(void *), void *arg)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(fn(arg));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Sends process `pid` through the doors of a group. */
static inline int kit_join(const struct cgroup_root *r, const struct cgroup *g, pid_t pid,
                           struct err *e)
{
    struct cgroup_entry d = CGROUP_ENTRY_NONE;
    char text[24];
    int n = snprintf(text, sizeof(text), "%d", (int)pid), res = cgroup_open_doors(r, g, &d, e);
    for (size_t i = 0; res >= 0 && i < CGROUP_KINDS; i++)
        if (d.fd[i] >= 0 && write(d.fd[i], text, (size_t)n) != n)
            res = -errno;
    cgroup_entry_done(&d);
    return res;
}

/* A process that does nothing until it is killed. */
static inline pid_t kit_sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

static inline void kit_kill(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

/* Like kit_child, but the child is in the group before fn runs. */
static inline int kit_child_in(const struct cgroup_root *r, const struct cgroup *g,
                               int (*fn)(void *), void *arg)
{
    int go[2];
    if (pipe2(go, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(go[1]);
        _exit(read(go[0], &c, 1) == 1 ? fn(arg) : 99);
    }
    close(go[0]);
    struct err e;
    int r2 = kit_join(r, g, pid, &e);
    if (r2 < 0)
        fprintf(stderr, "%s\n", e.msg);
    else if (write(go[1], "g", 1) != 1)
        r2 = -1;
    close(go[1]);
    int status = -1;
    return waitpid(pid, &status, 0) == pid && r2 == 0 ? status : -1;
}

/* The first line of a file below a directory, "" when there is none. */
static inline const char *kit_read(int dir, const char *path)
{
    static char text[512];
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

/* All of a file, as long as it is a text of /proc. */
static inline char *kit_text(const char *path)
{
    static const size_t cap = 1 << 20;
    char *text = mem_zalloc(cap);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (ssize_t n, len = 0; (n = read(fd, text + len, cap - 1 - (size_t)len)) > 0;)
        len += n;
    close(fd);
    return text;
}

static inline int kit_write(int dir, const char *path, const char *text)
{
    int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    if (fd >= 0)
        close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* Touches `*(size_t *)arg` bytes of fresh memory. */
static inline int kit_hog(void *arg)
{
    size_t n = *(size_t *)arg;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 98;
    for (size_t i = 0; i < n; i += 4096)
        p[i] = 1;
    return 0;
}
