/* config_stdio - a route whose server is a program: `command` and what goes with it. */
#pragma once

#include "tunnel/gateway/config_model.h"

struct place;

/* Whether the route, an object, has one of those fields: then it is read here. */
bool config_stdio_is(const struct place *route);
/* Reads them. `host` is the route's and outlives *ret. 0, or -E_PARSE with words; what ret->stdio is then is the
 * caller's all the same. */
int config_stdio(const struct place *route, const struct host *host, struct gateway_upstream *ret)
    WARN_UNUSED;
void config_stdio_free(struct gateway_stdio *s); /* NULL is fine */
