/* h1_response - response heads of HTTP/1.1 and 1.0 (RFC 9112), strictly, and how long the body is. */
#pragma once

#include "http/wire/h1_head.h"

/* What the request was decides how its response is framed (RFC 9112 6.3). */
enum h1_asked { H1_ASKED_OTHER, H1_ASKED_HEAD, H1_ASKED_CONNECT };

enum h1_framing {
    H1_NO_BODY,
    H1_LENGTH,    /* head.length bytes */
    H1_CHUNKED,   /* RFC 9112 7.1 */
    H1_UNTIL_END, /* of the connection; of 101, and of 2xx to CONNECT: what comes is no HTTP */
};

/* Parses a response head at the start of `p`; *ret holds places in `p`. Interim responses (1xx) are
 * heads like others. `limits->target` and `connect` do not matter. Returns bytes consumed (head and
 * empty line), -EAGAIN when more is needed, or with a constant sentence in *ret_why -E_LIMIT: too large,
 * or -E_PARSE: not a response head, or framed in a way that has two readings. Pure. */
ssize_t h1_response_scan(const char *p, size_t n, const struct h1_limits *limits,
                         enum h1_asked asked, struct h1_head *ret, enum h1_framing *ret_framing,
                         const char **ret_why) WARN_UNUSED;
