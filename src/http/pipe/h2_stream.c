/* h2_stream.c - one stream as a pipe: the calls of pipe.h for both sides.
 *
 * Called on the fiber that serves or asks, or on two: one that reads, one that sends. What arrives is
 * left by the callbacks (h2_events.c) in the stream: heads in a list, bytes in a buffer, END_STREAM as
 * a mark; a reader waits for them. Sending hands nghttp2 the caller's own memory: bytes are copied
 * once, into the connection's buffer, and a sender waits until that has happened, which is as soon as
 * the peer's windows and the buffer have room.
 *
 * A stream object lives as long as either has it: the pipe (`open`) or nghttp2 (`in_session`). A pipe
 * may be closed while the end of its message is still queued; a caller's memory is never referred to
 * after its call has returned.
 *
 * The peer controls when anything arrives and how much it takes; both are bounded by the windows. */
#include "http/pipe/h2_conn.h"

#include <string.h>

#include "base/err.h"
#include "base/time.h"

static const struct http_pipe_ops stream_ops;
static _Thread_local struct h2_writer writer; /* filled and handed over without suspending */

/* ---- life ---- */

struct h2_stream *h2_stream_new(struct h2_conn *c)
{
    struct h2_stream *st = mem_new(struct h2_stream);
    st->pipe = (struct http_pipe){.ops = &stream_ops, .version = HTTP_2};
    st->c = c;
    list_init(&st->heads);
    waitq_init(&st->reader);
    waitq_init(&st->writer);
    list_push_back(&c->streams, &st->node);
    return st;
}

int h2_stream_keep(struct h2_stream *st, const void *p, size_t n)
{
    if (n > 2 * (size_t)st->c->line.stream_window_most - st->in.n)
        return -EMSGSIZE; /* more than the windows have room for */
    h2_body_add(&st->in, p, n);
    return 0;
}

void h2_stream_release(struct h2_stream *st)
{
    if (st->open || st->in_session)
        return;
    LIST_FOREACH_SAFE (a, &st->heads, struct h2_arrived, node) {
        http_head_done(&a->head);
        free(a);
    }
    list_remove(&st->node);
    st->c->n_lingering -= st->lingers;
    h2_reader_done(&st->head);
    http_head_done(&st->refusal);
    h2_body_done(&st->in);
    free(st);
}

bool h2_stream_complete(const struct h2_stream *st)
{
    return st->ended && st->finished;
}

void h2_stream_fail(struct h2_stream *st, int code)
{
    if (!st->error && !h2_stream_complete(st))
        st->error = code;
    waitq_wake_all(&st->reader);
    waitq_wake_all(&st->writer);
    waitq_wake_all(&st->c->room);
}

void h2_stream_cut(struct h2_stream *st, uint32_t code)
{
    st->cut = true;
    if (st->in_session && !st->c->broken)
        (void)nghttp2_submit_rst_stream(st->c->session, NGHTTP2_FLAG_NONE, st->id, code);
}

void h2_stream_drop(struct h2_stream *st)
{
    size_t n = st->in.n;
    h2_body_done(&st->in);
    h2_windows_dropped(st->c, n);
}

static struct h2_stream *of(struct http_pipe *p)
{
    return CONTAINER_OF(p, struct h2_stream, pipe);
}

/* ---- reading ---- */

static int words(const struct h2_stream *st, struct err *e)
{
    const char *who = st->c->serving ? "client" : "server";
    if (st->error == -E_PARSE)
        return err_set(e, -E_PARSE, "the %s sent a malformed HTTP/2 message", who);
    if (st->error == -E_LIMIT)
        return err_set(e, -E_LIMIT, "the header section of the %s is too large", who);
    if (st->error == -E_CLOSED)
        return err_set(e, -E_CLOSED, "the %s took no request on this HTTP/2 connection", who);
    return err_set(e, st->error, "the HTTP/2 stream of the %s ended: %s (error code %u)", who,
                   err_text(st->error), st->code);
}

