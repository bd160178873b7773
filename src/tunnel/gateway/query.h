/* query - a credential as a parameter of a request's query. Pure. */
#pragma once

#include "http/pipe/message.h"

struct buf;

/* Appends the target of a request (path and query) without any parameter named `name`, in whatever spelling
 * (percent-encoded, "+" for a space), and with one `name`=`value` at its end, all encoded that is not unreserved
 * (RFC 3986 2.3). What is left stays as it came, byte by byte. `out` may hold secrets then. Returns buf's error. */
int query_with(struct http_text target, const char *name, const char *value, size_t n,
               struct buf *out) WARN_UNUSED;
