/* oauth2_config.c - what the configuration of a token from an authorization server may say.
 *
 * Called when a configuration is loaded; asks nobody, and never suspends but when a source is let go. The text is
 * the operator's, and read strictly all the same: each grant has its own members, and one that would do
 * nothing is refused, as is a way of saying who we are that goes with another. Complaints quote no values: a
 * secret may stand where its source was meant. */
#include "secret/oauth2.h"

#include "base/str.h"
#include "http/client/client.h"
#include "oauth/scope.h"

#include <string.h>

#define URN "urn:ietf:params:oauth:token-type:"

static const char *const common[] = {"token_url",  "grant",    "client_id", "client_secret",
                                     "client_key", "key_id",   "auth",      "jwt_audience",
                                     "scope",      "resource", "audience",  "ca_file",
                                     NULL};
static const char *const none[] = {NULL};
static const char *const of_refresh[] = {"refresh_token", "keep_in", NULL};
static const char *const of_bearer[] = {"assertion", "sub", NULL};
static const char *const of_exchange[] = {"subject",    "subject_type",   "actor",
                                          "actor_type", "requested_type", NULL};
static const struct {
    const char *name;
    const char *const *members;
} grants[] = {
    [OAUTH2_CLIENT_CREDENTIALS] = {"client_credentials", none},
    [OAUTH2_REFRESH_TOKEN] = {"refresh_token", of_refresh},
    [OAUTH2_JWT_BEARER] = {"jwt_bearer", of_bearer},
    [OAUTH2_TOKEN_EXCHANGE] = {"token_exchange", of_exchange},
};

static int read_text(const json_t *o, const char *name, char **ret, struct err *e)
{
    const char *text;
    if (!json_object_get(o, name))
        return 0;
    int r = secret_config_text(o, name, OAUTH2_TEXT_MAX, &text, e);
    if (r == 0)
        *ret = mem_strdup(text);
    return r;
}

/* Not quoted: there may be a password in it. */
static int read_url(const json_t *o, char **ret, struct err *e)
{
    const char *text;
    int r = secret_config_text(o, "token_url", OAUTH2_TEXT_MAX, &text, e);
    if (r < 0)
        return r;
    const bool tls = str_starts(text, "https://");
    const char *host = text + strlen(tls ? "https://" : "http://");
    if ((!tls && !str_starts(text, "http://")) || strpbrk(text, " #\\\"<>") ||
        strcspn(host, "/?") == 0 || memchr(host, '@', strcspn(host, "/?")))
        return err_set(e, -EINVAL,
                       "token_url: write https://HOST/PATH, without a user and a fragment");
    if (!tls && !http_client_is_loopback(text))
        return err_set(e, -EINVAL,
                       "token_url: http:// would send a secret in the clear; use https://");
    *ret = mem_strdup(text);
    return 0;
}

static int read_grant(struct oauth2 *x, const json_t *o, struct err *e)
{
    const json_t *j = json_object_get(o, "grant");
    size_t i = 0;
    while (j && i < ARRAY_LEN(grants) && !str_eq(json_string_value(j), grants[i].name))
        i++;
    if (i == ARRAY_LEN(grants))
        return err_set(e, -EINVAL,
                       "grant: is one of client_credentials, refresh_token, jwt_bearer, "
                       "token_exchange");
    x->grant = (enum oauth2_grant)i;
    char what[64] = "oauth2 with the grant ";
    memcpy(what + strlen(what), grants[i].name, strlen(grants[i].name) + 1);
    return secret_config_only(o, what, common, grants[i].members, e);
}

static int read_source(struct secret_source *s, const json_t *o, const char *name, unsigned flags,
                       struct secret_source **ret, struct err *e)
{
    const json_t *j = json_object_get(o, name);
    if (!j)
        return 0;
    int r = secret_source_new_below(s->all, j, flags, s->depth + 1, ret, e);
    return r < 0 ? err_wrap(e, r, "%s", name) : 0;
}

static int need(const void *given, const char *name, struct err *e)
{
    return given ? 0
                 : err_set(e, -EINVAL, "%s: is missing; a source, as in { file: /run/secrets/%s }",
                           name, name);
}

/* ---- who we are ---- */

static int read_auth(struct oauth2 *x, const json_t *o, struct err *e)
{
    const json_t *j = json_object_get(o, "auth");
    if (!j)
        return 0;
    if (!x->client_secret)
        return err_set(e, -EINVAL, "auth: goes with client_secret");
    x->secret_in_form = str_eq(json_string_value(j), "post");
    return x->secret_in_form || str_eq(json_string_value(j), "basic")
               ? 0
               : err_set(e, -EINVAL, "auth: is basic or post");
}

