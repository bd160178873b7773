/* conn - one connection: bytes in, bytes out, requests in order.
 *
 * Each connection is a fiber of the server's scope and touches nothing of any other. Its life: (TLS
 * handshake,) then, until one side closes: wait for a byte - holding no buffer, and after a second
 * of silence no more stack than the wait needs - read a head, run the handler, clean up. The peer
 * controls every byte and when it comes, so each wait has a deadline: the head from its first byte,
 * the body by progress and by a lowest rate (a byte every 29 seconds is not progress), writing by
 * progress. Bytes that arrive early (pipelining) stay in the buffer, up to its ceiling; then we
 * stop reading and TCP makes the peer wait.
 *
 * A connection that ends while the peer may still be sending is closed in two steps: our side
 * first, then reading and dropping for a bounded time. Otherwise the kernel answers the unread
 * bytes with a reset, and the peer loses the answer that says what was wrong (RFC 9112 9.6).
 *
 * Small writes are put together in a scratch space of the server: it is used without suspending;
 * what the kernel does not take at once is copied to the heap before waiting. */
#include "http/server/internal.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int64_t conn_now_ns(void)
{
    return time_mono_ns();
}

/* ---- waiting ---- */

static int fail(struct conn *c, ssize_t r)
{
    /* What the kernel calls a dead peer is one thing to everybody above. */
    int code = r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN ? -E_CLOSED : (int)r;
    if (!c->error)
        c->error = code;
    c->closing = true;
    return code;
}

static int wait_direction(struct conn *c, uint32_t want, int64_t deadline_ns)
{
    struct fiber_deadline d = fiber_deadline_push(deadline_ns);
    struct io_fd *io = &c->stream.io;
    int r = want == EPOLLOUT ? io_wait_writable(io) : io_wait_readable(io);
    fiber_deadline_pop(&d);
    return r;
}

/* Waits for the direction the stream asked for. A wait that turns out long gives the stack's deep
 * pages back. */
static int wait_until(struct conn *c, int64_t deadline_ns)
{
    uint32_t want = c->stream.want;
    /* The attempt that brought us here said -EAGAIN: readiness noted before it is used up. Only
     * now: an edge may come between the two waits below. */
    if (want == EPOLLOUT)
        c->stream.io.writable = false;
    else
        c->stream.io.readable = false;
    int64_t quiet_ns = conn_now_ns() + CONN_QUIET_MS * NS_PER_MS;
    if (quiet_ns >= deadline_ns)
        return wait_direction(c, want, deadline_ns);
    int r = wait_direction(c, want, quiet_ns);
    if (r != -ETIMEDOUT)
        return r;
    fiber_trim_stack();
    return wait_direction(c, want, deadline_ns);
}

static int give_turn(struct conn *c)
{
    if (fiber_cancelled())
        return -ECANCELED;
    if (++c->ops < CONN_OPS_PER_TURN)
        return 0;
    c->ops = 0;
    return fiber_yield();
}

/* ---- reading ---- */

static void in_release(struct conn *c)
{
    if (!c->in)
        return;
    if (c->in_cap == CONN_READ_BYTES)
        spare_give(&c->srv->buffers, c->in);
    else
        free(c->in);
    c->in = NULL;
    c->in_cap = c->in_from = c->in_to = 0;
}

void conn_release_buffer(struct conn *c)
{
    if (conn_buffered(c) == 0)
        in_release(c);
}

/* Makes room behind what is buffered. 0 or -ENOBUFS. */
static int in_room(struct conn *c)
{
    if (!c->in) {
        c->in = spare_take(&c->srv->buffers, CONN_READ_BYTES);
        c->in_cap = CONN_READ_BYTES;
        c->in_from = c->in_to = 0;
        return 0;
    }
    if (c->in_from > 0) {
        memmove(c->in, c->in + c->in_from, conn_buffered(c));
        c->in_to -= c->in_from;
        c->in_from = 0;
    }
    if (c->in_to < c->in_cap)
        return 0;
    if (c->in_cap >= CONN_READ_MAX)
        return -ENOBUFS;
    size_t cap = c->in_cap * 2 < CONN_READ_MAX ? c->in_cap * 2 : CONN_READ_MAX;
    char *bigger = mem_zalloc(cap);
    size_t n = c->in_to;
    memcpy(bigger, c->in, n);
    in_release(c);
    c->in = bigger;
    c->in_cap = cap;
    c->in_to = n;
    return 0;
}

