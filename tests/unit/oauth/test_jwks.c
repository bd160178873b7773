/* test_jwks.c - which keys of a set check which tokens. */
#include "unit/unit.h"
#include "jwt_samples.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "oauth/jwks.h"

#include <string.h>

/* Those of sample_keys, by their place. */
enum { P256, P384, RSA, RSA_PSS, ED25519 };

static json_t *sample(size_t i)
{
    AUTO_JSON json_t *all = NULL;
    assert_int_equal(json_parse(sample_keys, strlen(sample_keys), &all, NULL), 0);
    return json_incref(json_array_get(json_object_get(all, "keys"), i));
}

/* A set of these keys, whose references it takes; NULL ends them. */
static int parse(json_t *const *keys, struct jwks **ret, struct err *e)
{
    AUTO_JSON json_t *set = json_new_object();
    json_t *list = json_array();
    for (; *keys; keys++)
        (void)json_array_append_new(list, *keys);
    json_put(set, "keys", list);
    size_t n;
    AUTO_FREE char *text = json_text(set, &n);
    *ret = NULL;
    return jwks_parse(text, n, ret, e);
}

static int parse_one(json_t *key, struct jwks **ret, struct err *e)
{
    json_t *const keys[] = {key, NULL};
    return parse(keys, ret, e);
}

static void all_of_the_sample_are_found_by_name_and_algorithm(void **state)
{
    (void)state;
    struct jwks *s = NULL;
    bool many = false;
    assert_int_equal(jwks_parse(sample_keys, strlen(sample_keys), &s, NULL), 0);
    assert_int_equal(jwks_count(s), 5);
    for (unsigned a = 0; a < JWS_ALGS; a++) {
        AUTO_FREE char *kid = mem_strdup(jws_alg_name((enum jws_alg)a));
        for (char *p = kid; *p; p++)
            *p = str_lower_c(*p);
        for (unsigned b = 0; b < JWS_ALGS; b++) /* also of the two that RSA has */
            assert_int_equal(jwks_find(s, kid, (enum jws_alg)b, NULL) != NULL, a == b);
        assert_non_null(jwks_find(s, NULL, (enum jws_alg)a, &many)); /* one of each alone */
        assert_false(many);
    }
    assert_null(jwks_find(s, "another", JWS_ES256, &many));
    assert_false(many);
    assert_null(jwks_find(s, "", JWS_ES256, NULL));
    jwks_unref(jwks_ref(s));
    jwks_unref(s);
    jwks_unref(NULL);
}

