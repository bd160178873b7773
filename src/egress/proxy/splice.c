/* splice.c - the relay of two sockets, both ways on one fiber.
 *
 * Called by the front for every connection that is passed through, on the connection's fiber. Each
 * direction is a `way`: it reads when its source may have something and its target takes it, and waits
 * otherwise. Readiness is the edge that epoll told last (io_fd.readable, writable), taken over into
 * the way and cleared by the call that disproves it; a read that gives less than it asked for disproves
 * it, too, unless an end of stream is known to be next (epoll(7)), which saves a call a message.
 *
 * Little is read into the thread's buffer and written at once; what the target does not take is kept
 * on the heap until it does. A read that fills the buffer turns the way to splice(2): then bytes stay
 * in the kernel, in a pipe that the way holds only while there are some in it. A way holds at most one
 * buffer or one pipe, so a slow reader stops a fast writer. Where pipes cannot be had (limits) or
 * splice(2) does not know the descriptor (EINVAL), it stays with the buffer.
 *
 * Both peers are strangers: the one inside may send, stop, and close in any order. A write that fails
 * ends its way and not the other one, because what the target had sent before it went away is still to
 * be read (an early answer to an upload); a read that fails ends both. */
#include "egress/proxy/splice.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"

#define BUFFER_BYTES   (64u << 10)
#define BULK_LEAVE     (16u << 10) /* less than this in one splice: little is moved again */
#define PUMPS_PER_TURN 16          /* of one way, before the other one and other fibers */
#define SETTLE_NS      NS_PER_S    /* without a byte: the stack is trimmed, once */
#define PIPE_BYTES     (256u << 10)
#define PIPES_KEPT     32

struct pipe_pair {
    int in, out; /* where bytes go in, where they come out */
    struct pipe_pair *next;
};

struct splice_pool {
    char *buffer;
    size_t pipe_bytes, pipes_kept, n_kept, n_open;
    struct pipe_pair *kept;
};

struct way {
    struct splice_pool *pool;
    struct io_fd *from, *to;
    bool can_read, can_write;
    bool bulk;    /* a read has filled the buffer */
    bool no_pipe; /* splice is of no use here */
    bool ended;   /* no more comes in */
    bool closed;  /* and `to` knows */
    int failed;   /* `to` takes no more: the code */
    char *rest;   /* of the buffer, that `to` has not taken */
    size_t rest_at, rest_n;
    struct pipe_pair *pipe;
    size_t held; /* bytes in the pipe */
    uint64_t *count;
};

/* ---- pipes ---- */

static void pipe_free(struct splice_pool *p, struct pipe_pair *x)
{
    (void)close(x->in);
    (void)close(x->out);
    free(x);
    p->n_open--;
}

static struct pipe_pair *pipe_take(struct splice_pool *p)
{
    struct pipe_pair *x = p->kept;
    if (x) {
        p->kept = x->next;
        p->n_kept--;
        return x;
    }
    int fd[2];
    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
        return NULL;
    /* Refused beyond fs.pipe-user-pages-soft: a smaller pipe does as well, more slowly. */
    (void)fcntl(fd[1], F_SETPIPE_SZ, (int)p->pipe_bytes);
    x = mem_new(struct pipe_pair);
    *x = (struct pipe_pair){.in = fd[1], .out = fd[0]};
    p->n_open++;
    return x;
}

/* Only an empty one goes to another connection. */
static void pipe_give(struct way *w)
{
    struct pipe_pair *x = TAKE(w->pipe);
    if (!x)
        return;
    if (w->held || w->pool->n_kept >= w->pool->pipes_kept) {
        pipe_free(w->pool, x);
        return;
    }
    x->next = w->pool->kept;
    w->pool->kept = x;
    w->pool->n_kept++;
}

struct splice_pool *splice_pool_new(const struct splice_options *o)
{
    struct splice_pool *p = mem_new(struct splice_pool);
    p->pipe_bytes = o && o->pipe_bytes ? o->pipe_bytes : PIPE_BYTES;
    p->pipes_kept = o && o->pipes_kept ? o->pipes_kept : PIPES_KEPT;
    p->buffer = mem_array(BUFFER_BYTES, 1);
    return p;
}

