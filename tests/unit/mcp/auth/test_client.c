/* test_client.c - who we are at an authorization server: how that is chosen, registered and kept. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/es256.h"
#include "mcp/auth/auth_internal.h"

#include <string.h>

#define SERVER "https://a.example/mcp"

static void a_method_is_chosen(void **state)
{
    (void)state;
    const unsigned all = AUTH_NONE | AUTH_BASIC | AUTH_POST | AUTH_KEY_JWT;
    static const bool no = false, yes = true;
    assert_int_equal(auth_method_choose(0, no, no), AUTH_NONE);
    assert_int_equal(auth_method_choose(0, yes, no), AUTH_BASIC);
    assert_int_equal(auth_method_choose(0, no, yes), AUTH_KEY_JWT);
    assert_int_equal(auth_method_choose(all, yes, no), AUTH_BASIC);
    assert_int_equal(auth_method_choose(AUTH_POST | AUTH_NONE, yes, no), AUTH_POST);
    assert_int_equal(auth_method_choose(all, yes, yes), AUTH_KEY_JWT);
    assert_int_equal(auth_method_choose(AUTH_NONE, yes, no), 0);
    assert_int_equal(auth_method_choose(AUTH_BASIC, no, no), 0);
    assert_int_equal(auth_method_choose(AUTH_BASIC, no, yes), 0);
}

static void a_registration_says_what_we_are(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = auth_registration("http://127.0.0.1:5/callback", AUTH_NONE, "a b");
    AUTO_FREE char *text = json_text(j, NULL);
    assert_string_equal(text,
                        "{\"client_name\":\"Sallyport\",\"application_type\":\"native\","
                        "\"redirect_uris\":[\"http://127.0.0.1:5/callback\"],"
                        "\"grant_types\":[\"authorization_code\",\"refresh_token\"],"
                        "\"response_types\":[\"code\"],\"token_endpoint_auth_method\":\"none\","
                        "\"scope\":\"a b\"}");
}

static void registrations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum auth_method asked, want; /* 0: refused */
    } rows[] = {
        {"{\"client_id\":\"i\"}", AUTH_NONE, AUTH_NONE},
        {"{\"client_id\":\"i\",\"client_secret\":\"\"}", AUTH_NONE, AUTH_NONE},
        {"{\"client_id\":\"i\",\"client_secret\":\"s\"}", AUTH_NONE, AUTH_NONE},
        {"{\"client_id\":\"i\",\"client_secret\":\"s\"}", AUTH_BASIC, AUTH_BASIC},
        {"{\"client_id\":\"i\",\"client_secret\":\"s\","
         "\"token_endpoint_auth_method\":\"client_secret_post\"}",
         AUTH_NONE, AUTH_POST},
        {"{\"client_id\":\"i\"}", AUTH_BASIC, 0},
        {"{\"client_id\":\"i\",\"token_endpoint_auth_method\":\"client_secret_post\"}", AUTH_NONE,
         0},
        {"{\"client_id\":\"i\",\"token_endpoint_auth_method\":\"private_key_jwt\"}", AUTH_NONE, 0},
        {"{\"client_id\":\"i\",\"token_endpoint_auth_method\":\"odd\"}", AUTH_NONE, 0},
        {"{\"client_id\":\"\"}", AUTH_NONE, 0},
        {"{\"client_id\":\"a\\nb\"}", AUTH_NONE, 0},
        {"{\"client_id\":5}", AUTH_NONE, 0},
        {"{}", AUTH_NONE, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        assert_int_equal(json_parse(rows[i].text, strlen(rows[i].text), &j, NULL), 0);
        AUTO(auth_client) c = {0};
        struct err e = {0};
        int r = auth_registration_read(j, rows[i].asked, &c, &e);
        if (r != (rows[i].want ? 0 : -E_PROTO) || c.method != rows[i].want)
            fail_msg("%s: %s", rows[i].text, e.msg);
        assert_true(rows[i].want || e.msg[0]);
        assert_true(c.method != AUTH_NONE || c.secret.len == 0);
    }
    AUTO(auth_client) c = {0};
    assert_int_equal(auth_registration_read(NULL, AUTH_NONE, &c, NULL), -E_PROTO);
}

