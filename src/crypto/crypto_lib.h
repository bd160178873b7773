/* crypto_lib - the functions of libcrypto that this room calls, found at run time.
 *
 * Processes that need no digest (exec, the zygote) do not load it. A function that is not in the list
 * would be linked, and then every process loads OpenSSL again: tests/scenario/libraries.test.mjs. */
#pragma once

#include "base/base.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

struct err;

/* Every function used. */
#define CRYPTO_FUNCTIONS(X)                                                                        \
    X(BN_bn2binpad)                                                                                \
    X(BN_free)                                                                                     \
    X(ERR_clear_error)                                                                             \
    X(EVP_Digest)                                                                                  \
    X(EVP_DigestFinal_ex)                                                                          \
    X(EVP_DigestInit_ex)                                                                           \
    X(EVP_DigestSign)                                                                              \
    X(EVP_DigestSignInit)                                                                          \
    X(EVP_DigestUpdate)                                                                            \
    X(EVP_DigestVerify)                                                                            \
    X(EVP_DigestVerifyInit)                                                                        \
    X(EVP_MD_CTX_free)                                                                             \
    X(EVP_MD_CTX_new)                                                                              \
    X(EVP_PKEY_CTX_free)                                                                           \
    X(EVP_PKEY_CTX_new_from_name)                                                                  \
    X(EVP_PKEY_CTX_set_rsa_padding)                                                                \
    X(EVP_PKEY_CTX_set_rsa_pss_saltlen)                                                            \
    X(EVP_PKEY_Q_keygen)                                                                           \
    X(EVP_PKEY_free)                                                                               \
    X(EVP_PKEY_fromdata)                                                                           \
    X(EVP_PKEY_fromdata_init)                                                                      \
    X(EVP_PKEY_get_bn_param)                                                                       \
    X(EVP_PKEY_get_group_name)                                                                     \
    X(EVP_PKEY_get_raw_public_key)                                                                 \
    X(EVP_PKEY_new_raw_private_key)                                                                \
    X(EVP_PKEY_new_raw_public_key)                                                                 \
    X(EVP_sha1)                                                                                    \
    X(EVP_sha256)                                                                                  \
    X(EVP_sha384)                                                                                  \
    X(HMAC)                                                                                        \
    X(d2i_AutoPrivateKey)                                                                          \
    X(i2d_PrivateKey)

struct crypto_lib {
#define FIELD(f) __typeof__(&f) f##_;
    CRYPTO_FUNCTIONS(FIELD)
#undef FIELD
};
extern struct crypto_lib crypto_lib;

/* Once before any of them, on any thread; again costs nothing. 0, or a negative code with words. */
int crypto_lib_open(struct err *e) WARN_UNUSED;

/* Called by their own names. */
#define BN_bn2binpad                     crypto_lib.BN_bn2binpad_
#define BN_free                          crypto_lib.BN_free_
#define ERR_clear_error                  crypto_lib.ERR_clear_error_
#define EVP_Digest                       crypto_lib.EVP_Digest_
#define EVP_DigestFinal_ex               crypto_lib.EVP_DigestFinal_ex_
#define EVP_DigestInit_ex                crypto_lib.EVP_DigestInit_ex_
#define EVP_DigestSign                   crypto_lib.EVP_DigestSign_
#define EVP_DigestSignInit               crypto_lib.EVP_DigestSignInit_
#define EVP_DigestUpdate                 crypto_lib.EVP_DigestUpdate_
#define EVP_DigestVerify                 crypto_lib.EVP_DigestVerify_
#define EVP_DigestVerifyInit             crypto_lib.EVP_DigestVerifyInit_
#define EVP_MD_CTX_free                  crypto_lib.EVP_MD_CTX_free_
#define EVP_MD_CTX_new                   crypto_lib.EVP_MD_CTX_new_
#define EVP_PKEY_CTX_free                crypto_lib.EVP_PKEY_CTX_free_
#define EVP_PKEY_CTX_new_from_name       crypto_lib.EVP_PKEY_CTX_new_from_name_
#define EVP_PKEY_CTX_set_rsa_padding     crypto_lib.EVP_PKEY_CTX_set_rsa_padding_
#define EVP_PKEY_CTX_set_rsa_pss_saltlen crypto_lib.EVP_PKEY_CTX_set_rsa_pss_saltlen_
#define EVP_PKEY_Q_keygen                crypto_lib.EVP_PKEY_Q_keygen_
#define EVP_PKEY_free                    crypto_lib.EVP_PKEY_free_
#define EVP_PKEY_fromdata                crypto_lib.EVP_PKEY_fromdata_
#define EVP_PKEY_fromdata_init           crypto_lib.EVP_PKEY_fromdata_init_
#define EVP_PKEY_get_bn_param            crypto_lib.EVP_PKEY_get_bn_param_
#define EVP_PKEY_get_group_name          crypto_lib.EVP_PKEY_get_group_name_
#define EVP_PKEY_get_raw_public_key      crypto_lib.EVP_PKEY_get_raw_public_key_
#define EVP_PKEY_new_raw_private_key     crypto_lib.EVP_PKEY_new_raw_private_key_
#define EVP_PKEY_new_raw_public_key      crypto_lib.EVP_PKEY_new_raw_public_key_
#define EVP_sha1                         crypto_lib.EVP_sha1_
#define EVP_sha256                       crypto_lib.EVP_sha256_
#define EVP_sha384                       crypto_lib.EVP_sha384_
#define HMAC                             crypto_lib.HMAC_
#define d2i_AutoPrivateKey               crypto_lib.d2i_AutoPrivateKey_
#define i2d_PrivateKey                   crypto_lib.i2d_PrivateKey_
