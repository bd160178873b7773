/* pair - two ends of one TCP connection over the loopback, for tests. */
#pragma once

#include "io/sock.h"
#include "unit/unit.h"

#include <sys/socket.h>
#include <unistd.h>

/* On a fiber. `buffer` bytes for each of the four socket buffers; 0 leaves them to the kernel. */
static inline void tcp_pair(struct io_fd *a, struct io_fd *b, int buffer)
{
    char addr[SOCK_ADDR_MAX];
    struct io_fd listener;
    int fd = sock_listen("127.0.0.1:0", 8, addr, NULL);
    assert_true(fd >= 0);
    if (buffer) /* before the connection: the window is agreed on then */
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)), 0);
    assert_int_equal(io_fd_add(&listener, fd), 0);
    assert_int_equal(sock_connect(addr, a, NULL), 0);
    fd = sock_accept(&listener, NULL);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(b, fd), 0);
    io_fd_close(&listener);
    if (!buffer)
        return;
    (void)setsockopt(a->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    (void)setsockopt(a->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    (void)setsockopt(b->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
}

/* Closes it so that the peer sees a reset. */
static inline void reset_end(struct io_fd *io)
{
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(io->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    io_fd_close(io);
}
