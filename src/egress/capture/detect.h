/* detect - what a connection speaks, by its first bytes, without consuming any.
 *
 * The port says what is expected, the content decides. On 80 and 443 the client always speaks first;
 * elsewhere the server may (mysql, smtp), so that silence there is an answer, too. */
#pragma once

#include "base/base.h"
#include "base/host.h"

struct err;
struct io_fd;

#define DETECT_BYTES_MAX (20u << 10) /* a ClientHello of 16 KiB and its record headers */

enum detect_kind {
    DETECT_MORE = 0, /* not told yet */
    DETECT_TLS,
    DETECT_HTTP1,
    DETECT_HTTP2, /* the preface, without TLS (RFC 9113 3.3) */
    DETECT_SSH,
    DETECT_OTHER,
    DETECT_SILENT,  /* the client has said nothing: the server speaks first */
    DETECT_BAD_TLS, /* begins like TLS and is none, or names no host that there can be */
};
const char *detect_kind_text(enum detect_kind k); /* "TLS", "HTTP/1", ...: static */

struct detected {
    enum detect_kind kind;
    bool has_sni;
    struct host sni;                /* canonical */
    bool alpn, alpn_h2, alpn_http1; /* offered: anything at all, h2, http/1.1 */
    bool ech;                       /* see client_hello.h */
    const char *why; /* of DETECT_BAD_TLS: constant, completes "the connection: ..." */
};

/* What `n` bytes at the start of a connection to `port` are. `ended`: no more will come. Pure. */
void detect_bytes(const void *p, size_t n, bool ended, uint16_t port, struct detected *ret);

struct detect_limits {
    int64_t first_ms;  /* until it is told; 0: 10 s */
    int64_t silent_ms; /* of silence on a port other than 80 and 443; 0: 300; < 0: as there */
};
/* Waits until it is told, peeking. Suspends. 0; -ETIMEDOUT: not told in time (also silence on 80 and
 * 443); -E_CLOSED: the client ended having said nothing; other codes of the connection. */
int detect(struct io_fd *io, uint16_t port, const struct detect_limits *l, struct detected *ret)
    WARN_UNUSED;
