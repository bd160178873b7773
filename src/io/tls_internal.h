/* tls_internal - what the files tls*.c share. Not for others. */
#pragma once

#include "io/tls.h"
#include "io/tls_lib.h"

struct buf;

struct tls_ctx {
    SSL_CTX *ctx;
};

/* What the callbacks of one handshake need; on the stack of whoever does it. OpenSSL finds it
 * through tls_handshake_of, as long as the handshake lasts. */
struct tls_handshake {
    const char *const *alpn; /* ours; NULL: none */
    const char *chosen;      /* an entry of it */
    const char *host;        /* client: whose certificate is looked at */
    char untrusted[400];     /* why the peer is not trusted; "" when it is */
};
struct tls_handshake *tls_handshake_of(SSL *ssl);

/* The first reason in OpenSSL's queue, its number in *ret_code (may be NULL); empties the queue. */
const char *tls_reason(int *ret_code);

/* What all contexts have in common. 0 or -E_TLS with words. */
int tls_ctx_common(SSL_CTX *ctx, struct err *e) WARN_UNUSED;
/* What contexts of the boundary have besides. */
int tls_ctx_boundary(SSL_CTX *ctx, struct err *e) WARN_UNUSED;

/* Moves `under` into *ret, with a session of `ctx` on it; the caller sets up and shakes hands.
 * `under` is done in every case, *ret on failure. */
int tls_stream_begin(SSL_CTX *ctx, struct stream *under, struct stream *ret, struct err *e)
    WARN_UNUSED;
static inline SSL *tls_stream_ssl(struct stream *s)
{
    return s->impl;
}
/* After a handshake that has failed here: the alert is followed by the end, and what the peer sends is thrown away until it
 * has read it and ended, too, `ms` at most; a stream that is cut off at once may lose the alert. Only of one that waits by
 * itself (TLS within another connection). Suspends. */
void tls_stream_linger(struct stream *s, int64_t ms);
/* tls_client.c: the context of a trust; whom a session's server has to be; its verdict in words. 0 or a code with
 * words. */
SSL_CTX *tls_trust_ctx(struct tls_trust *t);
bool tls_trust_revokes(const struct tls_trust *t); /* a CRL is among what it was made of */
/* A callback of the verification (SSL_set_verify): notes in the handshake why a certificate is refused. */
int tls_note_verdict(int ok, X509_STORE_CTX *store);
int tls_expect(SSL *ssl, const struct tls_connect_options *o, struct err *e) WARN_UNUSED;
/* Shakes hands as a client; words with -E_TLS and others. Suspends. */
int tls_client_handshake(struct stream *s, struct tls_handshake *h, struct err *e) WARN_UNUSED;
/* A name of a certificate, for people. */
void tls_add_name(struct buf *out, const X509_NAME *name);
/* Suspends. 0, or a code; with -E_TLS the queue of OpenSSL still holds the reason. */
int tls_stream_handshake(struct stream *s, struct tls_handshake *h) WARN_UNUSED;
