/* websocket - a connection that goes on as WebSocket (RFC 6455): the bytes in its binary messages, as a stream. */
#pragma once

#include "base/base.h"

struct http_exchange;
struct stream;

/* The one answer of a request that asks for `websocket`: 101, after which *ret is the handler's, as with
 * http_switch. What it reads are the payloads of binary messages, one after another, wherever they were cut;
 * what it writes goes out as binary messages of up to 16 KiB. Pings are answered. Reading 0 is the peer's
 * Close; a connection that ends without one is -ECONNRESET; -E_PROTO: frames that are none, text, or floods
 * of frames without data. stream_finish sends a Close. A write that could not go out at once (-EAGAIN) is
 * repeated with the same bytes, or more behind them. Suspends. 0; -EINVAL without an answer yet: this is no
 * opening handshake of RFC 6455 4.2.1; or as http_switch. */
int http_switch_websocket(struct http_exchange *x, struct stream *ret) WARN_UNUSED;
/* Puts bytes that were read back in front of what comes: once, and before TLS is begun on the stream. */
void http_websocket_unread(struct stream *s, const void *p, size_t n);
