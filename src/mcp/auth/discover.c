/* discover.c - from a refusal to the authorization server.
 *
 * Runs on the fiber whose request was refused, under the object's lock. The order is MCP's: the address in
 * WWW-Authenticate, else the well-known places (RFC 9728), of which one that is there and wrong ends the
 * search, since the next would be somebody else's word; then the issuer's metadata (RFC 8414, OpenID
 * Connect). A server of 2025-03-26 has no resource metadata: its own origin is its issuer, and where that
 * has none either, the places of that revision are supposed. When the server names another issuer than
 * before, nothing of the former goes there: neither token nor client. */
#include "base/err.h"
#include "base/str.h"
#include "mcp/auth/auth_internal.h"
#include "mcp/auth/place.h"

#include <string.h>

/* Whether this status says that the next place is to be tried. */
static bool is_absent(int status)
{
    return status >= 400 && status < 500 && status != 408 && status != 429;
}

static int unusable(const char *what, const struct auth_answer *r, struct err *e)
{
    if (r->status != 200)
        return err_set(e, -E_PROTO, "%s: HTTP %d", what, r->status);
    return err_set(e, -E_PROTO, "%s is no JSON object", what);
}

/* 0: read; 1: there is none at this place. */
static int resource_at(struct mcp_auth *a, const char *url, struct auth_resource *ret,
                       struct err *e)
{
    static const char what[] = "the server's resource metadata";
    AUTO(auth_answer) r = {0};
    int code = auth_url_check("the address of the server's resource metadata", url, a->o.server, e);
    if (code == 0)
        code = auth_fetch(a, what, url, &r, e);
    if (code < 0)
        return code;
    if (is_absent(r.status))
        return 1;
    if (r.status != 200 || !json_is_object(r.json))
        return unusable(what, &r, e);
    return auth_resource_read(r.json, a->o.server, ret, e);
}

static int find_resource(struct mcp_auth *a, const char *named, struct auth_resource *ret,
                         struct err *e)
{
    int r = 1;
    if (*named) {
        r = resource_at(a, named, ret, e);
        return r == 1 ? err_set(e, -E_PROTO,
                                "the server names its resource metadata, and there is none")
                      : r;
    }
    AUTO(auth_places) places;
    auth_places_of_resource(a->o.server, &places);
    for (size_t i = 0; r == 1 && i < places.n; i++)
        r = resource_at(a, places.url[i], ret, e);
    return r;
}

static void forget_issuer(struct mcp_auth *a)
{
    auth_server_done(&a->as);
    auth_token_done(&a->token);
    auth_client_done(&a->client);
    free(a->issuer);
    free(a->bound);
    free(a->asked);
    a->issuer = a->bound = a->asked = NULL;
    a->as_nonce[0] = '\0';
}

/* The one that was asked for, or used before, or the first. */
static const char *choose(const struct mcp_auth *a, const struct auth_resource *r)
{
    const char *want = a->o.issuer ? a->o.issuer : a->issuer;
    for (size_t i = 0; want && i < r->n_issuers; i++)
        if (str_eq(r->issuer[i], want))
            return r->issuer[i];
    return a->o.issuer ? NULL : r->issuer[0];
}

static int take_issuer(struct mcp_auth *a, const char *issuer, struct err *e)
{
    if (!issuer)
        return err_set(e, -EACCES,
                       "the server does not name the authorization server that --issuer wants");
    if (str_eq(a->issuer, issuer))
        return 0;
    forget_issuer(a);
    a->issuer = mem_strdup(issuer);
    return 0;
}

int auth_discover(struct mcp_auth *a, const char *named, struct err *e)
{
    AUTO(auth_resource) found = {0};
    int r = find_resource(a, named, &found, e);
    if (r < 0)
        return r;
    if (r == 1) { /* 2025-03-26 */
        found.issuer[0] = auth_origin_text(a->o.server);
        found.n_issuers = found.issuer[0] != NULL;
        found.assumed = true;
        if (!found.issuer[0])
            return err_set(e, -EINVAL, "the server's address cannot be read");
    }
    r = take_issuer(a, choose(a, &found), e);
    if (r < 0)
        return r;
    auth_resource_done(&a->resource);
    a->resource = found;
    found = (struct auth_resource){0};
    return auth_discover_server(a, e);
}

int auth_server_fetch(struct mcp_auth *a, const char *issuer, const char *server,
                      struct auth_server *ret, struct err *e)
{
    static const char what[] = "the metadata of the authorization server";
    AUTO(auth_places) places;
    auth_places_of_issuer(issuer, &places);
    for (size_t i = 0; i < places.n; i++) {
        AUTO(auth_answer) r = {0};
        int code = auth_fetch(a, what, places.url[i], &r, e);
        if (code < 0)
            return code;
        if (is_absent(r.status))
            continue;
        if (r.status != 200 || !json_is_object(r.json))
            return unusable(what, &r, e);
        return auth_server_read(r.json, issuer, server, ret, e);
    }
    return 1;
}

int auth_discover_server(struct mcp_auth *a, struct err *e)
{
    if (a->as.token)
        return 0;
    int r = auth_server_fetch(a, a->issuer, a->o.server, &a->as, e);
    AUTO_FREE char *origin = auth_origin_text(a->o.server);
    if (r == 1 && str_eq(origin, a->issuer) && (a->resource.assumed || !a->resource.resource)) {
        auth_server_assume(origin, &a->as);
        return auth_url_check("the server's own address", a->as.token, a->o.server, e);
    }
    if (r == 1)
        return err_set(e, -E_PROTO, "the authorization server has no metadata");
    if (r == 0 && !a->as.token)
        r = err_set(e, -E_PROTO, "the authorization server names no token endpoint");
    if (r < 0)
        auth_server_done(&a->as);
    return r;
}
