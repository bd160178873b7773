/* tls_lib - the functions of OpenSSL that tls*.c calls, found at run time.
 *
 * Only a server with a certificate and the boundary load it. A function that is not in the list would be linked, and
 * then every process loads OpenSSL again: tests/scenario/libraries.test.mjs. */
#pragma once

#include "base/base.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct err;

/* Every function used. */
#define TLS_FUNCTIONS(X)                                                                           \
    X(ASN1_STRING_get0_data)                                                                       \
    X(ASN1_STRING_length)                                                                          \
    X(ASN1_TIME_to_tm)                                                                             \
    X(BIO_clear_flags)                                                                             \
    X(BIO_free)                                                                                    \
    X(BIO_get_data)                                                                                \
    X(BIO_meth_new)                                                                                \
    X(BIO_meth_set_ctrl)                                                                           \
    X(BIO_meth_set_destroy)                                                                        \
    X(BIO_meth_set_read)                                                                           \
    X(BIO_meth_set_write)                                                                          \
    X(BIO_method_type)                                                                             \
    X(BIO_new)                                                                                     \
    X(BIO_new_mem_buf)                                                                             \
    X(BIO_set_data)                                                                                \
    X(BIO_set_flags)                                                                               \
    X(BIO_set_init)                                                                                \
    X(CRYPTO_free)                                                                                 \
    X(ERR_clear_error)                                                                             \
    X(ERR_get_error)                                                                               \
    X(ERR_new)                                                                                     \
    X(ERR_peek_error)                                                                              \
    X(ERR_reason_error_string)                                                                     \
    X(ERR_set_error)                                                                               \
    X(GENERAL_NAMES_free)                                                                          \
    X(GENERAL_NAME_get0_value)                                                                     \
    X(OPENSSL_sk_free)                                                                             \
    X(OPENSSL_sk_num)                                                                              \
    X(OPENSSL_sk_value)                                                                            \
    X(PEM_X509_INFO_read_bio)                                                                      \
    X(SSL_CTX_check_private_key)                                                                   \
    X(SSL_CTX_ctrl)                                                                                \
    X(SSL_CTX_free)                                                                                \
    X(SSL_CTX_get0_param)                                                                          \
    X(SSL_CTX_get_cert_store)                                                                      \
    X(SSL_CTX_load_verify_file)                                                                    \
    X(SSL_CTX_new)                                                                                 \
    X(SSL_CTX_set_alpn_select_cb)                                                                  \
    X(SSL_CTX_set_cipher_list)                                                                     \
    X(SSL_CTX_set_ciphersuites)                                                                    \
    X(SSL_CTX_set_default_passwd_cb)                                                               \
    X(SSL_CTX_set_num_tickets)                                                                     \
    X(SSL_CTX_set_options)                                                                         \
    X(SSL_CTX_set_verify)                                                                          \
    X(SSL_CTX_use_PrivateKey_file)                                                                 \
    X(SSL_CTX_use_certificate_chain_file)                                                          \
    X(SSL_ctrl)                                                                                    \
    X(SSL_do_handshake)                                                                            \
    X(SSL_free)                                                                                    \
    X(SSL_get0_alpn_selected)                                                                      \
    X(SSL_get0_param)                                                                              \
    X(SSL_get0_peer_certificate)                                                                   \
    X(SSL_get0_verified_chain)                                                                     \
    X(SSL_get_error)                                                                               \
    X(SSL_get_ex_data)                                                                             \
    X(SSL_get_ex_data_X509_STORE_CTX_idx)                                                          \
    X(SSL_get_peer_cert_chain)                                                                     \
    X(SSL_get_quiet_shutdown)                                                                      \
    X(SSL_get_rbio)                                                                                \
    X(SSL_get_shutdown)                                                                            \
    X(SSL_get_verify_result)                                                                       \
    X(SSL_new)                                                                                     \
    X(SSL_read_ex)                                                                                 \
    X(SSL_set1_host)                                                                               \
    X(SSL_set_accept_state)                                                                        \
    X(SSL_set_alpn_protos)                                                                         \
    X(SSL_set_bio)                                                                                 \
    X(SSL_set_connect_state)                                                                       \
    X(SSL_set_ex_data)                                                                             \
    X(SSL_set_quiet_shutdown)                                                                      \
    X(SSL_set_verify)                                                                              \
    X(SSL_shutdown)                                                                                \
    X(SSL_use_PrivateKey)                                                                          \
    X(SSL_use_certificate)                                                                         \
    X(SSL_write_ex)                                                                                \
    X(TLS_client_method)                                                                           \
    X(TLS_server_method)                                                                           \
    X(X509_INFO_free)                                                                              \
    X(X509_NAME_oneline)                                                                           \
    X(X509_STORE_CTX_get_current_cert)                                                             \
    X(X509_STORE_CTX_get_error)                                                                    \
    X(X509_STORE_CTX_get_error_depth)                                                              \
    X(X509_STORE_CTX_get_ex_data)                                                                  \
    X(X509_STORE_add_cert)                                                                         \
    X(X509_STORE_add_crl)                                                                          \
    X(X509_VERIFY_PARAM_set1_ip)                                                                   \
    X(X509_VERIFY_PARAM_set_flags)                                                                 \
    X(X509_VERIFY_PARAM_set_hostflags)                                                             \
    X(X509_get0_notAfter)                                                                          \
    X(X509_get0_notBefore)                                                                         \
    X(X509_get_ext_d2i)                                                                            \
    X(X509_get_issuer_name)                                                                        \
    X(X509_get_subject_name)                                                                       \
    X(X509_verify_cert_error_string)                                                               \
    X(i2d_X509_NAME)                                                                               \
    X(i2d_X509)

