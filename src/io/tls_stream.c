/* tls_stream.c - TLS sessions as streams, whoever begins them.
 *
 * Theory of operation. A TLS stream is a stream whose reads and writes go through an SSL object on
 * the same non-blocking descriptor. Each operation makes one attempt and never suspends; what it
 * wants next (which may be to write in order to read) goes to stream.want, and stream.c waits.
 *
 * A session on another stream (TLS within TLS) keeps that stream behind a BIO of its own, which
 * calls its operations; the registered descriptor moves to the outer stream, so that there is one place
 * to wait. A stream that has none and waits by itself goes on doing so: the session asks it.
 *
 * OpenSSL's error queue belongs to the thread, not to the fiber: it is emptied right before every
 * call and read right after, with nothing in between that could let another fiber run. A fatal
 * error marks the session broken, after which OpenSSL must not be asked to shut it down.
 *
 * TLS 1.2 and 1.3 only, no renegotiation, no compression, no early data; sessions are not resumed,
 * so that no state outlives a connection. The peer controls the handshake's bytes and how long it
 * takes: the caller bounds the latter by its deadline. */
#include "base/err.h"
#include "fiber/scheduler.h"
#include "io/tls_internal.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#define DATALESS_MAX 8 /* times 16 KiB that were there at once: 60 ms, at the worst */

const char *tls_reason(int *ret_code)
{
    unsigned long code = ERR_get_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    if (code && !text && ERR_SYSTEM_ERROR(code))
        text = err_text(-(int)ERR_GET_REASON(code));
    ERR_clear_error();
    if (ret_code)
        *ret_code = code && !ERR_SYSTEM_ERROR(code) ? ERR_GET_REASON(code) : 0;
    return text ? text : "no detail";
}

struct tls_handshake *tls_handshake_of(SSL *ssl)
{
    return SSL_get_ex_data(ssl, 0); /* "application data" */
}

/* ---- contexts ---- */

int tls_ctx_common(SSL_CTX *ctx, struct err *e)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    /* A write that is retried may come from another buffer and may have been done in part. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY); /* see tls_read */
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_num_tickets(ctx, 0) != 1)
        return err_set(e, -E_TLS, "cannot require TLS 1.2: %s", tls_reason(NULL));
    return 0;
}

/* AES-128 first: it is as good as any, and what the boundary does is nearly all encryption. A read
 * takes what the socket has, not a record's header and then its body. */
int tls_ctx_boundary(SSL_CTX *ctx, struct err *e)
{
    int r = tls_ctx_common(ctx, e);
    if (r < 0)
        return r;
    SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_read_ahead(ctx, 1);
    if (SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                      "TLS_CHACHA20_POLY1305_SHA256") != 1)
        return err_set(e, -E_TLS, "cannot choose ciphers: %s", tls_reason(NULL));
    return 0;
}

void tls_ctx_free(struct tls_ctx *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ctx);
    free(c);
}

/* ---- the descriptor underneath ---- */

/* As OpenSSL's own BIO of sockets, but a read that took less than there was room for is not followed
 * by one that only finds the socket empty, which would be every other read. */
struct wire {
    struct io_fd *io;
    bool ended;
};

