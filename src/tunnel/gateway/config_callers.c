/* config_callers.c - reads which token callers have to show, and what it has to say.
 *
 * Called when a file is loaded. There is one issuer for the whole gateway: whom to believe is one decision; a route
 * says for whom a token is and what else it wants of one, or that it wants none. What would check nothing is
 * refused, as is what cannot be meant: an algorithm that is none, or whose key is a secret (a set that is
 * published has none), keys over a connection that others may change. A route that wants no token says so itself. */
#include "tunnel/gateway/config_callers.h"

#include "base/str.h"
#include "crypto/jws.h"
#include "http/client/client.h"
#include "oauth/scope.h"
#include "tunnel/gateway/config_credential.h"
#include "tunnel/gateway/config_fields.h"
#include "tunnel/gateway/config_value.h"

#include <string.h>

#define TEXT_MAX      1000
#define AUDIENCES_MAX 16
#define CLAIMS_MAX    16
#define VALUES_MAX    64
#define SKEW_MS       60000
#define SKEW_MAX_MS   300000

/* A list of texts, or one text: each is given to `take`. */
static int each_text(const struct place *at, size_t max,
                     int (*take)(const struct place *at, const char *s, void *arg), void *arg)
{
    const char *s;
    size_t n = 0;
    if (json_is_string(at->value)) {
        int r = place_text(at, TEXT_MAX, &s);
        return r < 0 ? r : take(at, s, arg);
    }
    int r = place_list(at, max, &n);
    if (r == 0 && n == 0)
        return place_fail(at, "is empty: nothing would be taken");
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct place item = place_item(at, i);
        r = place_text(&item, TEXT_MAX, &s);
        if (r == 0)
            r = take(&item, s, arg);
    }
    return r;
}

/* ---- what a route wants of one ---- */

static int take_audience(const struct place *at, const char *s, void *arg)
{
    struct gateway_caller_rules *r = arg;
    (void)at;
    r->audiences[r->n_audiences++] = s;
    return 0;
}

static int read_audiences(const struct place *at, struct gateway_caller_rules *r)
{
    if (!at->value)
        return 0;
    r->audiences = mem_array(AUDIENCES_MAX, sizeof(*r->audiences));
    return each_text(at, AUDIENCES_MAX, take_audience, r);
}

static int take_scope(const struct place *at, const char *s, void *arg)
{
    struct gateway_caller_rules *r = arg;
    if (!auth_scope_is_valid(s) || s[strspn(s, " ")] == '\0')
        return place_fail(at, "is no scope: printable ASCII without \" and \\ is expected");
    char *both = auth_scope_union(r->scopes, s);
    if (!both)
        return place_fail(at, "makes too many scopes");
    free(r->scopes);
    r->scopes = both;
    return 0;
}

static bool is_scalar(const json_t *v)
{
    return json_is_string(v) || json_is_integer(v) || json_is_boolean(v);
}