void conn_consume(struct conn *c, size_t n)
{
    MUST(n <= conn_buffered(c));
    c->in_from += n;
    if (c->in_from == c->in_to)
        c->in_from = c->in_to = 0;
}

/* One attempt of the stream. > 0, -EAGAIN, -E_CLOSED (end), or the connection's error. */
static ssize_t attempt_read(struct conn *c, void *p, size_t n)
{
    if (c->error)
        return c->error;
    if (c->eof)
        return -E_CLOSED;
    ssize_t r = c->stream.ops->read(&c->stream, p, n);
    if (r > 0 && (size_t)r < n && !stream_is_tls(&c->stream)) {
        /* The socket gave less than there was room for: it is empty, and whatever comes later
         * raises another edge (epoll(7)). Saves the read that would only say -EAGAIN. The end of
         * the peer's side may have come in the same event, and will not come again. */
        c->drained = true;
        c->stream.io.readable = false;
    }
    if (r > 0 || r == -EAGAIN)
        return r;
    if (r == 0) {
        c->eof = true;
        return -E_CLOSED;
    }
    return fail(c, r);
}

ssize_t conn_try_read(struct conn *c)
{
    int r = in_room(c);
    if (r < 0)
        return r;
    ssize_t n = attempt_read(c, c->in + c->in_to, c->in_cap - c->in_to);
    if (n > 0)
        c->in_to += (size_t)n;
    else
        conn_release_buffer(c);
    if (n == -EAGAIN) {
        c->stream.io.readable = false;
        return 0;
    }
    return n;
}

/* Waits first when the last read has shown that there is nothing to read. */
static int before_read(struct conn *c, int64_t deadline_ns)
{
    int r = give_turn(c);
    bool wait = c->drained && !c->stream.io.readable && !c->stream.io.peer_ended;
    c->drained = false;
    if (r < 0 || !wait)
        return r;
    conn_release_buffer(c);
    c->stream.want = EPOLLIN;
    return wait_until(c, deadline_ns);
}

ssize_t conn_read_more(struct conn *c, int64_t deadline_ns)
{
    int r = before_read(c, deadline_ns);
    while (r == 0) {
        ssize_t n = conn_try_read(c);
        if (n != 0)
            return n;
        r = wait_until(c, deadline_ns);
    }
    return r;
}

ssize_t conn_read_into(struct conn *c, void *p, size_t n, int64_t deadline_ns)
{
    int r = before_read(c, deadline_ns);
    while (r == 0) {
        ssize_t got = attempt_read(c, p, n);
        if (got != -EAGAIN)
            return got;
        r = wait_until(c, deadline_ns);
    }
    return r;
}

/* ---- writing ---- */

/* Writes what the kernel takes now. Bytes written (maybe 0), or the connection's error. */
static ssize_t attempt_write(struct conn *c, const char *p, size_t n)
{
    size_t done = 0;
    if (c->error)
        return c->error;
    while (done < n) {
        ssize_t r = c->stream.ops->write(&c->stream, p + done, n - done);
        if (r == -EAGAIN)
            break;
        if (r < 0)
            return fail(c, r);
        done += (size_t)r;
    }
    return (ssize_t)done;
}

static int write_waiting(struct conn *c, const char *p, size_t n)
{
    for (;;) {
        int r = give_turn(c);
        if (r < 0)
            return fail(c, r);
        size_t most = n < CONN_WRITE_BYTES ? n : CONN_WRITE_BYTES;
        ssize_t done = attempt_write(c, p, most);
        if (done < 0)
            return (int)done;
        p += done;
        n -= (size_t)done;
        if (n == 0)
            return 0;
        if ((size_t)done == most) { /* the reader is as fast as we are */
            r = fiber_yield();
            if (r < 0)
                return fail(c, r);
            continue;
        }
        r = wait_until(c, conn_now_ns() + c->srv->cfg.body_timeout_ms * NS_PER_MS);
        if (r < 0)
            return fail(c, r);
    }
}

