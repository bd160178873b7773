/* pipe - one exchange of HTTP as a pipe with two ends in each direction, whichever version carries it.
 *
 * What lives in this folder: heads (message), the pipe as all see it (this), the two versions (h1,
 * h2), links kept for the next request (origins), and asking a proxy for a connection (proxy). What
 * does not: what is done with a message. The boundary (egress) and the gateway stand on it; the API's
 * own server is http/server.
 *
 * The side that serves reads a request and sends a response; the side that asks sends a request and
 * reads responses. Both have the same calls:
 *
 *     read_head, then read_body until 0, then trailers          the peer's message
 *     send_head, then send_body any number of times, send_end   ours
 *
 * One fiber may read while another one sends. Order within a direction is the caller's duty. After an
 * error, or a reset, every further call returns an error; the pipe is closed all the same. A pipe
 * that is closed before both directions have ended is reset, so that the peer can tell.
 *
 * After a response of 101 (HTTP/1.1 with head.protocol), or 2xx to a CONNECT, body bytes are what the
 * protocol or the tunnel says, in both directions, until send_end and 0. A CONNECT with head.protocol is
 * RFC 8441; without it, it names only an authority with a port (RFC 9110 9.3.6, RFC 9113 8.5), and its
 * body is HTTP_BODY_STREAM: bytes may go out before the answer has come. Content-Length says nothing in
 * either, nor is it written. 204 ends a tunnel before it begins. Whoever serves gets each CONNECT as any
 * other request, and answers it with another status when it is no proxy. */
#pragma once

#include "http/pipe/message.h"

struct budget;
struct err;
struct stream;

enum http_version { HTTP_1_1, HTTP_2 };

/* Why an exchange is cut off. Version 2 says it (RFC 9113 7), version 1 ends the connection. */
enum http_reset {
    HTTP_RESET_CANCEL,   /* nobody wants it any more */
    HTTP_RESET_INTERNAL, /* our fault, or the other side's connection broke */
    HTTP_RESET_REFUSED,  /* nothing was done: may be tried again */
    HTTP_RESET_PROTOCOL, /* the peer's message is malformed */
};

struct http_pipe;
struct http_pipe_ops {
    int (*read_head)(struct http_pipe *p, struct http_head *ret, struct err *e);
    ssize_t (*read_body)(struct http_pipe *p, void *to, size_t room, bool *ret_idle);
    const struct http_fields *(*trailers)(struct http_pipe *p);
    int (*send_head)(struct http_pipe *p, const struct http_head *h);
    int (*send_body)(struct http_pipe *p, const void *from, size_t n, bool more);
    int (*send_end)(struct http_pipe *p, const struct http_fields *trailers);
    void (*reset)(struct http_pipe *p, enum http_reset why);
    void (*close)(struct http_pipe *p);
    bool (*ready)(struct http_pipe *p);                      /* NULL: not known */
    bool (*gone)(struct http_pipe *p);                       /* NULL: not known */
    int (*wait_gone)(struct http_pipe *p);                   /* NULL: is never known */
    void (*stream)(struct http_pipe *p, struct stream *ret); /* NULL: cannot (1.1) */
};
struct http_pipe {
    const struct http_pipe_ops *ops;
    enum http_version version;
};

/* Reads the peer's head. Suspends. On the serving side it has arrived already. On the asking side:
 * the next head, interim responses (1xx) included; after one of those read again. *ret must be
 * initialised; it owns what it holds. 0; -E_PARSE with words: not HTTP, or framed in a way that has
 * two readings; -E_LIMIT with words (section too large); -E_CLOSED: the peer ended before a head, and
 * nothing of it has come (an idle connection that the origin has closed meanwhile: a request without
 * a body may be sent again on another one); -ECONNRESET, -ECANCELED, -ETIMEDOUT (then it may be called
 * again, as may read_body), other codes of the connection. */
