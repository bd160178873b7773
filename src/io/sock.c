/* sock.c - listeners and connections by address text.
 *
 * Theory of operation. Addresses are numeric ("127.0.0.1:80", "[::1]:80", "localhost:80" meaning
 * 127.0.0.1) or "unix:/path"; names are resolved elsewhere, because resolving blocks. Unix sockets
 * are made with mode 0600; one left behind by a dead process is replaced after a connect has shown
 * that no process listens, and only then.
 *
 * accept reports what exhausts us (EMFILE, ENFILE, ENOBUFS, ENOMEM) to its caller, who backs off;
 * the connection stays in the kernel's queue and the next call tries it first. What concerns only
 * the arriving connection (it was reset while it waited) is skipped. A peer controls nothing here
 * but how often it connects. */
#include "io/sock.h"
#include "base/err.h"
#include "base/str.h"
#include "fiber/scheduler.h"
#include "io/loop_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static int parse_unix(const char *path, union address *ret, socklen_t *ret_len, struct err *e)
{
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(ret->un.sun_path))
        return err_set(e, -EINVAL, "unix:%s: the path must have 1 to %zu bytes", path,
                       sizeof(ret->un.sun_path) - 1);
    *ret = (union address){.un.sun_family = AF_UNIX};
    memcpy(ret->un.sun_path, path, n + 1);
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 0;
}

static int parse(const char *text, union address *ret, socklen_t *ret_len, struct err *e)
{
    if (str_starts(text, "unix:"))
        return parse_unix(text + 5, ret, ret_len, e);
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || str_to_u64(colon + 1, strlen(colon + 1), 65535, &port) < 0)
        return err_set(e, -EINVAL,
                       "address \"%.100s\" must be HOST:PORT, [IPV6]:PORT or unix:/path", text);
    char host[64];
    size_t n = (size_t)(colon - text);
    bool v6 = n >= 2 && text[0] == '[' && colon[-1] == ']';
    if (v6) {
        text++;
        n -= 2;
    }
    if (n >= sizeof(host))
        return err_set(e, -EINVAL, "the host in address \"%.100s\" is too long", text);
    memcpy(host, text, n);
    host[n] = '\0';
    *ret = (union address){0};
    if (v6) {
        ret->in6.sin6_family = AF_INET6;
        ret->in6.sin6_port = htons((uint16_t)port);
        *ret_len = sizeof(ret->in6);
        if (inet_pton(AF_INET6, host, &ret->in6.sin6_addr) == 1)
            return 0;
    } else {
        ret->in.sin_family = AF_INET;
        ret->in.sin_port = htons((uint16_t)port);
        *ret_len = sizeof(ret->in);
        if (inet_pton(AF_INET, str_eq(host, "localhost") ? "127.0.0.1" : host, &ret->in.sin_addr) ==
            1)
            return 0;
    }
    return err_set(e, -EINVAL, "\"%s\" is not a numeric IP address", host);
}

static void format(const union address *a, socklen_t len, char ret[SOCK_ADDR_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    switch (a->any.sa_family) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
        (void)snprintf(ret, SOCK_ADDR_MAX, "%s:%u", host, ntohs(a->in.sin_port));
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
        (void)snprintf(ret, SOCK_ADDR_MAX, "[%s]:%u", host, ntohs(a->in6.sin6_port));
        break;
    case AF_UNIX:
        /* A client's end has no name. */
        (void)snprintf(ret, SOCK_ADDR_MAX, "unix:%.*s",
                       len > offsetof(struct sockaddr_un, sun_path) ? (int)sizeof(a->un.sun_path)
                                                                    : 0,
                       a->un.sun_path);
        break;
    default:
        (void)snprintf(ret, SOCK_ADDR_MAX, "?");
    }
}

/* ---- listening ---- */

