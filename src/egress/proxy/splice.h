/* splice - two connected sockets joined into one connection, without looking at what passes.
 *
 * Bytes are moved as they come, in both directions, by splice(2) through a pipe while much is moved
 * and through one buffer of the thread while little is. A connection that lies idle holds neither.
 * Half-close is kept: an end of stream is passed on by shutdown(2) after the last byte. A reset is
 * passed on as a reset. */
#pragma once

#include "io/loop.h"

/* The pipes and the buffer, of one thread. */
struct splice_pool;
struct splice_options {
    size_t pipe_bytes; /* of each pipe, as far as the kernel allows; 0: 256 KiB */
    size_t pipes_kept; /* that no connection uses; 0: 32 */
};
struct splice_pool *splice_pool_new(const struct splice_options *o); /* NULL: defaults */
void splice_pool_free(struct splice_pool *p);          /* no connection may use it; NULL is fine */
size_t splice_pool_pipes(const struct splice_pool *p); /* open now, used or kept */

struct splice_flow {
    int64_t idle_timeout_ms; /* without a byte in either direction; 0: none */
    /* Up to date while it runs, and afterwards. */
    uint64_t there, back;  /* bytes written to `b`, to `a` */
    bool a_ended, b_ended; /* end of stream has come from it */
};

/* Relays until both sides have ended (0), or -ETIMEDOUT (idle, or the fiber's deadline), -ECANCELED
 * (fiber_cancel: the policy has been tightened), -ECONNRESET, -EPIPE or another -errno of a socket. On
 * failure both sockets are set to be reset when they are closed, so that neither peer takes what it
 * has for the whole. The descriptors stay the caller's, who closes them next. Bytes that were only
 * peeked at go through. One fiber; Suspends. */
int splice_run(struct splice_pool *p, struct io_fd *a, struct io_fd *b, struct splice_flow *f)
    WARN_UNUSED;
