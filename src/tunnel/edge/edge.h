/* edge - the platform's end of the tunnels: joins callers with the gateways that have dialled in.
 *
 * A gateway is a connection on which this side asks, in HTTP/2 (tunnel.md 2); a caller becomes a CONNECT
 * stream on it, with the name that the caller wants as its authority. What goes through is TLS between
 * the caller and the gateway: nothing here has a key for it (invariant 4).
 *
 * What lives in this room: the tunnels that have gateways (edge), callers from outside (ingress), bytes
 * both ways (carry). What does not: who may connect (platform/tunnels), and everything behind the other
 * end (tunnel/gateway). All on one loop. */
#pragma once

#include "base/host.h"
#include "base/id.h"
#include "base/list.h"
#include "io/stream.h"

struct budget;
struct err;
struct edge;

/* What carrying a tunnel's traffic depends on. */
struct edge_facts {
    char id[ID_MAX];
    char domain[HOST_TEXT_MAX + 1];
    bool archived;
    unsigned authorities;  /* CA certificates that are trusted now */
    char token_id[ID_MAX]; /* the token that is good, or "" */
};

struct edge_options {
    /* Facts of a tunnel, by its domain or its id. Suspend. 0, -ENOENT, or another code. */
    int (*by_domain)(void *arg, const char *domain, struct edge_facts *ret);
    int (*by_id)(void *arg, const char *id, struct edge_facts *ret);
    void *arg;
    int64_t look_ms;      /* facts of tunnels in use are looked at this often; 0: 5 s */
    int64_t answer_ms;    /* a gateway's answer to a new caller; 0: 10 s */
    int64_t ping_ms;      /* 0: 5 s */
    int64_t dead_ms;      /* 0: 10 s */
    size_t gateways_most; /* connections of one tunnel; 0: 64 */
    size_t memory_most;   /* bytes that are held for all who do not read; 0: LIMIT_EDGE_BYTES */
};
struct edge *edge_new(const struct edge_options *o);
/* No gateway and no caller may be left. NULL is fine. */
void edge_free(struct edge *e);
/* A fiber's body: keeps facts fresh until it is cancelled. Suspends. */
int edge_run(void *edge);
/* Ends every gateway's connection, and takes no new one. Does not suspend. */
void edge_stop(struct edge *e);

/* ---- gateways ---- */

struct edge_arrival {
    const char *tunnel_id, *token_id; /* by which it was let in */
    const char *peer;                 /* where it comes from */
    const char *connector, *version;  /* as it says; "" */
    bool draining;
};
/* Serves a gateway's connection until it ends; the stream is taken over in every case. Suspends. 0 when
 * it ended in order; -E_DENIED (archived, or another token is good now), -EBUSY (too many) or a code of
 * the connection, with words. */
int edge_serve(struct edge *e, const struct edge_arrival *a, struct stream *s, struct err *err)
    WARN_UNUSED;
/* Something may have changed about this tunnel. Does not suspend. */
void edge_changed(struct edge *e, const char *tunnel_id);
/* Ends the tunnel's connections that were let in by another token than the one that is good now. Suspends.
 * How many, or a negative code. */
int edge_disconnect(struct edge *e, const char *tunnel_id) WARN_UNUSED;

/* The memory of all of it: what lies here for callers and gateways that do not read. A tunnel has a quarter of it at most. */
struct budget *edge_budget(struct edge *e);

/* ---- callers ---- */

/* What becomes of a caller, for counters and alerts. */
enum edge_why {
    EDGE_JOINED,
    EDGE_UNKNOWN,      /* no tunnel has such a name */
    EDGE_NO_AUTHORITY, /* the tunnel has no certificate that is trusted */
    EDGE_NO_GATEWAY,   /* none is connected, or none has room */
    EDGE_NO_ROUTE,     /* the gateway does not know the name */
    EDGE_LOST,         /* the gateway's connection broke, or it did not answer */
    EDGE_FAILED,       /* here: the store, or memory */
    EDGE_WHYS
};
const char *edge_why_text(enum edge_why w); /* "no_gateway", ... */

struct edge_gateway;
/* Stays where it is. The fiber that has opened it is cancelled when the gateway's connection ends. */
struct edge_join {
    struct stream s; /* to the gateway */
    struct edge_gateway *at;
    struct list node; /* in at->joins */
    struct fiber *fiber;
};
/* The tunnel that `host` belongs to, when a gateway of it is connected. 0 or -ENOENT. Does not suspend. */
int edge_tunnel_id(const struct edge *e, const struct host *host, char ret[ID_MAX]) WARN_UNUSED;
/* Opens a stream to a gateway of the tunnel that `host` (a name) belongs to; `first` are the caller's
 * first bytes, which go along. Suspends. 0, or negative with *ret_why and words; then *ret is empty. */
int edge_open(struct edge *e, const struct host *host, const void *first, size_t n,
              struct edge_join *ret, enum edge_why *ret_why, struct err *err) WARN_UNUSED;
/* Cuts it unless both directions have ended. Harmless on an empty one. Does not suspend. */
void edge_close(struct edge_join *j);
void edge_join_done(struct edge_join *j); /* edge_close, for AUTO(edge_join) */
/* Its tunnel's part of the memory, as long as it is open. */
struct budget *edge_join_budget(const struct edge_join *j);

/* ---- for status ---- */

struct edge_stats {
    size_t tunnels, gateways, callers; /* now */
};
void edge_get_stats(const struct edge *e, struct edge_stats *ret);
/* Connections of this tunnel that take callers. */
size_t edge_gateways_of(const struct edge *e, const char *tunnel_id);
