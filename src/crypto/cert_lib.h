/* cert_lib - the functions of libcrypto that cert*.c calls, found at run time.
 *
 * Apart from crypto_lib: only the boundary makes certificates. A function that is not in the list would
 * be linked, and then every process loads OpenSSL again: tests/scenario/libraries.test.mjs. */
#pragma once

#include "base/base.h"

/* Keys of the kind that OpenSSL 3 calls legacy: see cert_key.c. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct err;

/* Every function used. */
#define CERT_FUNCTIONS(X)                                                                          \
    X(ASN1_OCTET_STRING_free)                                                                      \
    X(ASN1_OCTET_STRING_new)                                                                       \
    X(ASN1_STRING_get0_data)                                                                       \
    X(ASN1_STRING_length)                                                                          \
    X(ASN1_STRING_set)                                                                             \
    X(ASN1_TIME_diff)                                                                              \
    X(ASN1_TIME_free)                                                                              \
    X(ASN1_TIME_set)                                                                               \
    X(CRYPTO_free)                                                                                 \
    X(EC_KEY_free)                                                                                 \
    X(EC_KEY_generate_key)                                                                         \
    X(EC_KEY_new_by_curve_name)                                                                    \
    X(ERR_clear_error)                                                                             \
    X(EVP_PKEY_eq)                                                                                 \
    X(EVP_PKEY_free)                                                                               \
    X(EVP_PKEY_get0_EC_KEY)                                                                        \
    X(EVP_PKEY_get_base_id)                                                                        \
    X(EVP_PKEY_get_bits)                                                                           \
    X(EVP_PKEY_new)                                                                                \
    X(EVP_PKEY_set1_EC_KEY)                                                                        \
    X(EVP_PKEY_up_ref)                                                                             \
    X(EVP_sha256)                                                                                  \
    X(GENERAL_NAMES_free)                                                                          \
    X(GENERAL_NAME_get0_value)                                                                     \
    X(OPENSSL_sk_num)                                                                              \
    X(OPENSSL_sk_value)                                                                            \
    X(X509_EXTENSION_create_by_NID)                                                                \
    X(X509_EXTENSION_free)                                                                         \
    X(X509_NAME_add_entry_by_NID)                                                                  \
    X(X509_NAME_oneline)                                                                           \
    X(X509_add_ext)                                                                                \
    X(X509_check_ca)                                                                               \
    X(X509_check_host)                                                                             \
    X(X509_check_issued)                                                                           \
    X(X509_free)                                                                                   \
    X(X509_get0_notAfter)                                                                          \
    X(X509_get0_notBefore)                                                                         \
    X(X509_get0_pubkey)                                                                            \
    X(X509_get0_pubkey_bitstr)                                                                     \
    X(X509_get0_subject_key_id)                                                                    \
    X(X509_get_ext)                                                                                \
    X(X509_get_ext_by_NID)                                                                         \
    X(X509_get_ext_d2i)                                                                            \
    X(X509_get_issuer_name)                                                                        \
    X(X509_get_serialNumber)                                                                       \
    X(X509_get_subject_name)                                                                       \
    X(X509_getm_notAfter)                                                                          \
    X(X509_getm_notBefore)                                                                         \
    X(X509_new)                                                                                    \
    X(X509_set_issuer_name)                                                                        \
    X(X509_set_pubkey)                                                                             \
    X(X509_set_version)                                                                            \
    X(X509_sign)                                                                                   \
    X(X509_verify)                                                                                 \
    X(d2i_AutoPrivateKey)                                                                          \
    X(d2i_ECPrivateKey)                                                                            \
    X(d2i_X509)                                                                                    \
    X(i2d_ECPrivateKey)                                                                            \
    X(i2d_X509)

struct cert_lib {
#define FIELD(f) __typeof__(&f) f##_;
    CERT_FUNCTIONS(FIELD)
#undef FIELD
};
extern struct cert_lib cert_lib;

/* Once before any of them, on any thread; again costs nothing. 0, or a negative code with words. */
int cert_lib_open(struct err *e) WARN_UNUSED;

