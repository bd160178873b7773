/* tls_client.c - connecting by TLS, and whom to believe.
 *
 * Theory of operation. The boundary connects to the origin, or to a proxy on the way, for a sandbox.
 * What is sent there may be a secret, so the server's certificate is verified by OpenSSL as a part of
 * the handshake, always: chain, validity, purpose, name constraints, and the name or address that
 * the caller gives. There is no way to turn that off. The common name is not looked at (RFC 9525
 * 6.4). After the handshake it is asked for once more that all of this has happened.
 *
 * A server that is not who it should be controls its certificates: what is quoted from them into an
 * error text is escaped and cut. Why a certificate is refused is noted in a callback of the
 * verification, because OpenSSL forgets the certificate when the handshake has failed. */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/cert.h"
#include "io/tls_internal.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

struct tls_trust {
    SSL_CTX *ctx;
    bool crl; /* its text had a list of revoked certificates */
};

#define NAME_MAX_BYTES 253
#define ALPN_ROOM      256

/* ---- words ---- */

/* A name of a certificate, for people. */
void tls_add_name(struct buf *out, const X509_NAME *name)
{
    char text[128];
    if (name && X509_NAME_oneline(name, text, sizeof(text))) {
        const char *from = text[0] == '/' ? text + 1 : text;
        str_escape(out, from, strlen(from), 100);
    }
}

static void add_date(struct buf *out, const ASN1_TIME *t)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) == 1)
        (void)buf_addf(out, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    else
        (void)buf_adds(out, "an unreadable date");
}

static void add_general_name(struct buf *out, const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const unsigned char *p =
        value && (type == GEN_DNS || type == GEN_IPADD) ? ASN1_STRING_get0_data(value) : NULL;
    size_t n = p ? (size_t)ASN1_STRING_length(value) : 0;
    char text[INET6_ADDRSTRLEN];
    if (!p)
        (void)buf_adds(out, "something else");
    else if (type == GEN_DNS)
        str_escape(out, (const char *)p, n, 60);
    else if ((n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, sizeof(text)))
        (void)buf_adds(out, text);
}

/* Whom a certificate is for: the first names of many. */
static void add_hosts(struct buf *out, X509 *x)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int n = names ? OPENSSL_sk_num((const OPENSSL_STACK *)names) : 0;
    if (n <= 0)
        (void)buf_adds(out, "no host at all (a common name does not count)");
    for (int i = 0; i < n && i < 4; i++) {
        if (i > 0)
            (void)buf_adds(out, ", ");
        add_general_name(out, OPENSSL_sk_value((const OPENSSL_STACK *)names, i));
    }
    if (n > 4)
        (void)buf_addf(out, " and %d more", n - 4);
    GENERAL_NAMES_free(names);
}

/* "its certificate", or that of an authority in its chain. */
static void add_subject(struct buf *out, X509 *x, int depth)
{
    if (depth == 0) {
        (void)buf_adds(out, "its certificate");
        return;
    }
    (void)buf_adds(out, "the certificate of the authority \"");
    tls_add_name(out, X509_get_subject_name(x));
    (void)buf_adds(out, "\" in its chain");
}

static void add_unknown_issuer(struct buf *out, X509 *x)
{
    (void)buf_adds(out, "its certificate is issued by an unknown authority, \"");
    tls_add_name(out, X509_get_issuer_name(x));
    (void)buf_adds(out, "\": if you trust it, add it with ca_file");
}

static void describe(struct buf *out, int error, X509 *x, int depth)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        add_subject(out, x, depth);
        (void)buf_adds(out, " has expired on ");
        add_date(out, X509_get0_notAfter(x));
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        add_subject(out, x, depth);
        (void)buf_adds(out, " is not valid before ");
        add_date(out, X509_get0_notBefore(x));
        (void)buf_adds(out, "; is the clock of this machine right?");
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        (void)buf_adds(out, "its certificate is self-signed: if it is the right one, add it with "
                            "ca_file");
        break;
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        add_unknown_issuer(out, x);
        (void)buf_adds(out, " (or the server leaves out its intermediate certificates)");
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        add_unknown_issuer(out, x);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        (void)buf_adds(out, "its certificate is for other hosts: ");
        add_hosts(out, x);
        break;
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
        (void)buf_adds(out, "an authority in its chain may not issue certificates for it (name "
                            "constraints): it is for ");
        add_hosts(out, x);
        break;
    default:
        add_subject(out, x, depth);
        (void)buf_addf(out, " is refused: %s", X509_verify_cert_error_string(error));
    }
}

