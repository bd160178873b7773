/* config_reach - which addresses a gateway connects to for its routes. */
#pragma once

#include "tunnel/gateway/config_model.h"

struct err;

/* Whether an upstream may be connected to at this address, which is to be exactly the one that is
 * connected to then. `own`: addresses of this machine (may be NULL). 0, or -E_DENIED with words that
 * say what would open it. What allowed_ips has, RFC 1918 and fc00::/7 by default;
 * but an address that leads to this machine (loopback, its own), to its link or to a cloud's metadata
 * has to be named: loopback and link-local addresses by networks of their kind, the others alone.
 * Unspecified and multicast addresses are never open. */
int gateway_config_may_connect(const struct gateway_config *c, const struct address *a,
                               const struct cidr_list *own, struct err *e) WARN_UNUSED;
