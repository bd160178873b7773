/* setup_config - the text of a gateway's first configuration. Pure. */
#pragma once

#include "base/json.h"

struct buf;
struct err;

#define SETUP_ROUTES_MAX 64

struct setup_route {
    const char *name, *upstream;
    size_t n_name;
};
struct setup_draft {
    const char *edge;
    const char *edge_ca; /* trusted when the edge is verified; NULL: the system's alone */
    const char *domain;
    const char *token_file, *cert_file; /* absolute; the key is in cert_file, too */
    struct setup_route routes[SETUP_ROUTES_MAX];
    size_t n_routes;
};

/* "wiki=http://10.0.3.7:9000" as one more route; texts are borrowed. -EINVAL with words. */
int setup_route(struct setup_draft *d, const char *text, struct err *e) WARN_UNUSED;
/* Where the edge is when the API is at `base_url`: the same scheme, host and port; of "localhost" the
 * address, for a gateway speaks without TLS to addresses of its own machine alone. malloc'ed; NULL when
 * there is a path behind it, so that nobody can tell. */
char *setup_edge(const char *base_url);
/* `allowed_ips` for these upstreams: private networks, and the addresses that are written in the URLs, those of
 * this machine, too; "localhost" is 127.0.0.1 and ::1. A new reference, or NULL when no address is written
 * there, so that the default does. URLs that are none are passed over. */
json_t *setup_allowed_ips(const char *const *upstreams, size_t n);
/* The file, with a word about each thing that it could hold besides. 0, or -EINVAL with words when
 * gateway_config_parse would refuse it. */
int setup_config_text(const struct setup_draft *d, struct buf *out, struct err *e) WARN_UNUSED;
