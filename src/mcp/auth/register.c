/* register.c - dynamic client registration (RFC 7591), as text.
 *
 * Pure; called by client.c where an authorization server knows nobody beforehand and takes no documents. The
 * answer is the authorization server's: an id and perhaps a secret, which stay with that issuer. A program
 * on a person's machine is a native application, and can keep no secret that everybody's copy shares, so it
 * asks for none where the server allows that. */
#include "base/err.h"
#include "base/str.h"
#include "mcp/auth/auth_internal.h"

#include <string.h>

json_t *auth_registration(const char *redirect, enum auth_method method, const char *scope)
{
    json_t *j = json_new_object(), *uris = json_array(), *grants = json_array(),
           *types = json_array();
    json_array_append_new(uris, json_str_lossy(redirect, strlen(redirect)));
    json_array_append_new(grants, json_string("authorization_code"));
    json_array_append_new(grants, json_string("refresh_token"));
    json_array_append_new(types, json_string("code"));
    json_put_str(j, "client_name", "Sallyport");
    json_put_str(j, "application_type", "native");
    json_put(j, "redirect_uris", uris);
    json_put(j, "grant_types", grants);
    json_put(j, "response_types", types);
    json_put_str(j, "token_endpoint_auth_method", auth_method_name(method));
    if (scope)
        json_put_str(j, "scope", scope);
    return j;
}

static bool is_text(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] >= 0x7f)
            return false;
    return n > 0 && n <= AUTH_CLIENT_MAX;
}

int auth_registration_read(const json_t *j, enum auth_method asked, struct auth_client *ret,
                           struct err *e)
{
    AUTO(auth_client) c = {.method = asked};
    const char *id = json_get_str(j, "client_id"), *secret = json_get_str(j, "client_secret");
    const char *told = json_get_str(j, "token_endpoint_auth_method");
    if (!id || !is_text(id) || (secret && *secret && !is_text(secret)))
        return err_set(e, -E_PROTO,
                       "the registration's answer has no client_id, or one that is no text");
    if (told && !auth_method_of(told))
        return err_set(e, -E_PROTO,
                       "the registration wants a client to authenticate by a method that is not "
                       "known here");
    if (told)
        c.method = auth_method_of(told);
    bool wants = c.method == AUTH_BASIC || c.method == AUTH_POST;
    if (c.method == AUTH_KEY_JWT || (wants && !(secret && *secret)))
        return err_set(e, -E_PROTO,
                       "the registration gave nothing to authenticate with by the method it names");
    c.id = mem_strdup(id);
    int r = wants ? secret_set(&c.secret, secret, strlen(secret)) : 0;
    if (r < 0)
        return err_set(e, r, "no memory for a client's secret");
    *ret = c;
    c = (struct auth_client){0};
    return 0;
}