static int read_head(struct http_pipe *p, struct http_head *ret, struct err *e)
{
    struct h2_stream *st = of(p);
    while (list_empty(&st->heads)) {
        if (st->error)
            return words(st, e);
        if (st->final || st->id == 0)
            return err_set(e, -EINVAL, "there is no other head to be read");
        int r = waitq_wait(&st->reader);
        if (r < 0)
            return err_set(e, r, "waiting for a response: %s", err_text(r));
    }
    struct h2_arrived *a = LIST_ENTRY(list_pop_front(&st->heads), struct h2_arrived, node);
    st->n_heads--;
    http_head_done(ret);
    *ret = a->head;
    free(a);
    return 0;
}

size_t h2_stream_take(struct h2_stream *st, void *to, size_t room)
{
    size_t n = h2_body_take(&st->in, to, room);
    h2_windows_read(st, n);
    return n;
}

/* The client waits for leave to send its body (RFC 9110 10.1.1). */
static void say_continue(struct h2_stream *st)
{
    struct http_head go = {.status = 100};
    st->waits = false;
    (void)st->pipe.ops->send_head(&st->pipe, &go);
}

static ssize_t read_body(struct http_pipe *p, void *to, size_t room, bool *ret_idle)
{
    struct h2_stream *st = of(p);
    for (;;) {
        if (st->in.n > 0) {
            size_t n = h2_stream_take(st, to, room);
            if (ret_idle)
                *ret_idle = st->in.n == 0 && !st->ended;
            return (ssize_t)n;
        }
        if (st->ended || st->error)
            return st->ended ? 0 : st->error;
        if (st->waits && !st->head_sent)
            say_continue(st);
        int r = waitq_wait(&st->reader);
        if (r < 0)
            return r;
    }
}

static const struct http_fields *trailers(struct http_pipe *p)
{
    static const struct http_fields none;
    struct h2_stream *st = of(p);
    return st->ended && st->head.started && st->head.kind == H2_TRAILERS ? &st->head.head.fields
                                                                         : &none;
}

/* ---- sending ---- */

