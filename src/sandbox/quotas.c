/* quotas.c - shares of what an ordinary user of the machine has.
 *
 * As root every sandbox has host uids of its own, and its user namespace is made by one of them
 * (zygote.c): what it uses up is its own. An ordinary user's sandboxes are that user to the kernel,
 * beside its editor and its shell. Counts that follow user namespaces are bounded there: the
 * namespace of the zygote, in which all its sandboxes' lie, gets half of what the user has, and
 * each sandbox's own a quarter. Both are written before anything untrusted runs, by a process with
 * all capabilities in that namespace, into files of a procfs that only such a process may write. */
#include "sandbox/quotas.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "sandbox/mounts.h"

#define NUMBER_MAX INT32_MAX /* of the kernel: these are ints */

static const char *const files[QUOTAS] = {
    [QUOTA_INOTIFY_INSTANCES] = "sys/user/max_inotify_instances",
    [QUOTA_INOTIFY_WATCHES] = "sys/user/max_inotify_watches",
};

/* Processes and threads; bytes in POSIX queues; signals that wait, timers among them; bytes locked
 * in memory by System V segments. */
static const __rlimit_resource_t limits[QUOTA_LIMITS] = {RLIMIT_NPROC, RLIMIT_MSGQUEUE,
                                                         RLIMIT_SIGPENDING, RLIMIT_MEMLOCK};

static uint64_t read_number(int proc, const char *path)
{
    char text[32];
    uint64_t n = 0;
    AUTO_CLOSE int fd = mounts_open(proc, path, O_RDONLY);
    ssize_t k = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (k <= 0)
        return 0;
    text[k] = '\0';
    return str_to_u64(text, strcspn(text, "\n"), NUMBER_MAX, &n) == 0 ? n : 0;
}

void quotas_read(int proc, struct quotas *ret)
{
    for (size_t i = 0; i < QUOTAS; i++)
        ret->most[i] = read_number(proc, files[i]);
}

static int write_number(int proc, const char *path, uint64_t n)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    AUTO_CLOSE int fd = mounts_open(proc, path, O_WRONLY);
    if (fd < 0)
        return fd;
    int r = mounts_is_procfs(fd);
    if (r < 0)
        return r;
    return write(fd, text, (size_t)len) == len ? 0 : -errno;
}

int quotas_write(int proc, const struct quotas *q, unsigned part)
{
    int r = 0;
    for (size_t i = 0; i < QUOTAS; i++) {
        int k = q->most[i] ? write_number(proc, files[i], q->most[i] / part) : 0;
        r = r < 0 ? r : k;
    }
    return r;
}

int quotas_lower_limits(struct quotas_saved *ret)
{
    for (size_t i = 0; i < QUOTA_LIMITS; i++) {
        if (getrlimit(limits[i], &ret->was[i]) < 0)
            return -errno;
        struct rlimit less = ret->was[i];
        if (less.rlim_cur != RLIM_INFINITY)
            less.rlim_cur /= QUOTA_ZYGOTE;
        if (setrlimit(limits[i], &less) < 0)
            return -errno;
    }
    return 0;
}

int quotas_restore_limits(const struct quotas_saved *s)
{
    for (size_t i = 0; i < QUOTA_LIMITS; i++)
        if (setrlimit(limits[i], &s->was[i]) < 0)
            return -errno;
    return 0;
}
