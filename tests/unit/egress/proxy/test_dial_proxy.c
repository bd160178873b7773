/* Connections through an upstream proxy: what it is asked for, when, with which password; in which
 * words its answers are told; that not a byte behind them is lost; and a proxy that speaks TLS. The
 * proxy is the test's own. */
#include "unit/egress/proxy/dial_world.h"
#include "base/secret.h"
#include "base/time.h"
#include "unit/io/tls_world.h"

struct proxy {
    struct scope scope;
    struct io_fd listener;
    unsigned port, asked;
    char head[700];            /* of the last request */
    const char *answer, *then; /* `then`: what follows 502 for the first question */
    bool silent, echo;
    struct tls_ctx *tls;
    struct cert_identity *identity;
};

struct visit {
    struct proxy *p;
    int fd;
};

static int read_request(struct proxy *p, struct stream *s)
{
    size_t n = 0;
    while (n + 1 < sizeof(p->head)) {
        ssize_t got = stream_read(s, p->head + n, 1);
        if (got <= 0)
            return -1;
        p->head[++n] = '\0';
        if (n >= 4 && strcmp(p->head + n - 4, "\r\n\r\n") == 0)
            return 0;
    }
    return -1;
}

static int visit_main(void *arg)
{
    struct visit *v = arg;
    struct proxy *p = v->p;
    struct stream s, plain;
    char buf[2000];
    ssize_t n;
    assert_int_equal(stream_from_fd(&plain, v->fd), 0);
    free(v);
    if (p->tls) {
        struct tls_serve_options o = {.identity = p->identity};
        if (tls_serve(p->tls, &o, &plain, &s, NULL, NULL) < 0)
            return 0;
    } else {
        stream_move(&s, &plain);
    }
    if (read_request(p, &s) == 0) {
        p->asked++;
        const char *answer = p->asked > 1 && p->then ? p->then : p->answer;
        if (!p->silent && answer)
            (void)!stream_write(&s, answer, strlen(answer));
        while ((p->silent || p->echo) && (n = stream_read(&s, buf, sizeof(buf))) > 0)
            if (stream_write(&s, buf, (size_t)n) < 0)
                break;
        if (p->echo)
            (void)!stream_finish(&s);
    }
    stream_done(&s);
    return 0;
}

static int proxy_accept(void *arg)
{
    struct proxy *p = arg;
    for (int fd; (fd = sock_accept(&p->listener, NULL)) >= 0;) {
        struct visit *v = mem_new(struct visit);
        *v = (struct visit){p, fd};
        assert_int_equal(fiber_spawn(&p->scope, "visit", visit_main, v, NULL), 0);
    }
    return 0;
}

static void proxy_start(struct proxy *p, const char *answer)
{
    char addr[SOCK_ADDR_MAX];
    *p = (struct proxy){.answer = answer, .echo = true};
    int fd = sock_listen("127.0.0.1:0", 64, addr, NULL);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&p->listener, fd), 0);
    p->port = world_port(addr);
    scope_init(&p->scope);
    assert_int_equal(fiber_spawn(&p->scope, "proxy", proxy_accept, p, NULL), 0);
}

static void proxy_stop(struct proxy *p)
{
    scope_done(&p->scope);
    io_fd_close(&p->listener);
}

static void names(struct dns_peer *p, const char *name, int type, struct dns_reply *r)
{
    (void)p;
    if (strcmp(name, "both.test") == 0) {
        if (type == 1)
            dns_a(r, NULL, 60, "192.88.98.1");
        else
            dns_aaaa(r, NULL, 60, "2600::1");
    } else if (strcmp(name, "inside.test") == 0) {
        if (type == 1)
            dns_a(r, NULL, 60, "10.0.0.1");
    } else if (strcmp(name, "proxy.test") == 0 || strcmp(name, "here.test") == 0) {
        if (type == 1)
            dns_a(r, NULL, 60, "127.0.0.1");
    } else if (strcmp(name, "servfail.test") == 0) {
        r->rcode = 2;
    } else {
        r->rcode = 3;
    }
}

static struct dialled through(struct dial_world *w, const struct proxy *p, const char *more,
                              const char *host, const struct secret *password)
{
    char yaml[600];
    (void)snprintf(yaml, sizeof(yaml),
                   "allow: [{host: '*', port: PORT}, {host: here.test, port: PORT, addresses: "
                   "[127.0.0.0/8]}]\n"
                   "upstream_proxy: {url: '%s://%s:%u'%s}\n",
                   p->tls ? "https" : "http", p->tls ? "localhost" : "proxy.test", p->port, more);
    return world_dial(w, yaml, host, w->port, password);
}

