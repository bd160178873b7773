/* mcp_auth.c - fuzzes what authorization is found by and answered with.
 *
 * Theory of operation: the first byte chooses. Of a document that is taken, every address passes the rule
 * of auth_url_check, the resource covers the server, and scopes are scopes. A token that is taken can stand
 * in a header. A query that is taken had our state and our issuer. A challenge leads to places that are of
 * the server's own origin, or is refused. What was kept is taken whole or not at all. */
#include "fuzz.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/auth/auth_internal.h"
#include "oauth/form.h"
#include "mcp/auth/place.h"
#include "oauth/scope.h"
#include "mcp/wire/origin.h"

#include <string.h>

#define SERVER "https://a.example/x/mcp"
#define ISSUER "https://as.example/t"

static void is_good(const char *url)
{
    MUST(!url || auth_url_check("it", url, SERVER, NULL) == 0);
    MUST(!url || str_starts(url, "https://"));
}

static void resource(const json_t *j)
{
    AUTO(auth_resource) r = {0};
    struct err e = {0};
    if (auth_resource_read(j, SERVER, &r, &e) < 0) {
        MUST(e.msg[0] && !r.resource);
        return;
    }
    MUST(auth_resource_covers(r.resource, SERVER));
    MUST(mcp_origin_same(r.resource, SERVER));
    MUST(r.n_issuers > 0 && r.n_issuers <= AUTH_ISSUERS_MAX);
    MUST(!r.scopes || auth_scope_is_valid(r.scopes));
    for (size_t i = 0; i < r.n_issuers; i++) {
        AUTO(auth_places) places;
        is_good(r.issuer[i]);
        auth_places_of_issuer(r.issuer[i], &places);
        MUST(places.n >= 2);
        for (size_t k = 0; k < places.n; k++)
            MUST(mcp_origin_same(places.url[k], r.issuer[i]));
    }
}

static void server(const json_t *j)
{
    AUTO(auth_server) s = {0};
    struct err e = {0};
    if (auth_server_read(j, ISSUER, SERVER, &s, &e) < 0) {
        MUST(e.msg[0] && !s.issuer);
        return;
    }
    MUST(str_eq(s.issuer, ISSUER));
    is_good(s.authorize);
    is_good(s.token);
    is_good(s.registration);
    is_good(s.revocation);
    MUST(!s.scopes || auth_scope_is_valid(s.scopes));
}

static void token(const json_t *j)
{
    AUTO(auth_token) t = {0};
    char word[AUTH_ERROR_MAX];
    (void)auth_error_word(j, word);
    if (auth_token_read(j, 5, &t, NULL) < 0)
        return;
    MUST(auth_token_is_valid(secret_borrow(&t.access)));
    MUST(!t.refresh.len || auth_token_is_valid(secret_borrow(&t.refresh)));
    MUST(t.expires_us >= 0);
}

static void client(const json_t *j)
{
    AUTO(auth_client) c = {0};
    if (auth_registration_read(j, AUTH_NONE, &c, NULL) < 0)
        return;
    MUST(c.id && *c.id && !strpbrk(c.id, "\r\n"));
    MUST((c.method == AUTH_NONE) == (c.secret.len == 0));
}

static void kept(const json_t *j)
{
    struct mcp_auth *a = NULL;
    MUST(mcp_auth_new(&(struct mcp_auth_options){.server = SERVER}, &a, NULL) == 0);
    auth_unkeep(a, j);
    MUST((a->issuer == NULL) == (a->bound == NULL));
    MUST(a->issuer || (!a->token.access.len && !a->client.id && !a->key));
    is_good(a->issuer);
    mcp_auth_free(a);
}

static void query(const char *text, size_t n)
{
    AUTO_FREE char *copy = mem_strndup(text, n);
    AUTO_FREE char *code = NULL;
    AUTO_FREE char *state = NULL;
    if (auth_code_of_query(copy, "s", ISSUER, false, &code, NULL) < 0)
        return;
    MUST(*code);
    MUST(auth_query_get(copy, strlen(copy), "state", &state) == 1 && str_eq(state, "s"));
}

static void challenge(const char *text, size_t n)
{
    AUTO_FREE char *copy = mem_strndup(text, n);
    struct mcp_challenge c;
    mcp_challenge_read(copy, &c);
    if (auth_url_check("it", c.resource_metadata, SERVER, NULL) == 0)
        is_good(c.resource_metadata);
    AUTO_FREE char *both = auth_scope_union("x", c.scope);
    MUST(!both || auth_scope_has(both, "x", 1));
}

static void places(const char *text, size_t n)
{
    AUTO_FREE char *copy = mem_strndup(text, n);
    AUTO(auth_places) p;
    auth_places_of_resource(copy, &p);
    for (size_t i = 0; i < p.n; i++)
        MUST(str_starts(p.url[i], "http") && !strpbrk(p.url[i], "?#"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static void (*const of_json[])(const json_t *) = {resource, server, token, client, kept};
    static void (*const of_text[])(const char *, size_t) = {query, challenge, places};
    if (n == 0)
        return 0;
    size_t which = data[0] % (ARRAY_LEN(of_json) + ARRAY_LEN(of_text));
    const char *text = (const char *)data + 1;
    if (which >= ARRAY_LEN(of_json)) {
        of_text[which - ARRAY_LEN(of_json)](text, n - 1);
        return 0;
    }
    AUTO_JSON json_t *j = NULL;
    if (json_parse_few(text, n - 1, AUTH_VALUES_MAX, &j, NULL) == 0)
        of_json[which](j);
    return 0;
}
