/* quotas.c - bombs of what the kernel has one count of, for the whole machine or for each of its
 * users (docs/internals/quotas.md). Outside, one more of the same shows whether there is some left:
 * each takes a first one at i = 0. */
#include "bombs.h"
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ul << 20)

long more_aio(unsigned long i)
{
    (void)i;
    unsigned long context = 0;
    return syscall(SYS_io_setup, 1024, &context);
}

long more_inotify(unsigned long i)
{
    (void)i;
    return inotify_init1(IN_CLOEXEC);
}

/* An instance takes each file once: so there are some thousand files, and an instance for each so
 * many watches. */
long more_watch(unsigned long i)
{
    enum { FILES = 4000 };
    static int fd;
    static char dir[64];
    char path[96];
    if (fact_number("outside") > 0)
        return inotify_add_watch(inotify_init1(IN_CLOEXEC), "/", IN_MODIFY);
    if (i == 0) {
        snprintf(dir, sizeof(dir), "/tmp/watched-%d", getpid());
        if (mkdir(dir, 0700) < 0)
            return -1;
        for (unsigned k = 0; k < FILES; k++) {
            snprintf(path, sizeof(path), "%s/%u", dir, k);
            int f = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            if (f < 0)
                return -1;
            close(f);
        }
    }
    if (i % FILES == 0 && (fd = inotify_init1(IN_CLOEXEC)) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/%lu", dir, i % FILES);
    return inotify_add_watch(fd, path, IN_MODIFY);
}

/* Half of the descriptors watch the other half. */
long more_epoll(unsigned long i)
{
    enum { FILES = 2000 };
    static int files[FILES], fd;
    if (i == 0)
        for (unsigned k = 0; k < FILES; k++)
            if ((files[k] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) < 0)
                return -1;
    if (i % FILES == 0 && (fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return -1;
    struct epoll_event e = {.events = EPOLLIN};
    return epoll_ctl(fd, EPOLL_CTL_ADD, files[i % FILES], &e);
}

/* Compiled by the kernel into the space that all such programs of the machine share. */
long more_socket_filter(unsigned long i)
{
    (void)i;
    static struct sock_filter code[4096];
    for (unsigned k = 0; k < 4095; k++)
        code[k] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, k);
    code[4095] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
    struct sock_fprog prog = {.len = 4096, .filter = code};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/* Both ends of a connection to oneself. `small`: with the smallest buffers there are. */
static int pair(int ret[2], bool small)
{
    static int listener = -1;
    static struct sockaddr_in to;
    socklen_t n = sizeof(to);
    int little = 1;
    if (listener < 0) {
        to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (listener < 0 ||
            (small && setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)) < 0) ||
            bind(listener, (struct sockaddr *)&to, n) < 0 || listen(listener, 16) < 0 ||
            getsockname(listener, (struct sockaddr *)&to, &n) < 0)
            return -1;
    }
    ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ret[0] < 0 ||
        (small && setsockopt(ret[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)) < 0) ||
        connect(ret[0], (struct sockaddr *)&to, sizeof(to)) < 0)
        return -1;
    ret[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    return ret[1];
}

/* A MiB more in buffers that nobody reads. */
long more_tcp(unsigned long i)
{
    (void)i;
    static int p[2], which;
    static bool open_pair;
    static char junk[1 << 16];
    for (size_t left = MIB; left > 0;) {
        if (!open_pair && pair(p, false) < 0)
            return -1;
        open_pair = true;
        ssize_t n = send(p[which], junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            left -= (size_t)n < left ? (size_t)n : left;
        } else if (errno != EAGAIN) {
            return -1;
        } else if (which++ == 1) { /* both ends are full */
            which = 0;
            open_pair = false;
        }
    }
    return 0;
}

/* A socket that is full of what it has sent itself. */
long more_udp(unsigned long i)
{
    (void)i;
    static char junk[32768];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(to);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&to, n) < 0 ||
        getsockname(fd, (struct sockaddr *)&to, &n) < 0)
        return -1;
    for (unsigned k = 0; k < 8; k++)
        if (sendto(fd, junk, sizeof(junk), 0, (struct sockaddr *)&to, n) < 0)
            return -1;
    return 0;
}

/* Closed, but what it had to say has not been taken: the kernel keeps it. */
long more_orphan(unsigned long i)
{
    (void)i;
    static char junk[1 << 16];
    int p[2];
    if (pair(p, true) < 0)
        return -1;
    while (send(p[0], junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    return close(p[0]);
}

/* A process with as many files as it may have; waits until it has them. */
long more_files(unsigned long i)
{
    (void)i;
    int p[2];
    char c;
    if (pipe2(p, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
            ;
        (void)!write(p[1], "", 1);
        for (;;)
            pause();
    }
    close(p[1]);
    bool had = pid > 0 && read(p[0], &c, 1) == 1;
    close(p[0]);
    if (pid > 0 && !had)
        errno = ENFILE;
    return had ? 0 : -1;
}

long more_timer(unsigned long i)
{
    (void)i;
    timer_t t;
    struct sigevent e = {.sigev_notify = SIGEV_NONE};
    return timer_create(CLOCK_MONOTONIC, &e, &t);
}

/* Two hundred descriptors on their way; nobody takes them. */
long more_passed(unsigned long i)
{
    enum { MANY = 200 };
    static int p[2] = {-1, -1};
    union {
        char bytes[CMSG_SPACE(MANY * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    char byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof(control.bytes)};
    if (i % 100 == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
        return -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(MANY * sizeof(int));
    for (unsigned k = 0; k < MANY; k++) {
        const int fd = 2;
        memcpy(CMSG_DATA(c) + k * sizeof(int), &fd, sizeof(fd));
    }
    return sendmsg(p[0], &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}
