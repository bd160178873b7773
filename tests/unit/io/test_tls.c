/* TLS against the openssl command line: a real peer. */
#include "unit/io/certificate.h"
#include "base/err.h"
#include "io/proc.h"
#include "io/sock.h"
#include "io/tls.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], cert[96], key[96], other_key[96], locked_key[96];
static const char *const envp[] = {"PATH=/usr/bin:/bin", NULL};

static int make_certificates(void *arg)
{
    (void)arg;
    const char *const gen[] = {"openssl", "genpkey", "-algorithm", "ed25519",
                               "-out",    other_key, NULL};
    const char *const lock[] = {"openssl",  "pkey",      "-in",  key,        "-aes128",
                                "-passout", "pass:abcd", "-out", locked_key, NULL};
    return certificate_make(key, cert, "DNS:localhost") == 0 && openssl_run(gen) == 0 &&
                   openssl_run(lock) == 0
               ? 0
               : -1;
}

static int in_loop(fiber_fn *fn)
{
    if (loop_init() < 0)
        return -1;
    int r = loop_run(fn, NULL);
    loop_done();
    return r;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sallyport-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    (void)snprintf(key, sizeof(key), "%s/key.pem", dir);
    (void)snprintf(other_key, sizeof(other_key), "%s/other.pem", dir);
    (void)snprintf(locked_key, sizeof(locked_key), "%s/locked.pem", dir);
    return in_loop(make_certificates);
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(cert);
    (void)unlink(key);
    (void)unlink(other_key);
    (void)unlink(locked_key);
    return rmdir(dir);
}

/* ---- the server under test: one connection, echoes lines until the peer ends ---- */

struct server {
    struct tls_ctx *ctx;
    struct io_fd listener;
    int handshake, read, finish;
    size_t bytes;
    struct err e;
};

static int serve(void *arg)
{
    struct server *t = arg;
    int fd = sock_accept(&t->listener, NULL);
    if (fd < 0)
        return fd;
    AUTO(stream) s;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    t->handshake = tls_accept(t->ctx, fd, &s, &t->e);
    if (t->handshake < 0)
        return 0;
    assert_true(stream_is_tls(&s));
    char buf[3000];
    ssize_t n;
    while ((n = stream_read(&s, buf, sizeof(buf))) > 0) {
        t->bytes += (size_t)n;
        if (stream_write(&s, buf, (size_t)n) < 0)
            break;
    }
    t->read = (int)n;
    t->finish = stream_finish(&s);
    return 0;
}

struct client {
    struct proc p;
    struct io_fd io; /* its standard input and output */
};

static void client_start(struct client *c, const char *addr, const char *const *options)
{
    const char *argv[24] = {"openssl",     "s_client", "-quiet", "-connect",
                            addr,          "-CAfile",  cert,     "-verify_return_error",
                            "-servername", "localhost"};
    size_t n = 10;
    while (*options)
        argv[n++] = *options++;
    int fd[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    assert_int_equal(fcntl(fd[1], F_SETFL, 0), 0);
    struct proc_spec spec = {.path = OPENSSL,
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = fd[1],
                             .stdout_fd = fd[1],
                             .stderr_fd = -1};
    struct err e = {0};
    if (proc_start(&c->p, &spec, &e) < 0)
        fail_msg("%s", e.msg);
    (void)close(fd[1]);
    assert_int_equal(io_fd_add(&c->io, fd[0]), 0);
}

static int client_end(struct client *c)
{
    int status = -1;
    assert_int_equal(shutdown(c->io.fd, SHUT_WR), 0);
    assert_int_equal(proc_wait(&c->p, &status), 0);
    io_fd_close(&c->io);
    proc_done(&c->p);
    return status;
}

static void server_start(struct server *t, struct scope *s, char addr[SOCK_ADDR_MAX])
{
    *t = (struct server){.handshake = 1, .read = 1, .finish = 1};
    t->ctx = tls_server_new(cert, key, &t->e);
    if (!t->ctx)
        fail_msg("%s", t->e.msg);
    int fd = sock_listen("127.0.0.1:0", 8, addr, NULL);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&t->listener, fd), 0);
    assert_int_equal(fiber_spawn(s, "server", serve, t, NULL), 0);
}

static void server_done(struct server *t)
{
    io_fd_close(&t->listener);
    tls_ctx_free(t->ctx);
}

/* ---- tests ---- */