#define OK "HTTP/1.1 200 Connection established\r\n\r\n"

static void expect_target(const struct proxy *p, const char *target, unsigned port)
{
    char want[200], got[16];
    world_text("PORT", port, got, sizeof(got));
    (void)snprintf(want, sizeof(want), "CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n", target, got,
                   target, got);
    if (strncmp(p->head, want, strlen(want)) != 0)
        fail_msg("%s\nwanted %s", p->head, want);
}

/* ---- what is asked for ---- */

static int the_proxy_is_asked_for_the_checked_address(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    proxy_start(&p, OK);
    struct dialled r = through(&w, &p, "", "both.test", NULL);
    if (r.code < 0)
        fail_msg("%s", r.e.msg);
    expect_target(&p, "192.88.98.1", w.port); /* IPv4 first */
    assert_null(strstr(p.head, "Authorization"));
    assert_true(r.info.via_proxy && r.info.resolved && !r.info.by_name);
    assert_int_equal(r.info.proxy_status, 200);
    assert_int_equal(r.info.class, ADDRESS_PUBLIC);
    (void)close(r.fd);
    /* An address that may not be connected to is not asked for either. */
    r = through(&w, &p, "", "inside.test", NULL);
    assert_int_equal(r.code, -E_DENIED);
    assert_string_equal(r.info.error, "destination_ip_prohibited");
    r = through(&w, &p, "", "nothing.test", NULL);
    assert_int_equal(r.code, -ENOENT);
    assert_int_equal(p.asked, 1);
    r = through(&w, &p, "", "[2600::2]", NULL);
    assert_int_equal(r.code, -E_DENIED); /* "*" is for names */
    proxy_stop(&p);
    world_stop(&w);
    return 0;
}

ON_LOOP(the_proxy_is_asked_for_the_checked_address)

static int the_proxy_gets_a_name_only_when_the_policy_says_so(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    proxy_start(&p, OK);
    static const char *const unknown[] = {"nothing.test", "servfail.test"};
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        struct dialled r = through(&w, &p, ", names: never", unknown[i], NULL);
        assert_string_equal(r.info.error, "dns_error");
        assert_int_equal(p.asked, i);
        r = through(&w, &p, ", names: unresolved", unknown[i], NULL);
        assert_int_equal(r.code, 0);
        expect_target(&p, unknown[i], w.port);
        assert_true(r.info.by_name && r.info.via_proxy && !r.info.resolved && !r.info.has_address);
        (void)close(r.fd);
    }
    struct dialled r = through(&w, &p, ", names: unresolved", "both.test", NULL);
    assert_int_equal(r.code, 0);
    expect_target(&p, "192.88.98.1", w.port);
    (void)close(r.fd);
    r = through(&w, &p, ", names: always", "both.test", NULL);
    assert_int_equal(r.code, 0);
    expect_target(&p, "both.test", w.port);
    assert_true(r.info.by_name && r.info.resolved);
    (void)close(r.fd);
    /* What is known here to be forbidden is not left to the proxy. */
    p.asked = 0;
    r = through(&w, &p, ", names: always", "inside.test", NULL);
    assert_int_equal(r.code, -E_DENIED);
    r = through(&w, &p, ", names: unresolved", "inside.test", NULL);
    assert_int_equal(r.code, -E_DENIED);
    assert_int_equal(p.asked, 0);
    proxy_stop(&p);
    world_stop(&w);
    return 0;
}

ON_LOOP(the_proxy_gets_a_name_only_when_the_policy_says_so)

static int no_proxy_goes_direct(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    char yaml[400];
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    proxy_start(&p, OK);
    static const char *const ways[] = {"here.test", "127.0.0.0/8"};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        (void)snprintf(yaml, sizeof(yaml),
                       "allow: [{host: here.test, port: PORT, addresses: [127.0.0.0/8]}]\n"
                       "upstream_proxy: http://proxy.test:%u\nno_proxy: [%s]",
                       p.port, ways[i]);
        struct dialled r = world_dial(&w, yaml, "here.test", w.port, NULL);
        assert_int_equal(r.code, 0);
        assert_false(r.info.via_proxy);
        (void)close(r.fd);
    }
    world_settle(&w, 2);
    assert_int_equal(p.asked, 0);
    proxy_stop(&p);
    world_stop(&w);
    return 0;
}

ON_LOOP(no_proxy_goes_direct)

