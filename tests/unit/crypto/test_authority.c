/* test_authority.c - one row for each rule that a tunnel's CA must keep: what is accepted, and what is
 * refused in which words. The certificates are in authority_certs.h. */
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/time.h"
#include "crypto/authority.h"
#include "unit/boundary_ca.h"
#include "unit/crypto/authority_certs.h"

#define NOW_US  1796000000000000LL /* 2026-11-30 */
#define IN_2036 2082758400000000LL /* 2036-01-01, when most of them end */

static void what_a_tunnel_may_trust_is_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *name, *pem;
    } table[] = {
        {"openssl's own", CERT_OPENSSL},
        {"P-256", CERT_P256},
        {"P-384", CERT_P384},
        {"P-521", CERT_P521},
        {"a compressed point", CERT_COMPRESSED},
        {"RSA with SHA-256", CERT_RSA},
        {"RSA with SHA-384", CERT_RSA_SHA384},
        {"RSA with SHA-512", CERT_RSA_SHA512},
        {"RSA-PSS with SHA-256", CERT_PSS},
        {"RSA-PSS with SHA-384", CERT_PSS_SHA384},
        {"RSA-PSS with SHA-512", CERT_PSS_SHA512},
        {"16384 bits", CERT_RSA_LONGEST},
        {"an intermediate", CERT_INTERMEDIATE},
        {"not valid yet", CERT_LATER},
        {"never ends", CERT_NEVER_ENDS},
        {"ends in 2100", CERT_ENDS_LATE},
        {"a path length", CERT_PATH_LENGTH},
        {"critical and known", CERT_NAME_CONSTRAINTS},
        {"an identifier of 64 bytes", CERT_KEY_ID_LONGEST},
        {"unknown and not critical", CERT_UNKNOWN_EXTENSION},
        {"ours", BOUNDARY_CA},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct authority_facts facts = {.ends_us = -1};
        struct err e = {0};
        int r = authority_check(table[i].pem, strlen(table[i].pem), NOW_US, &facts, &e);
        if (r != 0)
            fail_msg("%s: %d, %s", table[i].name, r, e.msg);
        assert_int_equal(strlen(facts.fingerprint), DIGEST_SHA256_HEX - 1);
        assert_true(facts.ends_us > NOW_US);
    }
}

static struct authority_facts facts_of(const char *pem)
{
    struct authority_facts facts = {0};
    struct err e = {0};
    if (authority_check(pem, strlen(pem), NOW_US, &facts, &e) < 0)
        fail_msg("%s", e.msg);
    return facts;
}

static void the_facts_are_those_of_the_certificate(void **state)
{
    (void)state;
    struct authority_facts facts = facts_of(CERT_P256);
    assert_string_equal(facts.fingerprint, CERT_P256_SHA256);
    assert_true(facts.ends);
    assert_int_equal(facts.ends_us, IN_2036);
    facts = facts_of(CERT_RSA);
    assert_string_equal(facts.fingerprint, CERT_RSA_SHA256);
    facts = facts_of(CERT_OPENSSL);
    assert_string_equal(facts.fingerprint, CERT_OPENSSL_SHA256);
    facts = facts_of(CERT_NEVER_ENDS);
    assert_string_equal(facts.fingerprint, CERT_NEVER_ENDS_SHA256);
    assert_false(facts.ends);
    facts = facts_of(CERT_ENDS_LATE); /* GeneralizedTime: 2100-02-28T23:59:59Z */
    assert_true(facts.ends);
    assert_int_equal(facts.ends_us, 4107542399000000LL);
}

static void it_is_valid_until_the_second_in_which_it_ends(void **state)
{
    (void)state;
    struct authority_facts facts;
    struct err e = {0};
    const char *pem = CERT_P256;
    assert_int_equal(authority_check(pem, strlen(pem), IN_2036 - 1, &facts, &e), 0);
    assert_int_equal(authority_check(pem, strlen(pem), IN_2036, &facts, &e), -E_DENIED);
    assert_string_equal(e.msg, "it expired at 2036-01-01T00:00:00Z");
    pem = CERT_NEVER_ENDS;
    assert_int_equal(authority_check(pem, strlen(pem), INT64_MAX, &facts, &e), 0);
}

