/* place - where authorization is described, and whether an address may be asked. Pure. */
#pragma once

#include "base/base.h"

struct err;

#define AUTH_URL_MAX    2048
#define AUTH_PLACES_MAX 3

/* Addresses to look at, in this order. Zeroed: none. */
struct auth_places {
    char *url[AUTH_PLACES_MAX];
    size_t n;
};
void auth_places_done(struct auth_places *p);

/* Whether a request of the authorization may go to `url`, which a peer has named, when the MCP server is
 * `server`: https, not too long, read in one way, without a fragment, and no address literal of a private
 * or special network. Where the server itself is this host, http to this host is taken as well; where
 * it is not, no address of this host is. -E_PROTO with words that begin with `what`. */
int auth_url_check(const char *what, const char *url, const char *server, struct err *e)
    WARN_UNUSED;

/* The well-known places of a protected resource's metadata (RFC 9728 3.1): below the path of the server's
 * address, then at the root. Nothing where `server` cannot be read. */
void auth_places_of_resource(const char *server, struct auth_places *ret);
/* The places of an authorization server's metadata (RFC 8414 3.1, OpenID Connect Discovery 4): with a
 * path oauth-authorization-server/PATH, openid-configuration/PATH, PATH/.well-known/openid-configuration;
 * without oauth-authorization-server, openid-configuration. */
void auth_places_of_issuer(const char *issuer, struct auth_places *ret);

/* Whether metadata that names this resource is of the server at that address: the same origin, and
 * its path, segment by segment, the beginning of the server's (RFC 9728 3.3, for a whole origin as well). */
bool auth_resource_covers(const char *resource, const char *server);

/* What is kept of an MCP server goes by this name: its address with the host in small letters and without
 * slashes at the end of the path. malloc'ed; NULL when it is no http or https address. */
char *auth_server_name(const char *url);

/* scheme://host:port of an address that can be read. malloc'ed; NULL when it cannot. */
char *auth_origin_text(const char *url);
