/* config_credential - what a route's configuration says about credentials. */
#pragma once

#include "base/document.h"
#include "tunnel/gateway/config_model.h"

/* Reads `credential` and `pass_authorization` of the object of a route into `route`, whose upstream has been
 * read. 0, or -E_PARSE with words that quote no value. */
int config_credential(const struct place *object, struct gateway_route *route) WARN_UNUSED;
/* The name of a header that a credential or a token may stand in: malloc'ed and in lower case, also of one that is
 * refused. 0, or -E_PARSE with words. */
int config_header_name(const struct place *at, char **ret) WARN_UNUSED;
void config_credential_free(struct gateway_credential *c); /* NULL is fine */
