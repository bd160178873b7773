/* tunnels - MCP tunnels: made, listed, archived (api.md 10). The data plane is elsewhere (tunnel); what
 * it needs to know of a tunnel is in the tables. */
#pragma once

#include "platform/api/api.h"

struct err;

/* Where a tunnel's domain lies when the operator names nothing. RFC 6761: names below localhost are
 * this machine, to clients that know of it. */
#define TUNNEL_DOMAIN_DEFAULT "tunnel.localhost"

/* Takes the name below which tunnels get their domains; NULL: the default. Borrowed. 0, or -EINVAL
 * with words. */
int tunnels_set_domain(struct platform *p, const char *name, struct err *e) WARN_UNUSED;

api_handler tunnels_create, tunnels_list, tunnels_retrieve, tunnels_archive;
