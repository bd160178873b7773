/* grant.c - the grants: from what we have to a token.
 *
 * Runs under the object's lock, on the fiber whose request needs a token; a person may take minutes. State,
 * verifier and nonce are random for each attempt. The code that comes back is looked at only when state and
 * issuer fit (RFC 9207), and goes with the verifier to that issuer's token endpoint, as do refresh tokens and
 * secrets; all of it lies in buffers that do not move and are wiped. A failure for want of a network or of the
 * server's time leaves a refresh token alone; only the issuer's own "invalid_grant" ends it. */
#include "base/enc.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "crypto/es256.h"
#include "mcp/auth/auth_internal.h"
#include "oauth/form.h"
#include "oauth/jwt.h"
#include "mcp/auth/place.h"
#include "oauth/scope.h"

#include <string.h>

#define FORM_MAX   (192u << 10)
#define HEADER_MAX (24u << 10)
#define FORM_TYPE  "application/x-www-form-urlencoded"
#define GRANT_JWT  "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define GRANT_SWAP "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE_ID    "urn:ietf:params:oauth:token-type:id_token"
#define TYPE_JAG   "urn:ietf:params:oauth:token-type:id-jag"
#define RANDOM     32 /* bytes of a state, and of a verifier */

static const char token_what[] = "the token endpoint";

/* A buffer that does not move: no copy of what is in it stays behind. */
static int hold(struct buf *b)
{
    return buf_room(b, b->max - 1) ? 0 : -ENOMEM;
}

static void random_text(char ret[2 * RANDOM])
{
    unsigned char bytes[RANDOM];
    rng_bytes(bytes, sizeof(bytes));
    AUTO(buf) text = BUF_INIT(2 * RANDOM);
    enc_base64url(&text, bytes, sizeof(bytes));
    (void)str_copy(ret, 2 * RANDOM, buf_str(&text));
}

/* The resource as it is published; of a server that publishes none its own address. */
static char *resource_of(const struct mcp_auth *a)
{
    return a->resource.resource ? mem_strdup(a->resource.resource)
                                : mem_strndup(a->o.server, strcspn(a->o.server, "?#"));
}

static int refused(const struct auth_answer *r, const char *what, struct err *e)
{
    char word[AUTH_ERROR_MAX];
    auth_error_word(r->json, word);
    bool later = r->status == 408 || r->status == 429 || r->status >= 500;
    return err_set(e, later ? -E_PROTO : -EACCES, "%s answers HTTP %d%s%s", what, r->status,
                   *word ? ", " : "", word);
}

/* ---- the token endpoint ---- */

static bool dpop_wanted(const struct mcp_auth *a)
{
    return (a->wants_dpop || a->resource.dpop) && a->as.dpop;
}

/* Once more when the server wants its nonce in the proof (RFC 9449 8). */
static int send_with_proof(struct mcp_auth *a, struct auth_post *p, struct auth_answer *ret,
                           struct err *e)
{
    if (dpop_wanted(a) && !a->key)
        a->key = es256_new();
    for (int tries = 0;; tries++) {
        AUTO(buf) proof = BUF_INIT(AUTH_JWT_MAX);
        char word[AUTH_ERROR_MAX];
        if (dpop_wanted(a)) {
            int r = auth_jwt_proof(a->key, "POST", p->url, a->as_nonce, NULL, &proof);
            if (r < 0)
                return err_set(e, r, "no memory for a proof");
            p->proof = buf_str(&proof);
        }
        int r = auth_send(a, p, ret, e);
        p->proof = NULL;
        if (r < 0)
            return r;
        bool new_nonce = ret->nonce[0] && !str_eq(ret->nonce, a->as_nonce);
        if (new_nonce)
            (void)str_copy(a->as_nonce, sizeof(a->as_nonce), ret->nonce);
        if (tries > 0 || !new_nonce || ret->status == 200 ||
            !str_eq(auth_error_word(ret->json, word), "use_dpop_nonce"))
            return 0;
        auth_answer_done(ret);
    }
}

