/* authority_lib - the functions of libcrypto that authority*.c calls, found at run time.
 *
 * Apart from cert_lib, which is the boundary's: the platform checks certificates and makes none. A
 * function that is not in the list would be linked, and then every process loads OpenSSL again:
 * tests/scenario/libraries.test.mjs. */
#pragma once

#include "base/base.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct err;

/* Every function used. */
#define AUTHORITY_FUNCTIONS(X)                                                                     \
    X(ASN1_STRING_get0_data)                                                                       \
    X(ASN1_STRING_length)                                                                          \
    X(ASN1_STRING_type)                                                                            \
    X(ASN1_item_d2i)                                                                               \
    X(ASN1_item_free)                                                                              \
    X(ERR_clear_error)                                                                             \
    X(EVP_Digest)                                                                                  \
    X(EVP_sha256)                                                                                  \
    X(OBJ_cmp)                                                                                     \
    X(OBJ_get0_data)                                                                               \
    X(OBJ_length)                                                                                  \
    X(OBJ_nid2ln)                                                                                  \
    X(OBJ_obj2nid)                                                                                 \
    X(X509V3_EXT_get)                                                                              \
    X(X509_ALGOR_cmp)                                                                              \
    X(X509_ALGOR_get0)                                                                             \
    X(X509_EXTENSION_get_critical)                                                                 \
    X(X509_EXTENSION_get_data)                                                                     \
    X(X509_EXTENSION_get_object)                                                                   \
    X(X509_NAME_cmp)                                                                               \
    X(X509_PUBKEY_get0_param)                                                                      \
    X(X509_check_ca)                                                                               \
    X(X509_free)                                                                                   \
    X(X509_get0_notAfter)                                                                          \
    X(X509_get0_notBefore)                                                                         \
    X(X509_get0_pubkey)                                                                            \
    X(X509_get0_signature)                                                                         \
    X(X509_get0_tbs_sigalg)                                                                        \
    X(X509_get_X509_PUBKEY)                                                                        \
    X(X509_get_ext)                                                                                \
    X(X509_get_ext_count)                                                                          \
    X(X509_get_issuer_name)                                                                        \
    X(X509_get_subject_name)                                                                       \
    X(X509_get_version)                                                                            \
    X(X509_supported_extension)                                                                    \
    X(X509_verify)                                                                                 \
    X(d2i_X509)

struct authority_lib {
#define FIELD(f) __typeof__(&f) f##_;
    AUTHORITY_FUNCTIONS(FIELD)
#undef FIELD
};
extern struct authority_lib authority_lib;

/* Once before any of them, on any thread; again costs nothing. 0, or a negative code with words. */
int authority_lib_open(struct err *e) WARN_UNUSED;

/* Called by their own names. */
#define ASN1_STRING_get0_data       authority_lib.ASN1_STRING_get0_data_
#define ASN1_STRING_length          authority_lib.ASN1_STRING_length_
#define ASN1_STRING_type            authority_lib.ASN1_STRING_type_
#define ASN1_item_d2i               authority_lib.ASN1_item_d2i_
#define ASN1_item_free              authority_lib.ASN1_item_free_
#define ERR_clear_error             authority_lib.ERR_clear_error_
#define EVP_Digest                  authority_lib.EVP_Digest_
#define EVP_sha256                  authority_lib.EVP_sha256_
#define OBJ_cmp                     authority_lib.OBJ_cmp_
#define OBJ_get0_data               authority_lib.OBJ_get0_data_
#define OBJ_length                  authority_lib.OBJ_length_
#define OBJ_nid2ln                  authority_lib.OBJ_nid2ln_
#define OBJ_obj2nid                 authority_lib.OBJ_obj2nid_
#define X509V3_EXT_get              authority_lib.X509V3_EXT_get_
#define X509_ALGOR_cmp              authority_lib.X509_ALGOR_cmp_
#define X509_ALGOR_get0             authority_lib.X509_ALGOR_get0_
#define X509_EXTENSION_get_critical authority_lib.X509_EXTENSION_get_critical_
#define X509_EXTENSION_get_data     authority_lib.X509_EXTENSION_get_data_
#define X509_EXTENSION_get_object   authority_lib.X509_EXTENSION_get_object_
#define X509_NAME_cmp               authority_lib.X509_NAME_cmp_
#define X509_PUBKEY_get0_param      authority_lib.X509_PUBKEY_get0_param_
#define X509_check_ca               authority_lib.X509_check_ca_
#define X509_free                   authority_lib.X509_free_
#define X509_get0_notAfter          authority_lib.X509_get0_notAfter_
#define X509_get0_notBefore         authority_lib.X509_get0_notBefore_
#define X509_get0_pubkey            authority_lib.X509_get0_pubkey_
#define X509_get0_signature         authority_lib.X509_get0_signature_
#define X509_get0_tbs_sigalg        authority_lib.X509_get0_tbs_sigalg_
#define X509_get_X509_PUBKEY        authority_lib.X509_get_X509_PUBKEY_
#define X509_get_ext                authority_lib.X509_get_ext_
#define X509_get_ext_count          authority_lib.X509_get_ext_count_
#define X509_get_issuer_name        authority_lib.X509_get_issuer_name_
#define X509_get_subject_name       authority_lib.X509_get_subject_name_
#define X509_get_version            authority_lib.X509_get_version_
#define X509_supported_extension    authority_lib.X509_supported_extension_
#define X509_verify                 authority_lib.X509_verify_
#define d2i_X509                    authority_lib.d2i_X509_
