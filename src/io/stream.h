/* stream - a byte stream with one reader and one writer: a socket, a TLS session, a test pipe.
 *
 * Implementations never loop or wait; they return bytes, -EAGAIN with the direction they want, or
 * an error. Only the stream_ calls below wait, so TLS may want to write in order to read. */
#pragma once

#include "io/loop.h"

struct err;
struct stream;

struct stream_ops {
    /* > 0 bytes, 0 end of stream, -EAGAIN (s->want set to EPOLLIN or EPOLLOUT), or an error */
    ssize_t (*read)(struct stream *s, void *p, size_t n);
    ssize_t (*write)(struct stream *s, const void *p, size_t n);
    /* ends the writing side in order (TLS close_notify, shutdown(2)); may return -EAGAIN */
    int (*finish)(struct stream *s);
    /* releases what the implementation added; the io_fd is closed by stream_done */
    void (*done)(struct stream *s);
    /* Of a stream that has no descriptor; NULL: it waits on its own. Waits until what wanted `want` may
     * be tried again; may end early. One fiber may wait to read while another waits to write. 0, or a
     * code; -EBADF when `done` came meanwhile, and then nothing of it is looked at any more. Suspends. */
    int (*wait)(struct stream *s, uint32_t want);
    /* of the same, never NULL there: whether the peer is known to have ended */
    bool (*gone)(const struct stream *s);
};

struct stream {
    const struct stream_ops *ops;
    struct io_fd io; /* IO_FD_NONE when the implementation has a `wait` of its own */
    uint32_t want;
    bool idle;  /* nothing has come for a while: an implementation may give memory back */
    bool reset; /* `done` is to look like no end in order (stream_reset) */
    void *impl; /* e.g. SSL *, owned through ops->done */
};

/* Plain socket or pipe. Takes `fd` over. 0 or -errno (then fd is still the caller's). The stream
 * stays where it is: the loop holds the address of `io`. */
int stream_from_fd(struct stream *s, int fd) WARN_UNUSED;
/* Puts a stream that no fiber waits in elsewhere; leaves a done one behind. */
void stream_move(struct stream *to, struct stream *from);
/* Closes at once; zeroed streams are fine. A fiber that waits in the stream gets -EBADF; the memory
 * of `s` must stay until that fiber has returned. */
void stream_done(struct stream *s);

/* All suspend; -ECANCELED, -ETIMEDOUT as everywhere. */
/* Bytes, 0 at the end, or an error. */
ssize_t stream_read(struct stream *s, void *p, size_t n) WARN_UNUSED;
/* All of it, or an error. */
int stream_write(struct stream *s, const void *p, size_t n) WARN_UNUSED;
int stream_finish(struct stream *s) WARN_UNUSED;

/* For who must know whether something is there, or waits without a buffer. One attempt: > 0 bytes, 0
 * at the end, -EAGAIN (s->want says what to wait for), or an error. No system call when it is known
 * that nothing has come since the last one. Does not suspend. */
ssize_t stream_try_read(struct stream *s, void *p, size_t n) WARN_UNUSED;
/* The same of writing: bytes taken (1 to n), -EAGAIN, or an error. Does not suspend. */
ssize_t stream_try_write(struct stream *s, const void *p, size_t n) WARN_UNUSED;
/* Waits for what the last stream_try_read wanted (`want`, kept by the caller: a writer may have
 * changed it meanwhile). May end early. Suspends. 0, or a code. */
int stream_wait(struct stream *s, uint32_t want) WARN_UNUSED;
/* Whether the peer is known to have ended its side, although nobody has read that far. Does not
 * suspend. */
bool stream_gone(const struct stream *s);
/* Closes at once, in a way that the peer cannot take for an end in order: TCP answers with a reset.
 * Otherwise as stream_done. */
void stream_reset(struct stream *s);
bool stream_is_tls(const struct stream *s);
bool stream_is_plain(const struct stream *s); /* a socket or pipe, as stream_from_fd made it */
