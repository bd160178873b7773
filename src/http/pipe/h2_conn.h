/* h2_conn - one connection of HTTP/2 and its streams. Private to h2*.c.
 *
 * The connection (h2_conn.c) owns the session of nghttp2, feeds it, and writes what it has to say;
 * the streams (h2_stream.c) are the pipes; nghttp2's callbacks (h2_events.c) move what has arrived
 * from one to the other. h2_serve.c and h2_link.c are the two sides. */
#pragma once

#include "base/budget.h"
#include "base/buf.h"
#include "base/list.h"
#include "http/pipe/h2_body.h"
#include "http/pipe/h2_calm.h"
#include "http/pipe/h2_head.h"
#include "http/pipe/link.h"
#include "io/stream.h"

#define H2_STREAM_WINDOW                                                                           \
    (256u << 10) /* on their way to us, of one stream, unless line says otherwise */
#define H2_CONN_WINDOW (1u << 20) /* and of one connection */
#define H2_OUT_BYTES                                                                               \
    (81u << 10) /* gathered before they are written: four frames of 16 KiB, and one more */
#define H2_FRAME_BYTES (9u + (16u << 10) + 1) /* the most that nghttp2 gives at once */
#define H2_OUT_ITEMS   32 /* frames that are queued before whoever sends a head has to wait */
#define H2_TRIM_NS     1000000000LL /* after so long without a byte a reader gives its stack back */
#define H2_FLUSH_MS    1000         /* for last words */
#define H2_LINGER_MAX  1000         /* tunnels that we have ended and the peer has not */
#define H2_HEADS_MAX   8            /* interim responses that nobody has read yet */

struct h2_stream;

struct h2_conn {
    nghttp2_session *session;
    struct stream *io;
    struct scope *scope; /* of the writer, and of the streams that are served */
    bool serving;
    struct http_serve_options o; /* when serving, defaults filled in */
    struct http_line line;       /* defaults filled in */
    size_t streams_max;          /* at once */
    size_t head_bytes_max;
    struct h2_calm calm;
    uint64_t received;    /* bytes, all in all */
    int64_t idle_ns;      /* since when no stream was there */
    struct fiber *reader; /* when serving: waits for bytes while `reading` */
    bool reading;
    bool draining;     /* no more requests are taken */
    int64_t heard_ns;  /* when bytes came last */
    int64_t pinged_ns; /* when a PING went out last */
    int64_t rtt_ns;    /* how long the last answer to one took; 0: none has come */
    struct list streams;
    size_t n_streams; /* of these with an open pipe */
    size_t n_lingering;
    /* ---- windows (h2_windows.c), with line.held_max ---- */
    size_t held;               /* has come and was not read */
    struct budget_share share; /* the same, in line.budget */
    size_t owed;           /* of what has come the connection's window is still to be given back */
    size_t n_laden;        /* streams whose readers do not keep up */
    uint32_t window;       /* of a stream, as was said last */
    int64_t window_ns;     /* when */
    unsigned settings_out; /* SETTINGS that the peer has not acknowledged */
    /* ---- output ---- */
    char *out; /* H2_OUT_BYTES, or NULL when there is nothing to say */
    size_t out_n;
    bool out_secret;      /* a link's: heads or bodies are in it, and so may credentials be */
    bool paused;          /* no room for another frame: nghttp2 was told to stop */
    bool writing;         /* the writer's fiber runs */
    bool in_write;        /* a buffer is being written: bytes of ours would break it up */
    struct waitq written; /* it has ended */
    struct waitq room;    /* it has written a buffer, or a stream has failed */
    struct waitq over;    /* it is broken, or takes no more requests */
    /* ---- the end ---- */
    int broken;         /* why nothing goes on; 0 */
    bool goaway;        /* the peer takes no more requests (6.8) */
    int lib_error;      /* what nghttp2 said of a frame that it did not like */
    const char *excess; /* what the peer did too much of */
};

/* Makes the session and queues our settings; c->o, line, streams_max and head_bytes_max are set, zeros in
 * line are filled in. 0 or a code with words. */
int h2_conn_init(struct h2_conn *c, struct stream *io, struct scope *scope, bool serving,
                 struct err *e) WARN_UNUSED;
/* No stream with an open pipe and no writer may be left. */
void h2_conn_done(struct h2_conn *c);
/* Reads once and gives the bytes to the session. > 0; 0 at the end of the peer's stream; -E_PROTO,
 * -E_LIMIT: the peer was told why (GOAWAY is queued); other codes. Suspends. */
ssize_t h2_conn_read(struct h2_conn *c, int64_t until_ns);
/* One attempt. As h2_conn_read, and -EAGAIN: nothing is there. Does not suspend. */
ssize_t h2_conn_try_read(struct h2_conn *c);
/* Gives bytes to the session, as h2_conn_read does. Does not suspend. 0 or a code. */
int h2_conn_feed(struct h2_conn *c, const void *p, size_t n);
/* Whether the buffer takes the bytes of a DATA frame, and what nghttp2 may give next. Without, nghttp2 is
 * not entered to write, so that a frame that it has begun never has to wait. */
static inline bool h2_conn_has_room(const struct h2_conn *c)
{
    return H2_OUT_BYTES - c->out_n >= 2 * H2_FRAME_BYTES;
}
/* Moves what the session has to say into the buffer, as far as there is room. Not from callbacks.
 * Does not suspend. */
void h2_conn_gather(struct h2_conn *c);
/* Sees to it that what there is to say is written soon: once the fibers that are ready now have had
 * their turn. Also from callbacks. Does not suspend. */