/* nghttp2 asks for the next bytes of a body. */
static ssize_t next_data(nghttp2_session *s, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    (void)to, (void)arg;
    struct h2_stream *st = source->ptr;
    if (st->from_n) {
        size_t n = st->from_n < room ? st->from_n : room;
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (n == st->from_n && st->finish)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
    }
    if (!st->finish) {
        if (st->asks)
            waitq_wake_all(&st->writer);
        st->asks = false;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (st->trailers) {
        int r = h2_writer_trailers(&writer, st->trailers);
        if (r == 0)
            r = nghttp2_submit_trailer(s, id, writer.nv, writer.n);
        st->trailers = NULL;
        waitq_wake_all(&st->writer);
        if (r != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return 0;
}

void h2_stream_resume(struct h2_stream *st)
{
    (void)nghttp2_session_resume_data(st->c->session,
                                      st->id); /* not deferred: it is asked anyway */
    h2_conn_gather(st->c);
    h2_conn_kick(st->c);
}

/* A tunnel's bytes have no length: neither side of a CONNECT says one (RFC 9110 9.3.6). */
static struct http_head of_tunnel(const struct http_head *h)
{
    struct http_head t = *h; /* borrows all */
    t.has_length = false;
    if (t.body == HTTP_BODY_LENGTH)
        t.body = HTTP_BODY_STREAM;
    return t;
}

int h2_stream_answer(struct h2_stream *st, const struct http_head *h)
{
    struct http_head tunnel = of_tunnel(h);
    if (st->is_connect && h->status / 100 == 2)
        h = &tunnel;
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = next_data};
    nghttp2_data_provider *has_body = h->body == HTTP_BODY_NONE ? NULL : &body;
    int r = h2_writer_head(&writer, h);
    if (r < 0 || (has_body && (st->is_head || h->status == 204 || h->status == 304)))
        return -EINVAL;
    if (nghttp2_submit_response(st->c->session, st->id, writer.nv, writer.n, has_body) != 0)
        return -ECONNRESET;
    st->head_sent = true;
    st->body = h->body;
    st->left = h->length;
    st->finish = !has_body;
    if (h == &tunnel)
        h2_calm_opened(&st->c->calm);
    return 0;
}

static int send_interim(struct h2_stream *st, const struct http_head *h)
{
    int r = h2_writer_head(&writer, h);
    if (r < 0)
        return r;
    if (nghttp2_submit_headers(st->c->session, NGHTTP2_FLAG_NONE, st->id, NULL, writer.nv, writer.n,
                               NULL) != 0)
        return -ECONNRESET;
    if (h->status == 100)
        st->waits = false;
    return 0;
}

static bool offers_connect(const struct h2_conn *c)
{
    return nghttp2_session_get_remote_settings(c->session,
                                               NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

static int send_request(struct h2_stream *st, const struct http_head *h)
{
    struct h2_conn *c = st->c;
    struct http_head tunnel = of_tunnel(h);
    st->is_connect = http_text_eq(h->method, "CONNECT");
    if (st->is_connect)
        h = &tunnel;
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = next_data};
    nghttp2_data_provider *has_body = h->body == HTTP_BODY_NONE ? NULL : &body;
    int r = h2_writer_head(&writer, h);
    if (r < 0)
        return r;
    if (h->protocol.p && !offers_connect(c))
        return -EOPNOTSUPP;
    if (c->goaway || !nghttp2_session_check_request_allowed(c->session))
        return -E_CLOSED;
    int32_t id = nghttp2_submit_request(c->session, NULL, writer.nv, writer.n, has_body, st);
    if (id < 0)
        return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -E_CLOSED;
    st->id = id;
    st->in_session = true;
    st->received = c->received;
    st->is_head = http_text_eq(h->method, "HEAD");
    st->head_sent = true;
    st->body = h->body;
    st->left = h->length;
    st->finish = !has_body;
    return 0;
}

/* Heads have no window: waits while the peer has not taken many of them. */
static int await_room(struct h2_stream *st)
{
    struct h2_conn *c = st->c;
    while (!st->error && nghttp2_session_get_outbound_queue_size(c->session) >= H2_OUT_ITEMS) {
        h2_conn_gather(c);
        h2_conn_kick(c);
        if (nghttp2_session_get_outbound_queue_size(c->session) < H2_OUT_ITEMS)
            break;
        int r = waitq_wait(&c->room);
        if (r < 0)
            return r;
    }
    return st->error;
}

static int send_head(struct http_pipe *p, const struct http_head *h)
{
    struct h2_stream *st = of(p);
    bool serving = st->c->serving;
    int w = await_room(st);
    if (w < 0)
        return w;
    if (st->head_sent || serving != (h->status != 0))
        return -EINVAL;
    int r;
    if (!serving)
        r = send_request(st, h);
    else
        r = h->status < 200 ? send_interim(st, h) : h2_stream_answer(st, h);
    if (r == 0)
        h2_conn_kick(st->c);
    return r;
}

/* Waits until the caller's memory is not needed any more. When the wait is cut short the exchange
 * is: half of something has been said. */
static int wait_taken(struct h2_stream *st)
{
    int r = 0;
    while (r == 0 && !st->error && (st->from_n || st->trailers))
        r = waitq_wait(&st->writer);
    bool taken = !st->from_n && !st->trailers;
    st->from = NULL;
    st->from_n = 0;
    st->trailers = NULL;
    if (taken)
        return 0;
    if (r < 0) {
        h2_stream_cut(st, NGHTTP2_CANCEL);
        h2_stream_fail(st, r);
        h2_conn_kick(st->c);
    }
    return st->error;
}

static int send_body(struct http_pipe *p, const void *from, size_t n, bool more)
{
    (void)more; /* what follows before this fiber suspends goes out with it */
    struct h2_stream *st = of(p);
    if (st->error)
        return st->error;
    if (!st->head_sent || st->finish)
        return n == 0 && st->head_sent ? 0 : -EINVAL;
    if (st->body == HTTP_BODY_LENGTH && n > st->left)
        return -EINVAL;
    if (n == 0)
        return 0; /* a writer is on its way already */
    if (st->body == HTTP_BODY_LENGTH)
        st->left -= n;
    st->from = from;
    st->from_n = n;
    h2_stream_resume(st);
    return wait_taken(st);
}

static void reset(struct http_pipe *p, enum http_reset why)
{
    static const uint32_t codes[] = {
        [HTTP_RESET_CANCEL] = NGHTTP2_CANCEL,
        [HTTP_RESET_INTERNAL] = NGHTTP2_INTERNAL_ERROR,
        [HTTP_RESET_REFUSED] = NGHTTP2_REFUSED_STREAM,
        [HTTP_RESET_PROTOCOL] = NGHTTP2_PROTOCOL_ERROR,
    };
    struct h2_stream *st = of(p);
    if (h2_stream_complete(st) || st->error)
        return;
    h2_stream_cut(st, codes[why]);
    h2_stream_fail(st, -ECANCELED);
    h2_conn_kick(st->c);
}

static int send_end(struct http_pipe *p, const struct http_fields *fields)
{
    struct h2_stream *st = of(p);
    if (!st->head_sent)
        return -EINVAL;
    if (st->finish)
        return st->error;
    if (st->error)
        return st->error;
    bool has_trailers = fields && fields->n;
    if ((st->body == HTTP_BODY_LENGTH && st->left > 0) ||
        (has_trailers && h2_writer_trailers(&writer, fields) < 0)) {
        reset(p, HTTP_RESET_INTERNAL);
        return -EINVAL;
    }
    st->finish = true;
    st->trailers = has_trailers ? fields : NULL;
    h2_stream_resume(st);
    return wait_taken(st);
}

/* What the peer is to be told when a pipe is closed before both directions have ended. */
static void cut_on_close(struct h2_stream *st)
{
    if (!st->c->serving || st->error)
        h2_stream_cut(st, NGHTTP2_CANCEL);
    else if (!st->finish)
        h2_stream_cut(st, NGHTTP2_INTERNAL_ERROR);
    else if (st->finished)
        h2_stream_cut(st, NGHTTP2_NO_ERROR);
    else
        st->cut_after = true; /* the response goes out whole first */
}

/* Whether what is left to happen is an end: of ours, which is queued; or of the peer's, of a tunnel that
 * we have ended. As with TCP: a reset would take away what the peer has not read yet, and it gets one
 * when it sends more (on_data). Not many may wait for that. */
static bool lingers(struct h2_stream *st)
{
    struct h2_conn *c = st->c;
    if (st->error || !st->finish)
        return false;
    if (st->ended)
        return true;
    st->lingers = st->bytes && !c->serving && c->n_lingering < H2_LINGER_MAX;
    c->n_lingering += st->lingers;
    return st->lingers;
}

static void close_pipe(struct http_pipe *p)
{
    struct h2_stream *st = of(p);
    struct h2_conn *c = st->c;
    if (st->in_session && !h2_stream_complete(st) && !lingers(st))
        cut_on_close(st);
    h2_stream_drop(st);
    waitq_wake_all_with(&st->reader, -EBADF);
    waitq_wake_all_with(&st->writer, -EBADF);
    st->open = false;
    st->server = NULL;
    h2_conn_left(c);
    h2_conn_kick(c);
    h2_stream_release(st);
}

static bool ready(struct http_pipe *p)
{
    const struct h2_stream *st = of(p);
    return st->in.n > 0 || st->ended || st->error;
}

static bool gone(struct http_pipe *p)
{
    const struct h2_stream *st = of(p);
    return st->error || st->c->broken;
}

static int wait_gone(struct http_pipe *p)
{
    struct h2_stream *st = of(p);
    int r = 0;
    while (r == 0 && !gone(p))
        r = waitq_wait(&st->reader);
    return r;
}

static const struct http_pipe_ops stream_ops = {
    .read_head = read_head,
    .read_body = read_body,
    .trailers = trailers,
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .reset = reset,
    .close = close_pipe,
    .ready = ready,
    .gone = gone,
    .wait_gone = wait_gone,
    .stream = h2_stream_bytes,
};
