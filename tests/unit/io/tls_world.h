/* tls_world - an authority in a file, and a peer on the other end of a pair of sockets. */
#pragma once

#include "unit/io/certificate.h"
#include "unit/loop.h"
#include "base/err.h"
#include "crypto/cert.h"
#include "io/sock.h"
#include "io/tls.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    char dir[64], ca_file[96];
    struct cert_ca *ca;
    struct tls_ctx *ctx;
};

static inline void world_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static inline struct cert_ca *world_ca(const char *name, const char *const *permitted, size_t n)
{
    struct cert_ca_options o = {
        .lifetime_s = 365 * 86400, .name = name, .permitted = permitted, .n_permitted = n};
    struct cert_ca *ca;
    struct err e = {0};
    if (cert_ca_new(&o, &ca, &e) < 0)
        fail_msg("%s", e.msg);
    return ca;
}

static inline int world_init(struct world *w)
{
    struct err e = {0};
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/sallyport-test-XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    (void)snprintf(w->ca_file, sizeof(w->ca_file), "%s/ca.pem", w->dir);
    w->ca = world_ca("World CA", NULL, 0);
    world_write(w->ca_file, cert_ca_pem(w->ca));
    w->ctx = tls_identities_new(&e);
    return w->ctx ? 0 : -1;
}

static inline int world_done(struct world *w)
{
    (void)unlink(w->ca_file);
    tls_ctx_free(w->ctx);
    cert_ca_free(w->ca);
    return rmdir(w->dir);
}

static inline struct cert_identity *world_leaf(struct cert_ca *ca, const char *host, bool is_ip)
{
    struct cert_identity *id;
    struct err e = {0};
    if (cert_leaf(ca, host, is_ip, &id, &e) < 0)
        fail_msg("%s", e.msg);
    return id;
}

static inline struct tls_trust *world_trust(const char *ca_file)
{
    struct err e = {0};
    struct tls_trust *t = tls_trust_new(ca_file, &e);
    if (!t)
        fail_msg("%s", e.msg);
    return t;
}

/* Two plain streams that are connected. */
static inline void world_pair(struct stream *a, struct stream *b)
{
    int fd[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    assert_int_equal(stream_from_fd(a, fd[0]), 0);
    assert_int_equal(stream_from_fd(b, fd[1]), 0);
}

/* ---- a server: shakes hands and echoes until the peer ends ---- */

struct echo {
    struct tls_ctx *ctx;
    struct tls_serve_options options;
    struct stream under;
    bool twice; /* TLS within TLS, both with the same identity */
    int handshake, read;
    const char *alpn;
    struct err e;
};

static inline int echo_serve(void *arg)
{
    struct echo *t = arg;
    struct stream s, inner;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    t->handshake = tls_serve(t->ctx, &t->options, &t->under, &s, &t->alpn, &t->e);
    if (t->handshake == 0 && t->twice) {
        t->handshake = tls_serve(t->ctx, &t->options, &s, &inner, &t->alpn, &t->e);
        stream_move(&s, &inner);
    }
    char buf[3000];
    ssize_t n = -1;
    while (t->handshake == 0 && (n = stream_read(&s, buf, sizeof(buf))) > 0) {
        if (stream_write(&s, buf, (size_t)n) < 0)
            break;
    }
    t->read = (int)n;
    if (t->handshake == 0 && n == 0)
        (void)!stream_finish(&s);
    stream_done(&s);
    return 0;
}

/* Starts one for `identity` on a new pair; the other end goes to *ret. */
static inline void echo_start(struct echo *t, struct scope *scope, struct tls_ctx *ctx,
                              struct cert_identity *identity, const char *const *alpn,
                              struct stream *ret)
{
    *t = (struct echo){.ctx = ctx, .handshake = 1, .read = 1};
    t->options = (struct tls_serve_options){.identity = identity, .alpn = alpn};
    world_pair(&t->under, ret);
    assert_int_equal(fiber_spawn(scope, "echo", echo_serve, t, NULL), 0);
}

/* So many bytes there and back. */
static inline void world_exchange(struct stream *s, size_t n)
{
    char out[1000], in[1000];
    for (size_t done = 0; done < n; done += sizeof(out)) {
        memset(out, 'a' + (int)(done / sizeof(out) % 26), sizeof(out));
        assert_int_equal(stream_write(s, out, sizeof(out)), 0);
        for (size_t at = 0; at < sizeof(in);) {
            ssize_t got = stream_read(s, in + at, sizeof(in) - at);
            assert_true(got > 0);
            at += (size_t)got;
        }
        assert_memory_equal(in, out, sizeof(in));
    }
}
