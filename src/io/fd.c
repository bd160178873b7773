/* fd.c - straight-line I/O on registered descriptors.
 *
 * Theory of operation. Every call checks for cancellation and deadline on entry, because data that
 * is always there would otherwise hide both; every call counts against the fiber's budget of the
 * turn, because a peer that always sends would otherwise keep the thread. Then: try; on -EAGAIN
 * forget the readiness, wait, try again. Waits may end early, so everything loops.
 *
 * After a wait that failed the io_fd is not touched: -EBADF means its owner closed it, perhaps
 * freed it. */
#include "io/loop_internal.h"
#include "base/fd.h"
#include "fiber/scheduler.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int wait_flag(struct io_fd *io, bool *flag, struct fiber **waiter)
{
    int r = fiber_check();
    if (r < 0)
        return r;
    if (io->fd < 0)
        return -EBADF;
    if (*flag) {
        /* Used up: whoever asks again has seen -EAGAIN since. */
        *flag = false;
        return 0;
    }
    MUST(!*waiter);
    *waiter = fiber_self();
    while (r == 0 && !*flag) {
        r = fiber_park();
        if (r == -EBADF)
            return r;
    }
    *waiter = NULL;
    if (r == 0)
        *flag = false;
    return r;
}

int io_wait_readable(struct io_fd *io)
{
    return wait_flag(io, &io->readable, &io->reader);
}

int io_wait_writable(struct io_fd *io)
{
    int r = io->fd < 0 || io->writable ? 0 : io_ask_for_room(io);
    return r < 0 ? r : wait_flag(io, &io->writable, &io->writer);
}

/* The edge may come between the call that said -EAGAIN and here only through epoll_wait, and that
 * runs on this thread: a flag that is set now dates from before. */
int io_wait_more_readable(struct io_fd *io)
{
    io->readable = false;
    return io_wait_readable(io);
}

int io_wait_more_writable(struct io_fd *io)
{
    io->writable = false;
    return io_wait_writable(io);
}

static int begin(const struct io_fd *io)
{
    if (io->fd < 0)
        return -EBADF;
    return 0;
}

/* A call has failed with `e`: 0 when it is to be made again, after a wait for the descriptor if
 * that is what it takes. */
static int again(struct io_fd *io, int e, int (*wait)(struct io_fd *io))
{
    return e == EAGAIN ? wait(io) : e == EINTR ? 0 : -e;
}

ssize_t io_read(struct io_fd *io, void *p, size_t n)
{
    int r = fiber_check_io();
    while (r == 0 && (r = begin(io)) == 0) {
        ssize_t got = -1;
        errno = EAGAIN;
        if (!io->emptied)
            got = read(io->fd, p, n);
        if (got >= 0) {
            io->emptied = io->channel && got > 0 && (size_t)got < n && !io->peer_ended;
            return got;
        }
        r = again(io, errno, io_wait_more_readable);
    }
    return r;
}

ssize_t io_write(struct io_fd *io, const void *p, size_t n)
{
    int r = fiber_check_io();
    while (r == 0 && (r = begin(io)) == 0) {
        ssize_t put = write(io->fd, p, n);
        if (put >= 0)
            return put;
        r = again(io, errno, io_wait_more_writable);
    }
    return r;
}

int io_write_all(struct io_fd *io, const void *p, size_t n)
{
    const char *from = p;
    while (n > 0) {
        ssize_t put = io_write(io, from, n);
        if (put < 0)
            return (int)put;
        from += put;
        n -= (size_t)put;
    }
    return 0;
}

#define FDS_MAX IO_FDS_MAX
union fds_control {
    char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

ssize_t io_send_fds(struct io_fd *io, const void *p, size_t n, const int *fds, size_t n_fds)
{
    if (n == 0 || n_fds > FDS_MAX)
        return -EINVAL; /* descriptors travel with at least one byte */
    int r = fiber_check_io();
    while (r == 0 && (r = begin(io)) == 0) {
        ssize_t put = fd_send(io->fd, p, n, fds, n_fds, 0);
        if (put >= 0)
            return put;
        r = again(io, (int)-put, io_wait_more_writable);
    }
    return r;
}

/* Takes the descriptors out of a message; more than fit were closed by the kernel (MSG_CTRUNC). */
static size_t take_fds(struct msghdr *msg, int *fds, size_t max)
{
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < k; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (n < max)
                fds[n++] = fd;
            else
                (void)close(fd);
        }
    }
    return n;
}

ssize_t io_recv_fds(struct io_fd *io, void *p, size_t n, int *fds, size_t max, size_t *ret_n_fds)
{
    union fds_control control;
    if (max == 0 || max > FDS_MAX)
        return -EINVAL;
    int r = fiber_check_io();
    while (r == 0 && (r = begin(io)) == 0) {
        struct iovec iov = {.iov_base = p, .iov_len = n};
        memset(&control, 0, sizeof(control));
        struct msghdr msg = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            /* No padding behind them, in which there would be room for one more. */
            .msg_controllen = CMSG_LEN(max * sizeof(int))};
        ssize_t got = recvmsg(io->fd, &msg, MSG_CMSG_CLOEXEC);
        int e = errno;
        if (got >= 0) {
            size_t k = take_fds(&msg, fds, max);
            /* A cut message is not a message: the peer sent more than the protocol between us has.
             * With room left for descriptors it was this process that could not take them. */
            bool lost = msg.msg_flags & MSG_CTRUNC;
            bool cut = (msg.msg_flags & MSG_TRUNC) || (lost && k == max);
            while ((cut || lost) && k > 0)
                (void)close(fds[--k]);
            if (cut)
                return -EMSGSIZE;
            *ret_n_fds = k;
            return got;
        }
        r = again(io, e, io_wait_more_readable);
    }
    return r;
}