static inline int http_read_head(struct http_pipe *p, struct http_head *ret, struct err *e)
{
    return p->ops->read_head(p, ret, e);
}
/* Reads body bytes, decoded from their framing. Suspends while there are none. Returns > 0, 0 at the
 * end, or an error: a body that was cut short is one (-ECONNRESET), never an end. Asking for bytes is
 * what lets the peer send more: nothing is read ahead beyond one buffer (1.1) or window (2). *ret_idle
 * (may be NULL): no more is there at this moment, so what was held back should go on. On the serving
 * side the first call sends 100 (Continue) when the client waits for it and no response head was
 * sent. */
static inline ssize_t http_read_body(struct http_pipe *p, void *to, size_t room, bool *ret_idle)
{
    return p->ops->read_body(p, to, room, ret_idle);
}
/* Whether the next read would not wait: body bytes, the end, or an error are here. False when that is not
 * known. For whoever holds back a head, that it may go out together with what follows. Does not
 * suspend. */
static inline bool http_ready(struct http_pipe *p)
{
    return p->ops->ready && p->ops->ready(p);
}
/* Whether the peer is known to have gone away: it has reset the exchange, or ended its side of the
 * connection, although nobody has read that far. For whoever waits for something else on its behalf. Does
 * not suspend. */
static inline bool http_gone(struct http_pipe *p)
{
    return p->ops->gone && p->ops->gone(p);
}
/* Waits until http_gone would say so: for a fiber that serves, after the request's body has been read to
 * its end, beside the one that sends. What the peer sends ahead of its turn is kept. Suspends. 0;
 * -ECANCELED, -ETIMEDOUT. */
static inline int http_wait_gone(struct http_pipe *p)
{
    return p->ops->wait_gone(p);
}
/* After read_body has returned 0: the trailer section, framing fields taken off; empty when there was
 * none. Lives as long as the pipe. */
static inline const struct http_fields *http_trailers(struct http_pipe *p)
{
    return p->ops->trailers(p);
}
/* Sends our head: the one request, or on the serving side any number of interim responses and then
 * the final one. head.body says what follows; with HTTP_BODY_NONE the message ends here and send_end
 * is not needed. Framing is written anew. Nothing is kept of *h. The head may be held back until the
 * first body bytes, the end, or http_flush. Suspends. 0 or an error of the connection. */
static inline int http_send_head(struct http_pipe *p, const struct http_head *h)
{
    return p->ops->send_head(p, h);
}
/* Sends body bytes. `more`: more will follow at once, so they may be held back for it. With
 * HTTP_BODY_LENGTH more bytes than announced are a fault of the caller (-EINVAL). n may be 0, which
 * flushes. Suspends while the peer takes no more. */
static inline int http_send_body(struct http_pipe *p, const void *from, size_t n, bool more)
{
    return p->ops->send_body(p, from, n, more);
}
static inline int http_flush(struct http_pipe *p)
{
    return p->ops->send_body(p, NULL, 0, false);
}
/* Ends our message. `trailers` (NULL: none) go out where the version has a place for them (in 1.1
 * with HTTP_BODY_STREAM). Fewer bytes than announced: -EINVAL, and the exchange is reset. Suspends. */
static inline int http_send_end(struct http_pipe *p, const struct http_fields *trailers)
{
    return p->ops->send_end(p, trailers);
}
/* Cuts the exchange off. Does not suspend. Fibers that wait in a call get -ECANCELED or
 * -ECONNRESET. */
static inline void http_reset(struct http_pipe *p, enum http_reset why)
{
    p->ops->reset(p, why);
}
/* Ends the pipe and frees it. No other fiber may be in a call. Does not suspend. NULL is fine. */
static inline void http_pipe_close(struct http_pipe *p)
{
    if (p)
        p->ops->close(p);
}