static int wire_read(BIO *b, char *p, int n)
{
    struct wire *w = BIO_get_data(b);
    BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    ssize_t got = -1;
    errno = EAGAIN;
    if (!w->io->emptied)
        got = read(w->io->fd, p, (size_t)n);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_flags(b, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
    w->ended = got == 0;
    /* As in plain_read. */
    if (got < 0 ? errno == EAGAIN : got > 0 && got < n && !w->io->peer_ended)
        w->io->emptied = true;
    return (int)got;
}

static int wire_write(BIO *b, const char *p, int n)
{
    const struct wire *w = BIO_get_data(b);
    BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    ssize_t put = write(w->io->fd, p, (size_t)n);
    if (put < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_flags(b, BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY);
    return (int)put;
}

static long wire_ctrl(BIO *b, int cmd, long larg, void *parg)
{
    (void)larg;
    (void)parg;
    const struct wire *w = BIO_get_data(b);
    return cmd == BIO_CTRL_FLUSH || (cmd == BIO_CTRL_EOF && w->ended);
}

static int wire_destroy(BIO *b)
{
    free(BIO_get_data(b));
    BIO_set_data(b, NULL);
    return 1;
}

/* ---- the stream underneath, when it is no plain descriptor ---- */

struct under {
    struct stream s; /* its io has the number of the descriptor, no registration */
    bool ended;
};

/* The stream underneath empties OpenSSL's queue, in which the reason of the session above may stand
 * already (it is sending an alert): its first entry is put back. */
static void put_back(unsigned long code)
{
    if (code == 0)
        return;
    ERR_clear_error();
    ERR_new();
    ERR_set_error(ERR_GET_LIB(code), ERR_GET_REASON(code), NULL);
}

static int under_read(BIO *b, char *p, int n)
{
    struct under *u = BIO_get_data(b);
    u->s.io.emptied = false; /* no registration: nobody says that more has come */
    BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    unsigned long reason = ERR_peek_error();
    ssize_t r = u->s.ops->read(&u->s, p, (size_t)n);
    put_back(reason);
    if (r == -EAGAIN)
        BIO_set_flags(b, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
    u->ended = r == 0;
    errno = r < 0 ? (int)-r : 0;
    return r < 0 ? -1 : (int)r;
}

static int under_write(BIO *b, const char *p, int n)
{
    struct under *u = BIO_get_data(b);
    BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    unsigned long reason = ERR_peek_error();
    ssize_t r = u->s.ops->write(&u->s, p, (size_t)n);
    put_back(reason);
    if (r == -EAGAIN)
        BIO_set_flags(b, BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY);
    errno = r < 0 ? (int)-r : 0;
    return r < 0 ? -1 : (int)r;
}

static long under_ctrl(BIO *b, int cmd, long larg, void *parg)
{
    (void)larg;
    (void)parg;
    const struct under *u = BIO_get_data(b);
    return cmd == BIO_CTRL_FLUSH || (cmd == BIO_CTRL_EOF && u->ended);
}

static int under_destroy(BIO *b)
{
    struct under *u = BIO_get_data(b);
    if (u && u->s.ops->done)
        u->s.ops->done(&u->s);
    free(u);
    BIO_set_data(b, NULL);
    return 1;
}

static BIO_METHOD *wire_method, *under_method; /* NULL: out of memory. Never freed */

static void make_methods(void)
{
    BIO_METHOD *w = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "descriptor");
    if (w && BIO_meth_set_read(w, wire_read) == 1 && BIO_meth_set_write(w, wire_write) == 1 &&
        BIO_meth_set_ctrl(w, wire_ctrl) == 1 && BIO_meth_set_destroy(w, wire_destroy) == 1)
        wire_method = w;
    BIO_METHOD *u = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
    if (u && BIO_meth_set_read(u, under_read) == 1 && BIO_meth_set_write(u, under_write) == 1 &&
        BIO_meth_set_ctrl(u, under_ctrl) == 1 && BIO_meth_set_destroy(u, under_destroy) == 1)
        under_method = u;
}

static BIO *new_bio(bool plain)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, make_methods) == 0);
    BIO_METHOD *m = plain ? wire_method : under_method;
    return m ? BIO_new(m) : NULL;
}

/* The io_fd is told with each call: see session(). */
static bool put_wire(SSL *ssl)
{
    BIO *b = new_bio(true);
    if (!b)
        return false;
    BIO_set_data(b, mem_new(struct wire));
    BIO_set_init(b, 1);
    SSL_set_bio(ssl, b, b); /* takes it over */
    return true;
}

/* Moves the stream behind the session; what is left in *s is its descriptor. */
static bool put_under(SSL *ssl, struct stream *s)
{
    BIO *b = new_bio(false);
    if (!b)
        return false;
    struct under *u = mem_new(struct under);
    /* Nobody tells it of an end that has come: a short read says nothing (wire_read). */
    u->s =
        (struct stream){.ops = s->ops, .impl = s->impl, .io = {.fd = s->io.fd, .peer_ended = true}};
    s->ops = NULL;
    s->impl = NULL;
    BIO_set_data(b, u);
    BIO_set_init(b, 1);
    SSL_set_bio(ssl, b, b); /* takes it over */
    return true;
}