/* Writes the first `n` bytes of the scratch. It belongs to all connections: copied before the first
 * wait. */
static int write_scratch(struct conn *c, size_t n)
{
    char *p = c->srv->scratch;
    ssize_t done = attempt_write(c, p, n);
    if (done < 0)
        return (int)done;
    size_t left = n - (size_t)done;
    if (left == 0)
        return 0;
    /* A TLS stream must be offered the same bytes again, not the same address
     * (SSL_MODE_ACCEPT_MOVING). */
    AUTO_FREE char *rest = mem_zalloc(left);
    memcpy(rest, p + done, left);
    int r = wait_until(c, conn_now_ns() + c->srv->cfg.body_timeout_ms * NS_PER_MS);
    return r < 0 ? fail(c, r) : write_waiting(c, rest, left);
}

int conn_turn(struct conn *c)
{
    if (c->error)
        return c->error;
    int r = give_turn(c);
    return r < 0 ? fail(c, r) : 0;
}

int conn_write(struct conn *c, const struct iovec *piece, int n)
{
    int r = conn_turn(c);
    return r < 0 ? r : conn_write_now(c, piece, n);
}

int conn_write_now(struct conn *c, const struct iovec *piece, int n)
{
    int r;
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        const char *p = piece[i].iov_base;
        size_t left = piece[i].iov_len;
        while (left > 0) {
            if (used == 0 && left >= CONN_SCRATCH_BYTES) {
                r = write_waiting(c, p, left);
                if (r < 0)
                    return r;
                break;
            }
            size_t take = left < CONN_SCRATCH_BYTES - used ? left : CONN_SCRATCH_BYTES - used;
            memcpy(c->srv->scratch + used, p, take);
            used += take;
            p += take;
            left -= take;
            if (used == CONN_SCRATCH_BYTES) {
                r = write_scratch(c, used);
                if (r < 0)
                    return r;
                used = 0;
            }
        }
    }
    return used ? write_scratch(c, used) : 0;
}

/* ---- the connection's life ---- */

static void *alloc_in_exchange(void *arg, size_t n)
{
    struct conn *c = arg;
    return arena_alloc(&c->x.arena, &c->srv->blocks, n);
}

/* Waits for the next request's first byte. 0, or negative: close without a word. */
static int await_request(struct conn *c)
{
    if (conn_buffered(c) > 0)
        return 0;
    c->idle = true;
    int64_t ms = c->fresh ? c->srv->cfg.head_timeout_ms : c->srv->cfg.idle_timeout_ms;
    ssize_t r = conn_read_more(c, conn_now_ns() + ms * NS_PER_MS);
    c->idle = false;
    return r < 0 ? (int)r : 0;
}

/* Reads one head. 0; negative when there is nothing to serve (refused, or gone). */
static int read_head(struct conn *c)
{
    int64_t deadline_ns = conn_now_ns() + c->srv->cfg.head_timeout_ms * NS_PER_MS;
    size_t seen = 0;
    for (;;) {
        const char *p = c->in + c->in_from;
        size_t n = conn_buffered(c);
        int status = 400;
        const char *why = "The request is malformed.";
        ssize_t r = -EAGAIN;
        /* Nothing changes before a line ends or a ceiling comes near: spares re-reading a head sent
         * in drops. */
        if (seen == 0 || n >= LIMIT_TARGET_BYTES || memchr(p + seen, '\n', n - seen))
            r = h1_request_parse_in(p, n, alloc_in_exchange, c, &c->x.req, &status, &why);
        if (r >= 0) {
            conn_consume(c, (size_t)r);
            return 0;
        }
        if (r == -EAGAIN) {
            seen = n;
            r = conn_read_more(c, deadline_ns);
            if (r > 0)
                continue;
            if (r != -ETIMEDOUT && r != -ENOBUFS)
                return (int)r;
            status = r == -ETIMEDOUT ? 408 : 431;
            why = r == -ETIMEDOUT ? "The request head took too long to arrive."
                                  : "The request head is too large.";
        }
        c->srv->stats.bad_requests++;
        exchange_answer_error(&c->x, status, why);
        return -E_PARSE;
    }
}

