/* tunnel_check - what a gateway may ask without connecting: whether it would be let in, and as what. */
#pragma once

#include "platform/api/api.h"

/* Answers a call that has shown a tunnel's token. Suspends. */
void tunnel_check(struct api_call *c);
