/* test_es256.c - ECDSA on P-256 as JSON Web Signatures have it. */
#include "unit/unit.h"
#include "base/err.h"
#include "crypto/crypto_lib.h"
#include "crypto/es256.h"

#include <string.h>

/* Keys of this test alone, made by openssl. */
static const char pkcs8[] = "-----BEGIN PRIVATE KEY-----\n"
                            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxVZSIQ4OhrSHC4sw\n"
                            "oIUCz7TvIqcYpX8MibOLlTEbOGGhRANCAAQovfc6FlZUWET5pTLG4ETTv+ZRSGoB\n"
                            "rCNCePQg+FFKKW7fxwVx5hMLkH2q2MOyGnjPAXa88SbmrHH1H2wzxIbk\n"
                            "-----END PRIVATE KEY-----\n";
static const char sec1[] = /* as `openssl ecparam -genkey` writes it, the curve in front */
    "-----BEGIN EC PARAMETERS-----\n"
    "BggqhkjOPQMBBw==\n"
    "-----END EC PARAMETERS-----\n"
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIJ63x0GWaiWZIubjFa3vgY5Eu+5Kb5V/sHRDt8DeD+oVoAoGCCqGSM49\n"
    "AwEHoUQDQgAErkadfzoDU5QShYuMHRDBycjjnjPfDzeP+0AEv6/vfhiYVa82q6ms\n"
    "ZhDBiHSULFqVG0LS1f3Y7PV7c0Y2heXp/A==\n"
    "-----END EC PRIVATE KEY-----\n";
static const char p384[] = "-----BEGIN PRIVATE KEY-----\n"
                           "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAmEKHXhgmwhEBHlcTH\n"
                           "t7Wl0Nysl25ll/fJjRczVfuxIZ1I3IaSxVy8ctOes1QTfiChZANiAATl8ZKzrlbj\n"
                           "5W5sqxJsgx/FQPrsYPNkgDznju4eTKpcmBcAXyKn5g9eVGbhExobSpspqq9JCjVu\n"
                           "84ZMhaSCJQsuJB4qbD+18y6vqGVsGa/gWi3LPYJi+y6GYgdlj1APcWI=\n"
                           "-----END PRIVATE KEY-----\n";

static size_t put_integer(unsigned char *to, const unsigned char *p)
{
    size_t skip = 0, n = 0;
    while (skip < 31 && p[skip] == 0)
        skip++;
    to[n++] = 0x02;
    to[n++] = (unsigned char)(32 - skip + (p[skip] >> 7));
    if (p[skip] >> 7)
        to[n++] = 0;
    memcpy(to + n, p + skip, 32 - skip);
    return n + 32 - skip;
}

/* By libcrypto's own verification, with the key in DER. */
static bool verifies(const struct es256 *k, const char *text, const unsigned char *raw)
{
    AUTO(secret) der = {0};
    assert_int_equal(es256_der(k, &der), 0);
    const unsigned char *at = (const unsigned char *)der.data;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)der.len);
    assert_non_null(key);
    unsigned char signature[80] = {0x30};
    size_t n = put_integer(signature + 2, raw);
    n += put_integer(signature + 2 + n, raw + 32);
    signature[1] = (unsigned char)n;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    bool good =
        EVP_DigestVerify(ctx, signature, n + 2, (const unsigned char *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return good;
}

static void signatures_verify_and_differ(void **state)
{
    (void)state;
    struct es256 *k = es256_new();
    unsigned char one[ES256_SIGNATURE_BYTES], other[ES256_SIGNATURE_BYTES];
    for (int i = 0; i < 600; i++) { /* one in 256 has a leading zero in each half */
        es256_sign(k, "text", 4, one);
        assert_true(verifies(k, "text", one));
    }
    es256_sign(k, "text", 4, other);
    assert_memory_not_equal(one, other, sizeof(one));
    assert_false(verifies(k, "texT", one));
    one[5] ^= 1;
    assert_false(verifies(k, "text", one));
    es256_free(k);
    es256_free(NULL);
}

static void a_key_comes_back_from_der(void **state)
{
    (void)state;
    struct es256 *k = es256_new(), *same = NULL, *none = NULL;
    unsigned char x[32], y[32], x2[32], y2[32];
    AUTO(secret) der = {0};
    assert_int_equal(es256_der(k, &der), 0);
    assert_int_equal(es256_of_der(der.data, der.len, &same), 0);
    es256_public(k, x, y);
    es256_public(same, x2, y2);
    assert_memory_equal(x, x2, 32);
    assert_memory_equal(y, y2, 32);
    assert_int_equal(es256_of_der(der.data, der.len - 1, &none), -E_PARSE);
    assert_int_equal(es256_of_der("", 0, &none), -E_PARSE);
    assert_null(none);
    es256_free(k);
    es256_free(same);
}

static void keys_are_read_from_pem(void **state)
{
    (void)state;
    static const char *const good[] = {pkcs8, sec1};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct es256 *k = NULL;
        unsigned char signature[ES256_SIGNATURE_BYTES];
        assert_int_equal(es256_of_pem(good[i], strlen(good[i]), &k, NULL), 0);
        es256_sign(k, "a", 1, signature);
        assert_true(verifies(k, "a", signature));
        es256_free(k);
    }
    static const char *const bad[] = {
        "",
        "no key",
        p384,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct es256 *k = NULL;
        struct err e = {0};
        assert_int_equal(es256_of_pem(bad[i], strlen(bad[i]), &k, &e), -E_PARSE);
        assert_null(k);
        assert_non_null(strstr(e.msg, "P-256"));
        assert_null(strstr(e.msg, "AAAA"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_verify_and_differ),
        cmocka_unit_test(a_key_comes_back_from_der),
        cmocka_unit_test(keys_are_read_from_pem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