struct tls_lib {
#define FIELD(f) __typeof__(&f) f##_;
    TLS_FUNCTIONS(FIELD)
#undef FIELD
};
extern struct tls_lib tls_lib;

/* Once before any of them, on the loop thread; again costs nothing. 0, or a negative code with
 * words. */
int tls_lib_open(struct err *e) WARN_UNUSED;

/* Called by their own names. */
#define ASN1_STRING_get0_data              tls_lib.ASN1_STRING_get0_data_
#define ASN1_STRING_length                 tls_lib.ASN1_STRING_length_
#define ASN1_TIME_to_tm                    tls_lib.ASN1_TIME_to_tm_
#define BIO_clear_flags                    tls_lib.BIO_clear_flags_
#define BIO_free                           tls_lib.BIO_free_
#define BIO_get_data                       tls_lib.BIO_get_data_
#define BIO_meth_new                       tls_lib.BIO_meth_new_
#define BIO_meth_set_ctrl                  tls_lib.BIO_meth_set_ctrl_
#define BIO_meth_set_destroy               tls_lib.BIO_meth_set_destroy_
#define BIO_meth_set_read                  tls_lib.BIO_meth_set_read_
#define BIO_meth_set_write                 tls_lib.BIO_meth_set_write_
#define BIO_method_type                    tls_lib.BIO_method_type_
#define BIO_new                            tls_lib.BIO_new_
#define BIO_new_mem_buf                    tls_lib.BIO_new_mem_buf_
#define BIO_set_data                       tls_lib.BIO_set_data_
#define BIO_set_flags                      tls_lib.BIO_set_flags_
#define BIO_set_init                       tls_lib.BIO_set_init_
#define CRYPTO_free                        tls_lib.CRYPTO_free_
#define ERR_clear_error                    tls_lib.ERR_clear_error_
#define ERR_get_error                      tls_lib.ERR_get_error_
#define ERR_new                            tls_lib.ERR_new_
#define ERR_peek_error                     tls_lib.ERR_peek_error_
#define ERR_reason_error_string            tls_lib.ERR_reason_error_string_
#define ERR_set_error                      tls_lib.ERR_set_error_
#define GENERAL_NAMES_free                 tls_lib.GENERAL_NAMES_free_
#define GENERAL_NAME_get0_value            tls_lib.GENERAL_NAME_get0_value_
#define OPENSSL_sk_free                    tls_lib.OPENSSL_sk_free_
#define OPENSSL_sk_num                     tls_lib.OPENSSL_sk_num_
#define OPENSSL_sk_value                   tls_lib.OPENSSL_sk_value_
#define PEM_X509_INFO_read_bio             tls_lib.PEM_X509_INFO_read_bio_
#define SSL_CTX_check_private_key          tls_lib.SSL_CTX_check_private_key_
#define SSL_CTX_ctrl                       tls_lib.SSL_CTX_ctrl_
#define SSL_CTX_free                       tls_lib.SSL_CTX_free_
#define SSL_CTX_get0_param                 tls_lib.SSL_CTX_get0_param_
#define SSL_CTX_get_cert_store             tls_lib.SSL_CTX_get_cert_store_
#define SSL_CTX_load_verify_file           tls_lib.SSL_CTX_load_verify_file_
#define SSL_CTX_new                        tls_lib.SSL_CTX_new_
#define SSL_CTX_set_alpn_select_cb         tls_lib.SSL_CTX_set_alpn_select_cb_
#define SSL_CTX_set_cipher_list            tls_lib.SSL_CTX_set_cipher_list_
#define SSL_CTX_set_ciphersuites           tls_lib.SSL_CTX_set_ciphersuites_
#define SSL_CTX_set_default_passwd_cb      tls_lib.SSL_CTX_set_default_passwd_cb_
#define SSL_CTX_set_num_tickets            tls_lib.SSL_CTX_set_num_tickets_
#define SSL_CTX_set_options                tls_lib.SSL_CTX_set_options_
#define SSL_CTX_set_verify                 tls_lib.SSL_CTX_set_verify_
#define SSL_CTX_use_PrivateKey_file        tls_lib.SSL_CTX_use_PrivateKey_file_
#define SSL_CTX_use_certificate_chain_file tls_lib.SSL_CTX_use_certificate_chain_file_
#define SSL_ctrl                           tls_lib.SSL_ctrl_
#define SSL_do_handshake                   tls_lib.SSL_do_handshake_
#define SSL_free                           tls_lib.SSL_free_
#define SSL_get0_alpn_selected             tls_lib.SSL_get0_alpn_selected_
#define SSL_get0_param                     tls_lib.SSL_get0_param_
#define SSL_get0_peer_certificate          tls_lib.SSL_get0_peer_certificate_
#define SSL_get0_verified_chain            tls_lib.SSL_get0_verified_chain_
#define SSL_get_error                      tls_lib.SSL_get_error_
#define SSL_get_ex_data                    tls_lib.SSL_get_ex_data_
#define SSL_get_ex_data_X509_STORE_CTX_idx tls_lib.SSL_get_ex_data_X509_STORE_CTX_idx_
#define SSL_get_peer_cert_chain            tls_lib.SSL_get_peer_cert_chain_
#define SSL_get_quiet_shutdown             tls_lib.SSL_get_quiet_shutdown_
#define SSL_get_rbio                       tls_lib.SSL_get_rbio_
#define SSL_get_shutdown                   tls_lib.SSL_get_shutdown_
#define SSL_get_verify_result              tls_lib.SSL_get_verify_result_
#define SSL_new                            tls_lib.SSL_new_
#define SSL_read_ex                        tls_lib.SSL_read_ex_
#define SSL_set1_host                      tls_lib.SSL_set1_host_
#define SSL_set_accept_state               tls_lib.SSL_set_accept_state_
#define SSL_set_alpn_protos                tls_lib.SSL_set_alpn_protos_
#define SSL_set_bio                        tls_lib.SSL_set_bio_
#define SSL_set_connect_state              tls_lib.SSL_set_connect_state_
#define SSL_set_ex_data                    tls_lib.SSL_set_ex_data_
#define SSL_set_quiet_shutdown             tls_lib.SSL_set_quiet_shutdown_
#define SSL_set_verify                     tls_lib.SSL_set_verify_
#define SSL_shutdown                       tls_lib.SSL_shutdown_
#define SSL_use_PrivateKey                 tls_lib.SSL_use_PrivateKey_
#define SSL_use_certificate                tls_lib.SSL_use_certificate_
#define SSL_write_ex                       tls_lib.SSL_write_ex_
#define TLS_client_method                  tls_lib.TLS_client_method_
#define TLS_server_method                  tls_lib.TLS_server_method_
#define X509_INFO_free                     tls_lib.X509_INFO_free_
#define X509_NAME_oneline                  tls_lib.X509_NAME_oneline_
#define X509_STORE_CTX_get_current_cert    tls_lib.X509_STORE_CTX_get_current_cert_
#define X509_STORE_CTX_get_error           tls_lib.X509_STORE_CTX_get_error_
#define X509_STORE_CTX_get_error_depth     tls_lib.X509_STORE_CTX_get_error_depth_
#define X509_STORE_CTX_get_ex_data         tls_lib.X509_STORE_CTX_get_ex_data_
#define X509_STORE_add_cert                tls_lib.X509_STORE_add_cert_
#define X509_STORE_add_crl                 tls_lib.X509_STORE_add_crl_
#define X509_VERIFY_PARAM_set1_ip          tls_lib.X509_VERIFY_PARAM_set1_ip_
#define X509_VERIFY_PARAM_set_flags        tls_lib.X509_VERIFY_PARAM_set_flags_
#define X509_VERIFY_PARAM_set_hostflags    tls_lib.X509_VERIFY_PARAM_set_hostflags_
#define X509_get0_notAfter                 tls_lib.X509_get0_notAfter_
#define X509_get0_notBefore                tls_lib.X509_get0_notBefore_
#define X509_get_ext_d2i                   tls_lib.X509_get_ext_d2i_
#define X509_get_issuer_name               tls_lib.X509_get_issuer_name_
#define X509_get_subject_name              tls_lib.X509_get_subject_name_
#define X509_verify_cert_error_string      tls_lib.X509_verify_cert_error_string_
#define i2d_X509_NAME                      tls_lib.i2d_X509_NAME_
#define i2d_X509                           tls_lib.i2d_X509_