/* ---- what is refused ---- */

struct refused {
    const char *pem, *words;
};

static void refuse(const struct refused *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct authority_facts facts = {.fingerprint = "kept", .ends_us = 7};
        struct err e = {0};
        int r = authority_check(table[i].pem, strlen(table[i].pem), NOW_US, &facts, &e);
        if (r != -E_DENIED || e.code != r || strcmp(e.msg, table[i].words) != 0)
            fail_msg("row %zu gives %d, %d, \"%s\"; expected \"%s\"", i, r, e.code, e.msg,
                     table[i].words);
        assert_string_equal(facts.fingerprint, "kept");
        assert_int_equal(facts.ends_us, 7);
        assert_int_equal(authority_check(table[i].pem, strlen(table[i].pem), NOW_US, &facts, NULL),
                         -E_DENIED);
    }
}

#define PRIVATE                                                                                    \
    "it holds a private key. It was not stored, but consider it as seen: make a new key, and "     \
    "send its certificate alone"
#define EXTENSION(name) "the extension " name
#define MALFORMED(name) EXTENSION(name) " is malformed"
#define LINES           "a BEGIN line must begin in the first column and end with its dashes"
#define NO_BASE64       "there is no base64 between the BEGIN and the END line"
#define NO_DER          "what the block holds is not DER, or was cut off"
#define BLOCK(label)    "-----BEGIN " label "-----\nAAAA\n-----END " label "-----\n"

static void text_that_is_not_one_certificate_is_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {"", "it is empty; one certificate in PEM is needed"},
        {"\n \r\n",
         "there is no -----BEGIN CERTIFICATE----- line; one certificate in PEM is needed"},
        {"MIIBSjCB8aADAgECAgEB",
         "there is no -----BEGIN CERTIFICATE----- line; one certificate in PEM is needed"},
        {BOUNDARY_LEAF_KEY, PRIVATE},
        {CERT_P256 BOUNDARY_LEAF_KEY, PRIVATE},
        {BOUNDARY_LEAF_KEY CERT_P256, PRIVATE},
        {BLOCK("EC PRIVATE KEY") CERT_P256, PRIVATE},
        {BLOCK("RSA PRIVATE KEY"), PRIVATE},
        {BLOCK("ENCRYPTED PRIVATE KEY"), PRIVATE},
        {BLOCK("OPENSSH PRIVATE KEY"), PRIVATE},
        {"  -----BEGIN PRIVATE KEY-----\\nAAAA", PRIVATE},
        {"AAAA\n-----END PRIVATE KEY-----\n" CERT_P256, PRIVATE},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n", "the block CERTIFICATE has no END line"},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n" CERT_P256, "the block CERTIFICATE has no END line"},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END X509 CRL-----\n",
         "the block CERTIFICATE ends as X509 CRL"},
        {BLOCK("CERTIFICATE REQUEST"), "it holds a CERTIFICATE REQUEST, not a CERTIFICATE"},
        {CERT_P256 BLOCK("DH PARAMETERS"), "it holds a DH PARAMETERS, not a CERTIFICATE"},
        {BLOCK("TRUSTED CERTIFICATE"), "it holds a TRUSTED CERTIFICATE, not a CERTIFICATE"},
        {BLOCK("certificate"), "it holds a certificate, not a CERTIFICATE"},
        {BLOCK(""), "it holds a , not a CERTIFICATE"},
        {BLOCK("a\x01\xffz 0123456789 0123456789 0123456789 0123456789"),
         "it holds a a??z 0123456789 0123456789 0123456789 01..., not a CERTIFICATE"},
        {CERT_P256 CERT_P256, "it holds 2 certificates; one is needed, that of the CA which signs "
                              "the gateway's certificate"},
        {CERT_P256 CERT_RSA CERT_P384, "it holds 3 certificates; one is needed, that of the CA "
                                       "which signs the gateway's certificate"},
        {" " CERT_P256, LINES},
        {"\xef\xbb\xbf" CERT_P256, LINES},
        {CERT_P256 " " CERT_RSA, LINES},
        {"-----BEGIN CERTIFICATE----- x\nAAAA\n-----END CERTIFICATE-----\n", LINES},
        {"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n", LINES},
        {"-----BEGIN CERTIFICATE-----\rAAAA\r-----END CERTIFICATE-----\r",
         "the block CERTIFICATE-----?AAAA?-----END CERTIFICA... has no END line"},
        {"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", NO_BASE64},
        {"-----BEGIN CERTIFICATE-----\n \r\n\n-----END CERTIFICATE-----\n", NO_BASE64},
        {"-----BEGIN CERTIFICATE-----\nAA!A\n-----END CERTIFICATE-----\n", NO_BASE64},
        {"-----BEGIN CERTIFICATE-----\n MAA=\n-----END CERTIFICATE-----\n", NO_BASE64},
        {"-----BEGIN CERTIFICATE-----\nMA A=\n-----END CERTIFICATE-----\n", NO_BASE64},
        {"-----BEGIN CERTIFICATE-----\nMAA\n-----END CERTIFICATE-----\n", NO_BASE64},
        {"-----BEGIN CERTIFICATE-----\nMAA=\nMAA=\n-----END CERTIFICATE-----\n", NO_BASE64},
        {"-----BEGIN CERTIFICATE-----\nProc-Type: 4,CLEAR\n\nMAA=\n-----END CERTIFICATE-----\n",
         NO_BASE64},
    };
    refuse(table, ARRAY_LEN(table));
}

