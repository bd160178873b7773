/* test_jwt.c - an assertion of who the client is, and a proof that it has a key. */
#include "unit/unit.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "crypto/es256.h"
#include "oauth/jwt.h"

#include <string.h>

/* The part of a signed text before the nth dot, as JSON. */
static json_t *part(const struct buf *jwt, int which)
{
    const char *p = buf_str(jwt);
    for (int i = 0; i < which; i++)
        p = strchr(p, '.') + 1;
    AUTO(buf) text = BUF_INIT(AUTH_JWT_MAX);
    assert_int_equal(enc_base64url_decode(&text, p, strcspn(p, ".")), 0);
    json_t *j = NULL;
    assert_int_equal(json_parse(text.data, text.len, &j, NULL), 0);
    return j;
}

static void an_assertion_names_client_and_audience(void **state)
{
    (void)state;
    struct es256 *k = es256_new();
    AUTO(buf) one = BUF_INIT(AUTH_JWT_MAX), other = BUF_INIT(AUTH_JWT_MAX);
    time_test_set(0, 1000 * US_PER_S);
    assert_int_equal(auth_jwt_client(k, "me", "https://as", &one), 0);
    assert_int_equal(auth_jwt_client(k, "me", "https://as", &other), 0);
    time_test_reset();
    AUTO_JSON json_t *head = part(&one, 0), *claims = part(&one, 1), *next = part(&other, 1);
    assert_string_equal(json_get_str(head, "alg"), "ES256");
    assert_string_equal(json_get_str(claims, "iss"), "me");
    assert_string_equal(json_get_str(claims, "sub"), "me");
    assert_string_equal(json_get_str(claims, "aud"), "https://as");
    assert_int_equal(json_get_int(claims, "iat", 0), 1000);
    assert_int_equal(json_get_int(claims, "exp", 0), 1300);
    assert_string_not_equal(json_get_str(claims, "jti"), json_get_str(next, "jti"));
    es256_free(k);
}

static void a_proof_is_of_one_request(void **state)
{
    (void)state;
    struct es256 *k = es256_new();
    AUTO(buf) plain = BUF_INIT(AUTH_JWT_MAX), full = BUF_INIT(AUTH_JWT_MAX);
    assert_int_equal(auth_jwt_proof(k, "POST", "https://a/mcp?x=1", NULL, "", &plain), 0);
    assert_int_equal(auth_jwt_proof(k, "GET", "https://a/mcp", "n\"1", "abc", &full), 0);
    AUTO_JSON json_t *head = part(&plain, 0), *claims = part(&plain, 1), *more = part(&full, 1);
    const json_t *jwk = json_object_get(head, "jwk");
    assert_string_equal(json_get_str(head, "typ"), "dpop+jwt");
    assert_string_equal(json_get_str(jwk, "crv"), "P-256");
    assert_int_equal(strlen(json_get_str(jwk, "x")), 43);
    assert_null(json_object_get(jwk, "d"));
    assert_string_equal(json_get_str(claims, "htm"), "POST");
    assert_string_equal(json_get_str(claims, "htu"), "https://a/mcp");
    assert_null(json_object_get(claims, "nonce"));
    assert_null(json_object_get(claims, "ath"));
    assert_string_equal(json_get_str(more, "nonce"), "n\"1");
    /* SHA-256 of "abc" (FIPS 180-4), base64url */
    assert_string_equal(json_get_str(more, "ath"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    assert_null(strstr(buf_str(&full), "="));
    es256_free(k);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct es256 *k = es256_new();
    AUTO(buf) out = BUF_INIT(64);
    assert_true(auth_jwt_client(k, "me", "https://as", &out) < 0);
    es256_free(k);
}

static void an_audience_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *claims;
        bool is_for;
    } rows[] = {
        {"{\"aud\":\"https://as\"}", true},
        {"{\"aud\":\"https://as/\"}", true},
        {"{\"aud\":[\"x\",\"https://as\"]}", true},
        {"{\"aud\":\"https://as.evil\"}", false},
        {"{\"aud\":\"https://a\"}", false},
        {"{\"aud\":\"\"}", false},
        {"{\"aud\":[]}", false},
        {"{\"aud\":[7]}", false},
        {"{\"iss\":\"https://as\"}", false},
        {"[]", false},
        {"no json", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) jwt = BUF_INIT(512);
        buf_adds(&jwt, "e30.");
        enc_base64url(&jwt, rows[i].claims, strlen(rows[i].claims));
        assert_false(auth_jwt_is_for(buf_str(&jwt), "https://as"));
        buf_adds(&jwt, ".c2ln");
        if (auth_jwt_is_for(buf_str(&jwt), "https://as") != rows[i].is_for)
            fail_msg("%s", rows[i].claims);
    }
    static const char *const none[] = {"", ".", "..", "a.!.b", "a"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_false(auth_jwt_is_for(none[i], "https://as"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_assertion_names_client_and_audience),
        cmocka_unit_test(a_proof_is_of_one_request),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(an_audience_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