/* ---- what is kept ---- */

static struct mcp_auth *with(const char *server, const char *client_id)
{
    struct mcp_auth *a = NULL;
    const struct mcp_auth_options o = {.server = server, .client_id = client_id};
    assert_int_equal(mcp_auth_new(&o, &a, NULL), 0);
    return a;
}

static struct mcp_auth *filled(void)
{
    struct mcp_auth *a = with(SERVER, NULL);
    a->issuer = mem_strdup("https://as.example");
    a->bound = mem_strdup("https://a.example");
    a->asked = mem_strdup("x y");
    a->key = es256_new();
    a->token = (struct auth_token){
        .expires_us = 77, .renew_us = 66, .dpop = true, .scope = mem_strdup("x")};
    assert_int_equal(secret_set(&a->token.access, "ACCESS", 6), 0);
    assert_int_equal(secret_set(&a->token.refresh, "REFRESH", 7), 0);
    a->client = (struct auth_client){.id = mem_strdup("i"),
                                     .method = AUTH_POST,
                                     .redirect = mem_strdup("http://127.0.0.1:5/callback")};
    assert_int_equal(secret_set(&a->client.secret, "CLIENT", 6), 0);
    return a;
}

static void what_is_kept_comes_back(void **state)
{
    (void)state;
    struct mcp_auth *a = filled(), *b = with(SERVER, NULL);
    AUTO_JSON json_t *j = auth_keep(a);
    auth_unkeep(b, j);
    assert_string_equal(secret_borrow(&b->token.access), "ACCESS");
    assert_string_equal(secret_borrow(&b->token.refresh), "REFRESH");
    assert_string_equal(secret_borrow(&b->client.secret), "CLIENT");
    assert_int_equal(b->client.method, AUTH_POST);
    assert_string_equal(b->client.redirect, a->client.redirect);
    assert_string_equal(b->issuer, a->issuer);
    assert_string_equal(b->bound, a->bound);
    assert_string_equal(b->asked, "x y");
    assert_string_equal(b->token.scope, "x");
    assert_int_equal(b->token.expires_us, 77);
    assert_int_equal(b->token.renew_us, 66);
    assert_true(b->token.dpop && b->wants_dpop && b->key);
    unsigned char x[32], y[32], x2[32], y2[32];
    es256_public(a->key, x, y);
    es256_public(b->key, x2, y2);
    assert_memory_equal(x, x2, 32);
    mcp_auth_free(a);
    mcp_auth_free(b);
}

static void a_given_secret_is_not_kept(void **state)
{
    (void)state;
    struct mcp_auth *a = filled();
    a->client.given = true;
    AUTO_JSON json_t *j = auth_keep(a);
    AUTO_FREE char *text = json_text(j, NULL);
    assert_non_null(strstr(text, "REFRESH"));
    assert_null(strstr(text, "CLIENT"));
    mcp_auth_free(a);
}

static void nothing_comes_back_of_what_is_not_whole(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"version", "2"},
        {"server", "\"https://other.example/mcp\""},
        {"issuer", "null"},
        {"issuer", "\"http://as.example\""},
        {"issuer", "\"https://127.0.0.1/\""},
        {"resource", "\"https://evil.example/\""},
        {"resource", "null"},
        {"access", "\"a b\""},
        {"key", "\"AAAA\""},
        {"key", "null"},
        {"client", "{\"id\":\"i\",\"method\":\"odd\"}"},
    };
    struct mcp_auth *a = filled();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = auth_keep(a);
        json_t *v = NULL;
        assert_int_equal(json_parse(rows[i][1], strlen(rows[i][1]), &v, NULL), 0);
        json_put(j, rows[i][0], v);
        struct mcp_auth *b = with(SERVER, NULL);
        auth_unkeep(b, j);
        if (b->issuer || b->token.access.len || b->token.refresh.len || b->client.id || b->key ||
            b->resource.resource || b->wants_dpop)
            fail_msg("%s %s", rows[i][0], rows[i][1]);
        mcp_auth_free(b);
    }
    AUTO_JSON json_t *j = auth_keep(a);
    struct mcp_auth *other = with(SERVER, "another-id");
    auth_unkeep(other, j);
    assert_int_equal(other->token.access.len, 0);
    mcp_auth_free(other);
    mcp_auth_free(a);
}