/* ---- streams ---- */

/* The session of a stream, for a call that may read or write. A stream may have moved since the last
 * one, so the wire is told where its descriptor is. */
static SSL *session(struct stream *s)
{
    BIO *b = SSL_get_rbio(s->impl);
    if (BIO_method_type(b) != BIO_TYPE_SOURCE_SINK) {
        struct wire *w = BIO_get_data(b);
        w->io = &s->io;
    } else {
        struct under *u = BIO_get_data(b);
        u->s.want = 0; /* that of an earlier call says nothing of this one */
    }
    return s->impl;
}

/* The stream underneath may want to write in order to read. */
static uint32_t wanted(SSL *ssl, uint32_t want)
{
    BIO *b = SSL_get_rbio(ssl);
    if (BIO_method_type(b) != BIO_TYPE_SOURCE_SINK)
        return want; /* a socket */
    const struct under *u = BIO_get_data(b);
    return u->s.want ? u->s.want : want;
}

/* Translates the return value `r` of the SSL_ call that failed right before into a code:
 * 0 for an orderly end of the peer's side. Sets s->want for -EAGAIN. */
static int outcome(struct stream *s, int r)
{
    int e = errno;
    SSL *ssl = s->impl;
    switch (SSL_get_error(ssl, r)) {
    case SSL_ERROR_WANT_READ:
        s->want = wanted(ssl, EPOLLIN);
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        s->want = wanted(ssl, EPOLLOUT);
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

/* One attempt. *ret_more: what was there held no data, and there may be more. Then -EAGAIN says
 * nothing: the descriptor was not found empty. */
static ssize_t read_once(struct stream *s, void *p, size_t n, bool *ret_more)
{
    size_t got;
    ERR_clear_error();
    errno = 0;
    int ok = SSL_read_ex(session(s), p, n, &got);
    bool empty = errno == EAGAIN;
    if (ok == 1)
        return (ssize_t)got;
    int r = outcome(s, ok);
    *ret_more = r == -EAGAIN && s->want == EPOLLIN && !empty;
    return r;
}

/* A peer may send messages without data for as long as it likes: KeyUpdates (RFC 8446 4.6.3), each 27
 * bytes, cost it nothing when they were made before, and us twelve microseconds, in which nobody else
 * gets a turn. OpenSSL has no limit of its own; without AUTO_RETRY it returns whenever it has used up
 * what it had read, and a peer that has then sent nothing else again and again is cut off.
 *
 * Buffers of 17 KiB are given back after each write, and when nothing has come for a while. After
 * each read would cost a quarter of a request: what is given back is wiped first. */
static ssize_t tls_read(struct stream *s, void *p, size_t n)
{
    ssize_t r = 0;
    bool more = true;
    if (s->idle)
        SSL_set_mode((SSL *)s->impl, SSL_MODE_RELEASE_BUFFERS);
    for (unsigned i = 0; more && i < DATALESS_MAX; i++) {
        more = false;
        r = read_once(s, p, n, &more);
    }
    if (s->idle)
        SSL_clear_mode((SSL *)s->impl, SSL_MODE_RELEASE_BUFFERS);
    if (more) {
        s->want = 0;
        ERR_new();
        ERR_set_error(ERR_LIB_SSL, SSL_R_TOO_MANY_KEY_UPDATES, NULL);
        r = -E_TLS;
    }
    if (r <= 0)
        return fatal(s, (int)r);
    s->idle = false;
    return r;
}

static ssize_t tls_write(struct stream *s, const void *p, size_t n)
{
    size_t put;
    ERR_clear_error();
    errno = 0;
    SSL_set_mode((SSL *)s->impl, SSL_MODE_RELEASE_BUFFERS);
    int ok = SSL_write_ex(session(s), p, n, &put);
    SSL_clear_mode((SSL *)s->impl, SSL_MODE_RELEASE_BUFFERS);
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
    int ok = SSL_shutdown(session(s));
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

/* Nothing is touched after the wait: the session may be gone. */
static int below_wait(struct stream *s, uint32_t want)
{
    struct under *u = BIO_get_data(SSL_get_rbio(s->impl));
    return u->s.ops->wait(&u->s, want);
}

static bool below_gone(const struct stream *s)
{
    const struct under *u = BIO_get_data(SSL_get_rbio(s->impl));
    return u->s.ops->gone(&u->s);
}

/* A descriptor that is closed says that it ends, which here is said by the stream below. */
static void below_done(struct stream *s)
{
    struct under *u = BIO_get_data(SSL_get_rbio(s->impl));
    bool said = !SSL_get_quiet_shutdown(s->impl) && SSL_get_shutdown(s->impl) & SSL_SENT_SHUTDOWN;
    u->s.reset = s->reset;
    if (said && !s->reset)
        (void)u->s.ops->finish(&u->s); /* would it have to wait, the peer sees a reset */
    tls_done(s);
}

/* On a stream that waits by itself. */
static const struct stream_ops tls_below_ops = {.read = tls_read,
                                                .write = tls_write,
                                                .finish = tls_finish,
                                                .done = below_done,
                                                .wait = below_wait,
                                                .gone = below_gone};

#define LINGER_READS 64

void tls_stream_linger(struct stream *s, int64_t ms)
{
    char dropped[512];
    if (s->ops != &tls_below_ops)
        return;
    struct under *u = BIO_get_data(SSL_get_rbio(s->impl));
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(ms);
    ssize_t n = stream_finish(&u->s);
    for (int i = 0; n >= 0 && i < LINGER_READS; i++)
        if ((n = stream_read(&u->s, dropped, sizeof(dropped))) == 0)
            break;
}

bool stream_is_tls(const struct stream *s)
{
    return s->ops == &tls_ops || s->ops == &tls_below_ops;
}

/* ---- beginning ---- */

int tls_stream_begin(SSL_CTX *ctx, struct stream *under, struct stream *ret, struct err *e)
{
    *ret = (struct stream){.io = IO_FD_NONE};
    int r = fiber_check_io();
    if (r < 0) {
        stream_done(under);
        return err_set(e, r, "TLS handshake: %s", err_text(r));
    }
    ERR_clear_error();
    SSL *ssl = SSL_new(ctx);
    bool plain = stream_is_plain(under), waits = under->ops->wait;
    if (!ssl || (plain ? !put_wire(ssl) : !put_under(ssl, under))) {
        SSL_free(ssl);
        stream_done(under);
        return err_set(e, -E_TLS, "cannot start TLS: %s", tls_reason(NULL));
    }
    under->ops = NULL;
    io_fd_move(&ret->io, &under->io);
    ret->io.drained = false; /* that was said of the bytes below */
    ret->ops = waits ? &tls_below_ops : &tls_ops;
    ret->impl = ssl;
    return 0;
}

int tls_stream_handshake(struct stream *s, struct tls_handshake *h)
{
    SSL_set_ex_data(s->impl, 0, h);
    int r;
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int ok = SSL_do_handshake(session(s));
        r = ok == 1 ? 0 : outcome(s, ok);
        if (ok != 1 && r == 0)
            r = -ECONNRESET; /* it said goodbye in the middle */
        if (r != -EAGAIN)
            break;
        r = s->ops->wait          ? s->ops->wait(s, s->want)
            : s->want == EPOLLOUT ? io_wait_writable(&s->io)
                                  : io_wait_readable(&s->io);
        if (r < 0)
            break;
    }
    SSL_set_ex_data(s->impl, 0, NULL);
    return r;
}

void tls_forget_plaintext(void *ssl_ctx)
{
    if (tls_lib_open(NULL) == 0)
        SSL_CTX_set_options((SSL_CTX *)ssl_ctx, SSL_OP_CLEANSE_PLAINTEXT);
}