static void text_around_and_other_line_ends_are_accepted(void **state)
{
    (void)state;
    static const char around[] =
        "Subject: CN=ca\n-----END CERTIFICATE-----\n" CERT_P256 "That was it. ---- BEGIN nothing\n";
    char other[2 * sizeof(CERT_P256)], one_line[sizeof(CERT_P256)];
    size_t n = 0, n_line = 0;
    for (const char *p = CERT_P256; *p; p++) {
        if (*p == '\n') {
            other[n++] = ' ';
            other[n++] = '\t';
            other[n++] = '\r';
        }
        other[n++] = *p;
        const size_t at = (size_t)(p - CERT_P256);
        const bool within = at > 30 && at + 30 < strlen(CERT_P256);
        if (*p != '\n' || !within)
            one_line[n_line++] = *p;
    }
    struct {
        const char *text;
        size_t n;
    } table[] = {
        {around, strlen(around)},
        {other, n},
        {one_line, n_line},
        {CERT_P256, strlen(CERT_P256) - 1}, /* no end of line behind the END line */
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct authority_facts facts;
        struct err e = {0};
        if (authority_check(table[i].text, table[i].n, NOW_US, &facts, &e) < 0)
            fail_msg("row %zu: %s", i, e.msg);
        assert_string_equal(facts.fingerprint, CERT_P256_SHA256);
    }
}

static void size_and_nul_are_looked_at(void **state)
{
    (void)state;
    static char text[20000];
    struct authority_facts facts;
    struct err e = {0};
    const char *pem = CERT_P256;
    const size_t n = strlen(pem);
    memset(text, ' ', sizeof(text));
    memcpy(text, pem, n);
    assert_int_equal(authority_check(text, AUTHORITY_PEM_MAX, NOW_US, &facts, &e), 0);
    assert_int_equal(authority_check(text, AUTHORITY_PEM_MAX + 1, NOW_US, &facts, &e), -E_DENIED);
    assert_string_equal(e.msg, "it has 8193 bytes; 8192 are the most");
    assert_int_equal(AUTHORITY_PEM_MAX, 8192);
    /* Whatever else is wrong, the owner of a key must know. */
    memcpy(text + 15000, "-----BEGIN PRIVATE KEY-----", 27);
    assert_int_equal(authority_check(text, sizeof(text), NOW_US, &facts, &e), -E_DENIED);
    assert_string_equal(e.msg, PRIVATE);
    text[n + 2] = '\0';
    assert_int_equal(authority_check(text, n + 10, NOW_US, &facts, &e), -E_DENIED);
    char words[80];
    (void)snprintf(words, sizeof(words), "there is a NUL at byte %zu; PEM is text", n + 3);
    assert_string_equal(e.msg, words);
    text[0] = '\0';
    assert_int_equal(authority_check(text, n + 10, NOW_US, &facts, &e), -E_DENIED);
    assert_string_equal(e.msg, "there is a NUL at byte 1; PEM is text");
    assert_int_equal(authority_check(NULL, 0, NOW_US, &facts, &e), -E_DENIED);
    assert_string_equal(e.msg, "it is empty; one certificate in PEM is needed");
}

