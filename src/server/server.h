/* server - the server put together: the platform, the brain, the HTTP server and the reaper of
 * leases in this process, as `sallyport server` and `sallyport up` run it. What lives here: open,
 * run, stop. What does not: flags, signals, what is printed (cmd). */
#pragma once

#include "base/secret.h"
#include "platform/platform.h"
#include "tunnel/edge/turnstile.h"

struct server_options {
    const char *listen; /* "127.0.0.1:8400" */
    const char *data_dir;
    const char *script;     /* a script-model file, or NULL */
    const char *public_url; /* how workers reach us, or NULL */
    const char *tls_cert, *tls_key;
    const char *tunnel_domain; /* below which tunnels get their domains, or NULL: the default */
    const char *ingress;       /* where callers of tunnels connect, or NULL: nowhere */
    struct turnstile_limits ingress_limits;
    const char *metrics; /* where /metrics is, "none", or NULL: the default */
    int64_t lease_ttl_ms, stop_grace_ms;
    int64_t keep_sessions_ms; /* after their last event; 0: for ever */
    struct secret model_key;  /* unset: none */
    const char *model_base_url;
    int64_t model_max_tokens; /* of one answer; 0: what the model takes */
};

struct server;
/* Opens the database and the listener, makes what the first start makes (its key's text goes to
 * ret_key, else ""), starts brain and reaper. Nothing is served before server_run. Suspends. NULL
 * with words. `o` outlives the server. */
struct server *server_open(const struct server_options *o, char ret_key[128], struct err *e);
const char *server_address(const struct server *s);         /* as bound: "127.0.0.1:8400" */
const char *server_ingress_address(const struct server *s); /* likewise; "" without one */
const char *server_model_name(const struct server *s);      /* "none" when none is configured */
struct platform *server_platform(struct server *s);
/* Serves until server_stop or cancellation. Suspends. 0 or a negative code. */
int server_run(struct server *s);
/* From another fiber: nothing new is begun from now on, while what was begun is still served; the
 * caller stops the server in `at_most_ms`. It says so to callers and to starts that wait. Does not
 * suspend. */
void server_drain(struct server *s, int64_t at_most_ms);
/* From another fiber: streams end, running calls get the grace period, server_run returns.
 * Suspends. */
void server_stop(struct server *s);
void server_close(struct server *s); /* Suspends. NULL is fine */
/* The same after a start that has failed: when this start has made the database, and nobody has put
 * anything in it that they would miss, no file is left. After server_run. Suspends. */
void server_discard(struct server *s);