void splice_pool_free(struct splice_pool *p)
{
    if (!p)
        return;
    while (p->kept) {
        struct pipe_pair *x = p->kept;
        p->kept = x->next;
        pipe_free(p, x);
    }
    MUST(p->n_open == 0);
    free(p->buffer);
    free(p);
}

size_t splice_pool_pipes(const struct splice_pool *p)
{
    return p->n_open;
}

/* ---- one way ---- */

static void stop_writing(struct way *w, int code)
{
    w->failed = code;
    w->ended = w->closed = true;
    free(TAKE(w->rest));
    w->rest_n = 0;
    pipe_give(w); /* with what is in it */
    w->held = 0;
}

/* After a write has failed with `e`: 0 when it is to be tried later. */
static void write_failed(struct way *w, int e)
{
    if (e == EAGAIN)
        w->can_write = false;
    else if (e != EINTR)
        stop_writing(w, -e);
}

static void wrote(struct way *w, size_t n)
{
    *w->count += n;
}

static void flush_rest(struct way *w)
{
    ssize_t put = send(w->to->fd, w->rest + w->rest_at, w->rest_n, MSG_NOSIGNAL);
    if (put < 0) {
        write_failed(w, errno);
        return;
    }
    wrote(w, (size_t)put);
    w->rest_at += (size_t)put;
    w->rest_n -= (size_t)put;
    if (w->rest_n == 0)
        free(TAKE(w->rest));
}

