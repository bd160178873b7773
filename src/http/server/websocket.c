/* websocket.c - the opening handshake, and a stream over frames.
 *
 * Called by a handler on the connection's fiber; afterwards by whoever reads and writes the stream (TLS, as a
 * rule), one attempt at a time, never suspending (io/stream.h). The peer controls its frames: they are read
 * by http/wire/ws, heads and control frames in fixed room, payloads straight from the buffer that they came
 * in. What is written waits in a buffer of one frame and some pongs; a ping that finds it full is not
 * answered, and many frames without data are an error rather than work without end. No extension is ever
 * agreed to. */
#include "http/server/websocket.h"

#include <string.h>
#include <sys/epoll.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/digest.h"
#include "http/server/server.h"
#include "http/wire/ws.h"
#include "io/stream.h"

#define IN_BYTES     (16u << 10)
#define FRAME_BYTES  (16u << 10)
#define OUT_MAX      (FRAME_BYTES + 4096)
#define PONGS_MAX    2048 /* bytes that wait, beyond which pings go unanswered */
#define DATALESS_MAX 16   /* reads of a buffer without a byte of data in it */
#define KEY_BYTES    16
#define KEY_TEXT     24

struct websocket {
    struct stream under; /* its io has the number of the descriptor, no registration */
    struct ws_reader reader;
    uint8_t in[IN_BYTES];
    size_t in_from, in_to;
    const uint8_t *data; /* of a piece: in `in` */
    size_t n_data;
    struct buf out;
    size_t taken; /* bytes of the caller's that are in `out` and were not told so */
    bool ended, closed;
    int error; /* sticky */
    char *again;
    size_t n_again, again_at;
};

/* ---- out ---- */

static int push_out(struct websocket *w)
{
    while (w->out.len > 0) {
        ssize_t n = w->under.ops->write(&w->under, w->out.data, w->out.len);
        if (n < 0)
            return (int)n;
        buf_consume(&w->out, (size_t)n);
    }
    return 0;
}

static void say_close(struct websocket *w, enum ws_code code)
{
    if (!w->closed)
        (void)!ws_close(&w->out, code, "", false);
    w->closed = true;
    (void)!push_out(w); /* what does not fit goes out with the next attempt, if there is one */
}

static ssize_t write_some(struct stream *s, const void *p, size_t n)
{
    struct websocket *w = s->impl;
    w->under.io.fd = s->io.fd;
    if (w->closed)
        return -EPIPE;
    int r = w->taken ? 0 : push_out(w);
    if (r == 0 && !w->taken) {
        size_t k = n < FRAME_BYTES ? n : FRAME_BYTES;
        r = ws_frame(&w->out, WS_BINARY, true, p, k, false);
        w->taken = r == 0 ? k : 0;
    }
    if (r == 0)
        r = push_out(w);
    if (r == -EAGAIN)
        s->want = EPOLLOUT;
    if (r < 0)
        return r;
    n = w->taken;
    w->taken = 0;
    return (ssize_t)n;
}

static int finish(struct stream *s)
{
    struct websocket *w = s->impl;
    w->under.io.fd = s->io.fd;
    if (!w->closed)
        (void)!ws_close(&w->out, WS_CODE_NORMAL, "", false);
    w->closed = true;
    int r = push_out(w);
    if (r == -EAGAIN)
        s->want = EPOLLOUT;
    return r < 0 ? r : w->under.ops->finish(&w->under);
}

/* ---- in ---- */

static int fail(struct websocket *w)
{
    w->error = -E_PROTO;
    say_close(w, WS_CODE_PROTOCOL);
    return w->error;
}

static int take_piece(struct websocket *w, const struct ws_piece *piece)
{
    switch (piece->opcode) {
    case WS_BINARY:
        w->data = piece->p;
        w->n_data = piece->n;
        return 0;
    case WS_PING:
        if (!w->closed && w->out.len < w->taken + PONGS_MAX)
            (void)!ws_frame(&w->out, WS_PONG, true, piece->p, piece->n, false);
        (void)!push_out(w);
        return 0;
    case WS_PONG:
        return 0;
    case WS_CLOSE:
        w->ended = true;
        say_close(w, WS_CODE_NORMAL);
        return 0;
    case WS_TEXT:
    case WS_CONTINUATION:
        break;
    }
    return fail(w);
}

