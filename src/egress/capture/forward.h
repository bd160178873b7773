/* forward - the explicit proxy inside a sandbox (127.0.0.1:3128), for clients that want one.
 *
 * CONNECT host:port (RFC 9110 9.3.6) makes the connection what it would have been without the proxy;
 * requests in absolute form (RFC 9112 3.2.2) are handed on as they are, each naming its own host.
 * What the client says in Proxy-Authorization means nothing and goes nowhere. */
#pragma once

#include "base/host.h"

struct http_head;

/* What the head of a connection to the proxy asks for. */
enum forward_kind {
    FORWARD_BAD = 0,  /* status, why */
    FORWARD_CONNECT,  /* host, port */
    FORWARD_ABSOLUTE, /* a request to host, port */
    FORWARD_SELF,     /* the same, to egress.sallyport */
    FORWARD_OPTIONS,  /* OPTIONS *, to the proxy itself */
};
struct forward_head {
    enum forward_kind kind;
    size_t bytes; /* of the head */
    struct host host;
    uint16_t port;
    int status;
    char why[300];
};
/* Reads a head at the start of `p`. 0, or -EAGAIN when more is needed. Pure. */
int forward_read(const char *p, size_t n, struct forward_head *ret) WARN_UNUSED;

/* Takes off a request what was for the proxy: Proxy-Authorization (RFC 9110 11.7.2). For every request
 * of a front_claim with `each`. */
void forward_strip(struct http_head *h);