static void flush_pipe(struct way *w)
{
    ssize_t put =
        splice(w->pipe->out, NULL, w->to->fd, NULL, w->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (put < 0) {
        write_failed(w, errno);
        return;
    }
    wrote(w, (size_t)put);
    w->held -= (size_t)put;
}

/* A read has said `got`, or failed with `e`: < 0 when that ends the connection. */
static int read_nothing(struct way *w, ssize_t got, int e)
{
    if (got == 0)
        w->ended = true;
    else if (e == EAGAIN)
        w->can_read = false;
    else if (e != EINTR)
        return -e;
    return 0;
}

static int copy_some(struct way *w)
{
    char *b = w->pool->buffer;
    ssize_t got = recv(w->from->fd, b, BUFFER_BYTES, 0);
    if (got <= 0)
        return read_nothing(w, got, errno);
    size_t n = (size_t)got;
    if (n == BUFFER_BYTES)
        w->bulk = !w->no_pipe;
    else
        w->can_read = w->from->peer_ended; /* empty, but perhaps for an end */
    ssize_t put = send(w->to->fd, b, n, MSG_NOSIGNAL);
    if (put < 0) {
        write_failed(w, errno);
        put = 0;
    }
    wrote(w, (size_t)put);
    if ((size_t)put < n && !w->failed) {
        w->rest_n = n - (size_t)put;
        w->rest_at = 0;
        w->rest = mem_array(w->rest_n, 1);
        memcpy(w->rest, b + put, w->rest_n);
    }
    return 0;
}

static int splice_some(struct way *w)
{
    if (!w->pipe && !(w->pipe = pipe_take(w->pool))) {
        w->bulk = false;
        return copy_some(w);
    }
    ssize_t got = splice(w->from->fd, NULL, w->pipe->in, NULL, w->pool->pipe_bytes,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    int e = errno;
    if (got < 0 && e == EINVAL) {
        w->no_pipe = true;
        w->bulk = false;
        return 0;
    }
    if (got <= 0)
        return read_nothing(w, got, e);
    w->held = (size_t)got;
    if (w->held < BULK_LEAVE)
        w->bulk = false;
    return 0;
}

/* Tells `to` that no more comes. */
static void close_way(struct way *w)
{
    if (shutdown(w->to->fd, SHUT_WR) < 0 && errno != ENOTCONN)
        w->failed = -errno;
    w->closed = true;
}

/* As much as may be moved now, at most one turn's worth. 1 when there may be more, 0 when it has to
 * wait, < 0 when the connection is over. */
static int pump(struct way *w)
{
    for (int i = 0; i < PUMPS_PER_TURN; i++) {
        int r = 0;
        if (w->closed)
            return 0;
        if (w->rest_n || w->held) {
            if (!w->can_write)
                return 0;
            if (w->rest_n)
                flush_rest(w);
            else
                flush_pipe(w);
        } else if (w->ended) {
            close_way(w);
        } else if (w->can_read && w->can_write) {
            r = w->bulk ? splice_some(w) : copy_some(w);
        } else {
            return 0;
        }
        if (!w->held)
            pipe_give(w);
        if (r < 0)
            return r;
    }
    return 1;
}

/* ---- both ---- */

static void take_edges(struct way *w)
{
    if (w->from->readable) {
        w->from->readable = false;
        w->can_read = true;
    }
    if (w->to->writable) {
        w->to->writable = false;
        w->can_write = true;
    }
}

/* Sleeps until something happens to a socket, or `until_ns`. -ETIMEDOUT when only the time has come. */
static int sleep_until(struct way *w, int64_t until_ns)
{
    struct io_fd *a = w[0].from, *b = w[0].to;
    struct fiber_deadline d = fiber_deadline_push(until_ns);
    a->reader = a->writer = b->reader = b->writer = fiber_self();
    int r = 0;
    if (!a->readable && !a->writable && !b->readable && !b->writable)
        r = fiber_park();
    if (r != -EBADF) /* closed by its owner, who must not: gone */
        a->reader = a->writer = b->reader = b->writer = NULL;
    fiber_deadline_pop(&d);
    return r;
}

struct quiet {
    int64_t since_ns; /* when the last byte was moved */
    bool settled;     /* the stack has been trimmed since */
};

/* Waits for the next edge. 0, or why it is over. */
static int wait_for_more(struct way *w, struct quiet *q, int64_t idle_timeout_ms)
{
    int64_t end = FIBER_NO_DEADLINE;
    if (idle_timeout_ms > 0)
        end = q->since_ns + idle_timeout_ms * NS_PER_MS;
    int64_t settle = q->settled ? FIBER_NO_DEADLINE : q->since_ns + SETTLE_NS;
    int r = sleep_until(w, settle < end ? settle : end);
    if (r != -ETIMEDOUT)
        return r;
    int64_t now = time_mono_ns();
    if (now >= end || now >= fiber_deadline_ns())
        return -ETIMEDOUT;
    if (!q->settled) {
        q->settled = true;
        fiber_trim_stack();
    }
    return 0;
}

static int relay(struct way *w, struct splice_flow *f)
{
    struct quiet q = {.since_ns = time_mono_ns()};
    for (;;) {
        uint64_t before = f->there + f->back;
        take_edges(&w[0]);
        take_edges(&w[1]);
        int there = pump(&w[0]);
        int back = there < 0 ? there : pump(&w[1]);
        f->a_ended = w[0].ended && !w[0].failed;
        f->b_ended = w[1].ended && !w[1].failed;
        if (there < 0 || back < 0)
            return there < 0 ? there : back;
        if (w[0].closed && w[1].closed)
            return w[0].failed ? w[0].failed : w[1].failed;
        if (f->there + f->back != before)
            q = (struct quiet){.since_ns = time_mono_ns()};
        int r = there || back ? fiber_yield() : wait_for_more(w, &q, f->idle_timeout_ms);
        if (r < 0)
            return r;
    }
}

static void reset_when_closed(const struct io_fd *io)
{
    struct linger now = {.l_onoff = 1};
    (void)setsockopt(io->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

int splice_run(struct splice_pool *p, struct io_fd *a, struct io_fd *b, struct splice_flow *f)
{
    f->there = f->back = 0;
    f->a_ended = f->b_ended = false;
    struct way w[2] = {
        {.pool = p, .from = a, .to = b, .can_read = true, .can_write = true, .count = &f->there},
        {.pool = p, .from = b, .to = a, .can_read = true, .can_write = true, .count = &f->back},
    };
    int r = relay(w, f);
    for (size_t i = 0; i < 2; i++) {
        free(w[i].rest);
        pipe_give(&w[i]);
    }
    if (r < 0 && r != -EBADF) {
        reset_when_closed(a);
        reset_when_closed(b);
    }
    return r;
}
