/* test_metadata.c - the documents of a protected resource and of an authorization server. */
#include "unit/unit.h"
#include "base/err.h"
#include "mcp/auth/metadata.h"

#include <string.h>

#define SERVER "https://a.example/mcp"
#define ISSUER "https://as.example/t"

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

static void a_resource_is_read(void **state)
{
    (void)state;
    AUTO_JSON json_t *j =
        parse("{\"resource\":\"https://a.example\",\"authorization_servers\":[\"" ISSUER
              "\",\"https://other.example\"],\"scopes_supported\":[\"b\",\"a\",7,\"a\",\"x y\"],"
              "\"dpop_bound_access_tokens_required\":true}");
    AUTO(auth_resource) r = {0};
    assert_int_equal(auth_resource_read(j, SERVER, &r, NULL), 0);
    assert_string_equal(r.resource, "https://a.example"); /* as published, no slash added */
    assert_int_equal(r.n_issuers, 2);
    assert_string_equal(r.issuer[0], ISSUER);
    assert_string_equal(r.scopes, "b a");
    assert_true(r.dpop);
}

static void resources_that_are_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "names no resource"},
        {"{\"resource\":7}", "names no resource"},
        {"{\"resource\":\"https://evil.example/mcp\",\"authorization_servers\":[\"" ISSUER "\"]}",
         "of another resource"},
        {"{\"resource\":\"" SERVER "\"}", "names no authorization server"},
        {"{\"resource\":\"" SERVER "\",\"authorization_servers\":[]}",
         "names no authorization server"},
        {"{\"resource\":\"" SERVER "\",\"authorization_servers\":\"" ISSUER "\"}",
         "names no authorization server"},
        {"{\"resource\":\"" SERVER "\",\"authorization_servers\":[5]}", "no address"},
        {"{\"resource\":\"" SERVER "\",\"authorization_servers\":[\"http://as.example\"]}",
         "https://"},
        {"{\"resource\":\"" SERVER "\",\"authorization_servers\":[\"https://localhost\"]}",
         "on this host"},
        {"{\"resource\":\"" SERVER "\",\"authorization_servers\":[\"https://as.example/?a\"]}",
         "query"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = parse(rows[i][0]);
        AUTO(auth_resource) r = {0};
        struct err e = {0};
        if (auth_resource_read(j, SERVER, &r, &e) != -E_PROTO || !strstr(e.msg, rows[i][1]))
            fail_msg("%s: %s", rows[i][0], e.msg);
        assert_null(r.resource);
    }
}

static void a_server_is_read(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = parse(
        "{\"issuer\":\"" ISSUER "\",\"authorization_endpoint\":\"https://as.example/a\","
        "\"token_endpoint\":\"https://as.example/t\",\"registration_endpoint\":null,"
        "\"revocation_endpoint\":\"https://as.example/r\","
        "\"code_challenge_methods_supported\":[\"plain\",\"S256\"],"
        "\"token_endpoint_auth_methods_supported\":[\"tls_client_auth\",\"client_secret_post\"],"
        "\"authorization_response_iss_parameter_supported\":true,"
        "\"client_id_metadata_document_supported\":true,"
        "\"dpop_signing_alg_values_supported\":[\"RS256\",\"ES256\"],"
        "\"scopes_supported\":[\"offline_access\"]}");
    AUTO(auth_server) s = {0};
    assert_int_equal(auth_server_read(j, ISSUER, SERVER, &s, NULL), 0);
    assert_string_equal(s.token, "https://as.example/t");
    assert_string_equal(s.revocation, "https://as.example/r");
    assert_null(s.registration);
    assert_int_equal(s.methods, AUTH_POST);
    assert_true(s.s256 && s.says_iss && s.takes_urls && s.dpop && !s.assumed);
    assert_string_equal(s.scopes, "offline_access");
}

static void what_is_not_said_is_not_offered(void **state)
{
    (void)state;
    AUTO_JSON json_t *j =
        parse("{\"issuer\":\"" ISSUER "\",\"code_challenge_methods_supported\":\"S256\","
              "\"authorization_response_iss_parameter_supported\":\"true\","
              "\"dpop_signing_alg_values_supported\":[\"none\"]}");
    AUTO(auth_server) s = {0};
    assert_int_equal(auth_server_read(j, ISSUER, SERVER, &s, NULL), 0);
    assert_true(!s.s256 && !s.says_iss && !s.takes_urls && !s.dpop);
    assert_int_equal(s.methods, 0);
    assert_null(s.token);
}

static void servers_that_are_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "another issuer"},
        {"{\"issuer\":\"https://as.example/t/\"}", "another issuer"},
        {"{\"issuer\":\"https://AS.example/t\"}", "another issuer"},
        {"{\"issuer\":\"" ISSUER "\",\"token_endpoint\":\"http://as.example/t\"}",
         "the token_endpoint of the authorization server does not begin with https://"},
        {"{\"issuer\":\"" ISSUER "\",\"token_endpoint\":7}", "token_endpoint"},
        {"{\"issuer\":\"" ISSUER "\",\"authorization_endpoint\":\"javascript:x\"}",
         "authorization_endpoint"},
        {"{\"issuer\":\"" ISSUER "\",\"revocation_endpoint\":\"https://127.0.0.1/\"}",
         "revocation_endpoint"},
        {"{\"issuer\":\"" ISSUER
         "\",\"token_endpoint_auth_methods_supported\":[\"tls_client_auth\"]}",
         "methods that are not known here"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = parse(rows[i][0]);
        AUTO(auth_server) s = {0};
        struct err e = {0};
        if (auth_server_read(j, ISSUER, SERVER, &s, &e) != -E_PROTO || !strstr(e.msg, rows[i][1]))
            fail_msg("%s: %s", rows[i][0], e.msg);
        assert_null(s.issuer);
    }
}

static void places_of_2025_03_26(void **state)
{
    (void)state;
    AUTO(auth_server) s = {0};
    auth_server_assume("https://a.example", &s);
    assert_string_equal(s.authorize, "https://a.example/authorize");
    assert_string_equal(s.token, "https://a.example/token");
    assert_string_equal(s.registration, "https://a.example/register");
    assert_true(s.assumed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resource_is_read),
        cmocka_unit_test(resources_that_are_refused),
        cmocka_unit_test(a_server_is_read),
        cmocka_unit_test(what_is_not_said_is_not_offered),
        cmocka_unit_test(servers_that_are_refused),
        cmocka_unit_test(places_of_2025_03_26),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
