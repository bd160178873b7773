/* inner - one caller at the gateway: TLS that the edge cannot read, and HTTP in it (tunnel.md 4). */
#pragma once

#include "io/tls.h"
#include "tunnel/gateway/face.h"

struct http_pipe;
struct stream;

/* Who asks, and for what. */
struct inner_caller {
    struct host host;
    char name
        [TLS_NAME_MAX]; /* as its certificate says, for records; "": it has shown none, or that has no name */
    char id[TLS_ID_MAX]; /* tells it from others; "": it has shown none */
    bool outdated;       /* callers are asked for other certificates now than when it came */
};
struct inner_options {
    struct tls_ctx *tls; /* of tls_identities_new */
    /* The face of the moment; the reference is the caller's. Does not suspend. */
    struct gateway_face *(*face)(void *arg);
    /* Serves one request of a caller, by the rules of the face of the moment: owns `p` and closes it.
     * Suspends. */
    void (*serve)(void *arg, const struct gateway_face *face, const struct inner_caller *caller,
                  struct http_pipe *p);
    void *arg;
};
/* Serves the caller whose CONNECT came as `p`, which is closed in the end. Suspends. */
void inner_serve(const struct inner_options *o, struct http_pipe *p);
/* The same of one that has come another way, and asks for `host`, which inner_knows; its stream is taken over.
 * Suspends. */
void inner_serve_stream(const struct inner_options *o, const struct host *host,
                        struct stream *under);
/* Whether this is a name of ours: below the tunnel's domain, or a route. */
bool inner_knows(const struct gateway_config *c, const struct host *host);
/* Counts a caller whose name is none. */
void inner_refused(void);
