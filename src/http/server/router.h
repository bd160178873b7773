/* router - a table of method + path pattern -> handler. "{name}" matches one segment,
 * percent-decoded and bound. */
#pragma once

#include "http/server/server.h"

#define ROUTE_MAX_PARAMS 4
struct route_params {
    const char *value[ROUTE_MAX_PARAMS]; /* in pattern order, decoded; live with the exchange */
    size_t n;
};
struct route {
    const char *method;  /* "GET" */
    const char *pattern; /* "/v1/sessions/{session_id}/events" */
    void (*handler)(struct http_exchange *x, const struct route_params *p, void *arg);
    unsigned flags; /* the table owner's meaning (who may call) */
};
/* Finds the route. 0 with *ret and *ret_params; -ENOENT when no pattern matches the path;
 * -EOPNOTSUPP when one does but for other methods (`ret_allow`, may be NULL, gets "GET, POST"). A
 * static segment wins over a parameter. */
int router_find(struct http_exchange *x, const struct route *table, size_t n,
                const struct route **ret, struct route_params *ret_params, char ret_allow[64])
    WARN_UNUSED;

/* Query parameters, decoded; brackets may be percent-encoded; "name[]" matches the bare repeated
 * "name" too. Returns the k-th value of `name` (0-based) allocated in the exchange, or NULL. */
const char *query_get(struct http_exchange *x, const char *name, size_t k);
/* Calls fn for every parameter in order; stops at the first non-zero return, which it returns.
 * -E_PARSE on bad encoding. */
int query_each(struct http_exchange *x, int (*fn)(const char *name, const char *value, void *arg),
               void *arg);
