/* tls_lib - the functions of OpenSSL that tls.c calls, found at run time.
 *
 * Only a server with a certificate loads it. A function that is not in the list would be linked, and
 * then every process loads OpenSSL again: tests/scenario/libraries.test.mjs. */
#pragma once

#include "base/base.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct err;

/* Every function used. */
#define TLS_FUNCTIONS(X)                                                                           \
    X(ERR_clear_error)                                                                             \
    X(ERR_get_error)                                                                               \
    X(ERR_peek_error)                                                                              \
    X(ERR_reason_error_string)                                                                     \
    X(SSL_CTX_check_private_key)                                                                   \
    X(SSL_CTX_ctrl)                                                                                \
    X(SSL_CTX_free)                                                                                \
    X(SSL_CTX_new)                                                                                 \
    X(SSL_CTX_set_alpn_select_cb)                                                                  \
    X(SSL_CTX_set_default_passwd_cb)                                                               \
    X(SSL_CTX_set_options)                                                                         \
    X(SSL_CTX_use_PrivateKey_file)                                                                 \
    X(SSL_CTX_use_certificate_chain_file)                                                          \
    X(SSL_accept)                                                                                  \
    X(SSL_free)                                                                                    \
    X(SSL_get_error)                                                                               \
    X(SSL_get_quiet_shutdown)                                                                      \
    X(SSL_new)                                                                                     \
    X(SSL_read_ex)                                                                                 \
    X(SSL_select_next_proto)                                                                       \
    X(SSL_set_accept_state)                                                                        \
    X(SSL_set_fd)                                                                                  \
    X(SSL_set_quiet_shutdown)                                                                      \
    X(SSL_shutdown)                                                                                \
    X(SSL_write_ex)                                                                                \
    X(TLS_server_method)

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
#define ERR_clear_error                    tls_lib.ERR_clear_error_
#define ERR_get_error                      tls_lib.ERR_get_error_
#define ERR_peek_error                     tls_lib.ERR_peek_error_
#define ERR_reason_error_string            tls_lib.ERR_reason_error_string_
#define SSL_CTX_check_private_key          tls_lib.SSL_CTX_check_private_key_
#define SSL_CTX_ctrl                       tls_lib.SSL_CTX_ctrl_
#define SSL_CTX_free                       tls_lib.SSL_CTX_free_
#define SSL_CTX_new                        tls_lib.SSL_CTX_new_
#define SSL_CTX_set_alpn_select_cb         tls_lib.SSL_CTX_set_alpn_select_cb_
#define SSL_CTX_set_default_passwd_cb      tls_lib.SSL_CTX_set_default_passwd_cb_
#define SSL_CTX_set_options                tls_lib.SSL_CTX_set_options_
#define SSL_CTX_use_PrivateKey_file        tls_lib.SSL_CTX_use_PrivateKey_file_
#define SSL_CTX_use_certificate_chain_file tls_lib.SSL_CTX_use_certificate_chain_file_
#define SSL_accept                         tls_lib.SSL_accept_
#define SSL_free                           tls_lib.SSL_free_
#define SSL_get_error                      tls_lib.SSL_get_error_
#define SSL_get_quiet_shutdown             tls_lib.SSL_get_quiet_shutdown_
#define SSL_new                            tls_lib.SSL_new_
#define SSL_read_ex                        tls_lib.SSL_read_ex_
#define SSL_select_next_proto              tls_lib.SSL_select_next_proto_
#define SSL_set_accept_state               tls_lib.SSL_set_accept_state_
#define SSL_set_fd                         tls_lib.SSL_set_fd_
#define SSL_set_quiet_shutdown             tls_lib.SSL_set_quiet_shutdown_
#define SSL_shutdown                       tls_lib.SSL_shutdown_
#define SSL_write_ex                       tls_lib.SSL_write_ex_
#define TLS_server_method                  tls_lib.TLS_server_method_