/* Removes a socket nobody listens on. 0 when removed, else -EADDRINUSE. */
static int remove_stale(const union address *a, socklen_t len)
{
    struct stat st;
    if (lstat(a->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    AUTO_CLOSE int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return -EADDRINUSE;
    if (connect(probe, &a->any, len) == 0 || errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(a->un.sun_path) == 0 ? 0 : -EADDRINUSE;
}

static int do_bind(int fd, const union address *a, socklen_t len)
{
    if (bind(fd, &a->any, len) == 0)
        return 0;
    int r = -errno;
    if (r == -EADDRINUSE && a->any.sa_family == AF_UNIX && remove_stale(a, len) == 0)
        r = bind(fd, &a->any, len) == 0 ? 0 : -errno;
    return r;
}

int sock_listen(const char *addr, int backlog, char ret_addr[SOCK_ADDR_MAX], struct err *e)
{
    union address a;
    socklen_t len;
    int r = parse(addr, &a, &len, e);
    if (r < 0)
        return r;
    AUTO_CLOSE int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        r = -errno;
        return err_set(e, r, "cannot open a socket for %s: %s", addr, err_text(r));
    }
    if (a.any.sa_family == AF_UNIX) {
        /* bind gives the file the mode of the socket (less the umask): private from the first
         * moment. */
        if (fchmod(fd, 0600) < 0) {
            r = -errno;
            return err_set(e, r, "cannot make %s private: %s", addr, err_text(r));
        }
    } else {
        int one = 1;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (a.any.sa_family == AF_INET6)
            (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    r = do_bind(fd, &a, len);
    if (r == 0 && listen(fd, backlog) < 0)
        r = -errno;
    if (r == -EADDRINUSE)
        return err_set(e, r, "%s is in use; stop what listens there or choose another address",
                       addr);
    if (r == -EACCES)
        return err_set(e, r, "%s: permission denied; choose a port above 1023 or another path",
                       addr);
    if (r < 0)
        return err_set(e, r, "cannot listen on %s: %s", addr, err_text(r));
    len = sizeof(a);
    if (getsockname(fd, &a.any, &len) < 0) {
        r = -errno;
        return err_set(e, r, "cannot tell the address of %s: %s", addr, err_text(r));
    }
    format(&a, len, ret_addr);
    return TAKE_FD(fd);
}

/* ---- connections ---- */

static void tune(int fd, int family)
{
    int one = 1;
    if (family != AF_UNIX) /* whole messages are written at once; waiting for more only delays */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* The arriving connection's own trouble (accept(2), "Error handling"): the next one may be fine. */
static bool only_this_one(int e)
{
    switch (e) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* a firewall rule */
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

int sock_accept(struct io_fd *listener, char ret_peer[SOCK_ADDR_MAX])
{
    int r = fiber_check_io();
    while (r == 0) {
        if (listener->fd < 0)
            return -EBADF;
        union address a = {0};
        socklen_t len = sizeof(a);
        int fd = accept4(listener->fd, &a.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        int e = errno;
        if (fd >= 0) {
            tune(fd, a.any.sa_family);
            if (ret_peer)
                format(&a, len, ret_peer);
            return fd;
        }
        if (e == EAGAIN)
            r = io_wait_more_readable(listener);
        else if (only_this_one(e))
            r = fiber_check_io(); /* a flood of these must not keep the thread */
        else
            r = -e;
    }
    return r;
}

static int connected(struct io_fd *io)
{
    for (;;) {
        int e = 0;
        socklen_t n = sizeof(e);
        if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
            return -errno;
        if (e != 0)
            return -e;
        union address a;
        n = sizeof(a);
        if (getpeername(io->fd, &a.any, &n) == 0)
            return 0;
        int r = io_wait_more_writable(io);
        if (r < 0)
            return r;
    }
}

int sock_connect(const char *addr, struct io_fd *ret, struct err *e)
{
    union address a;
    socklen_t len;
    *ret = IO_FD_NONE;
    int r = parse(addr, &a, &len, e);
    if (r < 0)
        return r;
    r = fiber_check_io();
    if (r < 0)
        return err_set(e, r, "connecting to %s: %s", addr, err_text(r));
    AUTO_CLOSE int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        r = -errno;
        return err_set(e, r, "cannot open a socket for %s: %s", addr, err_text(r));
    }
    tune(fd, a.any.sa_family);
    /* A Unix listener whose queue is full says EAGAIN and raises no event when it has room. */
    while (connect(fd, &a.any, len) < 0) {
        r = -errno;
        if (r == -EINPROGRESS || r == -EINTR)
            break;
        if (r == -EAGAIN)
            r = fiber_sleep_ms(5);
        if (r < 0)
            return err_set(e, r, "cannot connect to %s: %s", addr, err_text(r));
    }
    r = io_fd_add(ret, fd);
    if (r < 0)
        return err_set(e, r, "cannot watch the connection to %s: %s", addr, err_text(r));
    (void)TAKE_FD(fd);
    r = connected(ret);
    if (r < 0) {
        if (r != -EBADF)
            io_fd_close(ret);
        return err_set(e, r, "cannot connect to %s: %s", addr, err_text(r));
    }
    return 0;
}

int sock_pair(int type, int ret[2])
{
    return socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret) == 0 ? 0 : -errno;
}
