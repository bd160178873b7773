/* Connecting by TLS: whom it believes, whom not, and what it says then. */
#include "unit/io/tls_world.h"
#include "base/time.h"

static struct world w;

static int setup(void **state)
{
    (void)state;
    return world_init(&w);
}

static int teardown(void **state)
{
    (void)state;
    return world_done(&w);
}

static void assert_says(const char *text, const char *words)
{
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in: %s", words, text);
}

/* One connection to an echo with `identity`: the code, the words, and that it works when it is 0. */
static int try(struct tls_trust *trust, struct cert_identity *identity, const char *host,
               bool is_ip, struct err *e)
{
    AUTO(scope) scope;
    scope_init(&scope);
    struct echo t;
    struct stream under, s;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    echo_start(&t, &scope, w.ctx, identity, NULL, &under);
    struct tls_connect_options o = {.host = host, .is_ip = is_ip};
    int r = tls_connect(trust, &o, &under, &s, NULL, e);
    if (r == 0) {
        world_exchange(&s, 5000);
        assert_true(stream_is_tls(&s));
        assert_int_equal(stream_finish(&s), 0);
        char c;
        assert_int_equal(stream_read(&s, &c, 1), 0);
    } else {
        assert_int_equal(e->code, r);
    }
    stream_done(&s);
    assert_int_equal(scope_join(&scope), 0);
    if (r == 0)
        assert_int_equal(t.read, 0);
    else
        assert_true(t.handshake < 0 || t.read < 0);
    return r;
}

static int hosts(void *arg)
{
    (void)arg;
    static const struct {
        const char *leaf;
        bool leaf_ip;
        const char *host;
        bool is_ip;
        int expected;
        const char *words;
    } cases[] = {
        {"api.example.com", false, "api.example.com", false, 0, ""},
        {"api.example.com", false, "API.Example.com", false, 0, ""},
        {"api.example.com", false, "example.com", false, -E_TLS,
         "for other hosts: api.example.com"},
        {"api.example.com", false, "x.api.example.com", false, -E_TLS, "for other hosts"},
        {"api.example.com", false, "api.example.co", false, -E_TLS, "for other hosts"},
        {"127.0.0.1", true, "127.0.0.1", true, 0, ""},
        {"127.0.0.1", true, "127.0.0.2", true, -E_TLS, "for other hosts: 127.0.0.1"},
        {"fd00::1", true, "fd00::1", true, 0, ""},
        {"fd00::1", true, "[fd00::1]", true, 0, ""},
        {"fd00::1", true, "[fd00::2]", true, -E_TLS, "for other hosts: fd00::1"},
        {"127.0.0.1", true, "a.example", false, -E_TLS, "for other hosts: 127.0.0.1"},
        {"a.example", false, "127.0.0.1", true, -E_TLS, "for other hosts: a.example"},
        {"a.example", false, "", false, -EINVAL, "no name"},
        {"a.example", false, ".example", false, -EINVAL, "no name"},
        {"a.example", false, "a.example\n", false, -EINVAL, "no name"},
        {"a.example", false, "*.example", false, -EINVAL, "no name"},
        {"a.example", false, "a.example", true, -EINVAL, "no address"},
        {"a.example", false, "", true, -EINVAL, "no address"},
    };
    struct tls_trust *trust = world_trust(w.ca_file);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cert_identity *id = world_leaf(w.ca, cases[i].leaf, cases[i].leaf_ip);
        struct err e = {0};
        int r = try(trust, id, cases[i].host, cases[i].is_ip, &e);
        if (r != cases[i].expected)
            fail_msg("case %zu: %d, %s", i, r, e.msg);
        assert_says(e.msg, cases[i].words);
        cert_identity_unref(id);
    }
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(hosts)

/* As text, which somebody else has read: the same certificates are believed, alone or beside the system's. */
static int trust_as_text(void *arg)
{
    (void)arg;
    AUTO_FREE char *pem = mem_array(65536, 1);
    FILE *f = fopen(w.ca_file, "r");
    assert_non_null(f);
    size_t n = fread(pem, 1, 65535, f);
    (void)fclose(f);
    struct cert_ca *other = world_ca("Another", NULL, 0);
    for (int system = 0; system < 2; system++) {
        struct err e = {0};
        struct tls_trust *trust = tls_trust_text("the.pem", pem, n, system, &e);
        assert_string_equal(e.msg, "");
        assert_non_null(trust);
        struct cert_identity *ours = world_leaf(w.ca, "a.example", false),
                             *theirs = world_leaf(other, "a.example", false);
        assert_int_equal(try(trust, ours, "a.example", false, &e), 0);
        assert_int_equal(try(trust, theirs, "a.example", false, &e), -E_TLS);
        assert_says(e.msg, "unknown authority");
        cert_identity_unref(ours);
        cert_identity_unref(theirs);
        tls_trust_free(trust);
    }
    cert_ca_free(other);
    return 0;
}
ON_LOOP(trust_as_text)

