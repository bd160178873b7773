/* test_jws.c - public keys of JSON Web Keys, and what they take for a signature. */
#include "unit/unit.h"
#include "base/err.h"
#include "crypto/es256.h"
#include "crypto/jws.h"

#include <string.h>

static const char text[] = "eyJhbGciOiJFUzI1NiJ9.e30";

static struct jws_key *public_of(const struct es256 *k)
{
    unsigned char x[32], y[32];
    struct jws_key *ret = NULL;
    es256_public(k, x, y);
    assert_int_equal(jws_key_ec(x, 32, y, 32, &ret), 0);
    return ret;
}

static void names_are_letter_by_letter(void **state)
{
    (void)state;
    enum jws_alg a = JWS_ALGS;
    for (unsigned i = 0; i < JWS_ALGS; i++) {
        assert_int_equal(jws_alg_of(jws_alg_name((enum jws_alg)i), &a), 0);
        assert_int_equal(a, i);
    }
    static const char *const others[] = {"none",    "None",   "HS256", "es256", "ES512", "RS512",
                                         "Ed25519", "ES256 ", "",      "RS384", "PS512"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(jws_alg_of(others[i], &a), -ENOENT);
    assert_int_equal(jws_alg_of(NULL, &a), -ENOENT);
}

/* Random keys: numbers with zeros in front, and with a high bit, are among two hundred signatures. */
static void a_signature_is_of_its_key_and_text(void **state)
{
    (void)state;
    struct es256 *k = es256_new(), *other = es256_new();
    struct jws_key *p = public_of(k), *q = public_of(other);
    for (int i = 0; i < 200; i++) {
        unsigned char s[ES256_SIGNATURE_BYTES];
        es256_sign(k, text, sizeof(text) - 1, s);
        assert_true(jws_verify(p, JWS_ES256, text, sizeof(text) - 1, s, sizeof(s)));
        if (i > 10)
            continue;
        assert_false(jws_verify(q, JWS_ES256, text, sizeof(text) - 1, s, sizeof(s)));
        assert_false(jws_verify(p, JWS_ES256, text, sizeof(text) - 2, s, sizeof(s)));
        assert_false(jws_verify(p, JWS_ES256, text, sizeof(text) - 1, s, sizeof(s) - 1));
        assert_false(jws_verify(p, JWS_ES256, text, sizeof(text) - 1, s, 0));
        for (unsigned a = 0; a < JWS_ALGS; a++)
            if (a != JWS_ES256)
                assert_false(jws_verify(p, (enum jws_alg)a, text, sizeof(text) - 1, s, sizeof(s)));
        s[i] ^= 1;
        assert_false(jws_verify(p, JWS_ES256, text, sizeof(text) - 1, s, sizeof(s)));
    }
    jws_key_free(p);
    jws_key_free(q);
    es256_free(k);
    es256_free(other);
}

/* CVE-2022-21449: two zeros are nobody's signature. */
static void zeros_are_no_signature(void **state)
{
    (void)state;
    struct es256 *k = es256_new();
    struct jws_key *p = public_of(k);
    unsigned char s[ES256_SIGNATURE_BYTES] = {0};
    assert_false(jws_verify(p, JWS_ES256, text, sizeof(text) - 1, s, sizeof(s)));
    memset(s, 0xff, sizeof(s));
    assert_false(jws_verify(p, JWS_ES256, text, sizeof(text) - 1, s, sizeof(s)));
    jws_key_free(p);
    es256_free(k);
}

static void a_point_is_on_its_curve(void **state)
{
    (void)state;
    struct es256 *k = es256_new();
    struct jws_key *ret = NULL;
    unsigned char x[48] = {0}, y[48] = {0};
    es256_public(k, x, y);
    assert_int_equal(jws_key_ec(x, 31, y, 31, &ret), -E_PARSE);
    assert_int_equal(jws_key_ec(x, 32, y, 31, &ret), -E_PARSE);
    assert_int_equal(jws_key_ec(x, 48, y, 48, &ret), -E_PARSE); /* of another curve */
    assert_int_equal(jws_key_ec(x, 0, y, 0, &ret), -E_PARSE);
    x[31] ^= 1;
    assert_int_equal(jws_key_ec(x, 32, y, 32, &ret), -E_PARSE);
    memset(x, 0, sizeof(x));
    memset(y, 0, sizeof(y));
    assert_int_equal(jws_key_ec(x, 32, y, 32, &ret), -E_PARSE);
    memset(x, 0xff, sizeof(x)); /* beyond the field */
    assert_int_equal(jws_key_ec(x, 32, y, 32, &ret), -E_PARSE);
    assert_null(ret);
    es256_free(k);
}

static void a_modulus_is_neither_short_nor_endless(void **state)
{
    (void)state;
    unsigned char n[1025], e[] = {1, 0, 1}, even[] = {2}, one[] = {1}, zero[] = {0, 1, 1},
                           large[] = {1, 0, 0, 0, 1};
    struct jws_key *ret = NULL;
    memset(n, 0xc5, sizeof(n));
    static const size_t bad[] = {0, 1, 128, 255, 1025};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(jws_key_rsa(n, bad[i], e, 3, &ret), -E_PARSE);
    assert_int_equal(jws_key_rsa(n, 256, even, 1, &ret), -E_PARSE);
    assert_int_equal(jws_key_rsa(n, 256, one, 1, &ret), -E_PARSE);
    assert_int_equal(jws_key_rsa(n, 256, zero, 3, &ret), -E_PARSE);
    assert_int_equal(jws_key_rsa(n, 256, large, 5, &ret), -E_PARSE);
    assert_int_equal(jws_key_rsa(n, 256, e, 0, &ret), -E_PARSE);
    n[0] = 0x45; /* 2047 bits */
    assert_int_equal(jws_key_rsa(n, 256, e, 3, &ret), -E_PARSE);
    n[0] = 0; /* 2048 bits, and a zero in front */
    assert_int_equal(jws_key_rsa(n, 257, e, 3, &ret), -E_PARSE);
    n[0] = 0xc5;
    n[255] = 0xc4;
    assert_int_equal(jws_key_rsa(n, 256, e, 3, &ret), -E_PARSE);
    n[255] = 0xc5;
    assert_null(ret);
    assert_int_equal(jws_key_rsa(n, 256, e, 3, &ret), 0);
    assert_true(jws_key_fits(ret, JWS_RS256) && jws_key_fits(ret, JWS_PS256));
    assert_false(jws_key_fits(ret, JWS_ES256) || jws_key_fits(ret, JWS_EDDSA));
    assert_false(jws_verify(ret, JWS_RS256, text, 3, n, 256));
    assert_false(jws_verify(ret, JWS_PS256, text, 3, n, 256));
    assert_false(jws_verify(ret, JWS_PS256, text, 3, n, 1025));
    jws_key_free(ret);
    jws_key_free(NULL);
}

static void a_key_of_ed25519_has_its_size(void **state)
{
    (void)state;
    unsigned char x[57] = {7};
    struct jws_key *ret = NULL;
    assert_int_equal(jws_key_ed25519(x, 31, &ret), -E_PARSE);
    assert_int_equal(jws_key_ed25519(x, 57, &ret), -E_PARSE); /* Ed448 */
    assert_null(ret);
    assert_int_equal(jws_key_ed25519(x, 32, &ret), 0);
    assert_false(jws_verify(ret, JWS_EDDSA, text, 3, x, 57));
    jws_key_free(ret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_letter_by_letter),
        cmocka_unit_test(a_signature_is_of_its_key_and_text),
        cmocka_unit_test(zeros_are_no_signature),
        cmocka_unit_test(a_point_is_on_its_curve),
        cmocka_unit_test(a_modulus_is_neither_short_nor_endless),
        cmocka_unit_test(a_key_of_ed25519_has_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