static int the_password_goes_to_the_proxy_and_nowhere_else(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    struct secret password = {0};
    static const char *const with = ", user: Aladdin, password: {env: PW}";
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    proxy_start(&p, OK);
    assert_int_equal(secret_set(&password, "open sesame", 11), 0);
    struct dialled r = through(&w, &p, with, "both.test", &password);
    assert_int_equal(r.code, 0);
    (void)close(r.fd);
    /* RFC 7617 2 */
    assert_non_null(
        strstr(p.head, "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    r = through(&w, &p, with, "both.test", NULL);
    assert_int_equal(r.code, -EACCES);
    assert_string_equal(r.info.error, "proxy_configuration_error");
    assert_int_equal(p.asked, 1);
    p.answer = "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n";
    r = through(&w, &p, with, "both.test", &password);
    assert_int_equal(r.code, -EACCES);
    assert_null(strstr(r.e.msg, "sesame"));
    secret_done(&password);
    proxy_stop(&p);
    world_stop(&w);
    return 0;
}

ON_LOOP(the_password_goes_to_the_proxy_and_nowhere_else)

/* ---- what it answers ---- */

/* What else answers mean: tests/unit/http/pipe/test_proxy.c. */
static int an_answer_is_told_in_words_about_the_policy(void *arg)
{
    (void)arg;
    static const struct {
        const char *answer, *user, *error, *words;
        int code, status;
    } all[] = {
        {"HTTP/1.1 407 No\r\n\r\n", "", "proxy_configuration_error",
         "upstream_proxy proxy.test wants a user (407); give \"user\" and \"password\"", -EACCES,
         407},
        {"HTTP/1.1 407 No\r\n\r\n", ", user: Aladdin, password: {env: PW}",
         "proxy_configuration_error",
         "upstream_proxy proxy.test refuses the user and password of the policy (407)", -EACCES,
         407},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", "", "connection_refused",
         "upstream_proxy proxy.test does not allow 192.88.98.1:PORT (403)", -EACCES, 403},
        {"HTTP/1.1 504 Gateway Timeout\r\n\r\n", "", "connection_timeout",
         "upstream_proxy proxy.test could not reach [2600::1]:PORT in time (504)", -ETIMEDOUT, 504},
        {"HTTP/1.1 200 O", "", "http_response_incomplete",
         "upstream_proxy proxy.test ended the connection without an answer: the peer closed "
         "the connection",
         -E_CLOSED, 0},
    };
    struct dial_world w;
    struct proxy p;
    struct secret password = {0};
    assert_int_equal(secret_set(&password, "open sesame", 11), 0);
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    proxy_start(&p, NULL);
    p.echo = false;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        char words[200];
        world_text(all[i].words, w.port, words, sizeof(words));
        p.answer = all[i].answer;
        struct dialled r =
            through(&w, &p, all[i].user, "both.test", *all[i].user ? &password : NULL);
        if (r.code != all[i].code || r.info.proxy_status != all[i].status ||
            strcmp(r.info.error, all[i].error) != 0 || strcmp(r.e.msg, words) != 0)
            fail_msg("%.60s: %d %d %s: %s", all[i].answer, r.code, r.info.proxy_status,
                     r.info.error, r.e.msg);
    }
    secret_done(&password);
    proxy_stop(&p);
    world_stop(&w);
    return 0;
}

ON_LOOP(an_answer_is_told_in_words_about_the_policy)

static int another_address_is_asked_for_when_one_cannot_be_reached(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    proxy_start(&p, "HTTP/1.1 503 Busy\r\n\r\n");
    p.then = OK;
    struct dialled r = through(&w, &p, "", "both.test", NULL);
    assert_int_equal(r.code, 0);
    expect_target(&p, "[2600::1]", w.port);
    assert_int_equal(p.asked, 2);
    (void)close(r.fd);
    proxy_stop(&p);
    world_stop(&w);
    return 0;
}

ON_LOOP(another_address_is_asked_for_when_one_cannot_be_reached)

static int a_silent_proxy_and_an_absent_one_end_in_time(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    world_start(&w, "127.0.0.1:0", names,
                (struct dialer_options){.connect_timeout_ms = 50, .proxy_timeout_ms = 50});
    proxy_start(&p, OK);
    p.silent = true;
    struct dialled r = through(&w, &p, "", "both.test", NULL);
    assert_int_equal(r.code, -ETIMEDOUT);
    assert_string_equal(r.info.error, "http_response_timeout");
    proxy_stop(&p);
    r = through(&w, &p, "", "both.test", NULL);
    assert_int_equal(r.code, -ECONNREFUSED);
    assert_string_equal(r.info.error, "connection_refused");
    assert_non_null(strstr(r.e.msg, "upstream_proxy proxy.test"));
    world_stop(&w);
    return 0;
}