/* Notes why; the verdict stays what it is. */
int tls_note_verdict(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_handshake *h = ssl ? tls_handshake_of(ssl) : NULL;
    X509 *x = X509_STORE_CTX_get_current_cert(store);
    if (ok || !h || !x)
        return ok;
    AUTO(buf) out = BUF_INIT(sizeof(h->untrusted) - 1);
    describe(&out, X509_STORE_CTX_get_error(store), x, X509_STORE_CTX_get_error_depth(store));
    (void)str_copy(h->untrusted, sizeof(h->untrusted), buf_str(&out));
    return ok;
}

static const char *words(const struct tls_handshake *h, int reason, const char *text)
{
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return h->untrusted[0] ? h->untrusted : text;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return "it does not speak TLS on this port";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "it has no version of TLS from 1.2 on";
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
        return "it speaks none of the protocols (ALPN) offered";
    case SSL_R_TLSV1_UNRECOGNIZED_NAME:
        return "it does not know this name (SNI)";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return "it wants a certificate of the client, which is not supported";
    default:
        return text;
    }
}

/* ---- trust ---- */

/* Where distributions keep their bundle; the first one that is there. */
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Arch, Alpine */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL */
    "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL 7 */
    "/etc/ssl/cert.pem",                                 /* Alpine, without the package */
};

static int load_system(SSL_CTX *ctx, bool needed, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(bundles); i++) {
        ERR_clear_error();
        if (SSL_CTX_load_verify_file(ctx, bundles[i]) == 1)
            return 0;
    }
    ERR_clear_error();
    if (!needed)
        return 0;
    return err_set(
        e, -ENOENT,
        "this machine has no certificates of authorities (%s): install ca-certificates, or "
        "name a ca_file",
        bundles[0]);
}

/* Whom to believe besides the system, or alone. `text` NULL: it is read from `ca_file`. */
struct believed {
    const char *ca_file, *text;
    size_t n;
    bool system;
};

static int load_file(SSL_CTX *ctx, const char *ca_file, struct err *e)
{
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(ctx, ca_file) == 1)
        return 0;
    return err_set(e, -E_TLS, "cannot use the certificates in ca_file %s: %s", ca_file,
                   tls_reason(NULL));
}

/* As OpenSSL reads a file: every certificate and list of revoked ones in it. How many, or negative. */
static int add_each(SSL_CTX *ctx, const OPENSSL_STACK *all, bool *ret_crl)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    int n = OPENSSL_sk_num(all), added = 0;
    for (int i = 0; i < n; i++) {
        const X509_INFO *info = OPENSSL_sk_value(all, i);
        if (info->x509 && X509_STORE_add_cert(store, info->x509) != 1)
            return -E_TLS;
        if (info->crl && X509_STORE_add_crl(store, info->crl) != 1)
            return -E_TLS;
        added += info->x509 != NULL;
        *ret_crl = *ret_crl || info->crl;
    }
    return added;
}

static void free_each(OPENSSL_STACK *all)
{
    for (int i = 0; i < OPENSSL_sk_num(all); i++)
        X509_INFO_free(OPENSSL_sk_value(all, i));
    OPENSSL_sk_free(all);
}

static int load_text(SSL_CTX *ctx, const struct believed *b, bool *ret_crl, struct err *e)
{
    ERR_clear_error();
    BIO *bio = b->n <= INT32_MAX ? BIO_new_mem_buf(b->text, (int)b->n) : NULL;
    OPENSSL_STACK *all =
        bio ? (OPENSSL_STACK *)PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
    int r = all ? add_each(ctx, all, ret_crl) : -E_TLS;
    if (r <= 0)
        r = err_set(e, -E_TLS, "cannot use the certificates in ca_file %s: %s", b->ca_file,
                    r < 0 ? tls_reason(NULL) : "no certificate found");
    if (all)
        free_each(all);
    BIO_free(bio);
    return r < 0 ? r : 0;
}