static int check_client(const struct oauth2 *x, struct err *e)
{
    const bool signs = x->grant == OAUTH2_JWT_BEARER && !x->assertion;
    if (x->client_secret && x->client_key)
        return err_set(e, -EINVAL, "client_key: goes without client_secret: give one of both");
    if (!x->client_id && (x->client_secret || x->client_key))
        return err_set(e, -EINVAL, "client_id: is missing");
    if (x->grant == OAUTH2_CLIENT_CREDENTIALS && !x->client_secret && !x->client_key)
        return err_set(e, -EINVAL,
                       "client_secret: is missing; this grant wants one, or client_key");
    if (signs && !x->client_key)
        return err_set(e, -EINVAL,
                       "assertion: is missing; a source, or client_key with which one is signed");
    if ((x->key_id || x->audience_of_jwt) && !x->client_key)
        return err_set(e, -EINVAL, "%s: goes with client_key",
                       x->key_id ? "key_id" : "jwt_audience");
    return 0;
}

static int read_client(struct secret_source *s, struct oauth2 *x, const json_t *o, struct err *e)
{
    int r = read_text(o, "client_id", &x->client_id, e);
    if (r == 0)
        r = read_text(o, "key_id", &x->key_id, e);
    if (r == 0)
        r = read_text(o, "jwt_audience", &x->audience_of_jwt, e);
    if (r == 0)
        r = read_source(s, o, "client_secret", 0, &x->client_secret, e);
    if (r == 0)
        r = read_source(s, o, "client_key", SECRET_LINES, &x->client_key, e);
    return r < 0 ? r : read_auth(x, o, e);
}

/* ---- what for ---- */

/* RFC 8707 2: an absolute URI without a fragment. */
static int add_resource(struct oauth2 *x, const json_t *j, struct err *e)
{
    const char *text = json_string_value(j);
    size_t n = json_string_length(j);
    bool fine = text && n <= OAUTH2_TEXT_MAX && strchr(text, ':') && text[0] != ':';
    for (size_t i = 0; fine && i < n; i++)
        fine = text[i] > ' ' && text[i] <= '~' && text[i] != '#';
    if (!fine)
        return err_set(e, -EINVAL, "resource: is a URI without a fragment, or a list of such");
    if (x->n_resources == OAUTH2_RESOURCES_MAX)
        return err_set(e, -EINVAL, "resource: has at most %d", OAUTH2_RESOURCES_MAX);
    x->resources[x->n_resources++] = mem_strdup(text);
    return 0;
}

static int read_target(struct oauth2 *x, const json_t *o, struct err *e)
{
    const json_t *j = json_object_get(o, "resource");
    int r = read_text(o, "scope", &x->scope, e);
    if (r == 0 && x->scope && !auth_scope_is_valid(x->scope))
        r = err_set(e, -EINVAL, "scope: is names with single spaces between them (RFC 6749 3.3)");
    if (r == 0)
        r = read_text(o, "audience", &x->audience, e);
    if (r == 0 && j && !json_is_array(j))
        r = add_resource(x, j, e);
    for (size_t i = 0; r == 0 && i < json_array_size(j); i++)
        r = add_resource(x, json_array_get(j, i), e);
    return r;
}

/* A short name of RFC 8693 3, or a URI. */
static int read_type(const json_t *o, const char *name, const char *otherwise, char **ret,
                     struct err *e)
{
    static const char *const names[] = {"access_token", "refresh_token", "id_token",
                                        "jwt",          "saml1",         "saml2"};
    const char *text = otherwise;
    if (json_object_get(o, name)) {
        int r = secret_config_text(o, name, OAUTH2_TEXT_MAX, &text, e);
        if (r < 0)
            return r;
    }
    if (!text || strchr(text, ':')) {
        *ret = text ? mem_strdup(text) : NULL;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(text, names[i])) {
            *ret = mem_printf(URN "%s", text);
            return 0;
        }
    return err_set(
        e, -EINVAL,
        "%s: is one of access_token, refresh_token, id_token, jwt, saml1, saml2, or a URI", name);
}

static int read_exchange(struct secret_source *s, struct oauth2 *x, const json_t *o, struct err *e)
{
    const json_t *subject = json_object_get(o, "subject");
    x->of_caller = str_eq(json_string_value(subject), OAUTH2_CALLER);
    int r = 0;
    if (x->of_caller && !(s->flags & SECRET_CALLERS))
        return err_set(e, -EINVAL, "subject: there are no callers here: a source is expected");
    if (!subject || (json_is_string(subject) && !x->of_caller))
        return err_set(e, -EINVAL,
                       "subject: is a source, or \"" OAUTH2_CALLER
                       "\" for the token that a caller has shown");
    if (!x->of_caller)
        r = read_source(s, o, "subject", 0, &x->subject, e);
    if (r == 0)
        r = read_source(s, o, "actor", 0, &x->actor, e);
    if (r == 0)
        r = read_type(o, "subject_type", "access_token", &x->subject_type, e);
    if (r == 0)
        r = read_type(o, "actor_type", x->actor ? "access_token" : NULL, &x->actor_type, e);
    if (r == 0 && x->actor_type && !x->actor)
        r = err_set(e, -EINVAL, "actor_type: goes with actor");
    return r < 0 ? r : read_type(o, "requested_type", NULL, &x->requested_type, e);
}