static int ask_with(struct mcp_auth *a, struct buf *form, struct buf *authorization,
                    struct auth_answer *answer, struct err *e)
{
    int r = auth_client_say(a, form, authorization, e);
    if (r < 0)
        return r;
    struct auth_post p = {.what = token_what,
                          .url = a->as.token,
                          .type = FORM_TYPE,
                          .body = form,
                          .authorization = buf_str(authorization)};
    return send_with_proof(a, &p, answer, e);
}

static int ask_token(struct mcp_auth *a, struct buf *form, struct auth_answer *answer,
                     struct err *e)
{
    struct buf authorization = BUF_INIT(HEADER_MAX);
    AUTO_FREE char *resource = resource_of(a);
    int r = auth_form_put(form, "resource", resource);
    if (r == 0)
        r = hold(&authorization);
    if (r < 0)
        err_set(e, r, "what is sent to the token endpoint is too long");
    else
        r = ask_with(a, form, &authorization, answer, e);
    auth_buf_wipe(&authorization);
    return r;
}

static int take_token(struct mcp_auth *a, const struct auth_answer *answer, const char *scope,
                      struct err *e)
{
    struct auth_token t = {0};
    int r = auth_token_read(answer->json, time_real_us(), &t, e);
    if (r == 0 && t.dpop && !dpop_wanted(a))
        r = err_set(e, -E_PROTO, "the token's type is DPoP, which was not asked for");
    if (r < 0) {
        auth_token_done(&t);
        return r;
    }
    if (!t.refresh.len) { /* RFC 6749 6: the old one goes on */
        t.refresh = a->token.refresh;
        a->token.refresh = (struct secret){0};
    }
    auth_token_done(&a->token);
    a->token = t;
    char *asked = scope ? mem_strdup(scope) : NULL;
    free(a->asked);
    a->asked = asked;
    free(a->bound);
    a->bound = resource_of(a);
    return 0;
}

static int save_token(struct mcp_auth *a, struct err *e)
{
    int r = auth_hold(a, false, e);
    if (r < 0)
        return r;
    AUTO_JSON json_t *state = a->o.save ? auth_keep(a) : NULL;
    r = state ? a->o.save(a->o.arg, state, e) : 0;
    auth_release(a);
    return r;
}

/* Sends a form, which it wipes, and takes the token. */
static int finish(struct mcp_auth *a, struct buf *form, const char *scope, struct err *e)
{
    AUTO(auth_answer) answer = {0};
    int r = buf_err(form) < 0
                ? err_set(e, buf_err(form), "what is sent to the token endpoint is too long")
                : ask_token(a, form, &answer, e);
    auth_buf_wipe(form);
    if (r == 0 && answer.status != 200)
        r = refused(&answer, token_what, e);
    if (r == 0)
        r = take_token(a, &answer, scope, e);
    return r < 0 ? r : save_token(a, e);
}

/* ---- a person agrees ---- */

static char *authorization_url(const struct mcp_auth *a, const char *redirect, const char *scope,
                               const char *state, const char *verifier)
{
    unsigned char hash[DIGEST_SHA256_BYTES];
    digest_sha256(verifier, strlen(verifier), hash);
    AUTO(buf) challenge = BUF_INIT(64);
    enc_base64url(&challenge, hash, sizeof(hash));
    AUTO_FREE char *resource = resource_of(a);
    AUTO(buf) q = BUF_INIT(FORM_MAX);
    auth_form_put(&q, "response_type", "code");
    auth_form_put(&q, "client_id", a->client.id);
    auth_form_put(&q, "redirect_uri", redirect);
    auth_form_put(&q, "scope", scope);
    auth_form_put(&q, "state", state);
    auth_form_put(&q, "code_challenge", buf_str(&challenge));
    auth_form_put(&q, "code_challenge_method", "S256");
    auth_form_put(&q, "resource", resource);
    if (auth_scope_has(scope, AUTH_OFFLINE, strlen(AUTH_OFFLINE)))
        auth_form_put(&q, "prompt", "consent"); /* OpenID Connect Core 11 */
    if (buf_err(&q) < 0)
        return NULL;
    return mem_printf("%s%c%s", a->as.authorize, strchr(a->as.authorize, '?') ? '&' : '?',
                      buf_str(&q));
}

