/* tls_server.c - the serving side of TLS.
 *
 * Theory of operation. There are two kinds of contexts: one with a certificate from files, for the
 * API's own server, and one without any, in which each session gets the identity that was minted for the
 * host the sandbox wants. The latter share one context because making one takes a millisecond.
 * Sessions are not resumed: a ticket could carry one host's session to another one. The client
 * controls what it offers, and the certificate that it may have to show, which OpenSSL verifies as part of the handshake; of protocols (ALPN) one of ours is chosen, or the handshake fails; of ciphers
 * only those are taken whose keys die with the session, so that whoever has written down what went over
 * the wire (an edge, say) can do nothing with a private key that is stolen later. */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/cert.h"
#include "crypto/digest.h"
#include "io/tls_internal.h"

#include <string.h>

static const char *const http1[] = {"http/1.1", NULL};

/* Our first protocol that stands in the client's list, which OpenSSL has checked (RFC 7301 3.1). */
static const char *choose(const char *const *ours, const unsigned char *in, unsigned n)
{
    for (; *ours; ours++) {
        size_t want = strlen(*ours);
        for (unsigned at = 0; at < n; at += 1u + in[at]) {
            if (in[at] == want && at + 1 + want <= n && memcmp(in + at + 1, *ours, want) == 0)
                return *ours;
        }
    }
    return NULL;
}

static int select_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    (void)arg;
    struct tls_handshake *h = tls_handshake_of(ssl);
    if (!h || !h->alpn)
        return SSL_TLSEXT_ERR_NOACK;
    h->chosen = choose(h->alpn, in, in_len);
    if (!h->chosen)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2: no_application_protocol */
    *ret = (const unsigned char *)h->chosen;
    *ret_len = (unsigned char)strlen(h->chosen);
    return SSL_TLSEXT_ERR_OK;
}

/* ---- contexts ---- */

/* A key with a passphrase is an error, not a question on the terminal of a server. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static SSL_CTX *context(struct err *e)
{
    if (tls_lib_open(e) < 0)
        return NULL;
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) {
        err_set(e, -E_TLS, "cannot set up TLS: %s", tls_reason(NULL));
        return NULL;
    }
    /* Of TLS 1.2: 1.3 has no others. The ones with CBC are for old clients, and come last. */
    if (SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES") != 1) {
        err_set(e, -E_TLS, "cannot choose ciphers: %s", tls_reason(NULL));
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    return ctx;
}

static struct tls_ctx *finish(SSL_CTX *ctx, int r)
{
    if (r < 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    struct tls_ctx *c = mem_new(struct tls_ctx);
    c->ctx = ctx;
    return c;
}

static int use_files(SSL_CTX *ctx, const char *cert_file, const char *key_file, struct err *e)
{
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return err_set(e, -E_TLS, "cannot use the certificate in %s: %s", cert_file,
                       tls_reason(NULL));
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
        return err_set(e, -E_TLS, "cannot use the private key in %s: %s", key_file,
                       tls_reason(NULL));
    if (SSL_CTX_check_private_key(ctx) != 1)
        return err_set(e, -E_TLS, "the key in %s does not belong to the certificate in %s",
                       key_file, cert_file);
    return 0;
}

struct tls_ctx *tls_server_new(const char *cert_file, const char *key_file, struct err *e)
{
    SSL_CTX *ctx = context(e);
    if (!ctx)
        return NULL;
    int r = tls_ctx_common(ctx, e);
    if (r == 0)
        r = use_files(ctx, cert_file, key_file, e);
    return finish(ctx, r);
}

struct tls_ctx *tls_identities_new(struct err *e)
{
    SSL_CTX *ctx = context(e);
    if (!ctx)
        return NULL;
    /* A leaf is sent alone: looking for its issuer in a store takes time, and the client has it. */
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    return finish(ctx, tls_ctx_boundary(ctx, e));
}

/* ---- sessions ---- */

/* What people do something about has a sentence of ours. */
static const char *words(const struct tls_handshake *h, int reason, const char *text)
{
    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "the client shows no certificate, and has to";
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return h->untrusted[0] ? h->untrusted : text;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return "the client does not trust the certificate authority of the boundary";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        return "the client refuses the certificate; does it trust the authority of the boundary, "
               "or "
               "does it pin one?";
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return "the client has no version of TLS from 1.2 on";
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return "the client speaks none of the protocols (ALPN) offered";
    default:
        return text;
    }
}

/* A certificate is demanded, and one that is not signed by a certificate of `t`, or is for something else
 * than clients, ends the handshake. Where there is a list of revoked ones (RFC 5280 5), it is of that of each client's
 * issuer, and a client whose issuer has none, or an old one, is refused. */
