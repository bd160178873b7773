/* config_route - the routes of a gateway's configuration, found and read. */
#pragma once

#include "tunnel/gateway/config_model.h"

struct place;

/* The route of a host that a caller named (SNI, Host): the one of exactly this host, else the one of
 * the name that is left without ".tunnel_domain". NULL: none, also for an address. Pure, and as fast
 * with a thousand routes as with one. */
const struct gateway_route *gateway_config_route(const struct gateway_config *c,
                                                 const struct host *h);

/* For config.c: reads `routes` into *c, whose other members are there already. 0, or -E_PARSE with
 * words. */
int config_routes(const struct place *routes, struct gateway_config *c) WARN_UNUSED;
