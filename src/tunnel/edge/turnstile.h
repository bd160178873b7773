/* turnstile - who may come to the ingress, and how much of it one peer and one tunnel may have.
 *
 * Pure: it counts, and is told the time. Who is refused, pushed out or told is the ingress's affair. */
#pragma once

#include "base/address.h"
#include "base/list.h"

struct err;

#define TURNSTILE_RULES_MAX 64
#define TURNSTILE_RATE_MAX  1000000

struct turnstile_limits {
    /* "CIDR": of every caller; "TUNNEL_ID=CIDR": of that tunnel's callers, besides. Who has rules admits those
     * that one of them names; without any, everybody. Borrowed by turnstile_new alone. */
    const char *const *allow_from;
    size_t n_allow_from;
    /* Connections of one at once; 0: an eighth of what is free for a peer, half of it for a tunnel. */
    size_t peer_most, tunnel_most;
    int64_t peer_rate,
        tunnel_rate; /* new ones of one a second, twice as many at once; 0: no ceiling */
};

enum turnstile_verdict {
    TURNSTILE_FORBIDDEN = 0, /* allow_from does not name where it comes from */
    TURNSTILE_TOO_FAST,
    TURNSTILE_TOO_MANY,
    TURNSTILE_GRANTED,
};

/* One peer (an IPv4 address, a /64 of IPv6) or one tunnel. */
struct turnstile_holder {
    struct list node; /* among those that hold nothing */
    struct list mute; /* the ingress's: this peer's callers that have said nothing yet */
    size_t n;
    int64_t due_ns; /* when its rate allows twice as many at once again */
    char key[64];
};

/* What one caller has. Starts zeroed. */
struct turnstile_pass {
    struct turnstile_holder *peer; /* NULL: it has no address (a Unix socket) */
    struct turnstile_holder *tunnel;
    bool counted;
    struct address from;
};

struct turnstile;
/* `most`: connections at once, of all. -EINVAL or -E_PARSE with words that name the rule. */
int turnstile_new(const struct turnstile_limits *l, size_t most, struct turnstile **ret,
                  struct err *e) WARN_UNUSED;
/* Every pass was given back. NULL is fine. */
void turnstile_free(struct turnstile *a);
/* A caller has connected from `from` (NULL: a Unix socket). TURNSTILE_GRANTED: it has a place, which
 * turnstile_leave gives back; whether there was one is asked afterwards, so that somebody else may make room. */
enum turnstile_verdict turnstile_peer(struct turnstile *a, const struct address *from,
                                      int64_t now_ns, struct turnstile_pass *ret) WARN_UNUSED;
bool turnstile_peer_has_room(const struct turnstile *a, const struct turnstile_pass *p);
bool turnstile_has_room(const struct turnstile *a);
/* It wants to go to this tunnel. Once a pass. */
enum turnstile_verdict turnstile_tunnel(struct turnstile *a, struct turnstile_pass *p,
                                        const char *tunnel_id, int64_t now_ns) WARN_UNUSED;
/* Gives everything back. Again is harmless. */
void turnstile_leave(struct turnstile *a, struct turnstile_pass *p);
/* Peers and tunnels that are remembered. */
size_t turnstile_remembered(const struct turnstile *a);