/* A value, or the list of those that are taken. */
static int read_claim(const struct place *at, const char *name, json_t *all)
{
    const size_t n = json_array_size(at->value);
    json_t *values = json_array();
    json_put(all, name, values);
    if (is_scalar(at->value))
        return json_array_append(values, (json_t *)(uintptr_t)at->value) < 0 ? -ENOMEM : 0;
    if (n == 0 || n > VALUES_MAX)
        return place_fail(at, "a value is expected, or a list of 1 to %d of which it is one",
                          VALUES_MAX);
    for (size_t i = 0; i < n; i++) {
        struct place item = place_item(at, i);
        if (!is_scalar(item.value))
            return place_fail(&item, "a text, a whole number, true or false is expected");
        if (json_array_append(values, (json_t *)(uintptr_t)item.value) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Those that are checked anyway: what else would be said of them is wrong or nothing. */
static bool is_own_claim(const char *name)
{
    static const char *const names[] = {"iss", "aud", "exp", "nbf", "iat", "cnf"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

static int read_claims(const struct place *at, struct gateway_caller_rules *r)
{
    const char *name;
    json_t *value;
    if (!json_is_object(at->value) || json_object_size(at->value) == 0 ||
        json_object_size(at->value) > CLAIMS_MAX)
        return place_fail(at, "an object of 1 to %d claims is expected, as in {tenant: acme}",
                          CLAIMS_MAX);
    r->claims = json_new_object();
    json_object_foreach ((json_t *)(uintptr_t)at->value, name, value) {
        struct place claim = place_member(at, name);
        if (is_own_claim(name))
            return place_fail(&claim, "has a field of its own, or is always checked");
        int k = read_claim(&claim, name, r->claims);
        if (k < 0)
            return k;
    }
    return 0;
}

/* Each of the route where it is there, else of the file. */
static int read_rules(const struct place *route, const struct place *file,
                      struct gateway_caller_rules *ret)
{
    struct place audience = place_member(route, "audience"), scopes = place_member(route, "scopes");
    struct place claims = place_member(route, "claims");
    if (!audience.value)
        audience = place_member(file, "audience");
    if (!scopes.value)
        scopes = place_member(file, "scopes");
    if (!claims.value)
        claims = place_member(file, "claims");
    if (!audience.value && route != file)
        return place_fail(&audience, "is missing, here and in a route without one: tokens that "
                                     "were made for others would be taken");
    int r = read_audiences(&audience, ret);
    if (r == 0 && scopes.value)
        r = each_text(&scopes, VALUES_MAX, take_scope, ret);
    if (r == 0 && claims.value)
        r = read_claims(&claims, ret);
    ret->wanted = true;
    return r;
}

int config_callers_route(const struct place *at, const struct gateway_config *c,
                         struct gateway_route *route)
{
    const struct place root = place_root(at->doc, NULL, c->document);
    struct place file = place_member(&root, "callers"), file_jwt = place_member(&file, "jwt");
    struct place own = place_member(at, "callers"), jwt = place_member(&own, "jwt");
    if (c->callers.pass_as && route->credential &&
        str_eq(route->credential->header, c->callers.pass_as))
        return place_fail(at, "has a credential in the field of callers.jwt.pass_as");
    if (own.value && !c->callers.wanted)
        return place_fail(&own, "goes with \"callers\" of the file, which says whose tokens");
    int r = own.value ? place_object(&own, FIELD_ROUTE_CALLERS) : 0;
    if (r < 0 || !c->callers.wanted || json_is_false(jwt.value))
        return r;
    if (own.value && !jwt.value)
        return place_fail(&own, "says nothing: give \"jwt\"");
    if (jwt.value)
        r = place_object(&jwt, FIELD_ROUTE_JWT);
    if (r == 0 && jwt.value && json_object_size(jwt.value) == 0)
        return place_fail(&jwt, "says nothing");
    return r < 0 ? r : read_rules(&jwt, &file_jwt, &route->callers);
}

void config_caller_rules_done(struct gateway_caller_rules *r)
{
    free(r->audiences);
    free(r->scopes);
    json_decref(r->claims);
    *r = (struct gateway_caller_rules){.wanted = false};
}

/* ---- whose tokens ---- */

static int take_algorithm(const struct place *at, const char *s, void *arg)
{
    unsigned *algorithms = arg;
    enum jws_alg a;
    if (str_starts(s, "HS"))
        return place_fail(at, "has a secret for a key, and the keys of a set are public");
    if (jws_alg_of(s, &a) < 0)
        return place_fail(at, "is none of ES256, ES384, RS256, PS256 and EdDSA");
    *algorithms |= 1u << a;
    return 0;
}

/* Who answers there decides who is let in. */
static int check_url(const struct place *at, const char *s)
{
    const bool tls = str_starts(s, "https://");
    const char *host = s + strlen(tls ? "https://" : "http://");
    if ((!tls && !str_starts(s, "http://")) || strpbrk(s, " #\\\"<>") || strcspn(host, "/?") == 0 ||
        memchr(host, '@', strcspn(host, "/?")))
        return place_fail(at, "https://HOST/PATH is expected, without a user and a fragment");
    if (!tls && !http_client_is_loopback(s))
        return place_fail(at, "http:// does for this machine alone: others could change the keys");
    return 0;
}

static int read_keys(const struct place *at, struct gateway_callers *c)
{
    struct place file = place_member(at, "jwks_file"), url = place_member(at, "jwks_url");
    struct place ca = place_member(at, "ca_file");
    if (!file.value == !url.value)
        return place_fail(url.value ? &url : &file,
                          url.value ? "give \"jwks_file\" or this, not both"
                                    : "is missing, and so is \"jwks_url\": what are tokens "
                                      "checked by?");
    if (ca.value && !url.value)
        return place_fail(&ca, "goes with \"jwks_url\"");
    int r = config_path(&file, &c->jwks_file);
    if (r == 0)
        r = config_path(&ca, &c->ca_file);
    if (r == 0 && url.value)
        r = place_text(&url, TEXT_MAX, &c->jwks_url);
    return r < 0 || !c->jwks_url ? r : check_url(&url, c->jwks_url);
}

/* Where a server looks for it: nobody but us may put anything there. */
static int read_pass_as(const struct place *at, struct gateway_callers *c)
{
    struct place pass = place_member(at, "pass_as");
    int r = pass.value ? config_header_name(&pass, &c->pass_as) : 0;
    if (r < 0 || !pass.value)
        return r;
    if (str_eq(c->pass_as, "authorization"))
        return place_fail(&pass, "\"pass_authorization: true\" of a route lets Authorization "
                                 "through");
    return 0;
}

static int read_jwt(const struct place *at, struct gateway_callers *c)
{
    struct place issuer = place_member(at, "issuer"), type = place_member(at, "type");
    struct place algorithms = place_member(at, "algorithms");
    struct place skew = place_member(at, "clock_skew"), header = place_member(at, "header");
    int64_t skew_ms = SKEW_MS;
    int r = place_text(&issuer, TEXT_MAX, &c->issuer);
    if (r == 0)
        r = read_keys(at, c);
    if (r == 0 && algorithms.value)
        r = each_text(&algorithms, JWS_ALGS, take_algorithm, &c->algorithms);
    if (r == 0 && type.value)
        r = place_text(&type, 100, &c->type);
    if (r == 0)
        r = config_duration(&skew, SKEW_MAX_MS, &skew_ms);
    c->skew_s = (skew_ms + 999) / 1000;
    c->algorithms = algorithms.value ? c->algorithms : JWS_ALL;
    if (r == 0 && header.value)
        r = config_header_name(&header, &c->header);
    else
        c->header = mem_strdup("authorization");
    return r < 0 ? r : read_pass_as(at, c);
}

int config_callers(const struct place *at, struct gateway_config *c)
{
    struct place jwt = place_member(at, "jwt");
    if (!at->value)
        return 0;
    int r = place_object(at, FIELD_CALLERS);
    if (r == 0 && !jwt.value)
        r = place_fail(at, "says nothing: give \"jwt\"");
    if (r == 0)
        r = place_object(&jwt, FIELD_CALLERS_JWT);
    c->callers.wanted = r == 0;
    if (r == 0)
        r = read_jwt(&jwt, &c->callers);
    struct gateway_caller_rules checked = {.wanted = false};
    if (r == 0) /* also where each route has its own */
        r = read_rules(&jwt, &jwt, &checked);
    config_caller_rules_done(&checked);
    return r;
}

void config_callers_done(struct gateway_config *c)
{
    free(c->callers.header);
    free(c->callers.pass_as);
}
