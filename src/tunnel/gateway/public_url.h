/* public_url - URLs of private servers as those write them who come through the tunnel. Pure.
 *
 * For documents and fields in which a server speaks of itself: protected-resource metadata (RFC 9728), metadata
 * of an authorization server (RFC 8414), challenges (RFC 9110 11.6.1). */
#pragma once

#include "http/pipe/message.h"
#include "tunnel/gateway/config_model.h"

struct err;

#define PUBLIC_URL_MAX 4096 /* bytes of a URL that is looked at; a longer one stays as it is */

/* Whose answer it is, and where its caller is. */
struct public_url {
    const struct gateway_config *config;
    const struct gateway_route *route;
    struct http_text authority; /* of the request: "wiki.t-1.tunnel.example:8443" */
};

/* Whether the path of a GET is that of a document about authorization: /.well-known/ with
 * oauth-protected-resource, oauth-authorization-server or openid-configuration, each at the front of the path or (OpenID
 * Connect Discovery 4) at its end. */
bool public_url_is_metadata(struct http_text path);
/* Appends `url` as callers of the tunnel write it: with its route's host when scheme, host and port are those of a
 * route's server (that of `p->route` first); everything behind them as it was. True; false, with nothing appended,
 * when it is no URL of such a server. */
bool public_url_of(const struct public_url *p, const char *url, size_t n, struct buf *out);
/* The same of p->route's server alone: who can make a server point somewhere learns nothing of the other routes. */
bool public_url_own(const struct public_url *p, const char *url, size_t n, struct buf *out);
/* A metadata document: every URL in it by public_url_of; a signed_metadata that would say otherwise is taken out.
 * 0: it stays as it is, also when it is no JSON object; 1: `out` has the new text; -ENOMEM, or the error of
 * `out`. */
int public_url_metadata(const struct public_url *p, const char *text, size_t n, struct buf *out)
    WARN_UNUSED;
/* The value of a WWW-Authenticate field: the URL of each resource_metadata parameter (RFC 9728 5.1). As above. */
int public_url_challenge(const struct public_url *p, struct http_text value, struct buf *out)
    WARN_UNUSED;
