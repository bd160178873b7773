/* doors - the sockets that a sandbox is born with (spec: boundary, section 1).
 *
 * "*" is any address of the sandbox's own: one listener for IPv4, one for IPv6. */
#pragma once

#include "base/json.h"
#include "egress/policy/policy.h"

#define DOORS_MAX     64
#define DOOR_ANY      "*"
#define DOOR_LOCAL    "127.0.0.1"
#define DOOR_DNS_PORT POLICY_PORT_DNS
#define DOOR_PROXY_PORT                                                                            \
    POLICY_PORT_PROXY /* CONNECT and absolute-form requests, for clients that want a proxy */

/* A new array of {"address": "*" | IPv4, "port": N, "udp": bool}, in the order in which descriptors
 * come: DNS (UDP, then TCP), the proxy, then every port that the policy names, 80 and 443 among
 * them. At most DOORS_MAX. Never NULL. */
json_t *doors_of_policy(const struct policy *p);
