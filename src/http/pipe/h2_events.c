/* h2_events.c - what nghttp2 calls while it reads and writes.
 *
 * Called from within mem_recv and mem_send on whatever fiber is in there; nothing here suspends,
 * enters the session again or frees a stream that nghttp2 still has. A stream is found by the pointer
 * that nghttp2 keeps for it.
 *
 * All of it is set off by the peer. A malformed message (RFC 9113 8.1.1) ends its stream with
 * PROTOCOL_ERROR and costs the peer; bodies are kept up to the stream's window, since window is given
 * back only when a reader takes bytes; bytes that nobody will read give the connection's window back
 * at once and never the stream's. */
#include "http/pipe/h2_conn.h"

#include <string.h>

#include "base/err.h"
#include "base/time.h"

static struct h2_stream *stream_of(nghttp2_session *s, const nghttp2_frame *f)
{
    return nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
}

static void malformed(struct h2_conn *c, struct h2_stream *st)
{
    if (!c->excess)
        c->excess = h2_calm_fault(&c->calm);
    if (!st)
        return;
    if (c->o.reset && !st->open && !st->cut && !st->error)
        c->o.reset(c->o.arg);
    h2_stream_cut(st, NGHTTP2_PROTOCOL_ERROR);
    struct fiber *server = st->finished ? NULL : st->server;
    h2_stream_fail(st, -E_PARSE);
    if (server)
        fiber_cancel(server);
}

/* ---- heads ---- */

static struct h2_stream *accept_stream(struct h2_conn *c, int32_t id)
{
    struct h2_stream *st = h2_stream_new(c);
    st->id = id;
    st->in_session = true;
    /* In turns: a client's priorities are its own affair. */
    const nghttp2_extpri fair = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    (void)nghttp2_session_set_stream_user_data(c->session, id, st);
    (void)nghttp2_session_change_extpri_stream_priority(c->session, id, &fair, 1);
    return st;
}

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
    struct h2_conn *c = arg;
    if (f->hd.type != NGHTTP2_HEADERS)
        return 0;
    enum h2_head_kind kind = H2_TRAILERS;
    struct h2_stream *st;
    if (f->headers.cat == NGHTTP2_HCAT_REQUEST) {
        st = accept_stream(c, f->hd.stream_id);
        kind = H2_REQUEST;
    } else {
        st = stream_of(s, f);
        if (st && !st->final)
            kind = H2_RESPONSE;
    }
    if (st)
        h2_reader_begin(&st->head, kind, c->head_bytes_max);
    return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n_value, uint8_t flags, void *arg)
{
    struct h2_stream *st = f->hd.type == NGHTTP2_HEADERS ? stream_of(s, f) : NULL;
    if (!st || !st->head.started)
        return 0;
    bool sensitive = flags & NGHTTP2_NV_FLAG_NO_INDEX;
    if (h2_reader_field(&st->head, name, n_name, value, n_value, sensitive) == 0)
        return 0;
    malformed(arg, st);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 would drop the field and go on. */
static int on_invalid_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
                             size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags,
                             void *arg)
{
    (void)s, (void)f, (void)name, (void)n_name, (void)value, (void)n_value, (void)flags, (void)arg;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static bool has_no_body(const struct h2_stream *st, int status)
{
    return status == 204 || status == 304 || st->is_head;
}

/* Of an answer to CONNECT. A tunnel has no length, whatever its answer says (RFC 9110 9.3.6); an answer
 * that refuses one has, which nghttp2 leaves to us. */
static void take_length(struct h2_stream *st, struct http_head *h)
{
    if (h->status < 300) {
        h2_calm_opened(&st->c->calm);
        h->has_length = false;
        if (h->body == HTTP_BODY_LENGTH)
            h->body = HTTP_BODY_STREAM;
        return;
    }
    st->counts = h->has_length && !has_no_body(st, h->status);
    st->due = h->length;
}

/* The peer has ended its message. */
static void end_message(struct h2_conn *c, struct h2_stream *st)
{
    if (st->counts && st->due > 0) {
        malformed(c, st);
        return;
    }
    st->ended = true;
    waitq_wake_all(&st->reader);
}

/* A response is complete: queued for who reads heads. Whether it can be taken. */
static bool take_response(struct h2_stream *st)
{
    struct http_head *h = &st->head.head;
    if (st->head.refuse || st->n_heads == H2_HEADS_MAX) {
        h2_stream_cut(st, NGHTTP2_ENHANCE_YOUR_CALM);
        h2_stream_fail(st, -E_LIMIT);
        return false;
    }
    st->final = h->status >= 200;
    if (!st->final || has_no_body(st, h->status))
        h->body = HTTP_BODY_NONE;
    if (st->is_connect && st->final)
        take_length(st, h);
    struct h2_arrived *a = mem_new(struct h2_arrived);
    a->head = *h;
    http_head_init(h);
    list_push_back(&st->heads, &a->node);
    st->n_heads++;
    return true;
}

static void head_complete(struct h2_conn *c, struct h2_stream *st, bool end)
{
    if (!st->head.started)
        return;
    if (h2_reader_end(&st->head, end, c->o.tls) < 0) {
        malformed(c, st);
        return;
    }
    if (st->head.kind == H2_REQUEST)
        h2_serve_stream(st);
    else if (st->head.kind == H2_RESPONSE && !take_response(st))
        return;
    if (end)
        end_message(c, st);
    waitq_wake_all(&st->reader);
}

static int on_frame_recv(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
    struct h2_conn *c = arg;
    bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *st;
    switch (f->hd.type) {
    case NGHTTP2_HEADERS:
        st = stream_of(s, f);
        if (st)
            head_complete(c, st, end);
        break;
    case NGHTTP2_DATA:
        st = end ? stream_of(s, f) : NULL;
        if (st)
            end_message(c, st);
        break;
    case NGHTTP2_SETTINGS:
        if (f->hd.flags & NGHTTP2_FLAG_ACK)
            h2_windows_settings(c, true);
        break;
    case NGHTTP2_PING:
        if (f->hd.flags & NGHTTP2_FLAG_ACK)
            c->rtt_ns = time_mono_ns() - c->pinged_ns;
        break;
    case NGHTTP2_GOAWAY:
        c->goaway = true;
        waitq_wake_all(&c->over);
        break;
    default:
        break;
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *s, const nghttp2_frame *f, int lib_error, void *arg)
{
    struct h2_conn *c = arg;
    c->lib_error = lib_error;
    malformed(c, f->hd.stream_id ? stream_of(s, f) : NULL);
    return 0;
}

/* ---- bodies ---- */

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *arg)
{
    (void)flags;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, id);
    if (st && st->counts && n > st->due)
        malformed(arg, st);
    if (!st || !st->open || st->error) {
        if (st && st->lingers)
            h2_stream_cut(st, NGHTTP2_CANCEL);
        (void)nghttp2_session_consume_connection(s, n);
        return 0;
    }
    if (h2_stream_keep(st, p, n) < 0) {
        (void)nghttp2_session_consume_connection(s, n);
        h2_stream_cut(st, NGHTTP2_INTERNAL_ERROR);
        h2_stream_fail(st, -ENOMEM);
        return 0;
    }
    if (st->counts)
        st->due -= n;
    waitq_wake_all(&st->reader);
    h2_windows_came(st, n);
    return 0;
}