static void what_is_no_der_of_a_certificate_is_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {CERT_NOT_DER, NO_DER},
        {CERT_BEHIND, "3 bytes follow the end of the certificate in its block"},
        {CERT_INDEFINITE, NO_DER},
        {CERT_LONG_LENGTH, NO_DER},
        {CERT_OTHER_DER, "what the block holds is DER, but not a certificate"},
        {CERT_TEXT("MAA=\n"), "what the block holds is DER, but not a certificate"},
        {CERT_TEXT("BQA=\n"), NO_DER}, /* NULL */
        {CERT_VERSION_1, "it is X.509 version 1; version 3 is needed"},
        {CERT_VERSION_2, "it is X.509 version 2; version 3 is needed"},
        {CERT_VERSION_4, "it is of an unknown X.509 version; version 3 is needed"},
        {CERT_VERSION_LARGEST, "it is of an unknown X.509 version; version 3 is needed"},
    };
    refuse(table, ARRAY_LEN(table));
}

static void extensions_that_are_not_those_of_a_ca_are_refused(void **state)
{
    (void)state;
#define UNKNOWN  "1.3.6.1.4.1.99999.7"
#define CRITICAL " is marked critical, and is not understood here"
#define NOT_A_CA "BasicConstraints says CA:FALSE; this is not the certificate of a CA"
#define ALT_NAME "X509v3 Subject Alternative Name"
    static const struct refused table[] = {
        {CERT_BC_ABSENT,
         EXTENSION("BasicConstraints") " is absent; a CA's certificate has it, with "
                                       "CA:TRUE and marked critical"},
        {CERT_BC_TWICE, EXTENSION("BasicConstraints") " is there twice"},
        {CERT_BC_LEAF, NOT_A_CA},
        {CERT_BC_FALSE, NOT_A_CA},
        {BOUNDARY_LEAF, NOT_A_CA},
        {CERT_BC_NOT_CRITICAL, "BasicConstraints is not marked critical"},
        {CERT_BC_NOT_DER, MALFORMED("BasicConstraints")},
        {CERT_BC_LONGER, MALFORMED("BasicConstraints")},
        {CERT_BC_NEGATIVE, MALFORMED("BasicConstraints")},
        {CERT_BC_NO_SEQUENCE, MALFORMED("BasicConstraints")},
        {CERT_KU_ABSENT,
         EXTENSION("KeyUsage") " is absent; a CA's certificate has it, with keyCertSign"},
        {CERT_KU_OTHERS, "KeyUsage is digitalSignature, cRLSign, without keyCertSign"},
        {CERT_KU_ALL_OTHERS,
         "KeyUsage is digitalSignature, nonRepudiation, keyEncipherment, dataEncipherment, "
         "keyAgreement, cRLSign, encipherOnly, without keyCertSign"},
        {CERT_KU_EMPTY, "KeyUsage is empty, without keyCertSign"},
        {CERT_KU_MALFORMED, MALFORMED("KeyUsage")},
        {CERT_KU_NOTHING, MALFORMED("KeyUsage")},
        {CERT_KU_BEHIND, MALFORMED("KeyUsage")},
        {CERT_KU_UNUSED, MALFORMED("KeyUsage")},
        {CERT_KU_LONG, MALFORMED("KeyUsage")},
        {CERT_SKI_ABSENT,
         EXTENSION("SubjectKeyIdentifier") " is absent; the certificates that this CA "
                                           "signs name it by that"},
        {CERT_SKI_EMPTY, "SubjectKeyIdentifier is empty"},
        {CERT_SKI_LONG, "SubjectKeyIdentifier has 65 bytes; 64 are the most"},
        {CERT_SKI_MALFORMED, MALFORMED("SubjectKeyIdentifier")},
        {CERT_SKI_BEHIND, MALFORMED("SubjectKeyIdentifier")},
        {CERT_SKI_CRITICAL, EXTENSION("SubjectKeyIdentifier") CRITICAL},
        {CERT_CRITICAL_UNKNOWN, EXTENSION(UNKNOWN) CRITICAL},
        {CERT_CRITICAL_LONG_OID, EXTENSION("(an object identifier of 64 bytes)") CRITICAL},
        {CERT_UNKNOWN_TWICE, EXTENSION(UNKNOWN) " is there twice"},
        {CERT_NAMES_MALFORMED, MALFORMED(ALT_NAME)},
        {CERT_NAMES_BEHIND, MALFORMED(ALT_NAME)},
        {CERT_PROXY, "the extensions together are those of no CA"},
    };
    refuse(table, ARRAY_LEN(table));
}

