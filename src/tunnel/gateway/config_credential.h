/* config_credential - what a route's configuration says about credentials. */
#pragma once

#include "base/document.h"
#include "tunnel/gateway/config_model.h"

/* Reads `credential` and `pass_authorization` of an object of a route into `r`, whose upstream has been
 * read. 0, or -E_PARSE with words that quote no value. */
int config_credential(const struct place *route, struct gateway_route *r) WARN_UNUSED;
void config_credential_free(struct gateway_credential *c); /* NULL is fine */
