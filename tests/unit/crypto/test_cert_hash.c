/* test_cert_hash.c - the hash that the openssl program prints for the same certificate. */
#include "unit/unit.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "crypto/cert_hash.h"
#include "unit/boundary_ca.h"

static void a_certificate_has_the_hash_that_openssl_looks_for(void **state)
{
    (void)state;
    char hash[CERT_HASH_BYTES];
    struct err e = {.code = 0};
    assert_int_equal(cert_hash_of_pem(BOUNDARY_CA, hash, &e), 0);
    assert_string_equal(hash, BOUNDARY_CA_HASH);
    assert_int_equal(cert_hash_of_pem("text before\n" BOUNDARY_CA BOUNDARY_LEAF, hash, &e), 0);
    assert_string_equal(hash, BOUNDARY_CA_HASH); /* the first one's */
    assert_int_equal(cert_hash_of_pem(BOUNDARY_LEAF BOUNDARY_CA, hash, &e), 0);
    assert_string_not_equal(hash, BOUNDARY_CA_HASH);
}

static void what_is_no_certificate_is_an_error(void **state)
{
    (void)state;
    static const char *const table[] = {
        "",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        BOUNDARY_LEAF_KEY,
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char hash[CERT_HASH_BYTES] = "kept";
        struct err e = {.code = 0};
        assert_int_equal(cert_hash_of_pem(table[i], hash, &e), -E_PARSE);
        assert_true(e.msg[0] != '\0');
        assert_string_equal(hash, "kept");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_has_the_hash_that_openssl_looks_for),
        cmocka_unit_test(what_is_no_certificate_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