static void end_exchange(struct conn *c)
{
    arena_done(&c->x.arena, &c->srv->blocks);
    conn_release_buffer(c);
}

static void serve_requests(struct conn *c)
{
    while (!c->closing && !c->srv->stopping) {
        server_conn_waits(c->srv, c);
        int r = await_request(c);
        if (r == 0) {
            memset(&c->x, 0, sizeof(c->x));
            c->x.conn = c;
            r = read_head(c);
        }
        server_conn_serves(c);
        if (r == 0 && c->leaving)
            r = -ECANCELED; /* what is not begun can be sent again elsewhere */
        if (r == 0) {
            c->fresh = false;
            c->srv->stats.requests++;
            exchange_begin(&c->x, c);
            c->srv->cfg.handler(&c->x, c->srv->cfg.arg);
            exchange_end(&c->x);
        }
        end_exchange(c);
        if (r < 0)
            return;
    }
}

/* Ends our side, then reads and drops until the peer ends its own, bounded in bytes and time: a large
 * body over a slow line is worth waiting for, as long as it comes. */
static void linger(struct conn *c)
{
    int64_t end_ns = conn_now_ns() + CONN_LINGER_MOST_MS * NS_PER_MS;
    int64_t until_ns = conn_now_ns() + CONN_LINGER_MS * NS_PER_MS;
    struct fiber_deadline d = fiber_deadline_push(until_ns);
    int r = stream_finish(&c->stream);
    fiber_deadline_pop(&d);
    size_t total = 0;
    in_release(c);
    /* It has its answer: its place is for whoever comes, and a server that stops does not wait for it. */
    server_conn_waits(c->srv, c);
    c->idle = true;
    while (r == 0 && total < CONN_LINGER_BYTES) {
        ssize_t n = attempt_read(c, c->srv->scratch, sizeof(c->srv->scratch));
        if (n == -EAGAIN) {
            r = wait_until(c, until_ns);
            continue;
        }
        if (n < 0)
            break;
        total += (size_t)n;
        until_ns = conn_now_ns() + CONN_LINGER_MS * NS_PER_MS;
        if (until_ns > end_ns)
            until_ns = end_ns;
        r = give_turn(c);
        if (r == 0 && conn_now_ns() >= end_ns)
            break;
    }
}

static int open_stream(struct conn *c)
{
    int fd = TAKE_FD(c->fd);
    if (!c->srv->cfg.tls) {
        int r = stream_from_fd(&c->stream, fd);
        if (r < 0)
            (void)close(fd);
        return r;
    }
    struct err e = {0};
    struct fiber_deadline d = fiber_deadline_push_ms(c->srv->cfg.head_timeout_ms);
    int r = tls_accept(c->srv->cfg.tls, fd, &c->stream, &e);
    fiber_deadline_pop(&d);
    if (r < 0 && r != -ECANCELED) {
        c->srv->stats.bad_requests++;
        log_debug("TLS handshake failed", "peer=%s err=%s", log_q(c->peer), log_q(e.msg));
    }
    return r;
}

int conn_main(void *arg)
{
    struct conn *c = arg;
    c->fiber = fiber_self();
    int r = open_stream(c);
    if (r == 0) {
        serve_requests(c);
        if (!c->error && c->closing && !c->eof) {
            linger(c);
        } else if (!c->error && stream_is_tls(&c->stream)) {
            struct fiber_shield shield = fiber_shield_begin(CONN_FINISH_MS);
            int ignored = stream_finish(&c->stream);
            (void)ignored;
            fiber_shield_end(&shield);
        }
    }
    stream_done(&c->stream);
    in_release(c);
    server_conn_ended(c->srv, c);
    free(c->peer);
    free(c);
    return 0; /* what happens to one connection is not an error of the server's */
}