/* Makes a tunnel a stream: an HTTP/2 pipe whose CONNECT has been answered by a 2xx that went out, or
 * that was read, with HTTP_BODY_STREAM in both directions and no call under way. Takes the pipe over.
 * *ret is like any stream of io/stream.h: it may be moved, TLS may run in it, one fiber may read while
 * another one writes. What it does besides:
 *  - stream_finish ends our direction (END_STREAM); reading 0 is the peer's end.
 *  - stream_done closes the pipe. Without stream_finish before it the peer gets a reset, unless all had
 *    ended; with it, an end, and on the asking side a reset only if it goes on sending. (The serving
 *    side refuses the rest with NO_ERROR, RFC 9113 8.1.) After stream_reset it always gets a reset.
 *  - A reset by the peer, and the end of the connection, is -ECONNRESET, after the bytes that have come;
 *    on the serving side the stream's fiber is cancelled besides, as always.
 *  - It is done before its link is freed, or `serve` returns.
 *  - Nothing is queued for it: what stream_write has taken is in the connection's own buffer, as the
 *    peer's windows allow. It holds what has come and was not read, at most one window, and nothing else.
 * Does not suspend. */
static inline void http_pipe_stream(struct http_pipe *p, struct stream *ret)
{
    p->ops->stream(p, ret);
}

/* Opens the library of HTTP/2, which is otherwise done at first use: for a process that locks itself in
 * before. -ENOENT with words: it is missing. */
int http_pipe_open(struct err *e) WARN_UNUSED;

/* What a connection of HTTP/2 does to stay alive, and what may be on its way to us. */
struct http_line {
    /* A PING goes out so often (RFC 9113 6.7); 0: none. */
    int64_t ping_ms;
    /* When nothing at all has come for so long, the connection is dead; 0: never. Monotonic time: a
     * machine that was suspended finds out within so long after it has been woken. More than ping_ms. */
    int64_t dead_ms;
    /* What one stream, and the connection, may send before we have read (RFC 9113 5.2): up to 16 MiB;
     * 0: 256 KiB, 1 MiB. */
    uint32_t stream_window, conn_window;
    /* 0: the connection's window comes back as streams are read, so it is the ceiling of what is held
     * for all of them, and some that are not read hold up the others. Otherwise the ceiling, at least
     * twice conn_window: the connection's window comes back at once, and only the stream that is not
     * read is held up. As it fills, streams get smaller windows; at the end those that hold most are
     * reset (ENHANCE_YOUR_CALM, -ECONNRESET), so that the others go on. Buffers take up to twice as much
     * memory as what is in them. */
    size_t held_max;
    /* With held_max: what one stream may send while nearly all are read as fast as they come, up to 16 MiB;
     * a long line is filled with it. Less than stream_window: that. */
    uint32_t stream_window_most;
    /* With held_max: what is held is counted here, too, together with other connections. Where that has no
     * room, those of this connection that hold most are reset until it has. Outlives the connection. */
    struct budget *budget;
};

/* ---- a connection on which requests come in ---- */

/* A connection that is being served, in the hands of whoever may want it to end in order. Zeroed at first;
 * stays where it is until http_serve has returned, and serves for one call. */
struct http_serving {
    struct h2_conn *conn; /* while it is served */
    bool draining;
};
/* No more requests are taken: GOAWAY (RFC 9113 6.8) goes out, requests that cross it may go elsewhere
 * (their askers see -E_CLOSED), and those that were taken go on. http_serve returns 0 when none is left,
 * or at once when there is none. Before http_serve begins and after it has returned it is remembered, no
 * more. Again costs nothing. Does not suspend. */
void http_serve_drain(struct http_serving *s);
/* How many exchanges have not ended; 0 also before and after http_serve. */
size_t http_serve_streams(const struct http_serving *s);
/* How long the last PING and its answer took, in nanoseconds; 0: none was answered yet, or nothing is served. */
int64_t http_serve_rtt_ns(const struct http_serving *s);

