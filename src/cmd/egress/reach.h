/* reach - `egress check --connect`: goes where a proxy would go, and sends no request. */
#pragma once

#include "egress/policy/policy.h"

struct reach {
    const struct policy *policy;
    const struct policy_decision *decision; /* allows it */
    const struct host *host;
    uint16_t port;
    bool tls;
    const char *credentials_directory; /* systemd's, or NULL */
};
/* Prints what it finds. Suspends. The exit code: 0 reached, 1 not. */
int egress_reach(const struct reach *there);
