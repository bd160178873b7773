/* tunnel_connect - where gateways come in, and how their connections are ended. */
#pragma once

#include "platform/api/api.h"

/* Of the edge and its gateways; the wire is in docs/internals/tunnel-wire.md. */
#define TUNNEL_HEADER_CONNECTOR "sallyport-connector"
#define TUNNEL_HEADER_VERSION   "sallyport-version"
#define TUNNEL_HEADER_DRAINING  "sallyport-draining"
#define TUNNEL_HEADER_CHECK     "sallyport-check"

api_handler tunnel_connect, tunnel_disconnect;
