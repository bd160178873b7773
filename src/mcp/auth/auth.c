/* auth.c - when to ask for a token, and when no more.
 *
 * Called by the client's exchange before each request and after each refusal, on any fiber of the loop; one
 * lock keeps two fibers from asking a person twice, and who comes second takes what the first got. The MCP
 * server decides what is refused and which scopes it wants: a token that it has just refused leads to one
 * refresh and one grant, never more; scopes grow only by what was not asked for before, three times at most
 * for the life of the object. Everything ends in the caller's words or in a token; no value is in words. */
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/es256.h"
#include "mcp/auth/auth_internal.h"
#include "oauth/jwt.h"
#include "mcp/auth/place.h"
#include "oauth/scope.h"

#include <string.h>

/* ---- made and freed ---- */

static char *copy(const char *s)
{
    return s ? mem_strdup(s) : NULL;
}

static void free_text(const char *const *s)
{
    char *p;
    memcpy(&p, s, sizeof(p));
    free(p);
}

static int check(const struct mcp_auth_options *o, struct err *e)
{
    if (o->grant == AUTH_GRANT_CLIENT && !o->client_id)
        return err_set(e, -EINVAL, "client credentials want --client-id");
    if (o->grant >= AUTH_GRANT_ASSERTION && (!o->assertion || !o->assertion->len))
        return err_set(e, -EINVAL, "this grant wants --assertion");
    if (o->grant == AUTH_GRANT_EXCHANGE && (!o->idp || !o->idp_client_id || !o->client_id))
        return err_set(e, -EINVAL, "an exchange wants --idp, --idp-client-id and --client-id");
    if (o->idp && auth_url_check("--idp", o->idp, o->idp, e) < 0)
        return -EINVAL;
    if (o->scope && !auth_scope_is_valid(o->scope))
        return err_set(e, -EINVAL,
                       "--scope: scopes have no quotes, backslashes or control characters");
    if (o->client_id && (!*o->client_id || strlen(o->client_id) > AUTH_CLIENT_MAX))
        return err_set(e, -EINVAL, "--client-id is empty or too long");
    if (o->client_secret && o->client_secret->len > AUTH_CLIENT_MAX)
        return err_set(e, -EINVAL, "--client-secret is too long");
    /* A key signs for one issuer alone, and an assertion is for one; a secret is good wherever it goes. */
    if (o->client_secret && o->client_secret->len && !o->issuer)
        return err_set(e, -EINVAL,
                       "--client-secret wants --issuer: without it the secret would go to "
                       "whichever authorization "
                       "server the MCP server names");
    if (o->client_url &&
        (!str_starts(o->client_url, "https://") || strlen(o->client_url) > AUTH_URL_MAX))
        return err_set(e, -EINVAL, "--client-metadata is an address that begins with https://");
    return 0;
}

int mcp_auth_new(const struct mcp_auth_options *o, struct mcp_auth **ret, struct err *e)
{
    int r = check(o, e);
    if (r < 0)
        return r;
    struct mcp_auth *a = mem_new(struct mcp_auth);
    a->o = *o;
    a->o.server = mem_strdup(o->server);
    a->o.ca_file = copy(o->ca_file);
    a->o.connect_to = copy(o->connect_to);
    a->o.issuer = copy(o->issuer);
    a->o.scope = copy(o->scope);
    a->o.client_id = copy(o->client_id);
    a->o.client_url = copy(o->client_url);
    a->o.idp = copy(o->idp);
    a->o.idp_client_id = copy(o->idp_client_id);
    fmutex_init(&a->lock);
    *ret = a;
    return 0;
}

void mcp_auth_free(struct mcp_auth *a)
{
    if (!a)
        return;
    http_client_free(a->http);
    auth_resource_done(&a->resource);
    auth_server_done(&a->as);
    auth_client_done(&a->client);
    auth_token_done(&a->token);
    es256_free(a->key);
    free(a->issuer);
    free(a->bound);
    free(a->asked);
    const char *const *const texts[] = {&a->o.server,     &a->o.ca_file, &a->o.connect_to,
                                        &a->o.issuer,     &a->o.scope,   &a->o.client_id,
                                        &a->o.client_url, &a->o.idp,     &a->o.idp_client_id};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free_text(texts[i]);
    free(a);
}

/* ---- the decisions ---- */