/* The next piece of what lies in the buffer. */
static int read_frames(struct websocket *w)
{
    uint8_t *p = w->in + w->in_from;
    size_t n = w->in_to - w->in_from;
    struct ws_piece piece;
    const char *why;
    int r = ws_read(&w->reader, &p, &n, &piece, &why);
    w->in_from = w->in_to - n;
    return r < 0 ? fail(w) : r == 0 ? 0 : take_piece(w, &piece);
}

static ssize_t hand_out(const void *from, size_t *at, size_t n, void *to, size_t room)
{
    size_t k = n - *at < room ? n - *at : room;
    memcpy(to, (const char *)from + *at, k);
    *at += k;
    return (ssize_t)k;
}

static ssize_t read_some(struct stream *s, void *p, size_t n)
{
    struct websocket *w = s->impl;
    w->under.io.fd = s->io.fd;
    (void)!push_out(w); /* pongs that wait; who writes hears of errors */
    if (w->again_at < w->n_again)
        return hand_out(w->again, &w->again_at, w->n_again, p, n);
    for (int reads = 0; w->error == 0 && !w->ended;) {
        if (w->n_data > 0) {
            size_t at = 0;
            ssize_t k = hand_out(w->data, &at, w->n_data, p, n);
            w->data += k;
            w->n_data -= (size_t)k;
            return k;
        }
        if (w->in_from < w->in_to) {
            (void)read_frames(w);
            continue;
        }
        if (reads++ == DATALESS_MAX)
            return fail(w);
        ssize_t got = w->under.ops->read(&w->under, w->in, IN_BYTES);
        if (got == -EAGAIN)
            s->want = EPOLLIN;
        if (got <= 0)
            return got < 0 ? got : -ECONNRESET;
        w->in_from = 0;
        w->in_to = (size_t)got;
    }
    return w->error;
}

static void forget(struct stream *s)
{
    struct websocket *w = s->impl;
    buf_done(&w->out);
    free(w->again);
    free(w);
}

static const struct stream_ops ops = {
    .read = read_some, .write = write_some, .finish = finish, .done = forget};

void http_websocket_unread(struct stream *s, const void *p, size_t n)
{
    struct websocket *w = s->impl;
    MUST(s->ops == &ops && !w->again);
    w->again = mem_array(n, 1);
    memcpy(w->again, p, n);
    w->n_again = n;
}

/* ---- the handshake ---- */

/* RFC 6455 4.2.1, 5: exactly one key, of 16 bytes as base64. */
static const char *key_of(const struct h1_request *q)
{
    size_t n, versions;
    const char *key = h1_header_get(q, "sec-websocket-key", &n);
    const char *version = h1_header_get(q, "sec-websocket-version", &versions);
    AUTO(buf) bytes = BUF_INIT(64);
    if (!str_eq(q->method, "GET") || n != 1 || versions != 1 || !str_eq(version, "13") ||
        strlen(key) != KEY_TEXT || enc_base64_decode(&bytes, key, KEY_TEXT) < 0 ||
        bytes.len != KEY_BYTES)
        return NULL;
    return key;
}

/* RFC 6455 4.2.2, 5.4. */
static void answer_key(struct http_exchange *x, const char *key)
{
    unsigned char sum[DIGEST_SHA1_BYTES];
    AUTO_FREE char *text = mem_printf("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    AUTO(buf) value = BUF_INIT(64);
    digest_sha1(text, strlen(text), sum);
    (void)enc_base64(&value, sum, sizeof(sum));
    http_set_header(x, "Sec-WebSocket-Accept", buf_str(&value));
}

int http_switch_websocket(struct http_exchange *x, struct stream *ret)
{
    struct stream plain;
    *ret = (struct stream){.io = IO_FD_NONE};
    const char *key = http_asks_upgrade(x, "websocket") ? key_of(http_request(x)) : NULL;
    if (!key)
        return -EINVAL;
    answer_key(x, key);
    int r = http_switch(x, "websocket", &plain);
    if (r < 0)
        return r;
    struct websocket *w = mem_new(struct websocket);
    w->reader.masked = true;
    w->out = BUF_INIT(OUT_MAX);
    /* As TLS on a stream has it: nobody tells it of an end that has come. */
    w->under = (struct stream){
        .ops = plain.ops, .impl = plain.impl, .io = {.fd = plain.io.fd, .peer_ended = true}};
    plain.ops = NULL;
    plain.impl = NULL;
    ret->ops = &ops;
    ret->impl = w;
    io_fd_move(&ret->io, &plain.io);
    return 0;
}
