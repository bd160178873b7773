/* tls - the one file that touches OpenSSL's SSL_ API. */
#pragma once

#include "io/stream.h"

struct tls_ctx;
/* Server side from PEM files; TLS 1.2+, ALPN "http/1.1". NULL with words on failure. */
struct tls_ctx *tls_server_new(const char *cert_file, const char *key_file, struct err *e);
void tls_ctx_free(struct tls_ctx *c);
/* Handshake on a connected socket; takes `fd` over in every case. Suspends (bounded by the fiber's
 * deadline). */
int tls_accept(struct tls_ctx *c, int fd, struct stream *ret, struct err *e) WARN_UNUSED;

/* For a library that makes its own TLS (libcurl hands its SSL_CTX out): plaintext that was received
 * is wiped as soon as it has been read. Does not suspend. */
void tls_forget_plaintext(void *ssl_ctx);
