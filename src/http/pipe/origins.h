/* origins - links to origins that are open, kept for the next request to the same origin.
 *
 * A link is used again only under the key it was made for, compared whole: whom it belongs to, scheme,
 * host, port, the name that the certificate was verified for, ALPN, policy and credentials (invariant
 * 7; boundary-anchors A25; c-anchors failure class 10: wrong credentials on a reused connection).
 * Nobody gets the link of another, no sandbox that of another one. HTTP/1.1 links carry one exchange at
 * a time and lie idle in between; an HTTP/2 link is shared by as many as its peer allows. What ALPN an
 * origin chose is remembered, so that the client can be offered the same before the origin is dialled
 * again. */
#pragma once

#include "base/host.h"
#include "http/pipe/pipe.h"

struct err;
struct stream;

struct origin_key {
    const char *binding; /* whom it belongs to: a sandbox's binding, or a route */
    bool tls;
    const struct host *host;
    uint16_t port;
    const char *verified; /* the name in the certificate (and SNI); NULL without TLS */
    bool offers_h2; /* by ALPN; else a client of HTTP/1.1 would get a link of HTTP/2, over which
                             its WebSocket cannot go */
    const char *policy_hash;
    const char *credentials; /* names of those that may be used on it, in order; "" for none */
};

struct origins_options {
    size_t idle_per_key; /* HTTP/1.1 links that lie idle; 0: 128 */
    size_t idle_max;     /* links without an exchange, of all keys; 0: 1024: the oldest goes */
    int64_t idle_ms;     /* how long; 0: 30 s */
    size_t keys_max;     /* remembered, 0: 4096: the one unused for longest goes */
};
struct origins;
/* A pool of the calling fiber, which frees it: it owns the fibers of the links. */
int origins_new(const struct origins_options *o, struct origins **ret, struct err *e) WARN_UNUSED;
/* Closes all. No link may be out. Suspends. NULL is fine. */
void origins_free(struct origins *p);

#define ORIGIN_PEER_MAX 64 /* text of an address, with the NUL */

/* Makes a new connection: dials, does TLS, says which version was agreed, and (for records) which
 * address it is. Called by origins_get on its caller's fiber. *ret is taken over. Suspends. */
typedef int origins_dial(void *arg, struct stream *ret, enum http_version *ret_version,
                         char ret_peer[ORIGIN_PEER_MAX], struct err *e);

/* A link with room for one more exchange. */
struct origin_link;
struct origin_lease {
    struct http_link *link;
    bool reused;      /* was there before: its peer may have closed it meanwhile (http_read_head) */
    const char *peer; /* its address, or "" */
    struct origin_link *holder; /* private */
};
/* An idle or shared link of exactly this key, or a new one by `dial`. While another fiber dials an
 * origin that is known to choose HTTP/2 it is waited for, once. `fresh`: none that was there before the
 * call (such a one turned out to be closed). Suspends. 0, or what `dial` or http_link_new returned, with
 * words. */
int origins_get(struct origins *p, const struct origin_key *k, bool fresh, origins_dial *dial,
                void *arg, struct origin_lease *ret, struct err *e) WARN_UNUSED;
/* Gives it back; its pipe must be closed. It is kept when it can take another exchange and `keep`.
 * Does not suspend. Harmless on a lease that is empty; empties it. */
void origins_put(struct origins *p, struct origin_lease *l, bool keep);

/* The version that the origin chose last time; false when it is not known. */
bool origins_version(const struct origins *p, const struct origin_key *k, enum http_version *ret);
/* No link of this binding is used again; idle ones are closed now, the others when they come back. */
void origins_close_binding(struct origins *p, const char *binding);
/* Links that are open, in use or not. */
size_t origins_count(const struct origins *p);
