/* io - everything that touches descriptors: the epoll loop (loop), byte streams (stream), sockets
 * (sock), TLS (tls), the blocking-call thread pool (pool), signals (signal), child processes (proc)
 * and directories to be made (dirs).
 *
 * One loop per thread. Descriptors are registered once, edge-triggered, with a generation tag, and
 * removed from epoll before they are closed. */
#pragma once

#include "base/base.h"
#include "fiber/sync.h"

/* Prepares the calling thread's loop. Returns 0 or -errno. Once per thread. */
int loop_init(void) WARN_UNUSED;
/* Runs fn(arg) as the root fiber and the loop until it has returned and no fiber is left. Returns
 * fn's result. */
int loop_run(fiber_fn *fn, void *arg);
void loop_done(void);

/* A registered descriptor. Embeds in its owner; at most one waiting fiber per direction. The loop
 * holds its address: use io_fd_move, not assignment, to put it elsewhere. */
struct io_fd {
    int fd;                    /* -1 when closed */
    uint32_t slot, generation; /* the epoll tag */
    bool readable, writable, hangup;
    bool peer_ended; /* EPOLLRDHUP was seen: reading will come to an end, without another event */
    bool drained;    /* a read took all there was: nothing comes without another event */
    bool emptied;    /* the same of the socket alone, below a TLS session that may hold more */
    bool channel;    /* of io_fd_add_channel */
    bool out_asked;  /* epoll tells of room to write */
    struct fiber *reader, *writer;
};
#define IO_FD_NONE ((struct io_fd){.fd = -1})

/* Takes over `fd` (made non-blocking). 0 or -errno; on failure the caller still owns fd. */
int io_fd_add(struct io_fd *io, int fd) WARN_UNUSED;
/* The same for a Unix stream socket between processes of ours on which nothing but bytes travels:
 * half the system calls. Room to write is no event until somebody waits for it (it would be one
 * whenever the other process reads), and io_read takes a short read for the last one. */
int io_fd_add_channel(struct io_fd *io, int fd) WARN_UNUSED;
/* Removes from epoll, closes, wakes waiters with -EBADF. Harmless on IO_FD_NONE. */
void io_fd_close(struct io_fd *io);
/* Removes from epoll without closing and hands the descriptor back. */
int io_fd_release(struct io_fd *io);
/* Moves a registration that no fiber waits on; leaves IO_FD_NONE behind. */
void io_fd_move(struct io_fd *to, struct io_fd *from);
void io_fd_done(struct io_fd *io); /* io_fd_close, for AUTO(io_fd) */
/* Suspend until the direction may make progress (edge-triggered: call after -EAGAIN, the helpers
 * below do). 0, -ECANCELED, -ETIMEDOUT, -EBADF. */
int io_wait_readable(struct io_fd *io) WARN_UNUSED;
int io_wait_writable(struct io_fd *io) WARN_UNUSED;

/* Straight-line I/O. Suspend. Cancellation points on entry; a fiber that never has to wait yields
 * after a budget of operations. Return bytes (> 0), 0 at end of file, or a negative code. */
ssize_t io_read(struct io_fd *io, void *p, size_t n) WARN_UNUSED;
ssize_t io_write(struct io_fd *io, const void *p, size_t n) WARN_UNUSED; /* may be short */
int io_write_all(struct io_fd *io, const void *p, size_t n) WARN_UNUSED;
/* sendmsg/recvmsg with at most IO_FDS_MAX descriptors; a message that brings more than `max` (1 to
 * IO_FDS_MAX) is -EMSGSIZE. Received descriptors are CLOEXEC and the caller's; their number goes to
 * *ret_n_fds: all that came with the message, or none when this process has no room for all of them
 * (ulimit -n). */
#define IO_FDS_MAX 132 /* the doors of a sandbox, and what comes with them; the kernel's is 253 */
ssize_t io_send_fds(struct io_fd *io, const void *p, size_t n, const int *fds, size_t n_fds)
    WARN_UNUSED;
ssize_t io_recv_fds(struct io_fd *io, void *p, size_t n, int *fds, size_t max, size_t *ret_n_fds)
    WARN_UNUSED;

/* Wakes the loop from another thread: fn(arg) runs on the loop's thread, outside any fiber.
 * Thread-safe; `loop` from loop_self(). */
struct loop;
struct loop *loop_self(void);
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);