static int demand_certificate(SSL *ssl, struct tls_trust *t, struct err *e)
{
    X509_STORE *store = SSL_CTX_get_cert_store(tls_trust_ctx(t));
    const unsigned long flags =
        X509_V_FLAG_PARTIAL_CHAIN | (tls_trust_revokes(t) ? X509_V_FLAG_CRL_CHECK : 0);
    if (SSL_ctrl(ssl, SSL_CTRL_SET_VERIFY_CERT_STORE, 1, store) != 1 ||
        X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl), flags) != 1)
        return err_set(e, -E_TLS, "cannot set up the verification: %s", tls_reason(NULL));
    SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, tls_note_verdict);
    return 0;
}

static X509 *client_of(struct stream *s)
{
    SSL *ssl = tls_stream_ssl(s);
    return SSL_get_verify_result(ssl) == X509_V_OK ? SSL_get0_peer_certificate(ssl) : NULL;
}

void tls_client_name(struct stream *s, char ret[TLS_NAME_MAX])
{
    X509 *x = client_of(s);
    AUTO(buf) b = BUF_INIT(4 * TLS_NAME_MAX);
    if (x)
        tls_add_name(&b, X509_get_subject_name(x));
    (void)str_copy(ret, TLS_NAME_MAX, buf_str(&b));
}

/* DER says where a name ends, so two of them behind each other can be read in one way only. */
void tls_client_id(struct stream *s, char ret[TLS_ID_MAX])
{
    _Static_assert(TLS_ID_MAX == DIGEST_SHA256_HEX, "a digest as hex");
    X509 *x = client_of(s);
    ret[0] = '\0';
    if (!x)
        return;
    unsigned char *issuer = NULL, *subject = NULL, *whole = NULL;
    const int n = i2d_X509_NAME(X509_get_issuer_name(x), &issuer);
    const int k = i2d_X509_NAME(X509_get_subject_name(x), &subject);
    MUST(n > 0 && k > 0); /* it has been read from DER */
    AUTO(buf) all = BUF_INIT((size_t)n + (size_t)k);
    (void)buf_add(&all, issuer, (size_t)n);
    (void)buf_add(&all, subject, (size_t)k);
    MUST(buf_err(&all) == 0);
    (void)digest_sha256_hex(all.data, all.len, ret);
    if (k == 2) { /* an empty sequence: what it names is elsewhere */
        const int m = i2d_X509(x, &whole);
        MUST(m > 0);
        (void)digest_sha256_hex(whole, (size_t)m, ret);
    }
    CRYPTO_free(issuer, NULL, 0);
    CRYPTO_free(subject, NULL, 0);
    CRYPTO_free(whole, NULL, 0);
}

static int shake_hands(struct stream *s, struct tls_handshake *h, bool ours, int64_t linger_ms,
                       struct err *e)
{
    SSL_set_accept_state(tls_stream_ssl(s));
    int r = tls_stream_handshake(s, h);
    if (r == 0)
        return 0;
    int reason = 0;
    const char *text = r == -E_TLS ? tls_reason(&reason) : err_text(r);
    err_set(e, r, "TLS handshake: %s", ours ? text : words(h, reason, text));
    if (r == -E_TLS && linger_ms)
        tls_stream_linger(s, linger_ms);
    stream_done(s);
    return r;
}

int tls_accept(struct tls_ctx *c, int fd, struct stream *ret, struct err *e)
{
    struct stream under;
    *ret = (struct stream){.io = IO_FD_NONE};
    int r = stream_from_fd(&under, fd);
    if (r < 0) {
        fd_cleanup_close(&fd);
        return err_set(e, r, "cannot watch a TLS connection: %s", err_text(r));
    }
    r = tls_stream_begin(c->ctx, &under, ret, e);
    if (r < 0)
        return r;
    return shake_hands(ret, &(struct tls_handshake){.alpn = http1}, true, 0, e);
}

int tls_serve(struct tls_ctx *c, const struct tls_serve_options *o, struct stream *under,
              struct stream *ret, const char **ret_alpn, struct err *e)
{
    int r = tls_stream_begin(c->ctx, under, ret, e);
    if (r < 0)
        return r;
    SSL *ssl = tls_stream_ssl(ret);
    if (SSL_use_certificate(ssl, cert_identity_x509(o->identity)) != 1 ||
        SSL_use_PrivateKey(ssl, cert_identity_pkey(o->identity)) != 1) {
        r = err_set(e, -E_TLS, "cannot use a minted certificate: %s", tls_reason(NULL));
        stream_done(ret);
        return r;
    }
    struct tls_handshake h = {.alpn = o->alpn};
    if (o->clients && demand_certificate(ssl, o->clients, e) < 0) {
        stream_done(ret);
        return -E_TLS;
    }
    r = shake_hands(ret, &h, false, o->linger_ms, e);
    if (r == 0 && ret_alpn)
        *ret_alpn = h.chosen;
    return r;
}
