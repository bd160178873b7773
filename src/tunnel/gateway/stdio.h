/* stdio - the bridge between callers, who speak HTTP, and stdio servers: for whoever reaches a route's server it
 * is one more connection that HTTP/1.1 is spoken on (reach).
 *
 * What belongs to it: stdio.c (routes, connections, the sweep), stdio_serve.c (requests of HTTP), stdio_call.c (one request
 * of a caller at a server, and messages on their way), stdio_session.c (sessions of the older revisions),
 * stdio_shared.c (processes that more than one caller uses), stdio_process.c (one process), stdio_answer.c (answers of
 * HTTP). docs/internals/gateway-stdio.md is the map. */
#pragma once

#include "base/json.h"
#include "io/stream.h"
#include "tunnel/gateway/config.h"

struct err;
struct stdio_bridge;

/* The header of an answer of the bridge that tells of a failure: its value is a gateway_failure.source, and the body
 * is words for the log. What a server writes is never in a header. */
#define STDIO_FAILURE_HEADER "sallyport-failure"

/* The header of a request that names its caller, as inner_caller.id; "": callers are not told apart. One that a
 * caller has sent does not come through. */
#define STDIO_CALLER_HEADER "sallyport-caller"

struct stdio_options {
    /* Starts the program of a route: *ret_fd is what it reads and writes, *ret_leash is closed when it is to end.
     * Suspends. 0, or a code with words. */
    int (*start)(void *arg, const struct gateway_stdio *s, int *ret_fd, int *ret_leash,
                 struct err *e);
    void *arg;
};
/* In the fiber that frees it, whose scope connections and processes belong to. */
struct stdio_bridge *stdio_new(const struct stdio_options *o) __attribute__((returns_nonnull));
void stdio_free(struct stdio_bridge *b); /* Suspends. NULL is fine */
/* Routes are those of `c` now: what runs for others gets no new requests, and ends with its last one. */
void stdio_take(struct stdio_bridge *b, const struct gateway_config *c);
/* A connection to the route's server, on which nothing has been said. No process is started for it. 0, or a code with
 * words. Does not suspend. */
int stdio_connect(struct stdio_bridge *b, const struct gateway_stdio *s, struct stream *ret,
                  struct err *e) WARN_UNUSED;
/* Whether the next request would be tried: 0; or -EAGAIN with words while the program, which has died at once, is left
 * alone for a time. Starts nothing. */
int stdio_well(const struct stdio_bridge *b, const struct gateway_stdio *s, struct err *e)
    WARN_UNUSED;
/* How many processes and sessions a route has now. */
void stdio_count(const struct stdio_bridge *b, const char *route, size_t *ret_processes,
                 size_t *ret_sessions);