static int echo(void *arg)
{
    (void)arg;
    static const struct {
        const char *const options[6];
    } cases[] = {
        {{"-tls1_3"}},
        {{"-tls1_2"}},
        {{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"}},
        {{"-tls1_3", "-alpn", "http/1.1"}},
        {{"-tls1_3", "-alpn", "h2,http/1.1"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct server t;
        struct client c;
        char addr[SOCK_ADDR_MAX];
        AUTO(scope) s;
        scope_init(&s);
        server_start(&t, &s, addr);
        client_start(&c, addr, cases[i].options);
        char out[1000], in[1000];
        for (int round = 0; round < 50; round++) {
            memset(out, 'a' + round % 26, sizeof(out));
            out[999] = '\n';
            assert_int_equal(io_write_all(&c.io, out, sizeof(out)), 0);
            size_t n = 0;
            while (n < sizeof(in)) {
                ssize_t got = io_read(&c.io, in + n, sizeof(in) - n);
                assert_true(got > 0);
                n += (size_t)got;
            }
            assert_memory_equal(in, out, sizeof(in));
        }
        /* s_client -quiet goes on after the end of its input: end it. */
        assert_int_equal(proc_kill(&c.p, SIGTERM), 0);
        (void)client_end(&c);
        assert_int_equal(scope_join(&s), 0);
        assert_int_equal(t.handshake, 0);
        assert_int_equal(t.bytes, 50000);
        server_done(&t);
    }
    return 0;
}

static void a_handshake_and_an_echo(void **state)
{
    (void)state;
    assert_int_equal(in_loop(echo), 0);
}

static int refusals(void *arg)
{
    (void)arg;
    static const struct {
        const char *const options[6];
    } cases[] = {
        {{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}}, /* too old */
        {{"-alpn", "h2"}},                           /* nothing in common */
        {{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct server t;
        struct client c;
        char addr[SOCK_ADDR_MAX];
        AUTO(scope) s;
        scope_init(&s);
        server_start(&t, &s, addr);
        client_start(&c, addr, cases[i].options);
        assert_int_not_equal(client_end(&c), 0);
        assert_int_equal(scope_join(&s), 0);
        assert_int_equal(t.handshake, -E_TLS);
        assert_non_null(strstr(t.e.msg, "TLS handshake: "));
        assert_null(strstr(t.e.msg, "no detail"));
        server_done(&t);
    }
    return 0;
}

static void what_is_too_old_or_foreign_is_refused(void **state)
{
    (void)state;
    assert_int_equal(in_loop(refusals), 0);
}

static int garbage(void *arg)
{
    (void)arg;
    static const struct {
        const char *bytes;
        size_t n;
        bool end;
        int expected; /* 0: any failure */
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, true, -E_TLS},
        {"\x16\x03\x01\xff\xff\x01\xff\xff\xff", 9, true, 0},
        {"", 0, true, -ECONNRESET},
        {"\x16\x03\x01", 3, false, -ETIMEDOUT}, /* begins and never goes on */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        struct tls_ctx *ctx = tls_server_new(cert, key, &e);
        assert_non_null(ctx);
        int fd[2];
        assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
        assert_int_equal(write(fd[0], cases[i].bytes, cases[i].n), (ssize_t)cases[i].n);
        if (cases[i].end)
            assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
        struct stream s;
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(cases[i].end ? 5000 : 20);
        int r = tls_accept(ctx, fd[1], &s, &e);
        assert_true(r < 0);
        if (cases[i].expected)
            assert_int_equal(r, cases[i].expected);
        assert_int_equal(e.code, r);
        assert_int_equal(fcntl(fd[1], F_GETFD), -1); /* taken over and closed */
        stream_done(&s);
        (void)close(fd[0]);
        tls_ctx_free(ctx);
    }
    return 0;
}

static void garbage_fails_the_handshake(void **state)
{
    (void)state;
    assert_int_equal(in_loop(garbage), 0);
}

static void bad_files_are_named(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(tls_server_new("/no/such/cert", key, &e));
    assert_non_null(strstr(e.msg, "/no/such/cert"));
    assert_null(tls_server_new(cert, "/no/such/key", &e));
    assert_non_null(strstr(e.msg, "/no/such/key"));
    assert_null(tls_server_new(cert, other_key, &e));
    assert_non_null(strstr(e.msg, other_key));
    assert_null(tls_server_new(cert, locked_key, &e)); /* and nobody is asked for the passphrase */
    assert_non_null(strstr(e.msg, locked_key));
    assert_null(tls_server_new(key, key, &e)); /* not a certificate */
    tls_ctx_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handshake_and_an_echo),
        cmocka_unit_test(what_is_too_old_or_foreign_is_refused),
        cmocka_unit_test(garbage_fails_the_handshake),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