static void keys_for_something_else_are_passed_over(void **state)
{
    (void)state;
    static const struct {
        size_t key;
        const char *member, *value;
    } rows[] = {
        {P256, "use", "\"enc\""},
        {P256, "use", "null"},
        {P256, "use", "[\"sig\"]"},
        {P256, "key_ops", "[\"sign\"]"},
        {P256, "key_ops", "\"verify\""},
        {P256, "key_ops", "[]"},
        {P256, "alg", "\"ES384\""},
        {P256, "alg", "\"HS256\""},
        {P256, "alg", "\"none\""},
        {P256, "alg", "null"},
        {P256, "alg", "\"ECDH-ES\""},
        {P256, "kid", "7"},
        {P256, "kty", "\"RSA\""},
        {P256, "kty", "\"oct\""},
        {P256, "kty", "null"},
        {P256, "crv", "\"P-384\""},
        {P256, "crv", "\"secp256k1\""},
        {P256, "x", "\"\""},
        {P256, "x", "\"AAAA\""},
        {P256, "x", "\"HQUNSbRU_UwLv7fSPqfFreihS3krwWzkX9m_FsoKaVY=\""},
        {P256, "y", "\"HQUNSbRU_UwLv7fSPqfFreihS3krwWzkX9m_FsoKaVY\""},
        {P256, "y", "null"},
        {P384, "crv", "\"P-256\""},
        {RSA, "e", "\"AQ\""},
        {RSA, "e", "\"AAEAAQ\""},
        {RSA, "n", "\"AQAB\""},
        {RSA, "n", "\"****\""},
        {RSA, "alg", "\"RSA-OAEP\""},
        {RSA, "alg", "\"ES256\""},
        {ED25519, "crv", "\"X25519\""},
        {ED25519, "crv", "\"Ed448\""},
        {ED25519, "x", "\"AAAA\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *k = sample(rows[i].key), *v = json_loads(rows[i].value, JSON_DECODE_ANY, NULL);
        struct jwks *s;
        struct err e = {0};
        json_put(k, rows[i].member, v);
        assert_int_equal(parse_one(k, &s, &e), -E_PARSE);
        assert_non_null(strstr(e.msg, "none of the 1 keys of the set can check"));
    }
}

static void one_that_can_be_used_beside_others_is(void **state)
{
    (void)state;
    struct jwks *s;
    json_t *enc = sample(P256), *small = NULL, *p521 = NULL;
    json_put_str(enc, "use", "enc");
    assert_int_equal(json_parse(sample_small, strlen(sample_small), &small, NULL), 0);
    assert_int_equal(json_parse(sample_p521, strlen(sample_p521), &p521, NULL), 0);
    json_t *const keys[] = {json_integer(3),  enc,          small, p521,
                            json_string("x"), sample(P384), NULL};
    assert_int_equal(parse(keys, &s, NULL), 0);
    assert_int_equal(jwks_count(s), 1);
    assert_non_null(jwks_find(s, "es384", JWS_ES384, NULL));
    jwks_unref(s);
}

static void a_key_without_limits_has_none(void **state)
{
    (void)state;
    struct jwks *s;
    json_t *k = sample(RSA);
    (void)json_object_del(k, "alg");
    (void)json_object_del(k, "use");
    (void)json_object_del(k, "kid");
    assert_int_equal(parse_one(k, &s, NULL), 0);
    assert_non_null(jwks_find(s, NULL, JWS_RS256, NULL));
    assert_non_null(jwks_find(s, NULL, JWS_PS256, NULL));
    assert_null(jwks_find(s, NULL, JWS_ES256, NULL));
    assert_null(
        jwks_find(s, "rs256", JWS_RS256, NULL)); /* a token names its key, and this has no name */
    jwks_unref(s);
}

static void where_two_could_neither_does(void **state)
{
    (void)state;
    struct jwks *s;
    bool many = false;
    json_t *const keys[] = {sample(P256), sample(P256), sample(ED25519), NULL};
    assert_int_equal(parse(keys, &s, NULL), 0);
    assert_null(jwks_find(s, "es256", JWS_ES256, &many));
    assert_true(many);
    assert_null(jwks_find(s, NULL, JWS_ES256, &many));
    assert_true(many);
    assert_non_null(jwks_find(s, NULL, JWS_EDDSA, &many));
    assert_false(many);
    jwks_unref(s);
}

static void a_private_key_is_told(void **state)
{
    (void)state;
    struct jwks *s;
    struct err e = {0};
    json_t *k = sample(P256);
    json_put_str(k, "d", "HQUNSbRU_UwLv7fSPqfFreihS3krwWzkX9m_FsoKaVY");
    json_t *const keys[] = {sample(RSA), k, NULL};
    assert_int_equal(parse(keys, &s, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, "keys[1] is a private key"));
    assert_null(strstr(e.msg, "HQUN"));
}

static void what_is_no_set_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "no JSON with one reading"},
        {"[]", "it is no set of keys"},
        {"{}", "it is no set of keys"},
        {"{\"keys\":{}}", "it is no set of keys"},
        {"{\"keys\":[]}", "none of the 0 keys"},
        {"{\"keys\":[],\"keys\":[]}", "no JSON with one reading"},
        {"<html>", "no JSON with one reading"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}", "none of the 1 keys"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jwks *s = NULL;
        struct err e = {0};
        assert_int_equal(jwks_parse(rows[i].text, strlen(rows[i].text), &s, &e), -E_PARSE);
        assert_non_null(strstr(e.msg, rows[i].words));
        assert_null(s);
    }
}

static void it_has_a_ceiling(void **state)
{
    (void)state;
    struct jwks *s = NULL;
    struct err e = {0};
    json_t *keys[JWKS_KEYS_MAX + 2] = {NULL};
    for (size_t i = 0; i < JWKS_KEYS_MAX; i++)
        keys[i] = sample(P256);
    assert_int_equal(parse(keys, &s, NULL), 0);
    assert_int_equal(jwks_count(s), JWKS_KEYS_MAX);
    jwks_unref(s);
    for (size_t i = 0; i <= JWKS_KEYS_MAX; i++)
        keys[i] = sample(P256);
    assert_int_equal(parse(keys, &s, &e), -E_LIMIT);
    assert_non_null(strstr(e.msg, "65 keys, at most 64"));
    AUTO_FREE char *large = mem_array(JWKS_BYTES_MAX + 1, 1);
    memset(large, ' ', JWKS_BYTES_MAX + 1);
    assert_int_equal(jwks_parse(large, JWKS_BYTES_MAX + 1, &s, &e), -E_LIMIT);
    memset(large, '[', JWKS_BYTES_MAX);
    assert_int_not_equal(jwks_parse(large, JWKS_BYTES_MAX, &s, &e), 0);
    AUTO(buf) many = BUF_INIT(JWKS_BYTES_MAX);
    (void)buf_adds(&many, "{\"keys\":[");
    for (int i = 0; i < 20000; i++)
        (void)buf_adds(&many, "1,");
    (void)buf_adds(&many, "1]}");
    assert_int_equal(jwks_parse(buf_str(&many), many.len, &s, &e), -E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_the_sample_are_found_by_name_and_algorithm),
        cmocka_unit_test(keys_for_something_else_are_passed_over),
        cmocka_unit_test(one_that_can_be_used_beside_others_is),
        cmocka_unit_test(a_key_without_limits_has_none),
        cmocka_unit_test(where_two_could_neither_does),
        cmocka_unit_test(a_private_key_is_told),
        cmocka_unit_test(what_is_no_set_is_refused),
        cmocka_unit_test(it_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
