/* Serving minted identities: real clients believe them when they know the authority, and only then;
 * handshakes that are cut, old or foreign fail. */
#include "unit/io/tls_world.h"
#include "base/library.h"
#include "io/proc.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <signal.h>

static struct world w;
static char other_ca[96], hello_java[96], store[96];

static int setup(void **state)
{
    (void)state;
    if (world_init(&w) < 0)
        return -1;
    struct cert_ca *other = world_ca("Other CA", NULL, 0);
    (void)snprintf(other_ca, sizeof(other_ca), "%s/other.pem", w.dir);
    (void)snprintf(hello_java, sizeof(hello_java), "%s/Hello.java", w.dir);
    (void)snprintf(store, sizeof(store), "%s/store", w.dir);
    world_write(other_ca, cert_ca_pem(other));
    cert_ca_free(other);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(other_ca);
    (void)unlink(hello_java);
    (void)unlink(store);
    return world_done(&w);
}

/* ---- a web server of one connection, and a client that is a program ---- */

struct web {
    struct io_fd listener;
    struct cert_identity *identity;
    int handshake;
    struct err e;
};

static int web_answer(struct stream *s)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    char request[2048];
    size_t n = 0;
    while (n == 0 || !memmem(request, n, "\r\n\r\n", 4)) {
        ssize_t got = stream_read(s, request + n, sizeof(request) - n);
        if (got <= 0)
            return -1;
        n += (size_t)got;
    }
    int r = stream_write(s, answer, sizeof(answer) - 1);
    return r < 0 ? r : stream_finish(s);
}

static int web_serve(void *arg)
{
    static const char *const alpn[] = {"http/1.1", NULL};
    struct web *t = arg;
    int fd = sock_accept(&t->listener, NULL);
    if (fd < 0)
        return 0; /* the client has not come */
    struct stream under, s;
    assert_int_equal(stream_from_fd(&under, fd), 0);
    struct tls_serve_options o = {.identity = t->identity, .alpn = alpn};
    t->handshake = tls_serve(w.ctx, &o, &under, &s, NULL, &t->e);
    if (t->handshake == 0)
        (void)!web_answer(&s);
    stream_done(&s);
    return 0;
}

/* Runs a shell script that shall read "hello" from https://localhost:$PORT/, trusting $CA. */
static int run_script(const char *script, const char *port, const char *ca)
{
    AUTO_FREE char *env_port = mem_printf("PORT=%s", port), *env_ca = mem_printf("CA=%s", ca);
    AUTO_FREE char *env_store = mem_printf("STORE=%s", store);
    AUTO_FREE char *env_java = mem_printf("HELLO=%s", hello_java);
    const char *const argv[] = {"sh", "-c", script, NULL};
    const char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                                "HOME=/nonexistent",
                                env_port,
                                env_ca,
                                env_store,
                                env_java,
                                NULL};
    struct proc_spec spec = {.path = "/bin/sh",
                             .argv = argv,
                             .envp = envp,
                             .stdin_fd = -1,
                             .stdout_fd = -1,
                             .stderr_fd = -1};
    struct proc p;
    struct err e = {0};
    if (proc_start(&p, &spec, &e) < 0)
        fail_msg("%s", e.msg);
    int status = -1;
    assert_int_equal(proc_wait(&p, &status), 0);
    proc_done(&p);
    return status;
}

struct client {
    const char *name, *script;
};

static void try_client(const struct client *c, const char *ca, bool believes)
{
    char addr[SOCK_ADDR_MAX];
    AUTO(scope) scope;
    scope_init(&scope);
    struct web t = {.handshake = 1, .identity = world_leaf(w.ca, "localhost", false)};
    int fd = sock_listen("127.0.0.1:0", 8, addr, NULL);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&t.listener, fd), 0);
    assert_int_equal(fiber_spawn(&scope, "web", web_serve, &t, NULL), 0);
    int status = run_script(c->script, strrchr(addr, ':') + 1, ca);
    if ((status == 0) != believes)
        fail_msg("%s: status %x, handshake %d: %s", c->name, (unsigned)status, t.handshake,
                 t.e.msg);
    io_fd_close(&t.listener);
    assert_int_equal(scope_join(&scope), 0);
    assert_int_not_equal(t.handshake, 1); /* it has come */
    if (believes)
        assert_int_equal(t.handshake, 0);
    cert_identity_unref(t.identity);
}

