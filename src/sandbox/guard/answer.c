/* answer.c - the rules for each kind of stopped call.
 *
 * connect(2) to a Unix socket by path: the path is opened as the program means it, the mount of
 * what it led to must be one of the sandbox's own or named by the operator (places.c), and the
 * connection is made to what is open, through /proc/thread-self/fd. Names that are not paths belong
 * to the network namespace, which is the sandbox's; they and the addresses of other families are
 * handed on as they came. The refusal is EACCES and not ECONNREFUSED: on the latter programs think
 * that a server has died, remove its socket and start another.
 *
 * bind(2): where it must be looked at, the directory is opened in the same way and the socket is
 * made in it by its last name. What the program then reads as its own address is that name alone.
 *
 * Locks: whoever holds one on a file makes others wait, and below a read-only bind those are
 * programs of the host that may write there. Nobody inside writes such a file, so a lock for
 * reading protects the reader alone. It is tried, on another opening of the file, and let go at
 * once: a reader still waits for a writer of the host and is told of one, and then has "success"
 * and holds nothing. Refusing it would keep SQLite, cargo and go from reading what is shown to
 * them. A lock for writing on what cannot be written is refused (ENOLCK). fcntl's own locks belong
 * to the program's descriptor table, where only the kernel can take them: elsewhere they go on
 * after the look, and a program that swaps the descriptor then delays a writer of the host.
 *
 * Datagram sockets of this family name their peers in sendmsg(2), too, where nobody can look; there
 * are none (syscalls.c). Connected kinds ignore or refuse such a name.
 *
 * A server sees init as its peer (SO_PEERCRED), with the right ids. A program that has locked
 * itself in further with Landlock finds that its own rules for connecting do not hold. */
#include "sandbox/guard/answer.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "sandbox/guard/caller.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

/* Copies socket and address. From here on nothing depends on what the program does. */
static int take_arguments(int listener, const struct seccomp_notif *n, struct waiter_job *job)
{
    const int len = (int)n->data.args[2];
    job->fd = caller_copy(job->tid, (int)n->data.args[0]);
    if (job->fd < 0)
        return job->fd;
    if (len < 0 || (size_t)len > sizeof(job->addr.room))
        return -EINVAL;
    job->addr_len = (socklen_t)len;
    int r = caller_read(job->tid, n->data.args[1], &job->addr.room, job->addr_len);
    uint64_t id = n->id;
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
        return -errno; /* it is gone, and this was perhaps another's */
    return r;
}

/* Copies the file alone. */
static int take_file(int listener, const struct seccomp_notif *n, struct waiter_job *job)
{
    uint64_t id = n->id;
    job->fd = caller_copy(job->tid, (int)n->data.args[0]);
    if (job->fd < 0)
        return job->fd;
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0 ? -errno : 0;
}

static int option(int fd, int name, int *ret)
{
    socklen_t n = sizeof(*ret);
    return getsockopt(fd, SOL_SOCKET, name, ret, &n) < 0 ? -errno : 0;
}

/* The path that the address names: 1 and the text, 0 when it names none. */
static int take_path(const struct waiter_job *job, char ret[sizeof(struct sockaddr_un)])
{
    int family;
    int r = option(job->fd, SO_DOMAIN, &family);
    if (r < 0)
        return r;
    const size_t n = job->addr_len;
    struct sockaddr_un un;
    if (family != AF_UNIX || n <= PATH_AT || n > sizeof(un))
        return 0;
    memcpy(&un, &job->addr.room, n);
    if (un.sun_family != AF_UNIX || !un.sun_path[0])
        return 0;
    memcpy(ret, un.sun_path, n - PATH_AT);
    ret[n - PATH_AT] = '\0';
    return 1;
}

static void set_path(struct waiter_job *job, const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    str_copy(un.sun_path, sizeof(un.sun_path), path);
    memcpy(&job->addr.room, &un, sizeof(un));
    job->addr_len = (socklen_t)(PATH_AT + strlen(un.sun_path) + 1);
}

/* What the socket says of O_NONBLOCK does not count: the program can change it between the look and
 * the call, and then we would wait here, with every other caller behind us. */
static bool may_wait(int fd)
{
    int type;
    return option(fd, SO_TYPE, &type) == 0 && (type == SOCK_STREAM || type == SOCK_SEQPACKET);
}

static int answer_connect(const struct answer_rules *rules, struct waiter_job *job)
{
    char path[sizeof(struct sockaddr_un)];
    int r = take_path(job, path);
    if (r < 0)
        return r;
    if (r > 0) {
        job->target = caller_open(job->tid, path);
        if (job->target < 0)
            return job->target;
        r = places_may_connect(&rules->places, job->target);
        if (r < 0)
            return r == -EACCES ? ANSWER_DENIED : r;
        snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", job->target);
        set_path(job, path);
    }
    return may_wait(job->fd) ? ANSWER_WAITS : waiter_job_call(job);
}

