/* websocket - the messages of a WebSocket between a sandbox and its origin (RFC 6455, RFC 8441).
 *
 * For exchange_reply.c: the head that opens it has been answered. */
#pragma once

#include "egress/proxy/exchange_internal.h"

/* Whether frames are looked into. Otherwise bytes pass as they are, extensions of the protocol too. */
bool websocket_looks(const struct exchange *x);
/* Relays both directions until both are over, or one fails. Suspends. */
void websocket_relay(struct exchange *x);