int auth_code_of_query(const char *query, const char *state, const char *issuer, bool says_iss,
                       char **ret, struct err *e)
{
    AUTO_FREE char *got_state = NULL;
    AUTO_FREE char *iss = NULL;
    AUTO_FREE char *error = NULL;
    AUTO_FREE char *code = NULL;
    size_t n = strlen(query);
    if (auth_query_get(query, n, "state", &got_state) < 0 ||
        auth_query_get(query, n, "iss", &iss) < 0 ||
        auth_query_get(query, n, "error", &error) < 0 ||
        auth_query_get(query, n, "code", &code) < 0)
        return err_set(e, -EACCES, "what came back from the browser cannot be read");
    if (!got_state || strlen(got_state) != strlen(state) ||
        !secret_bytes_eq(got_state, state, strlen(state)))
        return err_set(e, -EACCES, "what came back from the browser is no answer to our question");
    if (iss && !str_eq(iss, issuer))
        return err_set(e, -EACCES,
                       "the answer comes from another authorization server than was asked (iss)");
    if (!iss && says_iss)
        return err_set(
            e, -EACCES,
            "the answer does not say which authorization server gave it (iss), though this one "
            "always does");
    if (error) {
        AUTO_JSON json_t *j = json_new_object();
        char word[AUTH_ERROR_MAX];
        json_put_str(j, "error", error);
        return err_set(e, -EACCES, "the authorization server gave no leave: %s",
                       *auth_error_word(j, word) ? word : "it does not say why");
    }
    if (!code || !*code || strlen(code) > AUTH_URL_MAX)
        return err_set(e, -EACCES, "what came back from the browser has no code");
    *ret = TAKE(code);
    return 0;
}

static int grant_with(struct mcp_auth *a, const char *redirect, const char *scope, struct err *e)
{
    char state[2 * RANDOM], verifier[2 * RANDOM];
    random_text(state);
    random_text(verifier);
    AUTO_FREE char *url = authorization_url(a, redirect, scope, state, verifier);
    AUTO_FREE char *query = NULL;
    AUTO_FREE char *code = NULL;
    if (!url)
        return err_set(e, -EMSGSIZE, "the address to authorize at is too long");
    int r = a->o.browse(a->o.arg, url, state, &query, e);
    if (r == 0)
        r = auth_code_of_query(query, state, a->as.issuer, a->as.says_iss, &code, e);
    if (r < 0)
        return r;
    secret_wipe(query, strlen(query));
    struct buf form = BUF_INIT(FORM_MAX);
    if (hold(&form) < 0)
        return err_set(e, -ENOMEM, "no memory for a token request");
    auth_form_put(&form, "grant_type", "authorization_code");
    auth_form_put(&form, "code", code);
    auth_form_put(&form, "redirect_uri", redirect);
    auth_form_put(&form, "code_verifier", verifier);
    secret_wipe(code, strlen(code));
    secret_wipe(verifier, sizeof(verifier));
    secret_done(&a->token.refresh); /* of an authorization that this one takes the place of */
    return finish(a, &form, scope, e);
}

static int grant_code(struct mcp_auth *a, const char *scope, struct err *e)
{
    if (!a->o.open || !a->o.browse)
        return err_set(e, -EACCES, "the server wants a person to agree, and nobody can be asked");
    if (!a->as.authorize)
        return err_set(e, -E_PROTO, "the authorization server names no authorization endpoint");
    if (!a->as.s256)
        return err_set(
            e, -E_PROTO,
            "the authorization server does not say that it knows PKCE by S256, without which "
            "a code can be stolen");
    AUTO_FREE char *redirect = NULL;
    int r = a->o.open(a->o.arg, a->client.redirect, &redirect, e);
    if (r == 0)
        r = auth_client_ensure(a, redirect, e);
    return r < 0 ? r : grant_with(a, redirect, scope, e);
}

/* ---- without a person ---- */

