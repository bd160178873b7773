/* doors.c - which sockets a policy needs.
 *
 * Called by the keeper for each sandbox that is about to be made. Pure. The policy is the operator's,
 * and nobody else has a say: what is listened on does not depend on what a sandbox asks for. */
#include "egress/capture/doors.h"

static void add(json_t *doors, const char *address, unsigned port, bool udp)
{
    json_t *o = json_new_object();
    json_put_str(o, "address", address);
    json_put_int(o, "port", port);
    json_put_bool(o, "udp", udp);
    json_array_append_new(doors, o);
}

json_t *doors_of_policy(const struct policy *p)
{
    json_t *doors = json_array();
    add(doors, DOOR_LOCAL, DOOR_DNS_PORT, true);
    add(doors, DOOR_LOCAL, DOOR_DNS_PORT, false);
    add(doors, DOOR_LOCAL, DOOR_PROXY_PORT, false);
    const uint16_t *ports;
    const size_t n = policy_ports(p, &ports);
    _Static_assert(3 + POLICY_PORTS_MAX == DOORS_MAX, "no port of a policy is left out");
    for (size_t i = 0; i < n; i++)
        add(doors, DOOR_ANY, ports[i], false);
    return doors;
}