ON_LOOP(a_silent_proxy_and_an_absent_one_end_in_time)

static void receive(struct io_fd *io, const char *want)
{
    char got[64] = "";
    for (size_t n = 0; n < strlen(want);) {
        ssize_t k = io_read(io, got + n, sizeof(got) - n);
        assert_true(k > 0);
        n += (size_t)k;
    }
    assert_string_equal(got, want);
}

static int what_the_origin_says_first_is_not_lost(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    proxy_start(&p, OK "SSH-2.0-x\r\n\r\n");
    struct dialled r = through(&w, &p, "", "both.test", NULL);
    assert_int_equal(r.code, 0);
    AUTO(io_fd) io;
    assert_int_equal(io_fd_add(&io, r.fd), 0);
    receive(&io, "SSH-2.0-x\r\n\r\n");
    assert_int_equal(io_write_all(&io, "ping", 4), 0);
    receive(&io, "ping");
    proxy_stop(&p);
    world_stop(&w);
    return 0;
}

ON_LOOP(what_the_origin_says_first_is_not_lost)

/* ---- by TLS ---- */

static int a_proxy_behind_tls_is_verified_and_carries_bytes(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    struct world authority;
    assert_int_equal(world_init(&authority), 0);
    struct tls_trust *trust = world_trust(authority.ca_file);
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){.proxy_trust = trust});
    proxy_start(&p, OK "first");
    p.tls = authority.ctx;
    p.identity = world_leaf(authority.ca, "localhost", false);
    struct dialled r = through(&w, &p, "", "both.test", NULL);
    if (r.code < 0)
        fail_msg("%s", r.e.msg);
    {
        AUTO(io_fd) io;
        assert_int_equal(io_fd_add(&io, r.fd), 0);
        receive(&io, "first");
        for (int i = 0; i < 200; i++) {
            assert_int_equal(io_write_all(&io, "a question of some length", 25), 0);
            receive(&io, "a question of some length");
        }
        assert_int_equal(shutdown(io.fd, SHUT_WR), 0);
        char c;
        assert_int_equal(io_read(&io, &c, 1), 0); /* half-close goes through, and comes back */
    }
    /* Another name's certificate. */
    cert_identity_unref(p.identity);
    p.identity = world_leaf(authority.ca, "other.test", false);
    r = through(&w, &p, "", "both.test", NULL);
    assert_int_equal(r.code, -E_TLS);
    assert_string_equal(r.info.error, "tls_certificate_error");
    cert_identity_unref(p.identity);
    p.identity = world_leaf(authority.ca, "localhost", false);
    r = through(&w, &p, "", "both.test", NULL);
    assert_int_equal(r.code, 0);
    /* A dialer that is freed breaks what goes through it. */
    AUTO(io_fd) io;
    assert_int_equal(io_fd_add(&io, r.fd), 0);
    receive(&io, "first");
    dialer_free(w.dialer);
    w.dialer = NULL;
    char c;
    assert_true(io_read(&io, &c, 1) <= 0);
    proxy_stop(&p);
    world_stop(&w);
    cert_identity_unref(p.identity);
    tls_trust_free(trust);
    assert_int_equal(world_done(&authority), 0);
    return 0;
}

ON_LOOP(a_proxy_behind_tls_is_verified_and_carries_bytes)

static int without_certificates_a_proxy_behind_tls_fails(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct proxy p;
    struct world authority;
    assert_int_equal(world_init(&authority), 0);
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    proxy_start(&p, OK);
    p.tls = authority.ctx;
    p.identity = world_leaf(authority.ca, "localhost", false);
    struct dialled r = through(&w, &p, "", "both.test", NULL);
    assert_int_equal(r.code, -E_TLS);
    assert_int_equal(p.asked, 0);
    proxy_stop(&p);
    world_stop(&w);
    cert_identity_unref(p.identity);
    assert_int_equal(world_done(&authority), 0);
    return 0;
}

ON_LOOP(without_certificates_a_proxy_behind_tls_fails)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_proxy_is_asked_for_the_checked_address),
        CASE(the_proxy_gets_a_name_only_when_the_policy_says_so),
        CASE(no_proxy_goes_direct),
        CASE(the_password_goes_to_the_proxy_and_nowhere_else),
        CASE(an_answer_is_told_in_words_about_the_policy),
        CASE(another_address_is_asked_for_when_one_cannot_be_reached),
        CASE(a_silent_proxy_and_an_absent_one_end_in_time),
        CASE(what_the_origin_says_first_is_not_lost),
        CASE(a_proxy_behind_tls_is_verified_and_carries_bytes),
        CASE(without_certificates_a_proxy_behind_tls_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