static int grant_client(struct mcp_auth *a, const char *scope, struct err *e)
{
    int r = auth_client_ensure(a, NULL, e);
    if (r < 0)
        return r;
    if (a->client.method == AUTH_NONE)
        return err_set(e, -EINVAL, "this grant wants --client-secret or --client-key");
    struct buf form = BUF_INIT(FORM_MAX);
    if (hold(&form) < 0)
        return err_set(e, -ENOMEM, "no memory for a token request");
    auth_form_put(&form, "grant_type", "client_credentials");
    auth_form_put(&form, "scope", scope);
    return finish(a, &form, scope, e);
}

static int grant_assertion(struct mcp_auth *a, const char *assertion, const char *scope,
                           struct err *e)
{
    int r = auth_client_ensure(a, NULL, e);
    if (r < 0)
        return r;
    struct buf form = BUF_INIT(FORM_MAX);
    if (hold(&form) < 0)
        return err_set(e, -ENOMEM, "no memory for a token request");
    auth_form_put(&form, "grant_type", GRANT_JWT);
    auth_form_put(&form, "assertion", assertion);
    auth_form_put(&form, "scope", scope);
    return finish(a, &form, scope, e);
}

/* The MCP server names who gets the assertion: one that is for another issuer is worth something there. */
static int grant_own(struct mcp_auth *a, const char *scope, struct err *e)
{
    const char *jwt = secret_borrow(a->o.assertion);
    if (!auth_jwt_is_for(jwt, a->issuer) && !auth_jwt_is_for(jwt, a->as.token))
        return err_set(
            e, -EACCES,
            "the assertion is no JWT for the authorization server that the MCP server names "
            "(aud), and does not go there");
    return grant_assertion(a, jwt, scope, e);
}

/* The ID token, for one grant at the MCP server's issuer (RFC 8693; ID-JAG). */
static int exchange(struct mcp_auth *a, const struct auth_server *idp, const char *scope,
                    struct secret *ret, struct err *e)
{
    static const char what[] = "the token endpoint of the identity provider";
    AUTO_FREE char *resource = resource_of(a);
    struct buf form = BUF_INIT(FORM_MAX);
    if (hold(&form) < 0)
        return err_set(e, -ENOMEM, "no memory for a token request");
    auth_form_put(&form, "grant_type", GRANT_SWAP);
    auth_form_put(&form, "requested_token_type", TYPE_JAG);
    auth_form_put(&form, "audience", a->issuer);
    auth_form_put(&form, "resource", resource);
    auth_form_put(&form, "scope", scope);
    auth_form_put(&form, "subject_token", secret_borrow(a->o.assertion));
    auth_form_put(&form, "subject_token_type", TYPE_ID);
    auth_form_put(&form, "client_id", a->o.idp_client_id);
    AUTO(auth_answer) answer = {0};
    const struct auth_post p = {.what = what, .url = idp->token, .type = FORM_TYPE, .body = &form};
    int r = buf_err(&form) < 0 ? err_set(e, buf_err(&form), "what is sent to %s is too long", what)
                               : auth_send(a, &p, &answer, e);
    auth_buf_wipe(&form);
    if (r < 0)
        return r;
    if (answer.status != 200)
        return refused(&answer, what, e);
    const char *token = json_get_str(answer.json, "access_token");
    if (!str_eq(json_get_str(answer.json, "issued_token_type"), TYPE_JAG) || !token ||
        !auth_token_is_valid(token))
        return err_set(e, -E_PROTO, "%s gave no grant of the kind that was asked for", what);
    return secret_set(ret, token, strlen(token));
}

static int grant_exchange(struct mcp_auth *a, const char *scope, struct err *e)
{
    AUTO(auth_server) idp = {0};
    AUTO(secret) grant = {0};
    int r = auth_server_fetch(a, a->o.idp, a->o.idp, &idp, e);
    if (r == 1 || (r == 0 && !idp.token))
        r = err_set(e, -E_PROTO,
                    "the identity provider has no metadata that names a token endpoint");
    if (r == 0)
        r = exchange(a, &idp, scope, &grant, e);
    return r < 0 ? r : grant_assertion(a, secret_borrow(&grant), scope, e);
}