static int unknown_authority(void *arg)
{
    (void)arg;
    struct err e = {0};
    struct cert_ca *other = world_ca("Evil \"CA\"\n\x1b[31m", NULL, 0);
    struct cert_identity *id = world_leaf(other, "a.example", false);
    struct tls_trust *trust = world_trust(w.ca_file);
    assert_int_equal(try(trust, id, "a.example", false, &e), -E_TLS);
    assert_says(e.msg,
                "TLS with a.example: its certificate is issued by an unknown authority, \"CN=Evil");
    assert_says(e.msg, "add it with ca_file");
    for (const char *p = e.msg; *p; p++)
        assert_true(*p >= ' ' && *p < 127);
    tls_trust_free(trust);
    trust = world_trust(NULL); /* that of the system, which does not know ours */
    cert_identity_unref(id);
    id = world_leaf(w.ca, "a.example", false);
    assert_int_equal(try(trust, id, "a.example", false, &e), -E_TLS);
    assert_says(e.msg, "\"CN=World CA\"");
    cert_identity_unref(id);
    tls_trust_free(trust);
    cert_ca_free(other);
    return 0;
}
ON_LOOP(unknown_authority)

static int wrong_time(void *arg)
{
    (void)arg;
    struct err e = {0};
    int64_t now_us = time_real_us();
    time_test_set(0, now_us - 200LL * 86400 * US_PER_S);
    struct cert_identity *old = world_leaf(w.ca, "a.example", false);
    time_test_set(0, now_us + 100LL * 86400 * US_PER_S);
    struct cert_identity *future = world_leaf(w.ca, "a.example", false);
    time_test_set(0, now_us - 400LL * 86400 * US_PER_S);
    struct cert_ca *dead = world_ca("Dead CA", NULL, 0);
    struct cert_identity *of_dead = world_leaf(dead, "a.example", false);
    time_test_reset();
    struct tls_trust *trust = world_trust(w.ca_file);
    char words[64], when[TIME_RFC3339_MAX];
    time_format(when, now_us - 110LL * 86400 * US_PER_S);
    (void)snprintf(words, sizeof(words), "its certificate has expired on %.10s", when);
    assert_int_equal(try(trust, old, "a.example", false, &e), -E_TLS);
    assert_says(e.msg, words);
    assert_int_equal(try(trust, future, "a.example", false, &e), -E_TLS);
    assert_says(e.msg, "its certificate is not valid before ");
    assert_int_equal(try(trust, of_dead, "a.example", false, &e), -E_TLS);
    tls_trust_free(trust);
    char file[96];
    (void)snprintf(file, sizeof(file), "%s/dead.pem", w.dir);
    world_write(file, cert_ca_pem(dead));
    trust = world_trust(file);
    assert_int_equal(try(trust, of_dead, "a.example", false, &e), -E_TLS);
    assert_says(e.msg, "expired");
    (void)unlink(file);
    tls_trust_free(trust);
    cert_identity_unref(old);
    cert_identity_unref(future);
    cert_identity_unref(of_dead);
    cert_ca_free(dead);
    return 0;
}
ON_LOOP(wrong_time)

static int constrained(void *arg)
{
    (void)arg;
    static const char *const permitted[] = {"example.com", "10.0.0.0/8"};
    struct cert_ca *ca = world_ca("Narrow CA", permitted, 2);
    char file[96];
    (void)snprintf(file, sizeof(file), "%s/narrow.pem", w.dir);
    world_write(file, cert_ca_pem(ca));
    struct tls_trust *trust = world_trust(file);
    static const struct {
        const char *host;
        bool is_ip;
        int expected;
    } cases[] = {{"api.example.com", false, 0},
                 {"10.9.8.7", true, 0},
                 {"api.example.org", false, -E_TLS},
                 {"11.9.8.7", true, -E_TLS}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cert_identity *id = world_leaf(ca, cases[i].host, cases[i].is_ip);
        struct err e = {0};
        assert_int_equal(try(trust, id, cases[i].host, cases[i].is_ip, &e), cases[i].expected);
        if (cases[i].expected < 0)
            assert_says(e.msg, "name constraints");
        cert_identity_unref(id);
    }
    (void)unlink(file);
    tls_trust_free(trust);
    cert_ca_free(ca);
    return 0;
}
ON_LOOP(constrained)

