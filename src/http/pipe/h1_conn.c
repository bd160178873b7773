/* h1_conn.c - bytes in and out of a connection of HTTP/1.1.
 *
 * Called by the readers and writers of this folder, on the fibers of the exchange: one may read while
 * another one writes, so the two directions share no state but `open`. The peer decides when bytes
 * come and go; how much is held is bounded: one buffer each way, the one for reading grown only for a
 * head, up to its ceiling. Buffers come from a stock of the thread and go back as soon as they are
 * empty, so that an idle connection holds none; what was in them is wiped, since a request on its way
 * to an origin carries a secret, and its answer may.
 *
 * Errors of reading and writing are kept apart: an origin that refuses a body may close its ear and
 * still have said why. Waits that ended by cancellation or deadline leave reading where it was;
 * writing not, for nobody knows how much has gone out. */
#include "http/pipe/h1_conn.h"

#include "base/err.h"

#include <string.h>
#include <sys/epoll.h>

static __thread struct spare buffers; /* of H1_BUFFER_BYTES */

void h1_conn_init(struct h1_conn *c, struct stream *s, bool serving, size_t head_bytes_max)
{
    *c = (struct h1_conn){.s = s, .serving = serving, .head_bytes_max = head_bytes_max};
    c->pipe.version = HTTP_1_1;
    fmutex_init(&c->writing);
}

static void in_release(struct h1_conn *c)
{
    if (!c->in)
        return;
    explicit_bzero(c->in, c->in_used);
    if (c->in_cap == H1_BUFFER_BYTES)
        spare_give(&buffers, c->in);
    else
        free(c->in);
    c->in = NULL;
    c->in_cap = c->in_from = c->in_to = c->in_used = 0;
}

static void out_release(struct h1_conn *c)
{
    if (!c->out)
        return;
    explicit_bzero(c->out, c->out_used);
    spare_give(&buffers, c->out);
    c->out = NULL;
    c->out_n = c->out_used = 0;
}

void h1_exchange_end(struct h1_conn *c)
{
    http_head_done(&c->head);
    http_head_done(&c->trailers);
    if (c->trailer_text.data) {
        explicit_bzero(c->trailer_text.data, c->trailer_text.cap);
        buf_done(&c->trailer_text);
    }
    out_release(c);
    if (h1_buffered(c) == 0)
        in_release(c);
}

void h1_exchange_begin(struct h1_conn *c)
{
    c->in_at = c->out_at = H1_AT_HEAD;
    c->in_framing = c->out_framing = H1_NO_BODY;
    c->in_left = c->out_left = 0;
    c->decoder = (struct h1_chunked){0};
    c->out_drop = c->head_taken = c->interim = c->old = c->keep = c->wants_continue = false;
    c->asked = H1_ASKED_OTHER;
    c->protocol[0] = '\0';
}

void h1_conn_done(struct h1_conn *c)
{
    h1_exchange_end(c);
    in_release(c);
}

/* What the kernel calls a dead peer is one thing to everybody above. */
static int code_of(ssize_t r)
{
    return r == -EPIPE || r == -ENOTCONN || r == -EBADF ? -ECONNRESET : (int)r;
}

static bool passes(int code)
{
    return code == -ECANCELED || code == -ETIMEDOUT;
}

/* ---- bytes in ---- */

void h1_consume(struct h1_conn *c, size_t n)
{
    MUST(n <= h1_buffered(c));
    c->in_from += n;
    if (c->in_from == c->in_to) {
        if (c->in_cap > H1_BUFFER_BYTES)
            in_release(c); /* it was for a large head */
        c->in_from = c->in_to = 0;
    }
}

/* Makes room behind what is buffered. 0 or -ENOBUFS. */
static int in_room(struct h1_conn *c, size_t max)
{
    if (!c->in) {
        c->in = spare_take(&buffers, H1_BUFFER_BYTES);
        c->in_cap = H1_BUFFER_BYTES;
        c->in_from = c->in_to = c->in_used = 0;
        return 0;
    }
    if (c->in_to < c->in_cap)
        return 0;
    if (c->in_from > 0) {
        memmove(c->in, h1_bytes(c), h1_buffered(c));
        c->in_to -= c->in_from;
        c->in_from = 0;
        return 0;
    }
    if (c->in_cap >= max)
        return -ENOBUFS;
    size_t cap = c->in_cap * 2 < max ? c->in_cap * 2 : max, n = c->in_to;
    char *bigger = mem_zalloc(cap);
    memcpy(bigger, c->in, n);
    in_release(c);
    c->in = bigger;
    c->in_cap = cap;
    c->in_to = c->in_used = n;
    return 0;
}

