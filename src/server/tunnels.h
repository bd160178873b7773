/* tunnels - the edge in the server: gateways that come in over the API, callers at the ingress. */
#pragma once

#include "io/sock.h"
#include "platform/platform.h"
#include "tunnel/edge/turnstile.h"

struct tunnels;
/* `ingress` is where callers connect, or NULL for nowhere; `limits` are what they may have. The platform hands its gateways over from here
 * on. Suspends not. NULL with words. */
struct tunnels *tunnels_open(struct platform *p, const char *ingress,
                             const struct turnstile_limits *limits, struct err *e);
/* "" without one. */
const char *tunnels_ingress_address(const struct tunnels *t);
/* Spawns what serves. 0 or a code. */
int tunnels_start(struct tunnels *t, struct scope *s) WARN_UNUSED;
/* Puts what is there now into the metrics. NULL is fine. */
void tunnels_refresh_metrics(struct tunnels *t);
/* Ends the gateways' connections. Does not suspend. NULL is fine. */
void tunnels_stop(struct tunnels *t);
void tunnels_close(struct tunnels *t); /* after the fibers. NULL is fine */