int auth_grant(struct mcp_auth *a, const char *scope, struct err *e)
{
    switch (a->o.grant) {
    case AUTH_GRANT_CLIENT:
        return grant_client(a, scope, e);
    case AUTH_GRANT_ASSERTION:
        return grant_own(a, scope, e);
    case AUTH_GRANT_EXCHANGE:
        return grant_exchange(a, scope, e);
    default:
        return grant_code(a, scope, e);
    }
}

/* ---- what comes after ---- */

/* A logout waits for a renewal, but not for ever, and what it has ended stays so. */
static int take_renewed(struct mcp_auth *a, const struct auth_answer *answer, struct err *e)
{
    AUTO_FREE char *asked = a->asked ? mem_strdup(a->asked) : NULL;
    int now = auth_look(a, e);
    if (now < 0 || now == AUTH_KEPT_NEWER)
        return now < 0 ? now : 0;
    int r = take_token(a, answer, asked, e);
    if (r < 0 || now == AUTH_KEPT_SAME)
        return r < 0 ? r : save_token(a, e);
    bool revoked = auth_revoke(a, NULL) == 0;
    auth_token_done(&a->token);
    return err_set(e, -EACCES, "the login was ended by another command%s",
                   revoked ? "" : "; what was renewed meanwhile could not be revoked");
}

static int send_refresh(struct mcp_auth *a, struct auth_answer *answer, struct err *e)
{
    struct buf form = BUF_INIT(FORM_MAX);
    if (hold(&form) < 0)
        return err_set(e, -ENOMEM, "no memory for a token request");
    auth_form_put(&form, "grant_type", "refresh_token");
    auth_form_put(&form, "refresh_token", secret_borrow(&a->token.refresh));
    int r = ask_token(a, &form, answer, e);
    auth_buf_wipe(&form);
    return r;
}

int auth_refresh(struct mcp_auth *a, struct err *e)
{
    AUTO(auth_answer) answer = {0};
    char word[AUTH_ERROR_MAX];
    int r = auth_discover_server(a, e);
    if (r == 0 && a->o.client_id)
        r = auth_client_ensure(a, NULL, e);
    if (r == 0)
        r = send_refresh(a, &answer, e);
    if (r < 0)
        return r;
    if (answer.status == 400 || answer.status == 401) {
        if (str_eq(auth_error_word(answer.json, word), "invalid_grant"))
            secret_done(&a->token.refresh);
        return 1;
    }
    return answer.status == 200 ? take_renewed(a, &answer, e) : refused(&answer, token_what, e);
}

static int revoke_one(struct mcp_auth *a, const struct secret *token, const char *hint,
                      struct err *e)
{
    struct buf form = BUF_INIT(FORM_MAX), authorization = BUF_INIT(HEADER_MAX);
    AUTO(auth_answer) answer = {0};
    int r = hold(&form) < 0 || hold(&authorization) < 0 ? err_set(e, -ENOMEM, "no memory") : 0;
    if (r == 0) {
        auth_form_put(&form, "token", secret_borrow(token));
        auth_form_put(&form, "token_type_hint", hint);
        r = auth_client_say(a, &form, &authorization, e);
    }
    const struct auth_post p = {.what = "the revocation endpoint",
                                .url = a->as.revocation,
                                .type = FORM_TYPE,
                                .body = &form,
                                .authorization = buf_str(&authorization)};
    if (r == 0)
        r = auth_send(a, &p, &answer, e);
    auth_buf_wipe(&form);
    auth_buf_wipe(&authorization);
    return r == 0 && answer.status != 200 ? refused(&answer, p.what, e) : r;
}

int auth_revoke(struct mcp_auth *a, struct err *e)
{
    int r = auth_discover_server(a, e);
    if (r == 0 && !a->as.revocation)
        r = 1;
    if (r == 0 && a->o.client_id)
        r = auth_client_ensure(a, NULL, e);
    if (r == 0 && a->token.refresh.len)
        r = revoke_one(a, &a->token.refresh, "refresh_token", e);
    if (r == 0 && a->token.access.len)
        r = revoke_one(a, &a->token.access, "access_token", e);
    return r;
}
