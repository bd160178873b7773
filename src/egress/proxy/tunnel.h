/* tunnel - asking an upstream proxy for a connection (CONNECT, RFC 9110 9.3.6), and carrying TLS to
 * it. */
#pragma once

#include "egress/policy/model.h"
#include "io/stream.h"

struct err;
struct secret;

#define TUNNEL_HEAD_MAX (16u << 10) /* of the proxy's answer; its body is not read */

/* Asks the proxy at `s` for `authority` ("1.2.3.4:443", "name:443"), with basic authentication when
 * it has a user (`password` then is not NULL; borrowed). Afterwards `s` is the tunnel: not a byte
 * behind the answer's head has been read. *ret_status is that of the final answer, 0 when none came;
 * *ret_error a type of RFC 9209 2.3 on failure. Suspends, bounded by the fiber's deadline. 0, or with
 * words: -EACCES (the proxy refuses us, or the origin), -EHOSTUNREACH, -ETIMEDOUT (it says that it
 * cannot reach the origin, or says nothing), -E_PROTO (it talks nonsense), other codes. */
int tunnel_ask(struct stream *s, const struct policy_proxy *proxy, const char *authority,
               const struct secret *password, int *ret_status, const char **ret_error,
               struct err *e) WARN_UNUSED;

/* Turns a stream that is no plain socket into a descriptor: one end of a pair, whose other end two
 * fibers of `scope` join with the stream, which is moved and theirs until both directions have
 * ended. That a connection was cut off becomes an end of stream: a pair cannot be reset. 0 or a code
 * with words; `s` is done then. */
int tunnel_bridge(struct scope *scope, struct stream *s, int *ret_fd, struct err *e) WARN_UNUSED;