/* A DATA frame whose bytes lie with the fiber that sends them. */
static int send_data(nghttp2_session *s, nghttp2_frame *f, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *arg)
{
    (void)s, (void)f;
    struct h2_conn *c = arg;
    struct h2_stream *st = source->ptr;
    if (st->from_n < n)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* given up meanwhile */
    MUST(n + 9 < H2_FRAME_BYTES &&
         h2_conn_has_room(c)); /* nghttp2's frames are of 16 KiB at most */
    memcpy(c->out + c->out_n, head, 9);
    memcpy(c->out + c->out_n + 9, st->from, n);
    c->out_n += 9 + n;
    c->out_secret |= !c->serving;
    st->from += n;
    st->from_n -= n;
    h2_calm_sent(&c->calm, n);
    if (st->from_n == 0) {
        h2_calm_taken(&c->calm);
        waitq_wake_all(&st->writer);
    }
    c->paused = !h2_conn_has_room(c);
    return c->paused ? NGHTTP2_ERR_PAUSE : 0;
}

/* ---- ends ---- */

/* RST_STREAM that nobody here has asked for: nghttp2 found a fault by itself, such as a body of another
 * length than was announced. A client could have its streams reset that way as often as it likes. */
static void count_reset(struct h2_conn *c, const struct h2_stream *st)
{
    if (st && !st->cut && !c->excess)
        c->excess = h2_calm_fault(&c->calm);
}

static int on_frame_send(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
    if (f->hd.type == NGHTTP2_RST_STREAM)
        count_reset(arg, stream_of(s, f));
    if ((f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS) ||
        !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct h2_stream *st = stream_of(s, f);
    if (!st)
        return 0;
    st->finished = true;
    if (st->cut_after && !st->ended)
        h2_stream_cut(st, NGHTTP2_NO_ERROR);
    return 0;
}

/* A request that is not sent opens no stream: nghttp2 forgets it (on_stream_close), and a reset would
 * name a stream that the server has never seen, which ends the connection (RFC 9113 5.1). */
static int on_frame_not_send(nghttp2_session *s, const nghttp2_frame *f, int lib_error, void *arg)
{
    (void)arg;
    struct h2_stream *st = f->hd.type == NGHTTP2_HEADERS ? stream_of(s, f) : NULL;
    if (!st)
        return 0;
    if (f->headers.cat != NGHTTP2_HCAT_REQUEST)
        h2_stream_cut(st, NGHTTP2_INTERNAL_ERROR);
    /* After GOAWAY: somebody else may still take it. */
    h2_stream_fail(st, lib_error == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED ? -E_CLOSED : -ECONNRESET);
    return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
    struct h2_conn *c = arg;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, id);
    if (!st)
        return 0;
    st->in_session = false;
    st->code = code;
    /* Cut off by the peer; when it was our side that did, its fiber knows. */
    struct fiber *server = st->finished || st->error ? NULL : st->server;
    if (h2_stream_complete(st))
        h2_calm_done(&c->calm);
    else
        h2_stream_fail(st, code == NGHTTP2_REFUSED_STREAM && !c->serving ? -E_CLOSED : -ECONNRESET);
    if (server)
        fiber_cancel(server);
    h2_stream_release(st);
    return 0;
}

const nghttp2_session_callbacks *h2_events(void)
{
    static nghttp2_session_callbacks *all;
    if (all || nghttp2_session_callbacks_new(&all) != 0)
        return all;
    nghttp2_session_callbacks_set_on_begin_headers_callback(all, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(all, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(all, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(all, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(all, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, on_data);
    nghttp2_session_callbacks_set_send_data_callback(all, send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(all, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(all, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(all, on_stream_close);
    return all;
}
