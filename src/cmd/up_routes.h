/* up_routes - what `sallyport up` does for `routes:` in its configuration: a tunnel, and a gateway for it. */
#pragma once

#include "cmd/line/flags.h"
#include "io/proc.h"

#define UP_ROUTES_DIR "up-gateway"     /* in the data directory */
#define UP_INGRESS    "127.0.0.1:8443" /* where callers connect, unless --ingress says so */

struct err;
struct up_routes {
    struct flag_section routes, upstream; /* as in the gateway's configuration */
    const char *metrics;                  /* of the gateway; NULL: its default */
    int64_t grace_ms;                     /* for calls that run when the gateway is stopped */
    /* Of up_routes_prepare. */
    char *dir, *config, *domain;
    char *tunnel_key; /* in the server's directory, when this start has made it */
    bool made_dir;    /* likewise */
    char **hosts;     /* of the routes, as callers know them */
    size_t n_hosts;
};

/* Looks at all of it, before anything is made. `ingress` is what --ingress says. 0, or -EINVAL or -E_PARSE with
 * words that name the field. Does not suspend. */
int up_routes_check(const struct up_routes *u, const char *ingress, struct err *e) WARN_UNUSED;
/* Makes what is missing in `data_dir`: tunnel, token, CA, certificate; the configuration is written anew. The
 * server at `address` ("127.0.0.1:8400") serves, and dev.env is there. 0 or a negative code with words. Suspends. */
int up_routes_prepare(struct up_routes *u, const char *data_dir, const char *address, struct err *e)
    WARN_UNUSED;
/* For a start without routes, when the server has `data_dir` for itself: removes the configuration that a start
 * with routes has written there, so that nobody takes it for one that counts. Tunnel, token, CA and pins stay for
 * the next time. Blocks. */
void up_routes_retire(const char *data_dir);
/* The body of a fiber; `routes` is a struct up_routes. Renews the certificate when it is due, for as long as it
 * lives. Suspends. */
int up_routes_renew(void *routes);
/* The addresses for callers at `ingress`, and whom they are to trust, on standard output. */
void up_routes_tell(const struct up_routes *u, const char *ingress);
/* After a first start that has failed, when the server has left nothing: removes what was made. */
void up_routes_forget(const struct up_routes *u);
void up_routes_done(struct up_routes *u); /* a zeroed one is fine */
