/* keep.c - what lives from one command to the next, as JSON.
 *
 * Pure; called under the object's lock. The caller keeps it where nobody else reads it, and it holds tokens,
 * the secret of a client that was registered by itself and the key of proofs; a secret that was given to us is
 * not among it. What is read back may have been written by another version, or be of another server: each
 * member has its rule, and what breaks one makes all of it nothing, so that the worst is a login more. */
#include "base/enc.h"
#include "base/str.h"
#include "crypto/es256.h"
#include "mcp/auth/auth_internal.h"
#include "mcp/auth/place.h"
#include "oauth/scope.h"

#include <string.h>

#define VERSION 1

static void put_secret(json_t *j, const char *name, const struct secret *s)
{
    if (s->len)
        json_put_str(j, name, secret_borrow(s));
}

static void put_key(json_t *j, const struct es256 *k)
{
    AUTO(secret) der = {0};
    if (!k || es256_der(k, &der) < 0)
        return;
    struct buf text = BUF_INIT(2 * ES256_DER_MAX);
    if (buf_room(&text, text.max - 1) && enc_base64url(&text, der.data, der.len) == 0)
        json_put_str(j, "key", buf_str(&text));
    auth_buf_wipe(&text);
}

json_t *auth_keep(const struct mcp_auth *a)
{
    json_t *j = json_new_object(), *client = json_new_object();
    AUTO_FREE char *name = auth_server_name(a->o.server);
    json_put_int(j, "version", VERSION);
    json_put_str(j, "server", name ? name : a->o.server);
    json_put_str(j, "issuer", a->issuer);
    json_put_str(j, "resource", a->bound);
    if (a->asked)
        json_put_str(j, "asked", a->asked);
    if (a->token.scope)
        json_put_str(j, "granted", a->token.scope);
    put_secret(j, "access", &a->token.access);
    put_secret(j, "refresh", &a->token.refresh);
    json_put_int(j, "expires_us", a->token.expires_us);
    json_put_int(j, "renew_us", a->token.renew_us);
    json_put_bool(j, "dpop", a->token.dpop);
    put_key(j, a->key);
    if (a->client.id) {
        json_put_str(client, "id", a->client.id);
        json_put_str(client, "method", auth_method_name(a->client.method));
        json_put_bool(client, "given", a->client.given);
        if (a->client.redirect)
            json_put_str(client, "redirect", a->client.redirect);
        if (!a->client.given)
            put_secret(client, "secret", &a->client.secret);
    }
    json_put(j, "client", client);
    return j;
}

static char *text(const json_t *j, const char *name)
{
    const char *s = json_get_str(j, name);
    return s ? mem_strdup(s) : NULL;
}

static int take_secret(const json_t *j, const char *name, struct secret *ret)
{
    const char *s = json_get_str(j, name);
    return !s ? 0 : strlen(s) > AUTH_TOKEN_MAX ? -1 : secret_set(ret, s, strlen(s));
}

static int take_key(struct mcp_auth *a, const json_t *j)
{
    const char *s = json_get_str(j, "key");
    if (!s)
        return 0;
    struct buf der = BUF_INIT(ES256_DER_MAX + 1);
    int r = buf_room(&der, ES256_DER_MAX) ? enc_base64url_decode(&der, s, strlen(s)) : -1;
    if (r == 0)
        r = es256_of_der(der.data, der.len, &a->key);
    auth_buf_wipe(&der);
    return r;
}

static int take_client(struct mcp_auth *a, const json_t *j)
{
    struct auth_client *c = &a->client;
    c->id = text(j, "id");
    c->redirect = text(j, "redirect");
    c->given = json_get_bool(j, "given", false);
    c->method = auth_method_of(json_get_str(j, "method"));
    if (c->id && !c->method)
        return -1;
    return take_secret(j, "secret", &c->secret);
}

static int take(struct mcp_auth *a, const json_t *j)
{
    AUTO_FREE char *name = auth_server_name(a->o.server);
    if (json_get_int(j, "version", 0) != VERSION || !name ||
        !str_eq(json_get_str(j, "server"), name))
        return -1;
    a->issuer = text(j, "issuer");
    a->bound = text(j, "resource");
    a->asked = text(j, "asked");
    a->token.scope = text(j, "granted");
    a->token.expires_us = json_get_int(j, "expires_us", 0);
    a->token.renew_us = json_get_int(j, "renew_us", 0);
    a->token.dpop = json_get_bool(j, "dpop", false);
    if (!a->issuer || !a->bound || !auth_resource_covers(a->bound, a->o.server) ||
        auth_url_check("the issuer that was kept", a->issuer, a->o.server, NULL) < 0 ||
        (a->o.issuer && !str_eq(a->o.issuer, a->issuer)))
        return -1;
    if (take_secret(j, "access", &a->token.access) < 0 ||
        take_secret(j, "refresh", &a->token.refresh) < 0 || take_key(a, j) < 0 ||
        take_client(a, json_object_get(j, "client")) < 0)
        return -1;
    if (a->token.access.len && !auth_token_is_valid(secret_borrow(&a->token.access)))
        return -1;
    return a->token.dpop && !a->key ? -1 : 0;
}

static bool same_secret(const struct secret *a, const struct secret *b)
{
    return a->len == b->len && (a->len == 0 || secret_eq(a, secret_borrow(b), b->len));
}

static void drop(struct mcp_auth *a)
{
    auth_token_done(&a->token);
    auth_client_done(&a->client);
    auth_resource_done(&a->resource);
    es256_free(a->key);
    free(a->issuer);
    free(a->bound);
    free(a->asked);
    a->key = NULL;
    a->issuer = a->bound = a->asked = NULL;
    a->wants_dpop = false;
}

static void exchange(struct mcp_auth *a, struct mcp_auth *b)
{
    const struct mcp_auth before = {
        .token = a->token, .client = a->client, .asked = a->asked, .key = a->key};
    a->token = b->token;
    b->token = before.token;
    a->asked = b->asked;
    b->asked = before.asked;
    if (!a->o.client_id) {
        a->client = b->client;
        b->client = before.client;
    }
    if (b->key) {
        a->key = b->key;
        b->key = before.key;
    }
    a->wants_dpop = a->wants_dpop || a->token.dpop;
}

static bool is_ours(const struct mcp_auth *a, const struct mcp_auth *kept)
{
    return kept->token.access.len && str_eq(kept->issuer, a->issuer) &&
           str_eq(kept->bound, a->bound) &&
           (!a->o.client_id || str_eq(kept->client.id, a->o.client_id));
}

enum auth_kept auth_unkeep_newer(struct mcp_auth *a, const json_t *j)
{
    AUTO_FREE struct mcp_auth *kept = mem_new(struct mcp_auth);
    kept->o = a->o;
    enum auth_kept r = AUTH_KEPT_GONE;
    if (take(kept, j) == 0 && is_ours(a, kept))
        r = same_secret(&a->token.access, &kept->token.access) &&
                    same_secret(&a->token.refresh, &kept->token.refresh)
                ? AUTH_KEPT_SAME
                : AUTH_KEPT_NEWER;
    if (r == AUTH_KEPT_NEWER)
        exchange(a, kept); /* with whom and by what key it was got, too */
    drop(kept);
    return r;
}

void auth_unkeep(struct mcp_auth *a, const json_t *j)
{
    int r = take(a, j);
    a->resource.resource = r == 0 ? mem_strdup(a->bound) : NULL;
    a->wants_dpop = r == 0 && a->token.dpop;
    if (r == 0 && (!a->o.client_id || !a->client.id || str_eq(a->o.client_id, a->client.id)))
        return;
    drop(a);
}
