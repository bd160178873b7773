/* h2_bytes.c - a stream of HTTP/2 as a stream of bytes (io/stream.h): what a tunnel carries.
 *
 * Called through the stream's operations, on the fibers of whoever has it, and by TLS that runs in it.
 * Operations never wait. A write lends its bytes to nghttp2 for as long as the call lasts: what the
 * windows and the connection's buffer have room for is in that buffer when it returns, the rest was
 * not taken. So a stream holds no bytes on their way out, however many wait for a peer that does not
 * read. To wait for room means to have nghttp2 ask again (`asks`): it does so once a frame could go out.
 * Those who wait are woken in turn, and each then takes what it gets; who gets nothing waits again.
 *
 * States are those of h2_stream.c: a head went each way, `finish` is our end, `ended` the peer's,
 * `error` the end of all. The peer controls what comes, up to the window, and when anything goes. */
#include "http/pipe/h2_conn.h"

#include <sys/epoll.h>

#include "base/err.h"

static const struct stream_ops bytes_ops;

void h2_stream_bytes(struct http_pipe *p, struct stream *ret)
{
    struct h2_stream *st = CONTAINER_OF(p, struct h2_stream, pipe);
    MUST(st->is_connect && st->head_sent && list_empty(&st->heads));
    st->bytes = true;
    *ret = (struct stream){.ops = &bytes_ops, .io = IO_FD_NONE, .impl = st};
}

/* Whether it may be tried elsewhere says nothing to who is in the middle; nor is a deadline of the
 * connection's one of the caller's. */
static int code_of(const struct h2_stream *st)
{
    return st->error == -E_CLOSED || st->error == -ETIMEDOUT ? -ECONNRESET : st->error;
}

static ssize_t bytes_read(struct stream *s, void *to, size_t room)
{
    struct h2_stream *st = s->impl;
    if (room > 0 && st->in.n > 0) {
        s->idle = false;
        return (ssize_t)h2_stream_take(st, to, room);
    }
    if (st->ended)
        return 0;
    s->want = EPOLLIN;
    return st->error ? code_of(st) : -EAGAIN;
}

static ssize_t bytes_write(struct stream *s, const void *p, size_t n)
{
    struct h2_stream *st = s->impl;
    if (st->error)
        return code_of(st);
    if (st->finish)
        return -EPIPE;
    if (n == 0)
        return 0;
    st->from = p;
    st->from_n = n;
    h2_stream_resume(st);
    size_t taken = n - st->from_n;
    st->from = NULL;
    st->from_n = 0;
    if (taken)
        return (ssize_t)taken;
    s->want = EPOLLOUT;
    return st->error ? code_of(st) : -EAGAIN;
}

static int bytes_finish(struct stream *s)
{
    struct h2_stream *st = s->impl;
    if (st->finish || st->error)
        return st->error ? code_of(st) : 0;
    st->finish = true; /* an empty frame needs no window */
    h2_stream_resume(st);
    return 0;
}

static void bytes_done(struct stream *s)
{
    struct h2_stream *st = s->impl;
    if (s->reset)
        http_reset(&st->pipe, HTTP_RESET_CANCEL);
    http_pipe_close(&st->pipe); /* wakes who waits with -EBADF */
}

static bool readable(const struct h2_stream *st)
{
    return st->in.n > 0 || st->ended || st->error;
}

static int wait_to_write(struct h2_stream *st)
{
    if (st->error || st->finish)
        return 0;
    st->asks = true;
    h2_stream_resume(st);
    return st->asks && !st->error ? waitq_wait(&st->writer) : 0;
}

static int bytes_wait(struct stream *s, uint32_t want)
{
    struct h2_stream *st = s->impl;
    if (want == EPOLLOUT)
        return wait_to_write(st);
    return readable(st) ? 0 : waitq_wait(&st->reader);
}

static bool bytes_gone(const struct stream *s)
{
    const struct h2_stream *st = s->impl;
    return st->ended || st->error || st->c->broken;
}

static const struct stream_ops bytes_ops = {.read = bytes_read,
                                            .write = bytes_write,
                                            .finish = bytes_finish,
                                            .done = bytes_done,
                                            .wait = bytes_wait,
                                            .gone = bytes_gone};