static int believe(SSL_CTX *ctx, const struct believed *b, bool *ret_crl, struct err *e)
{
    int r = tls_ctx_boundary(ctx, e);
    if (r == 0 && b->system)
        r = load_system(ctx, !b->ca_file, e);
    if (r == 0 && b->ca_file)
        r = b->text ? load_text(ctx, b, ret_crl, e) : load_file(ctx, b->ca_file, e);
    if (r < 0)
        return r;
    /* A certificate in ca_file is trusted as it is, not only when it is a root. */
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1)
        return err_set(e, -E_TLS, "cannot set up the verification: %s", tls_reason(NULL));
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_note_verdict);
    return 0;
}

static struct tls_trust *trust_of(const struct believed *b, struct err *e)
{
    if (tls_lib_open(e) < 0)
        return NULL;
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) {
        err_set(e, -E_TLS, "cannot set up TLS: %s", tls_reason(NULL));
        return NULL;
    }
    bool crl = false;
    if (believe(ctx, b, &crl, e) < 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    struct tls_trust *t = mem_new(struct tls_trust);
    t->ctx = ctx;
    t->crl = crl;
    return t;
}

struct tls_trust *tls_trust_new(const char *ca_file, struct err *e)
{
    return trust_of(&(struct believed){.ca_file = ca_file, .system = true}, e);
}

struct tls_trust *tls_trust_only(const char *ca_file, struct err *e)
{
    return trust_of(&(struct believed){.ca_file = ca_file}, e);
}

struct tls_trust *tls_trust_text(const char *ca_file, const char *pem, size_t n, bool system,
                                 struct err *e)
{
    return trust_of(&(struct believed){.ca_file = ca_file, .text = pem, .n = n, .system = system},
                    e);
}

void tls_system_folder(char *ret, size_t room)
{
    ret[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(bundles); i++) {
        AUTO_FREE char *real = realpath(bundles[i], NULL);
        char *slash = real ? strrchr(real, '/') : NULL;
        if (!slash)
            continue;
        slash[slash == real ? 1 : 0] = '\0';
        (void)str_copy(ret, room, real);
        return;
    }
}

int tls_trust_check(const char *ca_file, struct err *e)
{
    int r = tls_lib_open(e);
    if (r < 0)
        return r;
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    r = ctx ? load_file(ctx, ca_file, e)
            : err_set(e, -E_TLS, "cannot set up TLS: %s", tls_reason(NULL));
    SSL_CTX_free(ctx);
    return r;
}

void tls_trust_free(struct tls_trust *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

/* ---- sessions ---- */

/* An empty name would turn the check off, and one that begins with a dot would match what is below
 * it: neither reaches OpenSSL. */
static bool is_name(const char *host)
{
    size_t n = strlen(host);
    return n > 0 && n <= NAME_MAX_BYTES && host[0] != '.' &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

static int expect_address(SSL *ssl, const char *host, struct err *e)
{
    char text[INET6_ADDRSTRLEN + 2];
    unsigned char bytes[16];
    if (!str_copy(text, sizeof(text), host))
        text[0] = '\0';
    size_t n = strlen(text);
    if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
        memmove(text, text + 1, n - 2);
        text[n - 2] = '\0';
    }
    size_t n_bytes = inet_pton(AF_INET, text, bytes) == 1    ? 4
                     : inet_pton(AF_INET6, text, bytes) == 1 ? 16
                                                             : 0;
    if (n_bytes == 0)
        return err_set(e, -EINVAL, "TLS: this is no address that a certificate can be for");
    if (X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), bytes, n_bytes) != 1)
        return err_set(e, -E_TLS, "cannot set up the verification: %s", tls_reason(NULL));
    return 0;
}

static int expect_name(SSL *ssl, const char *host, struct err *e)
{
    if (!is_name(host))
        return err_set(e, -EINVAL, "TLS: this is no name that a certificate can be for");
    /* OpenSSL's prototype takes it as not const, and copies it. */
    if (SSL_set1_host(ssl, host) != 1 ||
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)host) != 1)
        return err_set(e, -E_TLS, "cannot set up the verification: %s", tls_reason(NULL));
    return 0;
}