static void what_others_did_is_seen(void **state)
{
    (void)state;
    struct mcp_auth *a = filled();
    AUTO_JSON json_t *j = auth_keep(a);
    assert_int_equal(auth_unkeep_newer(a, j), AUTH_KEPT_SAME);
    static const char *const others[][2] = {{"issuer", "https://other.example"},
                                            {"resource", "https://a.example/x"},
                                            {"server", "https://a.example/y"},
                                            {"access", "a b"},
                                            {"access", ""}};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        AUTO_JSON json_t *other = json_deep_copy(j);
        json_put_str(other, others[i][0], others[i][1]);
        assert_int_equal(auth_unkeep_newer(a, other), AUTH_KEPT_GONE);
    }
    assert_string_equal(secret_borrow(&a->token.access), "ACCESS");
    json_put_str(j, "refresh", "NEXT"); /* the same token, with another one to renew it */
    assert_int_equal(auth_unkeep_newer(a, j), AUTH_KEPT_NEWER);
    assert_string_equal(secret_borrow(&a->token.refresh), "NEXT");
    mcp_auth_free(a);
}

static void a_newer_token_comes_with_its_client_and_key(void **state)
{
    (void)state;
    struct mcp_auth *a = filled(), *other = filled();
    free(other->client.id);
    other->client.id = mem_strdup("another");
    secret_done(&other->token.access);
    assert_int_equal(secret_set(&other->token.access, "NEWER", 5), 0);
    AUTO_JSON json_t *j = auth_keep(other);
    assert_int_equal(auth_unkeep_newer(a, j), AUTH_KEPT_NEWER);
    assert_string_equal(secret_borrow(&a->token.access), "NEWER");
    assert_string_equal(a->client.id, "another");
    assert_true(a->token.dpop && a->wants_dpop);
    unsigned char x[32], y[32], x2[32], y2[32];
    es256_public(a->key, x, y);
    es256_public(other->key, x2, y2);
    assert_memory_equal(x, x2, 32);
    assert_memory_equal(y, y2, 32);
    mcp_auth_free(a);
    mcp_auth_free(other);
}

static void options_that_make_no_sense(void **state)
{
    (void)state;
    AUTO(secret) token = {0};
    assert_int_equal(secret_set(&token, "t", 1), 0);
    const struct {
        struct mcp_auth_options o;
        const char *words;
    } rows[] = {
        {{.grant = AUTH_GRANT_CLIENT}, "--client-id"},
        {{.grant = AUTH_GRANT_ASSERTION}, "--assertion"},
        {{.grant = AUTH_GRANT_EXCHANGE, .assertion = &token}, "--idp"},
        {{.grant = AUTH_GRANT_EXCHANGE,
          .assertion = &token,
          .idp = "http://idp.example",
          .idp_client_id = "i",
          .client_id = "c"},
         "--idp does not begin with https://"},
        {{.scope = "a\"b"}, "--scope"},
        {{.client_id = ""}, "--client-id"},
        {{.client_id = "c", .client_secret = &token}, "--client-secret wants --issuer"},
        {{.client_url = "http://a.example/me"}, "--client-metadata"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mcp_auth_options o = rows[i].o;
        struct mcp_auth *a = NULL;
        struct err e = {0};
        o.server = SERVER;
        assert_int_equal(mcp_auth_new(&o, &a, &e), -EINVAL);
        if (!strstr(e.msg, rows[i].words))
            fail_msg("%s", e.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_method_is_chosen),
        cmocka_unit_test(a_registration_says_what_we_are),
        cmocka_unit_test(registrations_are_read),
        cmocka_unit_test(what_is_kept_comes_back),
        cmocka_unit_test(a_given_secret_is_not_kept),
        cmocka_unit_test(nothing_comes_back_of_what_is_not_whole),
        cmocka_unit_test(what_others_did_is_seen),
        cmocka_unit_test(a_newer_token_comes_with_its_client_and_key),
        cmocka_unit_test(options_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
