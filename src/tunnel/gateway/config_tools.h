/* config_tools - what a route's configuration says about tools and their calls. */
#pragma once

#include "base/document.h"
#include "tunnel/gateway/config_model.h"

/* Reads `tools` and `limits` of an object of a route into `r`. 0, or -E_PARSE with words. */
int config_tools(const struct place *route, struct gateway_route *r) WARN_UNUSED;
void config_tools_free(struct tool_policy *p); /* NULL is fine */