struct http_serve_options {
    bool tls;                /* the scheme of the requests */
    int64_t head_timeout_ms; /* a head, from its first byte; 0: 10 s */
    int64_t idle_timeout_ms; /* between requests; 0: 300 s */
    size_t head_bytes_max;   /* 0: 64 KiB, fields and target together */
    unsigned streams_max;    /* at once, of HTTP/2; 0: 128 */
    bool connect_protocol;   /* HTTP/2: offer RFC 8441 */
    struct http_line line;   /* HTTP/2 */
    /* What to answer to a head that cannot be taken, so that the answer is the boundary's own: fills
     * in a response with a body, which lies in its arena. `why` is constant. 421: places in the head name
     * different hosts. NULL: an empty answer with that status. Does not suspend. */
    void (*refuse)(void *arg, int status, const char *why, struct http_head *ret,
                   struct http_text *ret_body);
    /* HTTP/2: a message was malformed (RFC 9113 8.1.1) before it was an exchange; its stream is reset,
     * without an answer. NULL: nobody wants to know. Does not suspend. */
    void (*reset)(void *arg);
    /* Serves one exchange: owns `p` and closes it. On a fiber: the connection's own for 1.1, one for
     * each stream for 2. Suspends. With HTTP/2 that fiber is cancelled when its client resets the
     * stream before the response is complete, and when the connection ends: what has to be done all
     * the same wants a shield. */
    void (*serve)(void *arg, struct http_pipe *p);
    void *arg;
    struct http_serving *serving; /* HTTP/2: what may be asked of it meanwhile; NULL: nothing */
};
/* Serves requests on `s`, which stays the caller's, until the peer ends, an error, or a deadline.
 * Suspends. 0 when it ended in order. -ETIMEDOUT with words: a deadline, or the line is dead: its streams
 * have ended with -ECONNRESET, and their fibers are cancelled. HTTP/2: -E_PROTO, -E_LIMIT: the peer broke the rules, or did too much
 * of what leads nowhere; with words. */
int http_serve(enum http_version v, struct stream *s, const struct http_serve_options *o,
               struct err *e) WARN_UNUSED;

/* ---- a connection on which requests go out ---- */

struct http_link;
struct http_link_options {
    bool tls;
    size_t head_bytes_max; /* 0: 256 KiB */
    size_t streams_max;    /* at once, of HTTP/2, if the peer takes as many; 0: 256 */
    struct http_line line; /* HTTP/2 */
};
/* Takes the connected stream over (moved; it is done with the link). In the fiber whose scope the
 * link's own fibers shall belong to. HTTP/2 sends its preface. Suspends. 0, or a code with words; the
 * stream is then done. */
int http_link_new(enum http_version v, struct stream *s, const struct http_link_options *o,
                  struct http_link **ret, struct err *e) WARN_UNUSED;
/* A pipe for one request. -EBUSY: HTTP/1.1 with an exchange on it, or HTTP/2 at the peer's ceiling;
 * -E_CLOSED: takes no more. Does not suspend. The pipe must be closed before the link is freed. */
int http_link_ask(struct http_link *l, struct http_pipe **ret) WARN_UNUSED;
enum http_version http_link_version(const struct http_link *l);
/* How many more requests it would take now; 0 also when it has ended (http_link_ended). */
size_t http_link_room(const struct http_link *l);
/* Of no use for another request: closed, broken, dead (the streams of such a one end with -ECONNRESET),
 * told to go away (GOAWAY, Connection: close). An
 * HTTP/1.1 link that lies idle finds out here that its peer has ended. Does not suspend. */
bool http_link_ended(struct http_link *l);
/* HTTP/2: waits until it takes no more requests. Suspends. 0: the peer has said so (GOAWAY), and exchanges
 * that are on it go on; or with words why it broke; -ECANCELED, -ETIMEDOUT. */
int http_link_wait(struct http_link *l, struct err *e) WARN_UNUSED;
/* HTTP/2: nothing comes or goes any more; every exchange on it has failed. Does not suspend. */
bool http_link_broken(const struct http_link *l);
/* Ends it at once: the peer is told as far as that can be done without waiting (GOAWAY), the connection is
 * closed, every exchange on it ends with `code` (< 0; with -ECONNRESET it is -E_CLOSED for those that
 * cannot have been seen by the peer). The link is still to be freed, and its pipes to be closed before.
 * Does not suspend. */
void http_link_cut(struct http_link *l, int code);
/* HTTP/2: whether the peer's settings have come and offer RFC 8441. */
bool http_link_connect_protocol(const struct http_link *l);
/* Suspends (joins its fibers). NULL is fine. */
void http_link_free(struct http_link *l);
