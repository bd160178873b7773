/* h2 - HTTP/2 (RFC 9113) behind pipe.h, both sides, on nghttp2. For pipe.c; everybody else calls
 * http_serve and http_link_new.
 *
 * What a caller can count on besides the contracts of pipe.h:
 *  - A fiber that serves a stream is cancelled when its client resets the stream before the response
 *    is complete, and when the connection ends: an exchange that waits for an origin need not ask.
 *    What has to be done all the same (an audit record) wants a shield.
 *  - A peer is told to send more only as the pipe's reader takes bytes: 256 KiB are on their way for
 *    one stream, 1 MiB for one connection, and no more memory than that is held, unless struct
 *    http_line says otherwise.
 *  - A link may be freed by another fiber than the one that made it. */
#pragma once

#include "http/pipe/link.h"

/* http_serve for HTTP/2: the caller's fiber reads; each stream has a fiber of its own. From the
 * connection preface on (RFC 9113 3.4). The contract is that of http_serve. 0 also when it has been
 * idle for too long; -E_PROTO with words: the peer broke the protocol; -E_LIMIT with words: it
 * wasted our time (frames that carry nothing, resets, RFC 9113 10.5), and was told to be calm;
 * -ETIMEDOUT with words: no preface, or half a head; -ENOENT with words: no library. Suspends. */
int h2_serve(struct stream *s, const struct http_serve_options *o, struct err *e) WARN_UNUSED;

/* http_serve_drain and http_serve_streams. */
struct h2_conn;
void h2_serve_drain(struct h2_conn *c);
size_t h2_serve_streams(const struct h2_conn *c);
int64_t h2_serve_rtt_ns(const struct h2_conn *c);

/* http_link_new for HTTP/2: sends the preface and starts the fiber that reads. Takes `s` over in
 * every case. 0 or a code with words. Suspends. */
int h2_link_new(struct stream *s, const struct http_link_options *o, struct http_link **ret,
                struct err *e) WARN_UNUSED;