static int load(struct mcp_auth *a, struct err *e)
{
    if (a->loaded || !a->o.load)
        return 0;
    AUTO_JSON json_t *state = NULL;
    int r = a->o.load(a->o.arg, &state, e);
    if (r < 0)
        return r;
    if (state)
        auth_unkeep(a, state);
    a->loaded = true;
    return 0;
}

/* Scopes for a first token: what the caller wants, else what the server's refusal names, else what its
 * metadata does (MCP: "Scope Selection Strategy"); and leave to refresh, where that is a scope. */
static char *choose_scope(const struct mcp_auth *a, const char *challenged)
{
    const char *base = a->o.scope ? a->o.scope : *challenged ? challenged : a->resource.scopes;
    bool offline = a->o.grant == AUTH_GRANT_CODE &&
                   auth_scope_has(a->as.scopes, AUTH_OFFLINE, strlen(AUTH_OFFLINE));
    return auth_scope_union(base, offline ? AUTH_OFFLINE : NULL);
}

static int renew_held(struct mcp_auth *a, struct err *e)
{
    int now = auth_look(a, e);
    if (now < 0 || now == AUTH_KEPT_NEWER)
        return now < 0 ? now : 0;
    if (now == AUTH_KEPT_GONE) { /* a logout, which holds for us, too */
        auth_token_done(&a->token);
        return 1;
    }
    return a->token.refresh.len && a->issuer && a->client.id ? auth_refresh(a, e) : 1;
}

/* 0: there is another one; 1: it cannot be renewed; negative: not now. */
static int renew(struct mcp_auth *a, struct err *e)
{
    if (!a->token.access.len)
        return 1;
    int r = auth_hold(a, false, e);
    if (r < 0)
        return r;
    r = renew_held(a, e);
    auth_release(a);
    return r;
}

/* The server takes no token, or not this one. */
static int unauthorized(struct mcp_auth *a, const struct mcp_refusal *f, bool *ret_granted,
                        struct err *e)
{
    if (f->granted)
        return 1; /* what it has just been given will not do either */
    if (str_ieq(f->challenge->scheme, "DPoP"))
        a->wants_dpop = true;
    int r = auth_discover(a, f->challenge->resource_metadata, e);
    if (r < 0)
        return r;
    if (f->tries == 0 && f->token->len) {
        r = renew(a, e);
        if (r <= 0)
            return r;
    }
    AUTO_FREE char *scope = choose_scope(a, f->challenge->scope);
    *ret_granted = true;
    return auth_grant(a, scope, e);
}

/* It wants more than was granted. */
static int insufficient(struct mcp_auth *a, const struct mcp_refusal *f, struct err *e)
{
    const char *wanted = f->challenge->scope;
    if (!*wanted || auth_scope_within(wanted, a->asked) || a->step_ups >= AUTH_STEP_UPS)
        return 1;
    a->step_ups++;
    AUTO_FREE char *before = auth_scope_union(a->asked, a->token.scope);
    AUTO_FREE char *scope = auth_scope_union(before, wanted);
    int r = auth_discover(a, f->challenge->resource_metadata, e);
    return r < 0 ? r : scope ? auth_grant(a, scope, e) : 1;
}

static int refused(struct mcp_auth *a, const struct mcp_sending *s, bool *ret_granted,
                   struct err *e)
{
    const struct mcp_refusal *f = s->refused;
    bool other =
        a->token.access.len && !secret_eq(&a->token.access, secret_borrow(f->token), f->token->len);
    if (other && f->tries == 0)
        return 0; /* another fiber has got one meanwhile */
    if (f->nonce && *f->nonce && str_eq(f->challenge->error, "use_dpop_nonce") &&
        !str_eq(f->nonce, a->rs_nonce) && strlen(f->nonce) < sizeof(a->rs_nonce)) {
        (void)str_copy(a->rs_nonce, sizeof(a->rs_nonce), f->nonce);
        return 0;
    }
    if (s->quiet)
        return 1;
    if (f->status == 401)
        return unauthorized(a, f, ret_granted, e);
    return str_eq(f->challenge->error, "insufficient_scope") ? insufficient(a, f, e) : 1;
}

