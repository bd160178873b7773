/* metadata.c - the two documents that authorization is found by.
 *
 * Pure; called by discover.c with JSON that came from a peer, bounded in size and values. The MCP server
 * names its authorization server, and that one names endpoints: a document that speaks for somebody else
 * is how tokens are stolen, so `resource` has to be this server and `issuer` the one that was asked for,
 * compared as bytes (RFC 8414 3.3, RFC 9728 3.3). What is not said is taken as not offered; a member of
 * another type than it should have is as good as none, where that is the stricter reading. */
#include "mcp/auth/metadata.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/auth/place.h"
#include "oauth/scope.h"

#include <string.h>

void auth_resource_done(struct auth_resource *r)
{
    for (size_t i = 0; i < r->n_issuers; i++)
        free(r->issuer[i]);
    free(r->resource);
    free(r->scopes);
    *r = (struct auth_resource){0};
}

void auth_server_done(struct auth_server *s)
{
    free(s->issuer);
    free(s->authorize);
    free(s->token);
    free(s->registration);
    free(s->revocation);
    free(s->scopes);
    *s = (struct auth_server){0};
}

static const struct {
    const char *name;
    enum auth_method method;
} methods[] = {
    {"none", AUTH_NONE},
    {"client_secret_basic", AUTH_BASIC},
    {"client_secret_post", AUTH_POST},
    {"private_key_jwt", AUTH_KEY_JWT},
};

const char *auth_method_name(enum auth_method m)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].method == m)
            return methods[i].name;
    return "";
}

unsigned auth_method_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(methods[i].name, name))
            return methods[i].method;
    return 0;
}

static bool lists(const json_t *array, const char *word)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (str_eq(json_string_value(json_array_get(array, i)), word))
            return true;
    return false;
}

int auth_resource_read(const json_t *j, const char *server, struct auth_resource *ret,
                       struct err *e)
{
    AUTO(auth_resource) r = {0};
    const char *resource = json_get_str(j, "resource");
    if (!resource)
        return err_set(e, -E_PROTO, "the server's resource metadata names no resource");
    if (!auth_resource_covers(resource, server))
        return err_set(
            e, -E_PROTO,
            "the server's resource metadata is of another resource; a token for that one "
            "is not asked for here");
    r.resource = mem_strdup(resource);
    const json_t *list = json_object_get(j, "authorization_servers");
    for (size_t i = 0; i < json_array_size(list) && r.n_issuers < AUTH_ISSUERS_MAX; i++) {
        const char *issuer = json_string_value(json_array_get(list, i));
        int code =
            auth_url_check("the authorization server that the MCP server names", issuer, server, e);
        if (code < 0)
            return code;
        if (strchr(issuer, '?'))
            return err_set(e, -E_PROTO, "the name of the authorization server holds a query");
        r.issuer[r.n_issuers++] = mem_strdup(issuer);
    }
    if (r.n_issuers == 0)
        return err_set(e, -E_PROTO, "the server's resource metadata names no authorization server");
    r.dpop = json_get_bool(j, "dpop_bound_access_tokens_required", false);
    r.scopes = auth_scope_of_json(json_object_get(j, "scopes_supported"));
    *ret = r;
    r = (struct auth_resource){0};
    return 0;
}

static int endpoint(const json_t *j, const char *name, const char *server, char **ret,
                    struct err *e)
{
    const json_t *v = json_object_get(j, name);
    if (!v || json_is_null(v))
        return 0;
    char what[96];
    (void)snprintf(what, sizeof(what), "the %s of the authorization server", name);
    int r = auth_url_check(what, json_string_value(v), server, e);
    if (r == 0)
        *ret = mem_strdup(json_string_value(v));
    return r;
}

int auth_server_read(const json_t *j, const char *issuer, const char *server,
                     struct auth_server *ret, struct err *e)
{
    AUTO(auth_server) s = {0};
    if (!str_eq(json_get_str(j, "issuer"), issuer))
        return err_set(e, -E_PROTO,
                       "the metadata of the authorization server is of another issuer");
    s.issuer = mem_strdup(issuer);
    const struct {
        const char *name;
        char **to;
    } rows[] = {
        {"authorization_endpoint", &s.authorize},
        {"token_endpoint", &s.token},
        {"registration_endpoint", &s.registration},
        {"revocation_endpoint", &s.revocation},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int r = endpoint(j, rows[i].name, server, rows[i].to, e);
        if (r < 0)
            return r;
    }
    const json_t *list = json_object_get(j, "token_endpoint_auth_methods_supported");
    for (size_t i = 0; i < json_array_size(list); i++)
        s.methods |= auth_method_of(json_string_value(json_array_get(list, i)));
    /* RFC 8414 2: said to be basic when it is left out. One that lists only what is not ours has none. */
    if (!list)
        s.methods = 0;
    else if (s.methods == 0)
        return err_set(e, -E_PROTO,
                       "the authorization server takes clients by methods that are not known here");
    s.s256 = lists(json_object_get(j, "code_challenge_methods_supported"), "S256");
    s.dpop = lists(json_object_get(j, "dpop_signing_alg_values_supported"), "ES256");
    s.says_iss = json_get_bool(j, "authorization_response_iss_parameter_supported", false);
    s.takes_urls = json_get_bool(j, "client_id_metadata_document_supported", false);
    s.scopes = auth_scope_of_json(json_object_get(j, "scopes_supported"));
    *ret = s;
    s = (struct auth_server){0};
    return 0;
}

void auth_server_assume(const char *origin, struct auth_server *ret)
{
    *ret = (struct auth_server){
        .issuer = mem_strdup(origin),
        .authorize = mem_printf("%s/authorize", origin),
        .token = mem_printf("%s/token", origin),
        .registration = mem_printf("%s/register", origin),
        .s256 = true,
        .assumed = true,
    };
}
