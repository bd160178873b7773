/* dial - a connection from the gateway to its edge, as far as the change of direction (tunnel.md 2). */
#pragma once

#include "io/stream.h"
#include "tunnel/gateway/config.h"

struct ctl;
struct err;
struct pool;
struct resolver;
struct secret;
struct tls_trust;

struct dial_how {
    const struct gateway_config *config; /* with an edge */
    struct pool *pool;                   /* for files, or */
    struct ctl *keeper;                  /* who reads them for us; NULL: we do */
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

/* ---- for who wants to know how far it gets (doctor) ---- */

enum dial_step {
    DIAL_NAME,    /* the edge's name, or its proxy's */
    DIAL_CONNECT, /* to one of its addresses */
    DIAL_PROXY,   /* TLS with it, its password, CONNECT */
    DIAL_TLS,     /* with the edge */
};
struct dial_seen {
    enum dial_step step; /* that was reached, and failed if one did */
    bool direct;         /* no proxy is on the way */
    int proxy_status;    /* of its answer to CONNECT; 0: none */
    size_t addresses;    /* of the edge's name, or its proxy's */
};
/* The way to the edge as gateway_dial goes it, up to the question; without TLS when `tls` is false. Suspends,
 * bounded by the fiber's deadline. 0, or a code with words; *ret_seen in either case. */
int gateway_dial_open(const struct dial_how *h, bool tls, struct stream *ret,
                      struct dial_seen *ret_seen, struct err *e) WARN_UNUSED;
/* Reads a file with one line of secret text, which nobody else may read. `field` names it in words. Suspends. */
int gateway_dial_secret(struct pool *pool, const char *field, const char *path, struct secret *ret,
                        struct err *e) WARN_UNUSED;
