/* gateway - the private end of a tunnel (tunnel.md 1): dials the edge, ends the callers' TLS, finds the
 * private server that a name leads to, and forwards.
 *
 * What lives in this room: the configuration (config), the connection to the edge (dial, uplink), callers
 * (inner), their requests (forward), and all of it put together (this). What does not: the platform's end
 * (tunnel/edge), flags and signals (cmd). The edge, callers and servers are on three sides of it; none of
 * them is trusted with what belongs to another. */
#pragma once

#include "base/base.h"

struct ctl;
struct err;
struct gateway;

struct gateway_options {
    const char *config_path;
    const char *metrics; /* where /metrics and its like are; NULL: as the configuration says */
    struct ctl *keeper;  /* who opens files for it (supply.h) */
    bool level_given;    /* then the configuration's log_level does not count */
    /* The first connection to the edge is up, or there is none and a connector may come. May suspend. */
    void (*on_ready)(void *arg);
    void *arg;
};
/* Gets configuration, certificate and key, opens what can fail and what listens; nothing is dialled and no
 * caller is heard before gateway_run. Starts no thread. NULL with words. Suspends. */
struct gateway *gateway_open(const struct gateway_options *o, struct err *e);
/* Once after that, when nothing is left to be given up: reads what was kept, which strangers have said. 0 or a code with
 * words. Suspends. */
int gateway_begin(struct gateway *g, struct err *e) WARN_UNUSED;
/* Serves until it is cancelled, or has been stopped and is empty. Suspends. */
int gateway_run(struct gateway *g);
/* From another fiber: takes no new callers, and lets those that are there go on for the shutdown_timeout
 * of the configuration. Suspends. */
void gateway_stop(struct gateway *g);
/* Looks at the files now. Does not suspend. */
void gateway_reload(struct gateway *g);
void gateway_close(struct gateway *g); /* Suspends. NULL is fine */
/* For the line that says it is ready. */
size_t gateway_routes(const struct gateway *g);
const char *gateway_edge_name(const struct gateway *g); /* "": none is dialled */
const char *gateway_listens(const struct gateway *g);   /* where a connector comes; NULL: nowhere */
uint16_t gateway_edge_port(const struct gateway *g);
