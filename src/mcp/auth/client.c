/* client.c - who we are at an authorization server, and how that is said.
 *
 * Runs under the object's lock. The order is MCP's: what was registered beforehand, what was registered
 * here with the same issuer, a client-id metadata document, dynamic registration. The issuer chooses among
 * its methods; a secret goes into Basic or the form as it says, and to no other issuer (discover.c drops
 * the client when the issuer changes). */
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/auth/auth_internal.h"
#include "oauth/form.h"
#include "oauth/jwt.h"

#include <string.h>

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

void auth_client_done(struct auth_client *c)
{
    free(c->id);
    free(c->redirect);
    secret_done(&c->secret);
    *c = (struct auth_client){0};
}

enum auth_method auth_method_choose(unsigned taken, bool has_secret, bool has_key)
{
    if (has_key)
        return taken == 0 || (taken & AUTH_KEY_JWT) ? AUTH_KEY_JWT : 0;
    if (!has_secret)
        return taken == 0 || (taken & AUTH_NONE) ? AUTH_NONE : 0;
    /* RFC 8414 2: basic, when nothing is said. */
    if (taken == 0 || (taken & AUTH_BASIC))
        return AUTH_BASIC;
    return taken & AUTH_POST ? AUTH_POST : 0;
}

static int use_given(struct mcp_auth *a, struct err *e)
{
    bool has_secret = a->o.client_secret && a->o.client_secret->len > 0;
    enum auth_method m = auth_method_choose(a->as.methods, has_secret, a->o.client_key != NULL);
    if (!m)
        return err_set(
            e, -EACCES,
            "the authorization server does not take a client with what was given for it: "
            "see --client-secret and --client-key");
    struct auth_client c = {.id = mem_strdup(a->o.client_id), .method = m, .given = true};
    int r = has_secret
                ? secret_set(&c.secret, secret_borrow(a->o.client_secret), a->o.client_secret->len)
                : 0;
    auth_client_done(&a->client);
    a->client = c;
    return r < 0 ? err_set(e, r, "no memory for a client's secret") : 0;
}

static int register_client(struct mcp_auth *a, const char *redirect, struct err *e)
{
    static const char what[] = "the registration at the authorization server";
    enum auth_method m = a->as.methods & AUTH_NONE                            ? AUTH_NONE
                         : a->as.methods == 0 || (a->as.methods & AUTH_BASIC) ? AUTH_BASIC
                         : a->as.methods & AUTH_POST                          ? AUTH_POST
                                                                              : 0;
    if (!m)
        return err_set(
            e, -EACCES,
            "the authorization server takes no client that was registered by itself; give "
            "--client-id");
    AUTO_JSON json_t *ask = auth_registration(redirect, m, a->resource.scopes);
    AUTO(buf) body = BUF_INIT(64u << 10);
    int r = json_print(&body, ask);
    if (r < 0)
        return err_set(e, r, "no memory for a registration");
    AUTO(auth_answer) answer = {0};
    const struct auth_post p = {
        .what = what, .url = a->as.registration, .type = "application/json", .body = &body};
    r = auth_send(a, &p, &answer, e);
    if (r < 0)
        return r;
    char word[AUTH_ERROR_MAX];
    if (answer.status != 201 && answer.status != 200)
        return err_set(e, -EACCES, "%s: HTTP %d%s%s. Give --client-id", what, answer.status,
                       *auth_error_word(answer.json, word) ? " " : "", word);
    struct auth_client c = {0};
    r = auth_registration_read(answer.json, m, &c, e);
    if (r < 0)
        return r;
    c.redirect = mem_strdup(redirect);
    auth_client_done(&a->client);
    a->client = c;
    return 0;
}

int auth_client_ensure(struct mcp_auth *a, const char *redirect, struct err *e)
{
    if (a->o.client_id)
        return use_given(a, e);
    if (a->client.id && !a->client.given &&
        (!redirect || !a->client.redirect || str_eq(a->client.redirect, redirect)))
        return 0;
    if (!redirect && a->o.grant == AUTH_GRANT_ASSERTION) {
        auth_client_done(&a->client); /* the assertion itself says who asks */
        return 0;
    }
    if (!redirect)
        return err_set(e, -EINVAL, "this grant wants --client-id");
    if (a->as.takes_urls && a->o.client_url) {
        auth_client_done(&a->client);
        a->client = (struct auth_client){.id = mem_strdup(a->o.client_url), .method = AUTH_NONE};
        return 0;
    }
    if (a->as.registration)
        return register_client(a, redirect, e);
    return err_set(e, -EACCES, "the authorization server registers no clients: give --client-id%s",
                   a->as.takes_urls ? " or --client-metadata" : "");
}

static int say_basic(const struct auth_client *c, struct buf *ret)
{
    struct buf pair = BUF_INIT(8 * AUTH_CLIENT_MAX);
    auth_form_escape(&pair, c->id);
    buf_addc(&pair, ':');
    auth_form_escape(&pair, secret_borrow(&c->secret));
    int r = buf_err(&pair);
    if (r == 0)
        r = buf_adds(ret, "Basic ");
    if (r == 0)
        r = enc_base64(ret, pair.data, pair.len);
    auth_buf_wipe(&pair);
    return r;
}

static int say_jwt(struct mcp_auth *a, struct buf *form)
{
    AUTO(buf) jwt = BUF_INIT(AUTH_JWT_MAX);
    int r = auth_jwt_client(a->o.client_key, a->client.id, a->issuer, &jwt);
    if (r == 0)
        r = auth_form_put(form, "client_id", a->client.id);
    if (r == 0)
        r = auth_form_put(form, "client_assertion_type", ASSERTION_TYPE);
    return r < 0 ? r : auth_form_put(form, "client_assertion", buf_str(&jwt));
}

int auth_client_say(struct mcp_auth *a, struct buf *form, struct buf *authorization, struct err *e)
{
    const struct auth_client *c = &a->client;
    int r = 0;
    if (!c->id)
        return 0;
    if (c->method == AUTH_BASIC)
        r = say_basic(c, authorization);
    else if (c->method == AUTH_KEY_JWT && !a->o.client_key)
        return err_set(e, -EINVAL, "this client wants --client-key");
    else if (c->method == AUTH_KEY_JWT)
        r = say_jwt(a, form);
    else
        r = auth_form_put(form, "client_id", c->id);
    if (r == 0 && c->method == AUTH_POST)
        r = auth_form_put(form, "client_secret", secret_borrow(&c->secret));
    return r < 0 ? err_set(e, r, "what is said of the client is too long") : 0;
}
