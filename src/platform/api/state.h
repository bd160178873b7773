/* state - what the platform is: its settings, and what the API keeps in memory between calls. The
 * ground every other file of the platform stands on. */
#pragma once

#include "base/map.h"
#include "base/secret.h"
#include "session/log.h"

struct es256;
struct stream;
/* A gateway that has shown its tunnel's token, and whose connection is to be taken over. */
struct gateway_arrival {
    const char *tunnel_id, *token_id, *peer;
    const char *connector; /* what it calls itself, cleaned: "" when it does not */
    const char *version;   /* likewise */
    bool draining;         /* it is about to leave */
};
/* What joins tunnels with gateways, where there is such a thing in this process (tunnel/edge, of which
 * the platform knows nothing). */
struct gateways {
    /* Serves the connection until it ends. Suspends. */
    void (*serve)(void *arg, const struct gateway_arrival *g, struct stream *s);
    /* Something about the tunnel has changed: its certificates, or it was archived. */
    void (*changed)(void *arg, const char *tunnel_id);
    /* Ends the tunnel's connections that were opened with another token than the one that is good
     * now. How many. Suspends; negative: the store failed. */
    int (*disconnect)(void *arg, const char *tunnel_id);
    void *arg;
};

struct platform {
    struct session_log log;
    char organization_id[64];        /* anthropic-organization-id header; made at first start */
    const char *data_dir;            /* where tunnel.key and identity.key lie */
    const char *tunnel_domain;       /* below which tunnels get theirs */
    const struct gateways *gateways; /* NULL: none can connect here */
    const char *public_url; /* how workers reach us: api_base_url in work secrets; NULL: omitted */
    int lease_ttl_seconds;  /* default 90 */
    int64_t started_at;     /* wall clock, us */
    int64_t stops_at_ns; /* monotonic: the server drains until then at the latest; 0: it does not */
    const char *model_name;       /* NULL: none is configured */
    struct platform_state *state; /* what calls leave for later ones; made on first use */
};

/* Loses nothing when it is gone. */
struct platform_state {
    struct map api_keys;      /* SHA-256 hex -> heap copy of the key's id; never revoked (auth.c) */
    struct map last_used;     /* environment key id -> int64_t *, when last_used_at was written */
    struct work_clock *clock; /* of leases; made on first use (work_clock.c) */
    struct work_sightings *sightings; /* of workers; made on first use (work_sightings.c) */
    struct pool *parser;              /* thread for what is large (body.c); made on first use */
    struct accounts *accounts;        /* of credentials with calls under way; made on first use */
    struct secret token_key;          /* of tunnel tokens; read on first use (tunnel_token.c) */
    struct es256 *identity;           /* by which agents are named; likewise (identity_key.c) */
    struct map inflight; /* scope + key of running idempotent calls -> struct idem_inflight * */
};
struct platform_state *platform_state(struct platform *p); /* never NULL */
/* fn(arg) on a thread of its own kind, one at a time: for what would hold up the loop. Suspends. */
int platform_off_loop(struct platform *p, int (*fn)(void *arg), void *arg);
void accounts_free(struct accounts *a); /* account.c; NULL is fine */
/* Frees it and what is in it, but for clock and sightings, which their files free. NULL is fine. No
 * call may be live. */
void platform_state_free(struct platform_state *s);
