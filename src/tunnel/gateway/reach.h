/* reach - the way from the gateway to a route's server: name, addresses, connection, TLS. */
#pragma once

#include "base/address.h"
#include "http/pipe/pipe.h"
#include "io/own_addresses.h"
#include "io/stream.h"
#include "tunnel/gateway/config.h"

struct cert_identity;
struct ctl;
struct err;
struct resolver;
struct stdio_bridge;
struct tls_trust;

struct reach_how {
    const struct gateway_config *config; /* whose rules about addresses hold */
    struct tls_trust *trust;             /* for https */
    struct cert_identity *shown;         /* to servers that ask; NULL: nothing */
    struct resolver *resolver;
    struct own_addresses *own;  /* of this machine; kept between calls */
    struct stdio_bridge *stdio; /* to routes with programs; NULL: they cannot be reached */
    struct ctl *keeper;         /* who connects to Unix sockets for us; NULL: we do */
    const char *
        prefer; /* text of an address that is tried alone first, where the name has it and it may be connected
                           to; NULL or "": none */
};
struct reach_seen {
    const char *source;          /* whose fault it was: as in gateway_failure; NULL: nobody's */
    char peer[ADDRESS_TEXT_MAX]; /* that is connected to; "" of a Unix socket */
    size_t resolved, allowed;    /* addresses that the name has, and that may be connected to */
};
/* As a caller's request goes there: each address is checked, the one that was checked is connected to, and
 * the certificate is verified. Suspends; bounded (10 s to connect, 10 s for TLS). 0 with a stream on which
 * nothing has been said yet; or a code with words, and *ret is a done stream. *ret_seen is filled in either
 * case. */
int gateway_reach(const struct reach_how *how, const struct gateway_upstream *up,
                  struct stream *ret, enum http_version *ret_version, struct reach_seen *ret_seen,
                  struct err *e) WARN_UNUSED;
/* A connection to a Unix socket, as gateway_reach makes it. A descriptor, the caller's, or a code with
 * words. Suspends; bounded (10 s). */
int gateway_reach_unix(const char *path, struct err *e) WARN_UNUSED;
