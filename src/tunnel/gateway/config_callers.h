/* config_callers - the `callers` of a gateway's configuration: what those who call have to show. */
#pragma once

#include "base/document.h"
#include "tunnel/gateway/config_model.h"

/* Reads `callers` of the file, which may not be there. 0, or -E_PARSE with words. */
int config_callers(const struct place *at, struct gateway_config *c) WARN_UNUSED;
/* Reads what a route (its object, or a text) wants of the token into route->callers; what it does not say is as in the
 * file's own `callers`. After config_callers and config_credential. Likewise. */
int config_callers_route(const struct place *at, const struct gateway_config *c,
                         struct gateway_route *route) WARN_UNUSED;
void config_callers_done(struct gateway_config *c);
void config_caller_rules_done(struct gateway_caller_rules *r);