static int offer(SSL *ssl, const char *const *alpn, struct err *e)
{
    unsigned char wire[ALPN_ROOM];
    unsigned at = 0;
    for (; alpn && *alpn; alpn++) {
        size_t n = strlen(*alpn);
        if (n == 0 || n > 255 || at + 1 + n > sizeof(wire))
            return err_set(e, -EINVAL, "TLS: the list of protocols is too long");
        wire[at] = (unsigned char)n;
        memcpy(wire + at + 1, *alpn, n);
        at += 1 + (unsigned)n;
    }
    if (at > 0 && SSL_set_alpn_protos(ssl, wire, at) != 0)
        return err_set(e, -E_TLS, "cannot offer protocols: %s", tls_reason(NULL));
    return 0;
}

int tls_expect(SSL *ssl, const struct tls_connect_options *o, struct err *e)
{
    int r = o->is_ip ? expect_address(ssl, o->host, e) : expect_name(ssl, o->host, e);
    return r == 0 ? offer(ssl, o->alpn, e) : r;
}

bool tls_trust_revokes(const struct tls_trust *t)
{
    return t->crl;
}

SSL_CTX *tls_trust_ctx(struct tls_trust *t)
{
    return t->ctx;
}

/* Which of ours the server has chosen: one that was not offered is its fault. */
static int chosen(SSL *ssl, const char *const *alpn, const char **ret)
{
    const unsigned char *p;
    unsigned n;
    SSL_get0_alpn_selected(ssl, &p, &n);
    *ret = NULL;
    for (; n > 0 && alpn && *alpn && !*ret; alpn++) {
        if (strlen(*alpn) == n && memcmp(p, *alpn, n) == 0)
            *ret = *alpn;
    }
    return n > 0 && !*ret ? -E_TLS : 0;
}

/* Asked again at the end: what depends on it is worth a second look. */
static bool is_verified(SSL *ssl)
{
    bool verified = false;
    if (SSL_get0_peer_certificate(ssl) && SSL_get_verify_result(ssl) == X509_V_OK)
        verified = true;
    return verified;
}

int tls_client_handshake(struct stream *s, struct tls_handshake *h, struct err *e)
{
    SSL_set_connect_state(tls_stream_ssl(s));
    int r = tls_stream_handshake(s, h);
    if (r == 0)
        return 0;
    int reason = 0;
    const char *text = r == -E_TLS ? tls_reason(&reason) : err_text(r);
    return err_set(e, r, "TLS with %s: %s", h->host, words(h, reason, text));
}

static int shake_hands(struct stream *s, struct tls_handshake *h, struct err *e)
{
    SSL *ssl = tls_stream_ssl(s);
    int r = tls_client_handshake(s, h, e);
    if (r < 0)
        return r;
    if (!is_verified(ssl))
        return err_set(e, -E_TLS, "TLS with %s: its certificate was not verified", h->host);
    if (chosen(ssl, h->alpn, &h->chosen) < 0)
        return err_set(e, -E_TLS, "TLS with %s: it chose a protocol (ALPN) that was not offered",
                       h->host);
    return 0;
}

/* For a server that asks for it. Who that server is, is verified before ours is used (RFC 8446 4.4.3). */
static int show(SSL *ssl, struct cert_identity *id, struct err *e)
{
    return SSL_use_certificate(ssl, cert_identity_x509(id)) == 1 &&
                   SSL_use_PrivateKey(ssl, cert_identity_pkey(id)) == 1
               ? 0
               : err_set(e, -E_TLS, "cannot use the certificate that a server would be shown: %s",
                         tls_reason(NULL));
}

int tls_connect(struct tls_trust *t, const struct tls_connect_options *o, struct stream *under,
                struct stream *ret, const char **ret_alpn, struct err *e)
{
    int r = tls_stream_begin(t->ctx, under, ret, e);
    if (r < 0)
        return r;
    SSL *ssl = tls_stream_ssl(ret);
    struct tls_handshake h = {.alpn = o->alpn, .host = o->host};
    r = tls_expect(ssl, o, e);
    if (r == 0 && o->identity)
        r = show(ssl, o->identity, e);
    if (r == 0)
        r = shake_hands(ret, &h, e);
    if (r < 0)
        stream_done(ret);
    else if (ret_alpn)
        *ret_alpn = h.chosen;
    return r;
}
