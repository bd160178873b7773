/* config - what `sallyport gateway` is told: who reaches it, and which host leads to which server.
 *
 * A YAML file in either of two forms, or a mixture: that of the published `mcp-proxy`, which stands
 * behind a listener of its own, and ours, which dials an edge. What a file may say is in
 * config_fields.def and docs/gateway-reference.md. A configuration never changes once it is
 * read; who holds one keeps a reference, so that another can take its place meanwhile. */
#pragma once

#include "tunnel/gateway/config_model.h"
#include "tunnel/gateway/config_reach.h"
#include "tunnel/gateway/config_route.h"

struct err;

/* Reads a configuration. `name` stands in errors: "gateway.yaml:12: routes.wiki: ...". 0 with one
 * reference in *ret, -E_PARSE with words about the first thing that is wrong, or another negative code
 * with words: too large, no memory, a library that is missing. Does not suspend. */
int gateway_config_parse(const char *name, const char *text, size_t n, struct gateway_config **ret,
                         struct err *e) WARN_UNUSED;
/* The same of a document that is made or parsed already, whose reference it takes, also when it fails. No
 * lines are told. */
int gateway_config_take(const char *name, json_t *document, struct gateway_config **ret,
                        struct err *e) WARN_UNUSED;
/* The text of a file, free's: as gateway_config_read reads it. Blocks. */
int gateway_config_text(const char *path, char **ret, size_t *ret_n, struct err *e) WARN_UNUSED;
/* The same of a file, at most LIMIT_YAML_BYTES; through links, as Kubernetes mounts it. Blocks. */
int gateway_config_read(const char *path, struct gateway_config **ret, struct err *e) WARN_UNUSED;
struct gateway_config *gateway_config_ref(struct gateway_config *c);
void gateway_config_unref(struct gateway_config *c); /* NULL is fine */

/* Whether a route leads to a server by https. */
bool gateway_config_has_https(const struct gateway_config *c);

/* Whether the edge is dialed without the proxy: there is none, or no_proxy has the edge's host or,
 * when it is known (may be NULL), its address. */
bool gateway_config_goes_direct(const struct gateway_config *c, const struct address *a);
