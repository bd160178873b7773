/* routes - the table of the whole API: method, pattern, who may call, handler. One handler per
 * line, declared in the header of its resource. */
#pragma once

#include "platform/api/api.h"

/* Finds the handler for the request: 0 with *ret_params (bound path parameters), *ret_flags and
 * *ret_fn; -ENOENT; -EOPNOTSUPP with `ret_allow` = the methods that exist. */
int routes_find(struct http_exchange *x, struct route_params *ret_params, unsigned *ret_flags,
                api_handler **ret_fn, char ret_allow[64]) WARN_UNUSED;
/* The plural noun of a capability the hosted service has and this version has not, when `path`
 * belongs to one ("vaults"), else NULL. */
const char *routes_unbuilt(const char *path);
