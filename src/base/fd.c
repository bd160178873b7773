/* fd.c - writing to the end, and sending descriptors.
 *
 * Called from every room, in processes with and without fibers: by what writes a file that is not
 * waited for, and by children that talk through a pipe. A signal in between is no failure; a call
 * that takes nothing is one, so that no loop here can spin. */
#include "base/fd.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int fd_write_all(int fd, const void *p, size_t n)
{
    for (const char *from = p; n > 0;) {
        ssize_t k = write(fd, from, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -ENOSPC;
        from += k;
        n -= (size_t)k;
    }
    return 0;
}

int fd_pwrite_all(int fd, const void *p, size_t n, int64_t offset)
{
    for (const char *from = p; n > 0;) {
        ssize_t k = pwrite(fd, from, n, offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -ENOSPC;
        from += k;
        offset += k;
        n -= (size_t)k;
    }
    return 0;
}

ssize_t fd_send(int fd, const void *p, size_t n, const int *fds, size_t n_fds, int flags)
{
    MUST(n_fds <= FD_SEND_MAX);
    union {
        char bytes[CMSG_SPACE(FD_SEND_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    /* sendmsg only reads what iov_base points at. */
    struct iovec iov = {.iov_len = n};
    memcpy(&iov.iov_base, &p, sizeof(p));
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > 0) {
        memset(&control, 0, CMSG_SPACE(n_fds * sizeof(int)));
        mh.msg_control = control.bytes;
        mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    ssize_t put = sendmsg(fd, &mh, flags | MSG_NOSIGNAL);
    return put < 0 ? -errno : put;
}