/* Before it is used: one that has ended is renewed, where that is possible. */
static int before(struct mcp_auth *a, struct err *e)
{
    if (!a->token.access.len || !auth_token_is_old(&a->token, time_real_us()))
        return 0;
    int r = renew(a, e);
    if (r < 0 && time_real_us() < a->token.expires_us)
        r = 0; /* it is good for a while yet */
    return r < 0 ? r : 0;
}

static int hand_over(struct mcp_auth *a, const struct mcp_sending *s, struct mcp_credential *ret,
                     struct err *e)
{
    int r = 0;
    if (!a->token.access.len)
        return 0;
    if (a->token.dpop)
        r = auth_jwt_proof(a->key, s->method, s->url, a->rs_nonce, secret_borrow(&a->token.access),
                           &ret->proof);
    if (r == 0)
        r = secret_set(&ret->token, secret_borrow(&a->token.access), a->token.access.len);
    return r < 0 ? err_set(e, r, "no memory for a token") : 0;
}

int mcp_auth_give(void *arg, const struct mcp_sending *s, struct mcp_credential *ret, struct err *e)
{
    struct mcp_auth *a = arg;
    int r = fmutex_lock(&a->lock);
    if (r < 0)
        return err_set(e, r, "%s", err_text(r));
    r = load(a, e);
    if (r == 0)
        r = s->refused ? refused(a, s, &ret->granted, e) : s->quiet ? 0 : before(a, e);
    if (r == 0)
        r = hand_over(a, s, ret, e);
    fmutex_unlock(&a->lock);
    return r;
}

/* ---- by name ---- */

int mcp_auth_begin_anew(struct mcp_auth *a, struct err *e)
{
    int r = load(a, e);
    if (r == 0)
        auth_token_done(&a->token);
    return r;
}

bool mcp_auth_has_token(const struct mcp_auth *a)
{
    return a->token.access.len > 0;
}

const char *mcp_auth_issuer(const struct mcp_auth *a)
{
    return a->issuer;
}

const char *mcp_auth_scope(const struct mcp_auth *a)
{
    return a->token.scope ? a->token.scope : a->asked;
}

static int login(struct mcp_auth *a, struct err *e)
{
    int r = load(a, e);
    if (r == 0)
        r = auth_discover(a, "", e);
    if (r == 0 && a->resource.assumed && a->as.assumed)
        r = err_set(e, -EINVAL,
                    "this server names no authorization server, and has not refused us: "
                    "there is nothing to log in for");
    if (r < 0)
        return r;
    AUTO_FREE char *scope = choose_scope(a, "");
    return auth_grant(a, scope, e);
}

int mcp_auth_login(struct mcp_auth *a, struct err *e)
{
    int r = fmutex_lock(&a->lock);
    if (r < 0)
        return err_set(e, r, "%s", err_text(r));
    r = login(a, e);
    fmutex_unlock(&a->lock);
    return r;
}

/* What another command has renewed meanwhile is what has to be revoked. */
static int logout_held(struct mcp_auth *a, struct mcp_auth_ending *ret, struct err *e)
{
    int now = a->held ? auth_look(a, NULL) : AUTH_KEPT_SAME;
    int r = auth_revoke(a, e);
    (void)now; /* also what cannot be read any more has been read before */
    ret->revoked = r == 0;
    return r < 0 ? r : 0;
}

static int logout(struct mcp_auth *a, struct mcp_auth_ending *ret, struct err *e)
{
    struct err removal = {0};
    int r = load(a, e);
    bool unread = r < 0, held = false;
    ret->had = a->token.access.len || a->token.refresh.len;
    if (ret->had) {
        held = auth_hold(a, true, NULL) ==
               0; /* without, too: whoever renews looks whether it is there */
        r = logout_held(a, ret, e);
    }
    ret->had = ret->had || unread;
    auth_token_done(&a->token);
    int removed = a->o.save ? a->o.save(a->o.arg, NULL, &removal) : 0;
    if (held)
        auth_release(a);
    ret->forgotten = removed == 0;
    return removed < 0 ? err_set(e, removed, "%s", removal.msg) : r;
}

int mcp_auth_logout(struct mcp_auth *a, struct mcp_auth_ending *ret, struct err *e)
{
    *ret = (struct mcp_auth_ending){0};
    int r = fmutex_lock(&a->lock);
    if (r < 0)
        return err_set(e, r, "%s", err_text(r));
    r = logout(a, ret, e);
    fmutex_unlock(&a->lock);
    return r;
}