static void keys_that_are_weak_or_of_another_kind_are_refused(void **state)
{
    (void)state;
#define EXPONENT "the exponent of the RSA key is 1, even, or has more than 64 bits"
#define POINT    "the key is EC on P-256, and not a point of that curve"
#define KINDS    "; RSA and EC are accepted"
#define CURVES   "; P-256, P-384 and P-521 are accepted"
    static const struct refused table[] = {
        {CERT_RSA_1024, "the key is RSA with 1024 bits; 2048 are the least"},
        {CERT_RSA_2047, "the key is RSA with 2047 bits; 2048 are the least"},
        {CERT_RSA_16385, "the key is RSA with 16385 bits; 16384 are the most"},
        {CERT_RSA_EXPONENT_1, EXPONENT},
        {CERT_RSA_EXPONENT_EVEN, EXPONENT},
        {CERT_RSA_EXPONENT_LONG, EXPONENT},
        {CERT_RSA_EVEN, "the RSA key is malformed"},
        {CERT_RSA_NEGATIVE, "the RSA key is malformed"},
        {CERT_RSA_EXPONENT_NEGATIVE, "the RSA key is malformed"},
        {CERT_RSA_NO_NULL, "the RSA key is malformed"},
        {CERT_RSA_LONGER, "the RSA key is malformed"},
        {CERT_RSA_BEHIND, "the RSA key is malformed"},
        {CERT_ED25519, "the key is Ed25519" KINDS},
        {CERT_ED448, "the key is Ed448" KINDS},
        {CERT_DSA, "the key is DSA" KINDS},
        {CERT_PSS_KEY, "the key is RSA-PSS" KINDS},
        {CERT_KEY_UNKNOWN, "the key is 1.3.6.1.4.1.99999.8" KINDS},
        {CERT_CURVE_K1, "the key is EC on the curve secp256k1" CURVES},
        {CERT_CURVE_EXPLICIT,
         "the key is EC with explicit curve parameters; the named curves P-256, "
         "P-384 and P-521 are accepted"},
        {CERT_CURVE_ABSENT, "the key is EC and names no curve"},
        {CERT_CURVE_UNKNOWN, "the key is EC on the curve 1.3.6.1.4.1.99999.9" CURVES},
        {CERT_POINT_OFF, POINT},
        {CERT_POINT_SHORT, POINT},
        {CERT_POINT_HYBRID, POINT},
        {CERT_POINT_INFINITE, POINT},
        {CERT_POINT_EMPTY, POINT},
    };
    refuse(table, ARRAY_LEN(table));
}

