/* dial - a connection from the gateway to its edge, as far as the change of direction (tunnel.md 2). */
#pragma once

#include "io/stream.h"
#include "tunnel/gateway/config.h"

struct err;
struct pool;
struct resolver;
struct tls_trust;

struct dial_how {
    const struct gateway_config *config; /* with an edge */
    struct pool *pool;                   /* for files */
    struct resolver *resolver;
    struct tls_trust *trust; /* for the edge, and for a proxy by https */
    const char *connector;   /* what this process calls itself: a token of RFC 9110 */
    unsigned turn;           /* which of the edge's addresses goes first, where it has several */
    bool draining;           /* said to the edge: it gives us nothing new */
};
/* Resolves the edge's name anew, connects (through the proxy, where there is one), does TLS, reads the
 * token from its file, and asks. Afterwards *ret is a stream on which the edge speaks HTTP/2 as a client.
 * Suspends; bounded by itself (45 s). 0, or with words for a person: -E_DENIED (the edge does not know the
 * token), -ENOENT (no edge is there), -EAGAIN (it is there and takes nobody now; *ret_after_ms when it
 * said how long, else -1), -E_TLS, -E_PROTO, and codes of files, names and connections. */
int gateway_dial(const struct dial_how *h, struct stream *ret, int64_t *ret_after_ms, struct err *e)
    WARN_UNUSED;