/* ---- certificates of others, in files ---- */

struct file_server {
    struct tls_ctx *ctx;
    int fd, r;
};

static int accept_one(void *arg)
{
    struct file_server *t = arg;
    AUTO(stream) s;
    struct err e;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    t->r = tls_accept(t->ctx, t->fd, &s, &e);
    char c;
    if (t->r == 0)
        (void)!stream_read(&s, &c, 1);
    return 0;
}

static int try_files(struct tls_trust *trust, const char *cert, const char *key, const char *host,
                     struct err *e)
{
    int fd[2];
    AUTO(scope) scope;
    scope_init(&scope);
    struct file_server t = {.ctx = tls_server_new(cert, key, e)};
    if (!t.ctx)
        fail_msg("%s", e->msg);
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    t.fd = fd[1];
    assert_int_equal(fiber_spawn(&scope, "server", accept_one, &t, NULL), 0);
    struct stream under, s;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    assert_int_equal(stream_from_fd(&under, fd[0]), 0);
    struct tls_connect_options o = {.host = host};
    int r = tls_connect(trust, &o, &under, &s, NULL, e);
    stream_done(&s);
    assert_int_equal(scope_join(&scope), 0);
    tls_ctx_free(t.ctx);
    return r;
}

static int self_signed(void *arg)
{
    (void)arg;
    char cert[96], key[96];
    (void)snprintf(cert, sizeof(cert), "%s/self.pem", w.dir);
    (void)snprintf(key, sizeof(key), "%s/self.key", w.dir);
    struct tls_trust *trust = world_trust(w.ca_file);
    static const struct {
        const char *names, *host, *words; /* "": good, once it is trusted */
    } cases[] = {
        {"DNS:localhost", "localhost", ""},
        {"DNS:*.example.com", "api.example.com", ""},
        {"DNS:*.example.com", "example.com", "for other hosts: *.example.com"},
        {"DNS:*.example.com", "a.b.example.com", "for other hosts"},
        {"DNS:a*.example.com", "api.example.com", "for other hosts: a*.example.com"},
        {"DNS:*.com", "example.com", "for other hosts"}, /* OpenSSL wants two labels below it */
        {"email:a@b.example", "localhost", "for other hosts: something else"}, /* CN=localhost */
        {"DNS:a,DNS:b,DNS:c,DNS:d,DNS:e,DNS:f", "g", "a, b, c, d and 2 more"},
        {"DNS:evil\x1b[31m", "g", "evil\\x1b[31m"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        assert_int_equal(certificate_make(key, cert, cases[i].names), 0);
        assert_int_equal(try_files(trust, cert, key, cases[i].host, &e), -E_TLS);
        if (i == 0)
            assert_says(e.msg, "its certificate is self-signed");
        struct tls_trust *own = world_trust(cert);
        int r = try_files(own, cert, key, cases[i].host, &e);
        assert_int_equal(r, cases[i].words[0] ? -E_TLS : 0);
        if (r < 0)
            assert_says(e.msg, cases[i].words);
        tls_trust_free(own);
    }
    (void)unlink(cert);
    (void)unlink(key);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(self_signed)

static void trust_needs_certificates(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(tls_trust_new("/no/such/file", &e));
    assert_says(e.msg, "/no/such/file");
    char file[96];
    (void)snprintf(file, sizeof(file), "%s/empty.pem", w.dir);
    world_write(file, "nothing here\n");
    assert_null(tls_trust_new(file, &e));
    assert_says(e.msg, file);
    (void)unlink(file);
    assert_null(tls_trust_text("the.pem", "nothing here\n", 13, false, &e));
    assert_says(e.msg, "cannot use the certificates in ca_file the.pem: no certificate");
    assert_null(tls_trust_text("the.pem", "", 0, false, &e));
    assert_says(e.msg, "the.pem");
    static const char broken[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    assert_null(tls_trust_text("the.pem", broken, sizeof(broken) - 1, false, &e));
    assert_says(e.msg, "the.pem");
    tls_trust_free(NULL);
    tls_ctx_free(NULL);
}

/* ---- protocols ---- */

static int protocols(void *arg)
{
    (void)arg;
    static const char *const both[] = {"h2", "http/1.1", NULL}, *const old[] = {"http/1.1", NULL};
    static const char *const h2[] = {"h2", NULL}, *const none[] = {NULL};
    static const struct {
        const char *const *server, *const *client;
        int expected;
        const char *alpn;
    } cases[] = {
        {both, both, 0, "h2"},      {old, both, 0, "http/1.1"}, {both, old, 0, "http/1.1"},
        {h2, both, 0, "h2"},        {both, NULL, 0, NULL},      {NULL, both, 0, NULL},
        {NULL, NULL, 0, NULL},      {h2, none, 0, NULL},        {h2, old, -E_TLS, NULL},
        {none, both, -E_TLS, NULL},
    };
    struct tls_trust *trust = world_trust(w.ca_file);
    struct cert_identity *id = world_leaf(w.ca, "a.example", false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(scope) scope;
        scope_init(&scope);
        struct echo t;
        struct err e = {0};
        struct stream under, s;
        const char *alpn = "unset";
        echo_start(&t, &scope, w.ctx, id, cases[i].server, &under);
        struct tls_connect_options o = {.host = "a.example", .alpn = cases[i].client};
        int r = tls_connect(trust, &o, &under, &s, &alpn, &e);
        assert_int_equal(r, cases[i].expected);
        if (r == 0) {
            assert_true(alpn == NULL || cases[i].alpn != NULL);
            if (cases[i].alpn)
                assert_string_equal(alpn, cases[i].alpn);
            world_exchange(&s, 1000);
        } else {
            assert_says(e.msg, "speaks none of the protocols (ALPN) offered");
            assert_string_equal(alpn, "unset");
        }
        stream_done(&s);
        assert_int_equal(scope_join(&scope), 0);
        if (r < 0)
            assert_says(t.e.msg, "the client speaks none of the protocols (ALPN) offered");
        else if (cases[i].alpn)
            assert_string_equal(t.alpn, cases[i].alpn);
        else
            assert_null(t.alpn);
    }
    cert_identity_unref(id);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(protocols)

/* ---- TLS within TLS ---- */

static int nested(void *arg)
{
    (void)arg;
    AUTO(scope) scope;
    scope_init(&scope);
    struct tls_trust *trust = world_trust(w.ca_file);
    struct cert_identity *id = world_leaf(w.ca, "a.example", false);
    struct echo t;
    struct err e = {0};
    struct stream under, outer, inner;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    echo_start(&t, &scope, w.ctx, id, NULL, &under);
    t.twice = true;
    struct tls_connect_options o = {.host = "a.example"};
    assert_int_equal(tls_connect(trust, &o, &under, &outer, NULL, &e), 0);
    assert_false(stream_is_plain(&outer));
    assert_int_equal(tls_connect(trust, &o, &outer, &inner, NULL, &e), 0);
    world_exchange(&inner, 300000);
    /* More than the sockets hold, with nobody reading meanwhile: the echo has to write in order to go
     * on, and both layers wait. */
    char *large = mem_zalloc(100000);
    assert_int_equal(stream_write(&inner, large, 100000), 0);
    for (size_t at = 0; at < 100000;) {
        ssize_t n = stream_read(&inner, large, 100000 - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    free(large);
    assert_int_equal(stream_finish(&inner), 0);
    char c;
    assert_int_equal(stream_read(&inner, &c, 1), 0);
    stream_done(&inner);
    stream_done(&outer);
    assert_int_equal(scope_join(&scope), 0);
    assert_int_equal(t.read, 0);

    /* The outer one believes its peer, the inner one does not. */
    echo_start(&t, &scope, w.ctx, id, NULL, &under);
    t.twice = true;
    assert_int_equal(tls_connect(trust, &o, &under, &outer, NULL, &e), 0);
    struct tls_connect_options other = {.host = "b.example"};
    assert_int_equal(tls_connect(trust, &other, &outer, &inner, NULL, &e), -E_TLS);
    assert_says(e.msg, "TLS with b.example: its certificate is for other hosts: a.example");
    assert_int_equal(scope_join(&scope), 0);
    assert_true(t.handshake < 0);
    cert_identity_unref(id);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(nested)

struct cut_off {
    struct stream *s;
    ssize_t read;
};

static int read_cut_off(void *arg)
{
    struct cut_off *x = arg;
    char c;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(2000);
    x->read = stream_read(x->s, &c, 1);
    return 0;
}

/* Half a record of the outer session and the end of the connection come at once, to one who waits. */
static int nested_and_cut_off(void *arg)
{
    (void)arg;
    AUTO(scope) scope, readers;
    scope_init(&scope);
    scope_init(&readers);
    struct tls_trust *trust = world_trust(w.ca_file);
    struct cert_identity *id = world_leaf(w.ca, "a.example", false);
    struct echo t;
    struct err e = {0};
    struct stream under, outer, inner;
    struct cut_off x = {.s = &inner};
    echo_start(&t, &scope, w.ctx, id, NULL, &under);
    t.twice = true;
    AUTO_CLOSE int far = fcntl(t.under.io.fd, F_DUPFD_CLOEXEC, 0);
    assert_true(far >= 0);
    struct tls_connect_options o = {.host = "a.example"};
    assert_int_equal(tls_connect(trust, &o, &under, &outer, NULL, &e), 0);
    assert_int_equal(tls_connect(trust, &o, &outer, &inner, NULL, &e), 0);
    world_exchange(&inner, 1000);
    inner.idle = true; /* there will be no other attempt */
    assert_int_equal(fiber_spawn(&readers, "reader", read_cut_off, &x, NULL), 0);
    assert_int_equal(fiber_sleep_ms(1), 0); /* it waits */
    assert_int_equal(write(far, "\x17\x03\x03\x00\x40half", 9), 9);
    assert_int_equal(shutdown(far, SHUT_WR), 0);
    assert_int_equal(scope_join(&readers), 0);
    assert_int_equal(x.read, -ECONNRESET);
    stream_done(&inner);
    stream_done(&outer);
    assert_int_equal(scope_join(&scope), 0);
    cert_identity_unref(id);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(nested_and_cut_off)

/* ---- bytes that come one by one, and long waits ---- */

struct pump {
    struct stream from, to;
};

/* One byte at a time in this direction. */
static int pump_run(void *arg)
{
    struct pump *p = arg;
    char c;
    while (stream_read(&p->from, &c, 1) == 1) {
        if (stream_write(&p->to, &c, 1) < 0)
            break;
    }
    return 0;
}

static void copy_fd(struct stream *to, const struct stream *from)
{
    int fd = fcntl(from->io.fd, F_DUPFD_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(stream_from_fd(to, fd), 0);
}

/* Buffers are given back in the middle of records all the time, and nothing is lost. */
static int dribble(void *arg)
{
    (void)arg;
    AUTO(scope) scope;
    scope_init(&scope);
    struct tls_trust *trust = world_trust(w.ca_file);
    struct cert_identity *id = world_leaf(w.ca, "a.example", false);
    struct echo t;
    struct err e = {0};
    struct stream under, ours, s;
    struct pump there, back;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(60000);
    echo_start(&t, &scope, w.ctx, id, NULL, &there.to);
    copy_fd(&back.from, &there.to);
    world_pair(&under, &ours);
    there.from = (struct stream){0};
    stream_move(&there.from, &ours);
    copy_fd(&back.to, &there.from);
    assert_int_equal(fiber_spawn(&scope, "there", pump_run, &there, NULL), 0);
    assert_int_equal(fiber_spawn(&scope, "back", pump_run, &back, NULL), 0);
    struct tls_connect_options o = {.host = "a.example"};
    if (tls_connect(trust, &o, &under, &s, NULL, &e) < 0)
        fail_msg("%s", e.msg);
    for (int i = 0; i < 20; i++) {
        s.idle = true;
        world_exchange(&s, 1000);
        assert_false(s.idle);
    }
    stream_done(&s);
    stream_done(&there.from);
    stream_done(&there.to);
    stream_done(&back.from);
    stream_done(&back.to);
    assert_int_equal(scope_join(&scope), 0);
    cert_identity_unref(id);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(dribble)

static int read_one(void *arg)
{
    struct stream *s = arg;
    char c = 0;
    return stream_read(s, &c, 1) == 1 && c == 'a' ? 0 : -EIO;
}

static int write_one(void *arg)
{
    return stream_write(arg, "b", 1);
}

static int long_wait(void *arg)
{
    (void)arg;
    AUTO(scope) scope;
    scope_init(&scope);
    struct tls_trust *trust = world_trust(w.ca_file);
    struct cert_identity *id = world_leaf(w.ca, "a.example", false);
    struct echo t;
    struct err e = {0};
    struct stream under, s;
    AUTO(scope) readers;
    scope_init(&readers);
    echo_start(&t, &scope, w.ctx, id, NULL, &under);
    struct tls_connect_options o = {.host = "a.example"};
    assert_int_equal(tls_connect(trust, &o, &under, &s, NULL, &e), 0);
    /* Its own deadline counts, shorter or longer than the time after which a stream is idle. */
    for (int i = 0; i < 2; i++) {
        char c;
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(i == 0 ? 20 : 1200);
        assert_int_equal(stream_read(&s, &c, 1), -ETIMEDOUT);
        assert_int_equal(s.idle, i);
    }
    s.idle = false;
    assert_int_equal(fiber_spawn(&readers, "reader", read_one, &s, NULL), 0);
    while (!s.idle)
        assert_int_equal(fiber_sleep_ms(50), 0);
    assert_int_equal(stream_write(&s, "a", 1), 0);
    assert_int_equal(scope_join(&readers), 0);
    assert_false(s.idle);
    world_exchange(&s, 20000);
    /* Who waits without a buffer gets one more attempt, too, and then waits on. */
    char c;
    assert_int_equal(stream_try_read(&s, &c, 1), -EAGAIN);
    assert_int_equal(stream_wait(&s, s.want), 0);
    assert_true(s.idle);
    assert_int_equal(stream_try_read(&s, &c, 1), -EAGAIN);
    assert_int_equal(fiber_spawn(&readers, "writer", write_one, &s, NULL), 0);
    assert_int_equal(stream_wait(&s, s.want), 0);
    ssize_t n;
    while ((n = stream_try_read(&s, &c, 1)) == -EAGAIN)
        assert_int_equal(stream_wait(&s, s.want), 0);
    assert_int_equal(n, 1);
    assert_int_equal(c, 'b');
    assert_false(s.idle);
    assert_int_equal(scope_join(&readers), 0);
    stream_done(&s);
    assert_int_equal(scope_join(&scope), 0);
    cert_identity_unref(id);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(long_wait)

/* ---- peers that are none ---- */

static int strangers(void *arg)
{
    (void)arg;
    static const struct {
        const char *bytes;
        size_t n;
        bool end;
        int expected;
        const char *words;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28, true, -E_TLS, "does not speak TLS"},
        {"SSH-2.0-OpenSSH_9.2\r\n", 21, true, -E_TLS, "does not speak TLS"},
        {"", 0, true, -ECONNRESET, "TLS with a.example: "},
        {"\x16\x03\x03", 3, true, -ECONNRESET, "TLS with a.example: "},
        {"\x16\x03\x03", 3, false, -ETIMEDOUT, "TLS with a.example: "},
        {"\x15\x03\x01\x00\x02\x02\x46", 7, true, -E_TLS, "no version of TLS from 1.2 on"},
        {"\x15\x03\x03\x00\x02\x02\x70", 7, true, -E_TLS, "does not know this name"},
        {"\x15\x03\x03\x00\x02\x02\x28", 7, true, -E_TLS, "handshake failure"},
        {"\x15\x03\x03\x00\x02\x01\x00", 7, true, -ECONNRESET, "TLS with a.example: "},
    };
    struct tls_trust *trust = world_trust(w.ca_file);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd[2];
        struct stream under, s;
        struct err e = {0};
        assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
        assert_int_equal(write(fd[0], cases[i].bytes, cases[i].n), (ssize_t)cases[i].n);
        if (cases[i].end)
            assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
        assert_int_equal(stream_from_fd(&under, fd[1]), 0);
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(cases[i].end ? 5000 : 20);
        struct tls_connect_options o = {.host = "a.example"};
        int r = tls_connect(trust, &o, &under, &s, NULL, &e);
        if (r != cases[i].expected)
            fail_msg("case %zu: %d, %s", i, r, e.msg);
        assert_says(e.msg, cases[i].words);
        assert_int_equal(fcntl(fd[1], F_GETFD), -1); /* taken over and closed */
        stream_done(&s);
        (void)close(fd[0]);
    }
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(strangers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(hosts),
        CASE(trust_as_text),
        CASE(unknown_authority),
        CASE(wrong_time),
        CASE(constrained),
        CASE(self_signed),
        cmocka_unit_test(trust_needs_certificates),
        CASE(protocols),
        CASE(nested),
        CASE(dribble),
        CASE(long_wait),
        CASE(strangers),
        CASE(nested_and_cut_off),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