static void signatures_that_are_weak_or_wrong_are_refused(void **state)
{
    (void)state;
#define SIGNATURE(name)                                                                            \
    "the signature is " name "; RSA and ECDSA with SHA-256, SHA-384 or SHA-512 are accepted"
#define PSS(name)                                                                                  \
    "the signature is RSA-PSS with " name "; SHA-256, SHA-384 and SHA-512 are accepted"
#define PSS_ODD "the parameters of the RSA-PSS signature are malformed"
#define NOT_OWN "issuer and subject are one, and the signature is not that of its own key"
    static const struct refused table[] = {
        {CERT_SHA1, SIGNATURE("sha1WithRSAEncryption")},
        {CERT_MD5, SIGNATURE("md5WithRSAEncryption")},
        {CERT_SHA224, SIGNATURE("sha224WithRSAEncryption")},
        {CERT_EC_SHA1, SIGNATURE("ecdsa-with-SHA1")},
        {CERT_EC_SHA224, SIGNATURE("ecdsa-with-SHA224")},
        {CERT_BY_ED25519, SIGNATURE("ED25519")},
        {CERT_BY_UNKNOWN, SIGNATURE("1.3.6.1.4.1.99999.10")},
        {CERT_PSS_SHA1, PSS("SHA-1")},
        {CERT_PSS_SHA224, PSS("SHA-224")},
        {CERT_PSS_MD5, PSS("MD5")},
        {CERT_PSS_SHA3, PSS("2.16.840.1.101.3.4.2.8")},
        {CERT_PSS_MASK_ABSENT, PSS("a mask by SHA-1")},
        {CERT_PSS_MASK_SHA1, PSS("a mask by SHA-1")},
        {CERT_PSS_MASK_OTHER, PSS_ODD},
        {CERT_PSS_MALFORMED, PSS_ODD},
        {CERT_PSS_NO_PARAMETERS, "the signature is RSA-PSS without parameters"},
        {CERT_TWO_ALGORITHMS,
         "what is signed names another signature algorithm than the signature does"},
        {CERT_DAMAGED, NOT_OWN},
        {CERT_RSA_DAMAGED, NOT_OWN},
        {CERT_PSS_DAMAGED, NOT_OWN},
        {CERT_BY_ANOTHER, NOT_OWN},
        {CERT_RSA_BY_ANOTHER, NOT_OWN},
        {CERT_GARBAGE, NOT_OWN},
        {CERT_RSA_GARBAGE, NOT_OWN},
        {CERT_OTHER_KIND, NOT_OWN},
    };
    refuse(table, ARRAY_LEN(table));
}

static void dates_that_are_over_or_none_are_refused(void **state)
{
    (void)state;
#define NO_DATE(name) name " is not a date of the years 1970 to 9999 in UTC"
    static const struct refused table[] = {
        {CERT_EXPIRED, "it expired at 2021-01-01T00:00:00Z"},
        {CERT_BACKWARDS, "notAfter is before notBefore; it is never valid"},
        {CERT_DATE_OFFSET, NO_DATE("notAfter")},
        {CERT_DATE_LONG, NO_DATE("notAfter")},
        {CERT_DATE_SHORT, NO_DATE("notAfter")},
        {CERT_DATE_NO_DAY, NO_DATE("notAfter")},
        {CERT_DATE_LEAP, NO_DATE("notAfter")},
        {CERT_DATE_LOWER, NO_DATE("notAfter")},
        {CERT_DATE_BEFORE_1970, NO_DATE("notBefore")},
    };
    refuse(table, ARRAY_LEN(table));
}

/* Whoever uses libcrypto next on this thread must not find our errors. */
static void one_that_was_refused_changes_nothing_for_the_next(void **state)
{
    (void)state;
    static const char *const bad[] = {CERT_DAMAGED, CERT_POINT_OFF, CERT_OTHER_DER,
                                      CERT_NAMES_MALFORMED};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct authority_facts facts;
        assert_int_equal(authority_check(bad[i], strlen(bad[i]), NOW_US, &facts, NULL), -E_DENIED);
        assert_string_equal(facts_of(CERT_P256).fingerprint, CERT_P256_SHA256);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_tunnel_may_trust_is_accepted),
        cmocka_unit_test(the_facts_are_those_of_the_certificate),
        cmocka_unit_test(it_is_valid_until_the_second_in_which_it_ends),
        cmocka_unit_test(text_that_is_not_one_certificate_is_refused),
        cmocka_unit_test(text_around_and_other_line_ends_are_accepted),
        cmocka_unit_test(size_and_nul_are_looked_at),
        cmocka_unit_test(what_is_no_der_of_a_certificate_is_refused),
        cmocka_unit_test(extensions_that_are_not_those_of_a_ca_are_refused),
        cmocka_unit_test(keys_that_are_weak_or_of_another_kind_are_refused),
        cmocka_unit_test(signatures_that_are_weak_or_wrong_are_refused),
        cmocka_unit_test(dates_that_are_over_or_none_are_refused),
        cmocka_unit_test(one_that_was_refused_changes_nothing_for_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
