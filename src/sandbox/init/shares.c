/* shares.c - asking the kernel whether something is used up, and who has it.
 *
 * Called by init with each look at usage. Some counts belong to a uid, whatever namespace it is in
 * (docs/internals/quotas.md): an ordinary user's sandbox takes them from that user's editor and
 * shell. There is no file that tells them, but init has the same uid outside, so it asks for one
 * more of each: a watch, a pipe of the usual size, a descriptor on its way. That takes a few
 * microseconds, and init's is given back at once.
 *
 * When it gets none, programs of this sandbox may not be the reason. So their descriptors are
 * looked through, and only who holds a good part is to be ended. A process that does not let init
 * look (not dumpable) counts as one that does, where it takes many files only with many open. */
#include "sandbox/init/shares.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define PIPE_BYTES 65536 /* of a new pipe, when its user has not too many */
#define PASSED_MOST                                                                                \
    512 /* half of the usual soft limit of open files, which is the kernel's bound */

/* A good part. */
#define PIPES_PART   256
#define WATCHES_PART 10000
#define HIDDEN_PART  64 /* files of a process that init may not look into */

bool shares_one_id(const char *uid_map)
{
    const char *p = uid_map;
    uint64_t count = 0;
    for (int word = 0; word < 3; word++) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " \n");
        if (str_to_u64(p, n, UINT32_MAX, &count) < 0)
            return false;
        p += n;
    }
    return count == 1 && p[strspn(p, "\n")] == '\0';
}

/* ---- one more of each ---- */

static bool watches_left(void)
{
    AUTO_CLOSE int epoll = epoll_create1(EPOLL_CLOEXEC);
    AUTO_CLOSE int other = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    return epoll < 0 || other < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, other, &e) == 0 ||
           errno != ENOSPC;
}

static bool pipe_buffers_left(void)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return true;
    int size = fcntl(p[0], F_GETPIPE_SZ);
    close(p[0]);
    close(p[1]);
    return size < 0 || size >= PIPE_BYTES;
}

static bool send_one(int to)
{
    return fd_send(to, "", 1, &to, 1, MSG_DONTWAIT) != -ETOOMANYREFS;
}

/* The kernel compares the user's count with the sender's soft limit of open files. */
static bool passing_left(void)
{
    int p[2];
    struct rlimit was;
    if (getrlimit(RLIMIT_NOFILE, &was) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
        return true;
    const struct rlimit less = {.rlim_cur = PASSED_MOST, .rlim_max = was.rlim_max};
    bool left = true;
    if (was.rlim_cur > PASSED_MOST && setrlimit(RLIMIT_NOFILE, &less) == 0) {
        left = send_one(p[0]);
        (void)setrlimit(RLIMIT_NOFILE, &was);
    }
    close(p[0]);
    close(p[1]);
    return left;
}

/* ---- who has it ---- */

struct held {
    uint64_t watches, pipes, passed;
    uint64_t unseen, hidden; /* processes that init may not look into; and those with many files */
};

/* Adds up what /proc/PID/fdinfo/FD tells: a line "tfd:" for each watch, or "scm_fds: N". */
static void add_info(int process, const char *fd, struct held *h)
{
    char path[272], line[256];
    snprintf(path, sizeof(path), "fdinfo/%s", fd);
    AUTO_CLOSE int info = openat(process, path, O_RDONLY | O_CLOEXEC);
    FILE *f = info < 0 ? NULL : fdopen(info, "r");
    if (!f)
        return;
    info = -1; /* fclose's now */
    while (fgets(line, sizeof(line), f)) {
        uint64_t n;
        h->watches += str_starts(line, "tfd:");
        if (str_starts(line, "scm_fds: ") &&
            str_to_u64(line + 9, strcspn(line + 9, "\n"), UINT32_MAX, &n) == 0)
            h->passed += n;
    }
    fclose(f);
}

static void add_process(int process, struct held *h)
{
    struct stat st;
    int dir = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = dir < 0 ? NULL : fdopendir(dir);
    if (!d) {
        if (dir >= 0)
            close(dir);
        h->unseen++;
        h->hidden += fstatat(process, "fd", &st, 0) == 0 && st.st_size >= HIDDEN_PART;
        return;
    }
    uint64_t unseen = 0;
    for (const struct dirent *de; (de = readdir(d));) {
        char what[64];
        ssize_t n = readlinkat(dir, de->d_name, what, sizeof(what) - 1);
        unseen += n < 0 && errno == EACCES;
        if (n <= 0)
            continue;
        what[n] = '\0';
        h->pipes += str_starts(what, "pipe:");
        if (str_eq(what, "anon_inode:[eventpoll]") || str_starts(what, "socket:"))
            add_info(process, de->d_name, h);
    }
    closedir(d);
    h->unseen += unseen > 0;
    h->hidden += unseen >= HIDDEN_PART;
}

static void look_for_holders(struct held *ret)
{
    DIR *d = opendir("/proc");
    *ret = (struct held){.watches = 0};
    for (const struct dirent *de; d && (de = readdir(d));) {
        uint64_t pid;
        if (str_to_u64(de->d_name, strlen(de->d_name), INT32_MAX, &pid) < 0 ||
            (pid_t)pid == getpid())
            continue;
        AUTO_CLOSE int process = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (process >= 0)
            add_process(process, ret);
    }
    if (d)
        closedir(d);
}

const char *shares_used_up(void)
{
    const bool watches = !watches_left(), pipes = !pipe_buffers_left(), passed = !passing_left();
    if (!watches && !pipes && !passed)
        return NULL;
    struct held h;
    look_for_holders(&h);
    if (watches && (h.hidden || h.watches > WATCHES_PART))
        return "epoll watches";
    if (pipes && (h.hidden || h.pipes > PIPES_PART))
        return "pipe buffers";
    /* What is on its way for good lies in a queue that somebody holds. */
    if (passed && (h.unseen || h.passed))
        return "descriptors on their way through sockets";
    return NULL;
}
