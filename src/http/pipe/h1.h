/* h1 - HTTP/1.1 (RFC 9112) behind pipe.h, both sides. For pipe.c; everybody else calls http_serve
 * and http_link_new. */
#pragma once

#include "http/pipe/link.h"

/* http_serve for HTTP/1.1: one exchange after the other on the caller's fiber. The contract is that
 * of http_serve. Suspends. */
int h1_serve(struct stream *s, const struct http_serve_options *o, struct err *e) WARN_UNUSED;

/* http_link_new for HTTP/1.1: says nothing to the peer and starts no fiber. Takes `s` over in every
 * case. 0 or a code with words. Does not suspend. */
int h1_link_new(struct stream *s, const struct http_link_options *o, struct http_link **ret,
                struct err *e) WARN_UNUSED;
