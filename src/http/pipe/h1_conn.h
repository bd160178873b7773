/* h1_conn - one connection of HTTP/1.1 with the exchange that is on it. Private to h1_*.c.
 *
 * h1_conn.c moves bytes, h1_read.c reads what the peer says, h1_message.c turns heads into messages,
 * h1_write.c writes ours; h1_serve.c and h1_link.c hold the two lives of a connection. */
#pragma once

#include "base/buf.h"
#include "fiber/sync.h"
#include "http/pipe/h1.h"
#include "http/wire/h1.h"
#include "http/wire/h1_response.h"
#include "io/stream.h"

#define H1_BUFFER_BYTES (16u << 10) /* one TLS record, and most messages */
#define H1_PROTOCOL_MAX 32
#define H1_TURN         32 /* reads without a wait before others get a turn */

enum h1_place { H1_AT_HEAD, H1_AT_BODY, H1_AT_END };

struct h1_conn {
    struct http_pipe pipe; /* of the exchange of the moment; first: it is how the calls get here */
    struct stream *s;      /* the caller's when serving, the link's when asking */
    bool serving;
    bool open; /* the pipe is out */
    size_t head_bytes_max;
    int ops;

    /* ---- what the peer says ---- */
    char *in; /* NULL while nothing is buffered */
    size_t in_cap, in_from, in_to;
    size_t in_used;   /* so far bytes were written, to be wiped */
    uint32_t in_want; /* what the last attempt to read wanted */
    bool in_ended;    /* the peer has sent its last byte */
    int in_error;     /* sticky */
    enum h1_place in_at;
    enum h1_framing in_framing;
    uint64_t in_left; /* of H1_LENGTH */
    struct h1_chunked decoder;
    struct buf trailer_text;
    struct http_head trailers; /* only its fields */

    /* ---- what we say ---- */
    char *out; /* NULL while nothing is held back */
    size_t out_n, out_used;
    int out_error; /* sticky; the peer's answer may still be there to be read */
    enum h1_place out_at;
    enum h1_framing out_framing;
    uint64_t out_left;
    bool out_finished;     /* our side of the connection has ended */
    bool out_drop;         /* a body that the message must not have: counted and dropped */
    struct fmutex writing; /* the reader may have to say 100 */

    /* ---- the exchange ---- */
    struct http_head head; /* serving: until it is asked for */
    bool head_taken;
    bool interim; /* asking: the peer has said something to this request */
    bool cut;     /* by us */
    enum h1_asked asked;
    bool old;                       /* the client speaks HTTP/1.0 */
    bool keep;                      /* another exchange may follow */
    bool wants_continue;            /* the client waits for 100, which nobody has said yet */
    char protocol[H1_PROTOCOL_MAX]; /* that the request wants to change to, or "" */
};

void h1_conn_init(struct h1_conn *c, struct stream *s, bool serving, size_t head_bytes_max);
void h1_conn_done(struct h1_conn *c); /* gives its memory back; the stream is left alone */
/* Forgets the last exchange. */
void h1_exchange_begin(struct h1_conn *c);
/* Gives back what the exchange held. */
void h1_exchange_end(struct h1_conn *c);

/* ---- bytes in ---- */
static inline size_t h1_buffered(const struct h1_conn *c)
{
    return c->in_to - c->in_from;
}
static inline const char *h1_bytes(const struct h1_conn *c)
{
    return c->in + c->in_from;
}
void h1_consume(struct h1_conn *c, size_t n);
/* Reads more into the buffer; grown up to `max` bytes in it. Suspends. > 0, 0 at the end, -ENOBUFS,
 * or the connection's error. */
ssize_t h1_fill(struct h1_conn *c, size_t max) WARN_UNUSED;
/* Reads straight to `p`, when nothing is buffered. Suspends. As h1_fill. */
ssize_t h1_read_into(struct h1_conn *c, void *p, size_t n) WARN_UNUSED;
/* Likewise what is there without a wait: > 0, or 0 when that is nothing, which an end or an error is, too: who reads
 * on learns of it. Does not suspend. */
size_t h1_try_into(struct h1_conn *c, void *p, size_t n);
/* Whether something is there to be read: bytes (in the buffer from here on), the end, or an error.
 * Does not suspend. */
bool h1_ready(struct h1_conn *c);
/* Waits until h1_ready may say something else. Gives the buffer back when it is empty. Suspends. */
int h1_wait(struct h1_conn *c) WARN_UNUSED;

/* ---- bytes out ---- */
/* Puts bytes behind those held back; writes when they have become many. Suspends. An error stays: the
 * last of a run of calls, or h1_flush, tells. */
int h1_put(struct h1_conn *c, const void *p, size_t n);
/* Writes what is held back. Suspends. */
int h1_flush(struct h1_conn *c) WARN_UNUSED;

/* Ends our side of the connection in order, once. Suspends. */
int h1_finish(struct h1_conn *c) WARN_UNUSED;
/* Cuts the connection off, so that the peer can tell. Does not suspend. */
void h1_cut(struct h1_conn *c);

/* ---- h1_message.c ---- */
/* Whether a try to parse what is buffered can say something new: `seen` bytes were there before,
 * `tried` at the last try. */
bool h1_may_end(const char *p, size_t n, size_t seen, size_t tried, size_t max);
/* The message of a request head; -E_PARSE with the status and a sentence. Notes what the exchange
 * has to know. */
int h1_message_request(struct h1_conn *c, const char *p, size_t n, const struct h1_head *h,
                       bool tls, struct http_head *ret, int *ret_status, const char **ret_why)
    WARN_UNUSED;
int h1_message_response(struct h1_conn *c, const char *p, size_t n, const struct h1_head *h,
                        enum h1_framing framing, struct http_head *ret, const char **ret_why)
    WARN_UNUSED;
/* The fields of a trailer section, framing fields left out, into *ret. */
int h1_message_trailers(const char *p, size_t n, struct http_head *ret) WARN_UNUSED;

/* ---- the calls of a pipe ---- */
int h1_read_head(struct http_pipe *p, struct http_head *ret, struct err *e);
ssize_t h1_read_body(struct http_pipe *p, void *to, size_t room, bool *ret_idle);
const struct http_fields *h1_trailers(struct http_pipe *p);
int h1_send_head(struct http_pipe *p, const struct http_head *h);
int h1_send_body(struct http_pipe *p, const void *from, size_t n, bool more);
int h1_send_end(struct http_pipe *p, const struct http_fields *trailers);
void h1_reset(struct http_pipe *p, enum http_reset why);
bool h1_body_ready(struct http_pipe *p);
bool h1_gone(struct http_pipe *p);
int h1_wait_gone(struct http_pipe *p);

/* h1_write.c, for h1_read.c: says 100 when the client waits for it. Suspends. */
int h1_send_continue(struct h1_conn *c) WARN_UNUSED;
/* h1_read.c, for h1_write.c: from here on what comes is no HTTP. */
void h1_read_raw(struct h1_conn *c);