/* Called by their own names. */
#define ASN1_OCTET_STRING_free       cert_lib.ASN1_OCTET_STRING_free_
#define ASN1_OCTET_STRING_new        cert_lib.ASN1_OCTET_STRING_new_
#define ASN1_STRING_get0_data        cert_lib.ASN1_STRING_get0_data_
#define ASN1_STRING_length           cert_lib.ASN1_STRING_length_
#define ASN1_STRING_set              cert_lib.ASN1_STRING_set_
#define ASN1_TIME_diff               cert_lib.ASN1_TIME_diff_
#define ASN1_TIME_free               cert_lib.ASN1_TIME_free_
#define ASN1_TIME_set                cert_lib.ASN1_TIME_set_
#define CRYPTO_free                  cert_lib.CRYPTO_free_
#define EC_KEY_free                  cert_lib.EC_KEY_free_
#define EC_KEY_generate_key          cert_lib.EC_KEY_generate_key_
#define EC_KEY_new_by_curve_name     cert_lib.EC_KEY_new_by_curve_name_
#define ERR_clear_error              cert_lib.ERR_clear_error_
#define EVP_PKEY_eq                  cert_lib.EVP_PKEY_eq_
#define EVP_PKEY_free                cert_lib.EVP_PKEY_free_
#define EVP_PKEY_get0_EC_KEY         cert_lib.EVP_PKEY_get0_EC_KEY_
#define EVP_PKEY_get_base_id         cert_lib.EVP_PKEY_get_base_id_
#define EVP_PKEY_get_bits            cert_lib.EVP_PKEY_get_bits_
#define EVP_PKEY_new                 cert_lib.EVP_PKEY_new_
#define EVP_PKEY_set1_EC_KEY         cert_lib.EVP_PKEY_set1_EC_KEY_
#define EVP_PKEY_up_ref              cert_lib.EVP_PKEY_up_ref_
#define EVP_sha256                   cert_lib.EVP_sha256_
#define GENERAL_NAMES_free           cert_lib.GENERAL_NAMES_free_
#define GENERAL_NAME_get0_value      cert_lib.GENERAL_NAME_get0_value_
#define OPENSSL_sk_num               cert_lib.OPENSSL_sk_num_
#define OPENSSL_sk_value             cert_lib.OPENSSL_sk_value_
#define X509_EXTENSION_create_by_NID cert_lib.X509_EXTENSION_create_by_NID_
#define X509_EXTENSION_free          cert_lib.X509_EXTENSION_free_
#define X509_NAME_add_entry_by_NID   cert_lib.X509_NAME_add_entry_by_NID_
#define X509_NAME_oneline            cert_lib.X509_NAME_oneline_
#define X509_add_ext                 cert_lib.X509_add_ext_
#define X509_check_ca                cert_lib.X509_check_ca_
#define X509_check_host              cert_lib.X509_check_host_
#define X509_check_issued            cert_lib.X509_check_issued_
#define X509_free                    cert_lib.X509_free_
#define X509_get0_notAfter           cert_lib.X509_get0_notAfter_
#define X509_get0_notBefore          cert_lib.X509_get0_notBefore_
#define X509_get0_pubkey             cert_lib.X509_get0_pubkey_
#define X509_get0_pubkey_bitstr      cert_lib.X509_get0_pubkey_bitstr_
#define X509_get0_subject_key_id     cert_lib.X509_get0_subject_key_id_
#define X509_get_ext                 cert_lib.X509_get_ext_
#define X509_get_ext_by_NID          cert_lib.X509_get_ext_by_NID_
#define X509_get_ext_d2i             cert_lib.X509_get_ext_d2i_
#define X509_get_issuer_name         cert_lib.X509_get_issuer_name_
#define X509_get_serialNumber        cert_lib.X509_get_serialNumber_
#define X509_get_subject_name        cert_lib.X509_get_subject_name_
#define X509_getm_notAfter           cert_lib.X509_getm_notAfter_
#define X509_getm_notBefore          cert_lib.X509_getm_notBefore_
#define X509_new                     cert_lib.X509_new_
#define X509_set_issuer_name         cert_lib.X509_set_issuer_name_
#define X509_set_pubkey              cert_lib.X509_set_pubkey_
#define X509_set_version             cert_lib.X509_set_version_
#define X509_sign                    cert_lib.X509_sign_
#define X509_verify                  cert_lib.X509_verify_
#define d2i_AutoPrivateKey           cert_lib.d2i_AutoPrivateKey_
#define d2i_ECPrivateKey             cert_lib.d2i_ECPrivateKey_
#define d2i_X509                     cert_lib.d2i_X509_
#define i2d_ECPrivateKey             cert_lib.i2d_ECPrivateKey_
#define i2d_X509                     cert_lib.i2d_X509_