/* One attempt: > 0, 0 at the end, -EAGAIN, or the connection's error. */
static ssize_t attempt(struct h1_conn *c, void *p, size_t n)
{
    if (c->in_error)
        return c->in_error;
    if (c->in_ended)
        return 0;
    ssize_t r = stream_try_read(c->s, p, n);
    if (r == -EAGAIN)
        c->in_want = c->s->want;
    else if (r == 0)
        c->in_ended = true;
    else if (r < 0)
        r = c->in_error = code_of(r);
    return r;
}

static ssize_t attempt_fill(struct h1_conn *c, size_t max)
{
    int r = in_room(c, max);
    if (r < 0)
        return r;
    ssize_t n = attempt(c, c->in + c->in_to, c->in_cap - c->in_to);
    if (n > 0) {
        c->in_to += (size_t)n;
        c->in_used = c->in_to > c->in_used ? c->in_to : c->in_used;
    } else if (h1_buffered(c) == 0 && n != -EAGAIN) {
        in_release(c);
    }
    return n;
}

bool h1_ready(struct h1_conn *c)
{
    if (h1_buffered(c) > 0 || attempt_fill(c, 0) != -EAGAIN)
        return true;
    in_release(c);
    return false;
}

int h1_wait(struct h1_conn *c)
{
    if (h1_buffered(c) == 0)
        in_release(c);
    int r = stream_wait(c->s, c->in_want);
    if (r == 0)
        return 0;
    if (c->in_error) /* somebody has cut the connection off meanwhile */
        return c->in_error;
    r = code_of(r);
    if (!passes(r))
        c->in_error = r;
    return r;
}

/* A peer that always sends does not keep the thread. */
static int turn(struct h1_conn *c)
{
    if (++c->ops < H1_TURN)
        return fiber_cancelled() ? -ECANCELED : 0;
    c->ops = 0;
    return fiber_yield();
}

ssize_t h1_fill(struct h1_conn *c, size_t max)
{
    int r = turn(c);
    while (r == 0) {
        ssize_t n = attempt_fill(c, max);
        if (n != -EAGAIN)
            return n;
        r = h1_wait(c);
    }
    return r;
}

ssize_t h1_read_into(struct h1_conn *c, void *p, size_t n)
{
    int r = turn(c);
    while (r == 0) {
        ssize_t got = attempt(c, p, n);
        if (got != -EAGAIN)
            return got;
        r = h1_wait(c);
    }
    return r;
}

size_t h1_try_into(struct h1_conn *c, void *p, size_t n)
{
    ssize_t got = attempt(c, p, n);
    return got > 0 ? (size_t)got : 0;
}

/* ---- bytes out ---- */

static int write_now(struct h1_conn *c, const void *p, size_t n)
{
    if (c->out_error)
        return c->out_error;
    int r = stream_write(c->s, p, n);
    if (r == 0)
        return 0;
    if (!c->out_error)
        c->out_error = code_of(r);
    return c->out_error;
}

int h1_flush(struct h1_conn *c)
{
    if (c->out_n == 0)
        return c->out_error;
    int r = write_now(c, c->out, c->out_n);
    c->out_n = 0;
    out_release(c);
    return r;
}

int h1_put(struct h1_conn *c, const void *p, size_t n)
{
    const char *from = p;
    while (n > 0) {
        if (c->out_error)
            return c->out_error;
        if (c->out_n == 0 && n >= H1_BUFFER_BYTES)
            return write_now(c, from, n);
        if (!c->out) {
            c->out = spare_take(&buffers, H1_BUFFER_BYTES);
            c->out_n = c->out_used = 0;
        }
        size_t room = H1_BUFFER_BYTES - c->out_n, take = n < room ? n : room;
        memcpy(c->out + c->out_n, from, take);
        c->out_n += take;
        c->out_used = c->out_n > c->out_used ? c->out_n : c->out_used;
        from += take;
        n -= take;
        if (c->out_n == H1_BUFFER_BYTES) {
            int r = h1_flush(c);
            if (r < 0)
                return r;
        }
    }
    return c->out_error;
}

/* Once: TLS takes a second call for a wait for the peer's end. */
int h1_finish(struct h1_conn *c)
{
    if (c->out_error || c->out_finished)
        return c->out_error;
    c->out_finished = true;
    int r = stream_finish(c->s);
    if (r < 0 && !c->out_error)
        c->out_error = code_of(r);
    return c->out_error;
}

void h1_cut(struct h1_conn *c)
{
    if (!c->in_error)
        c->in_error = -ECONNRESET;
    if (!c->out_error)
        c->out_error = -ECONNRESET;
    c->keep = false;
    c->cut = true;
    stream_reset(c->s);
}
