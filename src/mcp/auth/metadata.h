/* metadata - what a protected resource (RFC 9728) and an authorization server (RFC 8414, OpenID Connect
 * Discovery) say of themselves. Pure. */
#pragma once

#include "base/json.h"

struct err;

#define AUTH_ISSUERS_MAX 8

/* Owned; zeroed: nothing. */
struct auth_resource {
    char *resource; /* as it is published: sent so, byte for byte */
    char *issuer[AUTH_ISSUERS_MAX];
    size_t n_issuers;
    char *scopes; /* NULL: not said */
    bool dpop;    /* it takes no token without a proof */
    bool assumed; /* there is no such document: MCP 2025-03-26 */
};
void auth_resource_done(struct auth_resource *r);

/* How a client says at the token endpoint who it is. */
enum auth_method {
    AUTH_NONE = 1, /* its id alone */
    AUTH_BASIC = 2,
    AUTH_POST = 4,
    AUTH_KEY_JWT = 8, /* private_key_jwt (RFC 7523 2.2) */
};

struct auth_server {
    char *issuer, *authorize, *token, *registration, *revocation; /* NULL: not said; issuer is */
    char *scopes;                                                 /* NULL: not said */
    unsigned methods; /* of enum auth_method; 0: not said */
    bool s256;        /* PKCE by S256 */
    bool says_iss;    /* RFC 9207 */
    bool takes_urls;  /* client-id metadata documents */
    bool dpop;        /* RFC 9449, with ES256 */
    bool assumed;     /* it has no metadata: the places of MCP 2025-03-26 */
};
void auth_server_done(struct auth_server *s);

/* The metadata of the resource behind `server`. 0; -E_PROTO with words: no resource, one that is not
 * this server, no authorization server, or one whose address is refused. */
int auth_resource_read(const json_t *j, const char *server, struct auth_resource *ret,
                       struct err *e) WARN_UNUSED;
/* The metadata of `issuer`, which has to be named in it, byte for byte (RFC 8414 3.3). Endpoints are
 * checked by auth_url_check. 0 or -E_PROTO with words. */
int auth_server_read(const json_t *j, const char *issuer, const char *server,
                     struct auth_server *ret, struct err *e) WARN_UNUSED;
/* Where MCP 2025-03-26 supposes them when nothing is said: /authorize, /token and /register of the
 * server's own origin. */
void auth_server_assume(const char *origin, struct auth_server *ret);

/* "client_secret_basic" and so on; "" for none of them. */
const char *auth_method_name(enum auth_method m);
unsigned auth_method_of(const char *name); /* 0: not one of ours; NULL is fine */
