/* stream.c - byte streams: the waiting around the implementations, and the plain one.
 *
 * Theory of operation. An implementation makes one attempt and says in `want` which direction it
 * needs before the next. Loops, waits and checks for cancellation are only here; a TLS read
 * that has to write first is nothing special. One fiber reads and one writes; a TLS stream whose
 * reader wants to write while the writer waits too would put two fibers on one direction, so a
 * fiber that finds the place taken waits for its turn in short steps (see wait_for).
 *
 * A stream without a descriptor (a stream of HTTP/2, or TLS on one) brings a wait of its own. It has
 * nothing that must be forgotten between an attempt and a wait: `wait` looks whether an attempt would
 * get on. */
#include "io/stream.h"
#include "fiber/scheduler.h"
#include "io/loop_internal.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_AFTER_MS 1000 /* a request follows another one sooner, or much later */

/* ---- plain descriptors ---- */

static ssize_t plain_read(struct stream *s, void *p, size_t n)
{
    for (;;) {
        ssize_t got = read(s->io.fd, p, n);
        if (got >= 0) {
            /* Less than there was room for: it is empty (epoll(7)). Unless the end is next, which
             * may have come in the same event. */
            s->io.drained = got > 0 && (size_t)got < n && !s->io.peer_ended;
            return got;
        }
        int e = errno;
        if (e == EAGAIN)
            s->want = EPOLLIN;
        if (e != EINTR)
            return -e;
    }
}

static ssize_t plain_write(struct stream *s, const void *p, size_t n)
{
    for (;;) {
        ssize_t put = write(s->io.fd, p, n);
        if (put >= 0)
            return put;
        int e = errno;
        if (e == EAGAIN)
            s->want = EPOLLOUT;
        if (e != EINTR)
            return -e;
    }
}

static int plain_finish(struct stream *s)
{
    if (shutdown(s->io.fd, SHUT_WR) == 0)
        return 0;
    int e = errno;
    /* A pipe ends when it is closed; a connection that is gone has ended already. */
    return e == ENOTSOCK || e == ENOTCONN ? 0 : -e;
}

static const struct stream_ops plain_ops = {
    .read = plain_read, .write = plain_write, .finish = plain_finish};

int stream_from_fd(struct stream *s, int fd)
{
    struct stream fresh = {.ops = &plain_ops, .io = IO_FD_NONE};
    *s = fresh;
    return io_fd_add(&s->io, fd);
}

bool stream_is_plain(const struct stream *s)
{
    return s->ops == &plain_ops;
}

/* ---- common ---- */

void stream_done(struct stream *s)
{
    if (!s->ops)
        return;
    if (s->ops->done)
        s->ops->done(s);
    io_fd_close(&s->io);
    s->ops = NULL;
    s->impl = NULL;
}

void stream_move(struct stream *to, struct stream *from)
{
    to->ops = TAKE(from->ops);
    to->impl = TAKE(from->impl);
    to->want = from->want;
    to->idle = from->idle;
    to->reset = false;
    io_fd_move(&to->io, &from->io);
}

static bool is_closed(const struct stream *s)
{
    return !s->ops || (s->io.fd < 0 && !s->ops->wait);
}

bool stream_gone(const struct stream *s)
{
    return s->io.peer_ended || s->io.hangup || (s->ops && s->ops->gone && s->ops->gone(s));
}

static int wait_for(struct stream *s, uint32_t want)
{
    if (s->ops->wait)
        return s->ops->wait(s, want);
    struct io_fd *io = &s->io;
    struct fiber *other = want == EPOLLOUT ? io->writer : io->reader;
    if (other) {
        /* The other half of the stream waits in this direction already and will make the progress
         * (a TLS record is finished by whoever calls next). Look again soon. */
        return fiber_sleep_ms(1);
    }
    return want == EPOLLOUT ? io_wait_more_writable(io) : io_wait_more_readable(io);
}

/* As wait_for, but an implementation gets one more attempt before a long wait, with s->idle set. The
 * deadline in front of the fiber's own costs next to nothing: see fiber/timer.c. */
static int wait_to_read(struct stream *s, uint32_t want)
{
    if (stream_is_plain(s))
        return wait_for(s, want);
    if (s->idle) {
        fiber_trim_stack(); /* a handshake goes 50 KiB deep */
        return wait_for(s, want);
    }
    struct fiber_deadline d = fiber_deadline_push_ms(IDLE_AFTER_MS);
    int r = wait_for(s, want);
    fiber_deadline_pop(&d);
    if (r != -ETIMEDOUT)
        return r;
    r = fiber_check(); /* the fiber's own deadline, perhaps */
    if (r < 0)
        return r;
    s->idle = true;
    s->io.drained = false; /* so that there is one more attempt */
    return 0;
}

ssize_t stream_read(struct stream *s, void *p, size_t n)
{
    int r = fiber_check_io();
    while (r == 0) {
        if (is_closed(s))
            return -EBADF;
        bool nothing = s->io.drained && stream_is_plain(s); /* seen by the read before */
        ssize_t got = -EAGAIN;
        if (!nothing)
            got = s->ops->read(s, p, n);
        if (got != -EAGAIN)
            return got;
        r = wait_to_read(s, nothing ? EPOLLIN : s->want);
    }
    return r;
}

int stream_write(struct stream *s, const void *p, size_t n)
{
    const char *from = p;
    while (n > 0) {
        int r = fiber_check_io();
        if (r < 0)
            return r;
        if (is_closed(s))
            return -EBADF;
        ssize_t put = s->ops->write(s, from, n);
        if (put >= 0) {
            from += put;
            n -= (size_t)put;
            continue;
        }
        if (put != -EAGAIN)
            return (int)put;
        r = wait_for(s, s->want);
        if (r < 0)
            return r;
    }
    return 0;
}

ssize_t stream_try_read(struct stream *s, void *p, size_t n)
{
    if (is_closed(s))
        return -EBADF;
    if (s->io.drained) {
        s->want = EPOLLIN;
        return -EAGAIN;
    }
    ssize_t got = s->ops->read(s, p, n);
    if (got == -EAGAIN && s->want == EPOLLIN && s->io.fd >= 0) {
        s->io.readable = false; /* used up: whoever waits, waits for what comes from here on */
        s->io.drained = true;
    }
    return got;
}

ssize_t stream_try_write(struct stream *s, const void *p, size_t n)
{
    return is_closed(s) ? -EBADF : s->ops->write(s, p, n);
}

int stream_wait(struct stream *s, uint32_t want)
{
    struct io_fd *io = &s->io;
    if (is_closed(s))
        return -EBADF;
    if (s->ops->wait)
        return want == EPOLLOUT ? s->ops->wait(s, want) : wait_to_read(s, want);
    if (want == EPOLLIN && !io->drained)
        return 0; /* something has come since */
    if (want == EPOLLOUT ? io->writer != NULL : io->reader != NULL)
        return fiber_sleep_ms(1); /* as in wait_for */
    return want == EPOLLOUT ? io_wait_writable(io) : wait_to_read(s, want);
}

int stream_finish(struct stream *s)
{
    int r = fiber_check_io();
    while (r == 0) {
        if (is_closed(s))
            return -EBADF;
        r = s->ops->finish(s);
        if (r != -EAGAIN)
            return r;
        r = wait_for(s, s->want);
    }
    return r;
}

void stream_reset(struct stream *s)
{
    if (s->ops && s->io.fd >= 0) {
        struct linger at_once = {.l_onoff = 1};
        /* Fails on what is no socket, which has no other way to say it. */
        (void)setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    s->reset = true;
    stream_done(s);
}
