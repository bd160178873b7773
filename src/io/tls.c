/* tls.c - the one file that touches OpenSSL's SSL_ API: server side.
 *
 * Theory of operation. A TLS stream is a stream whose reads and writes go through an SSL object on
 * the same non-blocking descriptor. Each operation makes one attempt and never suspends; what it
 * wants next (which may be to write in order to read) goes to stream.want, and stream.c waits.
 *
 * OpenSSL's error queue belongs to the thread, not to the fiber: it is emptied right before every
 * call and read right after, with nothing in between that could let another fiber run. A fatal
 * error marks the session broken, after which OpenSSL must not be asked to shut it down.
 *
 * TLS 1.2 and 1.3 only, no renegotiation, no compression, no early data; sessions are not resumed,
 * so that no state outlives a connection. The peer controls the handshake's bytes and how long it
 * takes: the caller bounds the latter by its deadline. */
#include "io/tls.h"
#include "base/err.h"
#include "fiber/scheduler.h"
#include "io/tls_lib.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct tls_ctx {
    SSL_CTX *ctx;
};

/* The first reason in OpenSSL's queue; empties it. */
static const char *reason(void)
{
    unsigned long code = ERR_get_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    if (code && !text && ERR_SYSTEM_ERROR(code))
        text = err_text(-(int)ERR_GET_REASON(code));
    ERR_clear_error();
    return text ? text : "no detail";
}

/* ---- contexts ---- */

static int select_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof(ours) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2: no_application_protocol */
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A key with a passphrase is an error, not a question on the terminal of a server. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

struct tls_ctx *tls_server_new(const char *cert_file, const char *key_file, struct err *e)
{
    if (tls_lib_open(e) < 0)
        return NULL;
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) {
        err_set(e, -E_TLS, "cannot set up TLS: %s", reason());
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    /* A write that is retried may come from another buffer and may have been done in part; read and
     * write buffers of idle connections are given back. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        err_set(e, -E_TLS, "cannot require TLS 1.2: %s", reason());
    } else if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1) {
        err_set(e, -E_TLS, "cannot use the certificate in %s: %s", cert_file, reason());
    } else if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        err_set(e, -E_TLS, "cannot use the private key in %s: %s", key_file, reason());
    } else if (SSL_CTX_check_private_key(ctx) != 1) {
        err_set(e, -E_TLS, "the key in %s does not belong to the certificate in %s", key_file,
                cert_file);
    } else {
        struct tls_ctx *c = mem_new(struct tls_ctx);
        c->ctx = ctx;
        return c;
    }
    SSL_CTX_free(ctx);
    return NULL;
}

void tls_ctx_free(struct tls_ctx *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ctx);
    free(c);
}

/* ---- streams ---- */

/* Translates the return value `r` of the SSL_ call that failed right before into a code:
 * 0 for an orderly end of the peer's side. Sets s->want for -EAGAIN. */
static int outcome(struct stream *s, int r)
{
    int e = errno;
    SSL *ssl = s->impl;
    switch (SSL_get_error(ssl, r)) {
    case SSL_ERROR_WANT_READ:
        s->want = EPOLLIN;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        s->want = EPOLLOUT;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        s->want = 0;
        return e > 0 && e != EAGAIN ? -e : -ECONNRESET;
    default:
        s->want = 0;
        /* The connection ended without close_notify: cut off, by accident or on purpose. */
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            return -ECONNRESET;
        }
        return -E_TLS; /* the queue still holds the reason, for the caller to report */
    }
}

/* A stream after a fatal error: want 0 and this mark; OpenSSL forbids SSL_shutdown then. */
static int fatal(struct stream *s, int r)
{
    if (r < 0 && r != -EAGAIN)
        SSL_set_quiet_shutdown(s->impl, 1);
    return r;
}

static ssize_t tls_read(struct stream *s, void *p, size_t n)
{
    size_t got;
    ERR_clear_error();
    errno = 0;
    int ok = SSL_read_ex(s->impl, p, n, &got);
    if (ok == 1)
        return (ssize_t)got;
    return fatal(s, outcome(s, ok));
}

static ssize_t tls_write(struct stream *s, const void *p, size_t n)
{
    size_t put;
    ERR_clear_error();
    errno = 0;
    int ok = SSL_write_ex(s->impl, p, n, &put);
    if (ok == 1)
        return (ssize_t)put;
    int r = fatal(s, outcome(s, ok));
    return r == 0 ? -EPIPE : r; /* the peer has ended the conversation */
}

/* Sends close_notify. The peer's answer is not awaited: who wants its last bytes
 * reads to the end. */
static int tls_finish(struct stream *s)
{
    if (SSL_get_quiet_shutdown(s->impl))
        return -EPIPE; /* broken earlier */
    ERR_clear_error();
    errno = 0;
    int ok = SSL_shutdown(s->impl);
    if (ok >= 0)
        return 0;
    return fatal(s, outcome(s, ok));
}

static void tls_done(struct stream *s)
{
    SSL_free(s->impl);
    ERR_clear_error();
}

static const struct stream_ops tls_ops = {
    .read = tls_read, .write = tls_write, .finish = tls_finish, .done = tls_done};

bool stream_is_tls(const struct stream *s)
{
    return s->ops == &tls_ops;
}

/* One step of the handshake: 0 done, -EAGAIN, or an error with words. */
static int handshake_step(struct stream *s, struct err *e)
{
    ERR_clear_error();
    errno = 0;
    int ok = SSL_accept(s->impl);
    if (ok == 1)
        return 0;
    int r = outcome(s, ok);
    if (r == -EAGAIN)
        return r;
    if (r == 0)
        r = -ECONNRESET;
    return err_set(e, r, "TLS handshake: %s", r == -E_TLS ? reason() : err_text(r));
}

static int handshake(struct stream *s, struct err *e)
{
    for (;;) {
        int r = handshake_step(s, e);
        if (r != -EAGAIN)
            return r;
        r = s->want == EPOLLOUT ? io_wait_writable(&s->io) : io_wait_readable(&s->io);
        if (r < 0)
            return err_set(e, r, "TLS handshake: %s", err_text(r));
    }
}

int tls_accept(struct tls_ctx *c, int fd, struct stream *ret, struct err *e)
{
    AUTO_CLOSE int owned = fd;
    *ret = (struct stream){.io = IO_FD_NONE};
    int r = fiber_check_io();
    if (r < 0)
        return err_set(e, r, "TLS handshake: %s", err_text(r));
    r = stream_from_fd(ret, owned);
    if (r < 0) {
        *ret = (struct stream){.io = IO_FD_NONE};
        return err_set(e, r, "cannot watch a TLS connection: %s", err_text(r));
    }
    (void)TAKE_FD(owned);
    ERR_clear_error();
    SSL *ssl = SSL_new(c->ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        stream_done(ret);
        return err_set(e, -E_TLS, "cannot start TLS: %s", reason());
    }
    SSL_set_accept_state(ssl);
    ret->ops = &tls_ops;
    ret->impl = ssl;
    r = handshake(ret, e);
    if (r < 0)
        stream_done(ret);
    return r;
}

void tls_forget_plaintext(void *ssl_ctx)
{
    if (tls_lib_open(NULL) == 0)
        SSL_CTX_set_options((SSL_CTX *)ssl_ctx, SSL_OP_CLEANSE_PLAINTEXT);
}
