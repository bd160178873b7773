/* config_tools - what a route's configuration says about tools and their calls. */
#pragma once

#include "base/document.h"
#include "tunnel/gateway/config_model.h"

/* Reads `tools` and `limits` of the object of a route into `route`. 0, or -E_PARSE with words. */
int config_tools(const struct place *object, struct gateway_route *route) WARN_UNUSED;
void config_tools_free(struct tool_policy *p); /* NULL is fine */