static int read_what(struct secret_source *s, struct oauth2 *x, const json_t *o, struct err *e)
{
    int r = 0;
    if (x->grant == OAUTH2_REFRESH_TOKEN) {
        r = need(json_object_get(o, "refresh_token"), "refresh_token", e);
        if (r == 0)
            r = read_text(o, "keep_in", &x->keep_in, e);
        if (r == 0 && x->keep_in && x->keep_in[0] != '/')
            r = err_set(e, -EINVAL, "keep_in: must be an absolute path");
        return r < 0 ? r : read_source(s, o, "refresh_token", 0, &x->refresh_token, e);
    }
    if (x->grant == OAUTH2_TOKEN_EXCHANGE)
        return read_exchange(s, x, o, e);
    if (x->grant != OAUTH2_JWT_BEARER)
        return 0;
    r = read_text(o, "sub", &x->sub, e);
    if (r == 0)
        r = read_source(s, o, "assertion", 0, &x->assertion, e);
    return r == 0 && x->sub && x->assertion
               ? err_set(e, -EINVAL, "sub: the assertion says it itself: give one of both")
               : r;
}

/* ---- all of it ---- */

static int open_it(struct secret_source *s, struct oauth2 *x, const json_t *o, struct err *e)
{
    if (!json_is_object(o))
        return err_set(e, -EINVAL, "must be an object with token_url, and what its grant needs");
    int r = read_grant(x, o, e);
    if (r == 0)
        r = read_url(o, &x->url, e);
    if (r == 0)
        r = read_text(o, "ca_file", &x->ca_file, e);
    if (r == 0 && x->ca_file && x->ca_file[0] != '/')
        r = err_set(e, -EINVAL, "ca_file: must be an absolute path");
    if (r == 0)
        r = read_client(s, x, o, e);
    if (r == 0)
        r = read_what(s, x, o, e);
    if (r == 0)
        r = read_target(x, o, e);
    return r < 0 ? r : check_client(x, e);
}

int oauth2_open(struct secret_source *s, const json_t *config, struct err *e)
{
    struct oauth2 *x = s->state = mem_new(struct oauth2);
    if (s->key)
        return err_set(e, -EINVAL, "json_key: the token is picked out by itself");
    int r = open_it(s, x, json_object_get(config, "oauth2"), e);
    if (r < 0)
        return err_wrap(e, r, "oauth2");
    s->place =
        mem_printf("token by %s of %.*s", grants[x->grant].name, (int)strcspn(x->url, "?"), x->url);
    return 0;
}

/* A file that was mended ends the time in which a refusal is remembered. A young file counts as changed each
 * time it is looked at: so not more than once a second, and never against a Retry-After. */
bool oauth2_changed(struct secret_source *s)
{
    const struct oauth2 *x = s->state;
    struct secret_source *const all[] = {x->client_secret, x->client_key, x->refresh_token,
                                         x->assertion,     x->subject,    x->actor};
    if (s->failure.code == 0 || s->failure.code == -EAGAIN ||
        time_mono_ns() - x->asked_ns < NS_PER_S)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i] && all[i]->kind->changed && all[i]->kind->changed(all[i]))
            return true;
    return false;
}

void oauth2_close(struct secret_source *s)
{
    struct oauth2 *x = s->state;
    if (!x)
        return;
    http_client_free(x->http);
    struct secret_source *const sources[] = {x->client_secret, x->client_key, x->refresh_token,
                                             x->assertion,     x->subject,    x->actor};
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        secret_source_unref(sources[i]);
    char *const texts[] = {x->url,        x->ca_file,         x->client_id,
                           x->key_id,     x->audience_of_jwt, x->sub,
                           x->scope,      x->audience,        x->subject_type,
                           x->actor_type, x->requested_type,  x->keep_in};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < x->n_resources; i++)
        free(x->resources[i]);
    secret_done(&x->rotated);
    secret_value_unref(x->rotated_from);
    free(x);
}

static const char *const options[] = {"timeout", NULL};

const struct secret_kind secret_kind_oauth2 = {
    .name = "oauth2",
    .options = options,
    .shared = true,
    .ahead = true,
    .ttl_ms = SECRET_FOREVER,
    .timeout_ms = 10000,
    .open = oauth2_open,
    .changed = oauth2_changed,
    .read = oauth2_read,
    .close = oauth2_close,
};