void h2_conn_kick(struct h2_conn *c);
/* Waits until all has been written, for at most H2_FLUSH_MS, cancelled or not. Suspends. */
void h2_conn_flush(struct h2_conn *c);
/* Last words without waiting: one attempt at what there is to say. */
void h2_conn_last_words(struct h2_conn *c);
/* A stream has ended, and perhaps with it all there was to wait for. */
void h2_conn_left(struct h2_conn *c);
/* Nothing goes on: every stream ends with `code` (< 0), fibers that serve are cancelled. */
void h2_conn_break(struct h2_conn *c, int code);
/* Words for the code that h2_conn_read or a write gave. Returns the code. */
int h2_conn_words(const struct h2_conn *c, int code, struct err *e);

/* ---- the line (h2_line.c) ---- */

/* When it has to be looked at next, or FIBER_NO_DEADLINE. */
int64_t h2_line_next(const struct h2_conn *c);
/* Sends a PING when it is time. 0, or -ETIMEDOUT: the connection is dead. Does not suspend. */
int h2_line_look(struct h2_conn *c);
/* `ns` and so many milliseconds, at most FIBER_NO_DEADLINE. */
int64_t h2_line_after(int64_t ns, int64_t ms);

/* ---- windows (h2_windows.c). Callbacks may call these; none suspends ---- */

void h2_windows_init(struct h2_conn *c);
/* SETTINGS were queued, or acknowledged. */
void h2_windows_settings(struct h2_conn *c, bool acknowledged);
/* So many bytes are kept by a stream; it may be cut off for it, or another one. */
void h2_windows_came(struct h2_stream *st, size_t n);
/* So many of `st` were read. */
void h2_windows_read(struct h2_stream *st, size_t n);
/* So many will not be. */
void h2_windows_dropped(struct h2_conn *c, size_t n);

/* ---- streams ---- */

struct h2_arrived { /* a head that nobody has read yet */
    struct list node;
    struct http_head head;
};

struct h2_stream {
    struct http_pipe pipe; /* first */
    struct h2_conn *c;
    struct list node; /* in c->streams */
    int32_t id;       /* 0: the request has not been sent */
    bool open;        /* somebody has the pipe */
    bool in_session;  /* nghttp2 knows it */
    struct fiber *server;
    struct waitq reader, writer;
    int error;                /* why it ended early; 0 */
    bool cut;                 /* we have asked for RST_STREAM */
    uint32_t code;            /* what RST_STREAM said of it (RFC 9113 7) */
    bool is_head, is_connect; /* the method of the request */
    /* ---- what arrives ---- */
    struct h2_reader head; /* being read */
    struct list heads;
    unsigned n_heads;
    bool final; /* the request, or the final response, has come */
    bool ended; /* END_STREAM has come */
    bool waits; /* the client waits for a 100 */
    struct h2_body in;
    uint64_t received; /* c->received when the request was sent */
    bool counts;       /* nghttp2 does not look whether the body is as long as announced */
    uint64_t due;      /* what is still to come then */
    /* ---- what goes out ---- */
    const char *from; /* lies with a fiber that waits in send_body */
    size_t from_n;
    const struct http_fields *trailers; /* likewise, in send_end */
    enum http_body body;
    uint64_t left;  /* of an announced length */
    bool head_sent; /* the final one */
    bool finish;    /* END_STREAM may go out */
    bool finished;  /* it has */
    bool cut_after; /* then the rest of the request is refused (8.1) */
    bool bytes;     /* it is a stream of io/stream.h by now (h2_bytes.c) */
    bool lingers;   /* nobody has it, and only the peer's end is to come */
    bool asks;      /* which wants to be woken when there is room for bytes */
    /* ---- an answer of our own ---- */
    struct http_head refusal; /* keeps the text that `from` points to */
};

struct h2_stream *h2_stream_new(struct h2_conn *c);
/* Frees it when nobody has it any more: neither a pipe nor the session. */
void h2_stream_release(struct h2_stream *st);
/* Ends it with `code`, unless it has ended, and wakes who waits. Callbacks may. */
void h2_stream_fail(struct h2_stream *st, int code);
/* RST_STREAM with a code of RFC 9113 7. */
void h2_stream_cut(struct h2_stream *st, uint32_t code);
/* Keeps what was received until it is read. 0 or a code. */
int h2_stream_keep(struct h2_stream *st, const void *p, size_t n) WARN_UNUSED;
/* Gives connection-level window back for bytes that nobody will read. */
void h2_stream_drop(struct h2_stream *st);
/* There is something to send again: nghttp2 asks for it as soon as windows and buffer have room, which is
 * at once when they have. */
void h2_stream_resume(struct h2_stream *st);
/* Takes received bytes, of which there are some. > 0. */
size_t h2_stream_take(struct h2_stream *st, void *to, size_t room);
/* http_pipe_stream (h2_bytes.c). */
void h2_stream_bytes(struct http_pipe *p, struct stream *ret);
/* Whether both directions have ended in order. */
bool h2_stream_complete(const struct h2_stream *st);
/* Sends the final head; the body comes from `st`. 0 or a code. */
int h2_stream_answer(struct h2_stream *st, const struct http_head *h) WARN_UNUSED;

/* nghttp2's table of callbacks, made once. NULL: no memory. */
const nghttp2_session_callbacks *h2_events(void);
/* A request is complete (h2_serve.c): starts a fiber for it, or refuses it. Does not suspend. */
void h2_serve_stream(struct h2_stream *st);