static int real_clients(void *arg)
{
    (void)arg;
    static const struct client clients[] = {
        {"curl",
         "test \"$(curl -sS --noproxy '*' --cacert $CA https://localhost:$PORT/)\" = hello"},
        {"openssl", "printf 'GET / HTTP/1.1\\r\\n\\r\\n' | openssl s_client -quiet -connect "
                    "localhost:$PORT -servername localhost -verify_hostname localhost "
                    "-x509_strict -CAfile $CA -verify_return_error | grep -q hello"},
        {"openssl, TLS 1.2",
         "printf 'GET / HTTP/1.1\\r\\n\\r\\n' | openssl s_client -tls1_2 -quiet -connect "
         "localhost:$PORT -servername localhost -CAfile $CA -verify_return_error | grep -q hello"},
        {"python3", "python3 -c \"\n"
                    "import ssl, http.client, sys\n"
                    "c = ssl.create_default_context(cafile='$CA')\n"
                    "c.verify_flags |= ssl.VERIFY_X509_STRICT\n"
                    "h = http.client.HTTPSConnection('localhost', $PORT, context=c)\n"
                    "h.request('GET', '/')\n"
                    "sys.exit(0 if h.getresponse().read() == b'hello' else 1)\""},
        {"node", "NODE_EXTRA_CA_CERTS=$CA node -e \"require('https')"
                 ".get('https://localhost:$PORT/', (r) => r.on('data', (d) => "
                 "process.exit(String(d) === 'hello' ? 0 : 1)))"
                 ".on('error', () => process.exit(1))\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        try_client(&clients[i], w.ca_file, true);
        try_client(&clients[i], other_ca, false);
    }
    return 0;
}
ON_LOOP(real_clients)

static int java(void *arg)
{
    (void)arg;
    static const struct client client = {
        "java", "rm -f $STORE; keytool -importcert -noprompt -alias ca -file $CA -keystore $STORE "
                "-storepass changeit && java -Djavax.net.ssl.trustStore=$STORE "
                "-Djavax.net.ssl.trustStorePassword=changeit $HELLO $PORT"};
    world_write(hello_java,
                "import java.net.*; import java.net.http.*;\n"
                "public class Hello { public static void main(String[] a) throws Exception {\n"
                "  var r = HttpClient.newHttpClient().send(HttpRequest.newBuilder(\n"
                "    URI.create(\"https://localhost:\" + a[0] + \"/\")).build(),\n"
                "    HttpResponse.BodyHandlers.ofString());\n"
                "  System.exit(r.body().equals(\"hello\") ? 0 : 1); } }\n");
    try_client(&client, w.ca_file, true);
    try_client(&client, other_ca, false);
    return 0;
}

/* A few hundred MiB, so not among the packages of the tests. */
static void java_where_it_is_installed(void **state)
{
    (void)state;
    int fd = open("/usr/bin/keytool", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        print_message("skipped: there is no Java\n");
        skip();
    }
    (void)close(fd);
    run_on_loop(java, NULL);
}

/* ---- handshakes that fail ---- */

static int refused(void *arg)
{
    (void)arg;
    static const struct {
        struct client client;
        const char *words;
    } cases[] = {
        {{"TLS 1.1",
          "openssl s_client -tls1_1 -cipher ALL:@SECLEVEL=0 -connect localhost:$PORT </dev/null"},
         "no version of TLS from 1.2 on"},
        {{"another ALPN", "openssl s_client -alpn h2,spdy -connect localhost:$PORT </dev/null"},
         "none of the protocols (ALPN)"},
        {{"RSA only", "openssl s_client -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -connect "
                      "localhost:$PORT </dev/null"},
         "no shared cipher"},
        {{"another authority", "curl -sS --noproxy '*' https://localhost:$PORT/"},
         "does not trust the certificate authority of the boundary"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char addr[SOCK_ADDR_MAX];
        AUTO(scope) scope;
        scope_init(&scope);
        struct web t = {.handshake = 1, .identity = world_leaf(w.ca, "localhost", false)};
        int fd = sock_listen("127.0.0.1:0", 8, addr, NULL);
        assert_true(fd >= 0);
        assert_int_equal(io_fd_add(&t.listener, fd), 0);
        assert_int_equal(fiber_spawn(&scope, "web", web_serve, &t, NULL), 0);
        assert_int_not_equal(run_script(cases[i].client.script, strrchr(addr, ':') + 1, w.ca_file),
                             0);
        assert_int_equal(scope_join(&scope), 0);
        assert_int_equal(t.handshake, -E_TLS);
        if (!strstr(t.e.msg, cases[i].words))
            fail_msg("%s: %s", cases[i].client.name, t.e.msg);
        io_fd_close(&t.listener);
        cert_identity_unref(t.identity);
    }
    return 0;
}
ON_LOOP(refused)

/* What a client of ours says first. */
static size_t record_hello(char *ret, size_t room)
{
    int fd[2];
    struct stream under, s;
    struct err e;
    struct tls_trust *trust = world_trust(w.ca_file);
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    assert_int_equal(stream_from_fd(&under, fd[1]), 0);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(1);
    struct tls_connect_options o = {.host = "localhost"};
    assert_int_equal(tls_connect(trust, &o, &under, &s, NULL, &e), -ETIMEDOUT);
    ssize_t n = read(fd[0], ret, room);
    assert_true(n > 100);
    (void)close(fd[0]);
    tls_trust_free(trust);
    return (size_t)n;
}

static int cut(void *arg)
{
    (void)arg;
    char hello[2048];
    size_t n = record_hello(hello, sizeof(hello));
    struct cert_identity *id = world_leaf(w.ca, "localhost", false);
    struct tls_serve_options o = {.identity = id};
    for (size_t k = 0; k <= n; k++) {
        int fd[2];
        struct stream under, s;
        struct err e = {0};
        assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
        assert_int_equal(write(fd[0], hello, k), (ssize_t)k);
        assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
        assert_int_equal(stream_from_fd(&under, fd[1]), 0);
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
        assert_int_equal(tls_serve(w.ctx, &o, &under, &s, NULL, &e), -ECONNRESET);
        assert_int_equal(e.code, -ECONNRESET);
        assert_int_equal(fcntl(fd[1], F_GETFD), -1);
        stream_done(&s);
        (void)close(fd[0]);
    }
    cert_identity_unref(id);
    return 0;
}
ON_LOOP(cut)

/* A client that goes away before it has read what is written to it. */
static int gone(void *arg)
{
    (void)arg;
    AUTO(scope) scope;
    scope_init(&scope);
    struct tls_trust *trust = world_trust(w.ca_file);
    struct cert_identity *id = world_leaf(w.ca, "localhost", false);
    struct echo t;
    struct err e;
    struct stream under, s;
    echo_start(&t, &scope, w.ctx, id, NULL, &under);
    struct tls_connect_options o = {.host = "localhost"};
    assert_int_equal(tls_connect(trust, &o, &under, &s, NULL, &e), 0);
    assert_int_equal(stream_write(&s, "abc", 3), 0);
    stream_done(&s); /* without a goodbye */
    assert_int_equal(scope_join(&scope), 0);
    assert_true(t.read < 0 || t.read == 3);
    cert_identity_unref(id);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(gone)

/* Each session has the identity it was given, whatever the one before had. */
static int identities(void *arg)
{
    (void)arg;
    char host[32];
    struct tls_trust *trust = world_trust(w.ca_file);
    for (int i = 0; i < 20; i++) {
        AUTO(scope) scope;
        scope_init(&scope);
        (void)snprintf(host, sizeof(host), "host%d.example", i % 5);
        struct cert_identity *id = world_leaf(w.ca, host, false);
        struct echo t;
        struct err e;
        struct stream under, s;
        echo_start(&t, &scope, w.ctx, id, NULL, &under);
        struct tls_connect_options o = {.host = host};
        int r = tls_connect(trust, &o, &under, &s, NULL, &e);
        if (r < 0)
            fail_msg("%s", e.msg);
        cert_identity_unref(id); /* the session has its own reference */
        world_exchange(&s, 1000);
        stream_done(&s);
        assert_int_equal(scope_join(&scope), 0);
    }
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(identities)

/* ---- messages without data ---- */

/* Not among the functions that the program has (tls_lib.h). */
struct more_of_openssl {
    __typeof__(&SSL_key_update) key_update;
    __typeof__(&SSL_do_handshake) do_handshake;
    __typeof__(&SSL_set0_wbio) set0_wbio;
    __typeof__(&SSL_get_wbio) get_wbio;
    __typeof__(&BIO_s_mem) s_mem;
    __typeof__(&BIO_new) new;
    __typeof__(&BIO_up_ref) up_ref;
    __typeof__(&BIO_read) read;
    __typeof__(&BIO_free) free;
};

/* So many KeyUpdates of this client, as they go over the wire. */
static size_t key_updates(struct stream *s, int count, char *ret, size_t room)
{
    struct more_of_openssl o;
    static const struct library_symbol symbols[] = {
        {"SSL_key_update", offsetof(struct more_of_openssl, key_update)},
        {"SSL_do_handshake", offsetof(struct more_of_openssl, do_handshake)},
        {"SSL_set0_wbio", offsetof(struct more_of_openssl, set0_wbio)},
        {"SSL_get_wbio", offsetof(struct more_of_openssl, get_wbio)},
        {"BIO_s_mem", offsetof(struct more_of_openssl, s_mem)},
        {"BIO_new", offsetof(struct more_of_openssl, new)},
        {"BIO_up_ref", offsetof(struct more_of_openssl, up_ref)},
        {"BIO_read", offsetof(struct more_of_openssl, read)},
        {"BIO_free", offsetof(struct more_of_openssl, free)},
    };
    struct err e;
    if (library_open("libssl.so.3", "libssl3", symbols, ARRAY_LEN(symbols), &o, &e) < 0)
        fail_msg("%s", e.msg);
    SSL *ssl = s->impl;
    BIO *socket = o.get_wbio(ssl), *memory = o.new(o.s_mem());
    assert_int_equal(o.up_ref(socket), 1);
    assert_int_equal(o.up_ref(memory), 1);
    o.set0_wbio(ssl, memory);
    for (int i = 0; i < count; i++) {
        assert_int_equal(o.key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(o.do_handshake(ssl), 1);
    }
    int n = o.read(memory, ret, (int)room);
    o.set0_wbio(ssl, socket);
    (void)o.free(memory);
    assert_true(n > 20 * count && n < (int)room);
    return (size_t)n;
}

/* A client that has nothing to say, and says so faster than it can be listened to, is cut off: all
 * other connections would wait for it. A few at once are nothing. */
static int nothing_to_say(void *arg)
{
    static const size_t room = 1u << 20;
    (void)arg;
    AUTO(scope) scope;
    scope_init(&scope);
    AUTO_FREE char *wire = mem_array(room, 1);
    struct tls_trust *trust = world_trust(w.ca_file);
    struct cert_identity *id = world_leaf(w.ca, "localhost", false);
    struct echo t;
    struct err e;
    struct stream under, s;
    echo_start(&t, &scope, w.ctx, id, NULL, &under);
    struct tls_connect_options o = {.host = "localhost"};
    assert_int_equal(tls_connect(trust, &o, &under, &s, NULL, &e), 0);
    for (int i = 0; i < 20; i++) {
        size_t n = key_updates(&s, 100, wire, room);
        assert_int_equal(io_write_all(&s.io, wire, n), 0);
        world_exchange(&s, 1000);
    }
    size_t n = key_updates(&s, 20000, wire, room);
    (void)!io_write_all(&s.io, wire, n);
    stream_done(&s);
    assert_int_equal(scope_join(&scope), 0);
    assert_int_equal(t.read, -E_TLS);
    cert_identity_unref(id);
    tls_trust_free(trust);
    return 0;
}
ON_LOOP(nothing_to_say)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(real_clients),   cmocka_unit_test(java_where_it_is_installed),
        CASE(refused),        CASE(cut),
        CASE(gone),           CASE(identities),
        CASE(nothing_to_say),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
