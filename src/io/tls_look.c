/* tls_look.c - who answers there, without saying anything to it.
 *
 * For a person who wants to know what is in the way (`sallyport gateway doctor`): a box that inspects TLS shows
 * a certificate of its own, and its authority's name is what tells. So the handshake goes on with a server
 * that is not trusted, which nothing else in the program does; what came of the verification is kept, the
 * session is closed before it could carry a byte, and no stream of it leaves this file. All that is read here
 * was chosen by a stranger. */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/digest.h"
#include "io/tls_internal.h"

#include <string.h>

static void take_name(const X509_NAME *name, char ret[TLS_NAME_MAX])
{
    AUTO(buf) b = BUF_INIT(4 * TLS_NAME_MAX);
    tls_add_name(&b, name);
    (void)str_copy(ret, TLS_NAME_MAX, buf_str(&b));
}

/* The chain as it was verified, which ends in what is trusted; else as the server has sent it. */
static void take_chain(SSL *ssl, struct tls_seen *ret)
{
    const OPENSSL_STACK *chain =
        (const OPENSSL_STACK *)(ret->verified ? SSL_get0_verified_chain(ssl)
                                              : SSL_get_peer_cert_chain(ssl));
    int n = chain ? OPENSSL_sk_num(chain) : 0;
    X509 *leaf = SSL_get0_peer_certificate(ssl),
         *last = n > 0 ? OPENSSL_sk_value(chain, n - 1) : leaf;
    if (leaf)
        take_name(X509_get_issuer_name(leaf), ret->issuer);
    if (last)
        take_name(ret->verified ? X509_get_subject_name(last) : X509_get_issuer_name(last),
                  ret->top);
    unsigned char *der = NULL;
    int n_der = ret->verified && last ? i2d_X509(last, &der) : 0;
    if (n_der > 0)
        (void)digest_sha256_hex(der, (size_t)n_der, ret->top_hash);
    CRYPTO_free(der, NULL, 0);
}

int tls_look(struct tls_trust *t, const struct tls_connect_options *o, struct stream *under,
             struct tls_seen *ret, struct err *e)
{
    struct stream s;
    int r = tls_stream_begin(tls_trust_ctx(t), under, &s, e);
    if (r < 0)
        return r;
    SSL *ssl = tls_stream_ssl(&s);
    struct tls_handshake h = {.alpn = o->alpn, .host = o->host};
    *ret = (struct tls_seen){.verified = false};
    r = tls_expect(ssl, o, e);
    if (r == 0) {
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL); /* the callback stays, and notes */
        r = tls_client_handshake(&s, &h, e);
    }
    if (r == 0) {
        ret->verified = SSL_get0_peer_certificate(ssl) && SSL_get_verify_result(ssl) == X509_V_OK;
        (void)str_copy(ret->why, sizeof(ret->why), ret->verified ? "" : h.untrusted);
        take_chain(ssl, ret);
    }
    ERR_clear_error();
    stream_done(&s);
    return r;
}
