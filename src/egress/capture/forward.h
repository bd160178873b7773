/* forward - the explicit proxy inside a sandbox (127.0.0.1:3128), for clients that want one.
 *
 * CONNECT host:port (RFC 9110 9.3.6) makes the connection what it would have been without the proxy;
 * requests in absolute form (RFC 9112 3.2.2) are handed on as they are, each naming its own host.
 * What the client says in Proxy-Authorization means nothing and goes nowhere. */
#pragma once

#include "egress/policy/host.h"

struct front_binding;
struct http_head;
struct stream;

/* What the head of a connection to the proxy asks for. */
enum forward_kind {
    FORWARD_CONNECT,  /* host, port */
    FORWARD_ABSOLUTE, /* a request to hand on; nothing was consumed */
    FORWARD_SELF,     /* a request in absolute form to egress.sallyport */
    FORWARD_OPTIONS,  /* OPTIONS *, to the proxy itself */
    FORWARD_BAD,      /* status, why */
};
struct forward_head {
    enum forward_kind kind;
    size_t bytes; /* of the head, to be consumed: not of ABSOLUTE */
    struct host host;
    uint16_t port;
    int status;
    char why[200];
    char method[16], path[128]; /* of SELF; cut */
};
/* Reads a head at the start of `p`. 0, or -EAGAIN when more is needed. Pure. */
int forward_read(const char *p, size_t n, struct forward_head *ret) WARN_UNUSED;

/* Takes off a request what was for the proxy: Proxy-Authorization, and its relatives. For every
 * request of a front_claim with `each`. */
void forward_strip(struct http_head *h);