/* Makes the socket `name` in the directory, with the program's umask. */
static int bind_in(int dir, const char *name, struct waiter_job *job)
{
    int64_t mask = caller_status(job->tid, "Umask:", 8);
    if (mask < 0 || fchdir(dir) < 0)
        return mask < 0 ? (int)mask : -errno;
    set_path(job, name);
    umask((mode_t)mask);
    return bind(job->fd, &job->addr.any, job->addr_len) < 0 ? -errno : 0;
}

static int answer_bind(const struct answer_rules *rules, struct waiter_job *job)
{
    char path[sizeof(struct sockaddr_un)];
    int r = take_path(job, path);
    if (r <= 0)
        return r < 0 ? r : bind(job->fd, &job->addr.any, job->addr_len) < 0 ? -errno : 0;
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!name[0])
        return -ENOENT;
    char dir[sizeof(path)] = ".";
    if (slash)
        str_copy(dir, (size_t)(slash - path) + 2, path); /* with the slash: the root is one, too */
    AUTO_CLOSE int fd = caller_open(job->tid, dir);
    if (fd < 0)
        return fd;
    r = places_own(&rules->places, fd);
    return r < 0 ? r : r == 0 ? ANSWER_DENIED : bind_in(fd, name, job);
}

/* ---- locks ---- */

static bool is_lock(unsigned command)
{
    return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK ||
           command == F_OFD_SETLKW;
}

/* Whether a lock on it would make a program of the host wait that may write what we may only read. */
static int is_host_s(const struct answer_rules *rules, int fd)
{
    struct statvfs fs;
    int own = places_own(&rules->places, fd);
    if (own != 0)
        return own < 0 && own != -ENOTSUP ? own : own < 0;
    return fstatvfs(fd, &fs) < 0 ? -errno : (fs.f_flag & ST_RDONLY) != 0;
}

/* A lock for reading, for a moment: on another opening of the file, closed when it is had. */
static int try_lock(struct waiter_job *job, bool wait)
{
    char path[48];
    snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", job->fd);
    job->target = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (job->target < 0)
        return -errno;
    int swap = job->fd;
    job->fd = job->target;
    job->target = swap;
    return wait ? ANSWER_WAITS : waiter_job_call(job);
}

static int answer_flock(const struct answer_rules *rules, int listener,
                        const struct seccomp_notif *n, struct waiter_job *job)
{
    const int how = (int)n->data.args[1], kind = how & ~LOCK_NB;
    const bool wait = !(how & LOCK_NB);
    int r = take_file(listener, n, job);
    int theirs = r < 0 ? r : is_host_s(rules, job->fd);
    if (theirs < 0)
        return theirs;
    job->call = WAITER_FLOCK;
    job->arg = how;
    if (!theirs || kind == LOCK_UN || (kind != LOCK_SH && kind != LOCK_EX))
        return wait && kind != LOCK_UN ? ANSWER_WAITS : waiter_job_call(job);
    return kind == LOCK_EX ? -ENOLCK : try_lock(job, wait);
}

static int answer_fcntl(const struct answer_rules *rules, int listener,
                        const struct seccomp_notif *n, struct waiter_job *job)
{
    const int command = (int)n->data.args[1];
    int r = take_file(listener, n, job);
    int theirs = r < 0 ? r : is_host_s(rules, job->fd);
    if (theirs <= 0)
        return theirs < 0 ? theirs : ANSWER_GO_ON;
    r = caller_read(job->tid, n->data.args[2], &job->lock, sizeof(job->lock));
    if (r < 0 || job->lock.l_type == F_UNLCK)
        return r;
    if (job->lock.l_type != F_RDLCK)
        return job->lock.l_type == F_WRLCK ? -EBADF : -EINVAL;
    if (job->lock.l_whence == SEEK_CUR) { /* the other opening is elsewhere */
        job->lock.l_whence = SEEK_SET;
        job->lock.l_start += lseek(job->fd, 0, SEEK_CUR);
    }
    job->lock.l_pid = 0;
    job->call = WAITER_FCNTL;
    const bool wait = command == F_SETLKW || command == F_OFD_SETLKW;
    job->arg = wait ? F_OFD_SETLKW : F_OFD_SETLK;
    return try_lock(job, wait);
}

int answer_call(const struct answer_rules *rules, int listener, const struct seccomp_notif *n,
                struct waiter_job *job)
{
    const int nr = n->data.nr;
    if (nr == SYS_sendto || (nr == SYS_bind && !rules->binds_too))
        return ANSWER_GO_ON; /* the kernel and Landlock decide, whatever the arguments become */
    if (nr == SYS_flock)
        return answer_flock(rules, listener, n, job);
    if (nr == SYS_fcntl && is_lock((unsigned)n->data.args[1]))
        return answer_fcntl(rules, listener, n, job);
    if (nr != SYS_connect && nr != SYS_bind)
        return ANSWER_NO;
    int r = take_arguments(listener, n, job);
    if (r < 0)
        return r;
    job->call = WAITER_CONNECT;
    return nr == SYS_connect ? answer_connect(rules, job) : answer_bind(rules, job);
}
