/* test_ed25519.c - RFC 8032 7.1 vectors, and PEM as openssl writes and reads it. */
#include "unit/unit.h"
#include "base/base.h"
#include "base/enc.h"
#include "crypto/ed25519.h"

#include <string.h>

static void hex(const char *text, unsigned char *ret)
{
    assert_int_equal(enc_hex_decode(text, strlen(text), ret), 0);
}

static void signatures_are_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        const char *seed, *public, *message, *signature;
    } rows[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "cf9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
         "84dc6594a7c15e9716ed28dc027beceea1ec40a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char seed[32], public[32], got[32], message[8], want[64], signature[64];
        size_t n = strlen(rows[i].message) / 2;
        hex(rows[i].seed, seed);
        hex(rows[i].public, public);
        hex(rows[i].message, message);
        hex(rows[i].signature, want);
        struct ed25519 *key = ed25519_private(seed), *verifier = ed25519_public(public);
        ed25519_get_public(key, got);
        assert_memory_equal(got, public, 32);
        ed25519_sign(key, message, n, signature);
        assert_memory_equal(signature, want, 64);
        assert_true(ed25519_verify(verifier, message, n, signature));
        assert_true(ed25519_verify(key, message, n, signature));
        for (size_t k = 0; k < 64; k++) {
            signature[k] ^= 1;
            assert_false(ed25519_verify(verifier, message, n, signature));
            signature[k] ^= 1;
        }
        assert_false(ed25519_verify(verifier, "x", 1, signature));
        ed25519_free(key);
        ed25519_free(verifier);
    }
    ed25519_free(NULL);
}

/* openssl genpkey -algorithm ed25519; openssl pkey -pubout */
static const char private_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
static const char public_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                                 "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                                 "-----END PUBLIC KEY-----\n";

static void pem_is_that_of_openssl(void **state)
{
    (void)state;
    unsigned char seed[32], raw[32], got[32];
    char text[ED25519_PEM_MAX];
    hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed);
    ed25519_private_pem(seed, text);
    assert_string_equal(text, private_pem);
    assert_int_equal(ed25519_private_of_pem(text, strlen(text), got), 0);
    assert_memory_equal(got, seed, 32);
    hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", raw);
    ed25519_public_pem(raw, text);
    assert_string_equal(text, public_pem);
    assert_int_equal(ed25519_public_of_pem(text, strlen(text), got), 0);
    assert_memory_equal(got, raw, 32);
}

static void another_form_is_refused(void **state)
{
    (void)state;
    unsigned char got[32];
    char text[ED25519_PEM_MAX];
    assert_true(ed25519_private_of_pem(public_pem, strlen(public_pem), got) < 0);
    assert_true(ed25519_public_of_pem(private_pem, strlen(private_pem), got) < 0);
    for (size_t n = 0; n < strlen(public_pem) - 1; n++)
        assert_true(ed25519_public_of_pem(public_pem, n, got) < 0);
    /* Every byte counts: one that is changed makes another key, or none. */
    for (size_t i = 0; i < strlen(public_pem) - 1; i++) {
        memcpy(text, public_pem, sizeof(public_pem));
        text[i] ^= 1;
        unsigned char raw[32];
        hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", raw);
        assert_true(ed25519_public_of_pem(text, strlen(text), got) < 0 ||
                    memcmp(got, raw, 32) != 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(signatures_are_the_published_ones),
                                              cmocka_unit_test(pem_is_that_of_openssl),
                                              cmocka_unit_test(another_form_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
