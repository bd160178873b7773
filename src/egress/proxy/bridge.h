/* bridge - a stream that is no plain socket (TLS to an upstream proxy) as a descriptor. */
#pragma once

#include "io/stream.h"

struct err;

/* Turns a stream into a descriptor: one end of a pair, whose other end two fibers of `scope` join with
 * the stream, which is moved and theirs until both directions have ended. That a connection was cut
 * off becomes an end of stream: a pair cannot be reset. 0 or a code with words; `s` is done then. */
int bridge_stream(struct scope *scope, struct stream *s, int *ret_fd, struct err *e) WARN_UNUSED;
