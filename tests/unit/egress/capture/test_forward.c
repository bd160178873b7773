/* test_forward.c - the explicit proxy: what is read, and what becomes of it. */
#include "unit/egress/capture/inside.h"
#include "base/json.h"
#include "egress/capture/forward.h"
#include "http/pipe/message.h"

/* ---- reading ---- */

static void a_table_of_heads(void **state)
{
    static const struct {
        const char *head;
        enum forward_kind kind;
        const char *host;
        unsigned port; /* or the status */
    } rows[] = {
        {"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n", FORWARD_CONNECT,
         "api.github.com", 443},
        {"CONNECT API.GitHub.com:443 HTTP/1.1\r\nHost: api.github.com\r\n\r\n", FORWARD_CONNECT,
         "api.github.com", 443},
        {"CONNECT api.github.com:443 HTTP/1.0\r\n\r\n", FORWARD_CONNECT, "api.github.com", 443},
        {"CONNECT 10.0.0.1:5432 HTTP/1.1\r\nHost: 10.0.0.1:5432\r\n\r\n", FORWARD_CONNECT,
         "10.0.0.1", 5432},
        {"CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\n\r\n", FORWARD_CONNECT,
         "[fd00::1]", 443},
        {"CONNECT api.github.com:443 HTTP/1.1\r\nHost: a:1\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"CONNECT api.github.com HTTP/1.1\r\nHost: api.github.com\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"CONNECT api.github.com: HTTP/1.1\r\nHost: api.github.com\r\n\r\n", FORWARD_BAD, NULL,
         400},
        {"CONNECT 0x7f.1:443 HTTP/1.1\r\nHost: 0x7f.1:443\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"CONNECT u@api.github.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"CONNECT http://api.github.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\nContent-Length: "
         "1\r\n\r\nx",
         FORWARD_BAD, NULL, 400},
        {"connect api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n", FORWARD_BAD,
         NULL, 400},
        {"CONNECT\tapi.github.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"CONNECT api.github.com:443 HTTP/1.1\nHost: a\n\n", FORWARD_BAD, NULL, 400},
        {"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n", FORWARD_ABSOLUTE,
         "a.example", 80},
        {"GET http://a.example:8080 HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", FORWARD_ABSOLUTE,
         "a.example", 8080},
        {"OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", FORWARD_ABSOLUTE,
         "a.example", 80},
        {"GET http://a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"GET https://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"GET http://u:p@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"GET http://egress.sallyport/ca.pem HTTP/1.1\r\nHost: egress.sallyport\r\n\r\n",
         FORWARD_SELF, "egress.sallyport", 80},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", FORWARD_OPTIONS, NULL, 0},
        {"PRI * HTTP/2.0\r\n\r\n", FORWARD_BAD, NULL, 400},
        {"\x16\x03\x01\x00\x05", FORWARD_BAD, NULL, 400},
        {"\5\1\0", FORWARD_BAD, NULL, 400}, /* SOCKS 5 */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct forward_head h;
        size_t n = strlen(rows[i].head);
        if (i == ARRAY_LEN(rows) - 1)
            n = 3;
        int r = forward_read(rows[i].head, n, &h);
        if (r < 0 || h.kind != rows[i].kind)
            fail_msg("%s: %d, kind %d, %s", rows[i].head, r, h.kind, h.why);
        if (h.kind == FORWARD_BAD) {
            if (h.status != (int)rows[i].port || !h.why[0])
                fail_msg("%s: %d %s", rows[i].head, h.status, h.why);
            continue;
        }
        assert_int_equal(h.bytes, n);
        if (rows[i].host)
            assert_string_equal(h.host.text, rows[i].host);
        assert_int_equal(h.port, rows[i].port);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(forward_read(rows[i].head, k, &h), -EAGAIN);
    }
}

static void what_was_for_the_proxy_is_taken_off(void **state)
{
    struct http_head h;
    (void)state;
    http_head_init(&h);
    assert_int_equal(http_head_add(&h, HTTP_TEXT("proxy-authorization"), HTTP_TEXT("Basic eDp5")),
                     0);
    assert_int_equal(http_head_add(&h, HTTP_TEXT("authorization"), HTTP_TEXT("Bearer x")), 0);
    assert_int_equal(http_head_add(&h, HTTP_TEXT("proxy-authorization"), HTTP_TEXT("Basic eDp6")),
                     0);
    forward_strip(&h);
    assert_int_equal(h.fields.n, 1);
    assert_true(http_text_eq(h.fields.items[0].name, "authorization"));
    http_head_done(&h);
}

/* ---- serving ---- */

#define PROXY "127.0.0.1:3128"
static const struct front_options quick = {.detect = {.first_ms = 200, .silent_ms = 30}};

static void connect_head(const char *target, char ret[200])
{
    (void)snprintf(ret, 200,
                   "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic eDp5\r\n\r\n",
                   target, target);
}

/* Asks for a tunnel; what comes back up to the empty line goes to `ret`. */
static void tunnel(const char *target, struct io_fd *io, char *ret, size_t room)
{
    char head[200];
    connect_head(target, head);
    inside_connect(PROXY, io);
    assert_int_equal(io_write_all(io, head, strlen(head)), 0);
    size_t n = 0;
    do {
        ssize_t k = io_read(io, ret + n, 1);
        assert_int_equal(k, 1);
        n++;
        ret[n] = '\0';
        assert_true(n < room - 1);
    } while (!strstr(ret, "\r\n\r\n"));
}

static int a_tunnel_is_a_connection_to_its_target(void *arg)
{
    static const struct {
        const char *target, *sni, *line;
    } rows[] = {
        {"api.github.com:443", "api.github.com",
         "TLS api.github.com:443 resolved=- target=api.github.com sni=api.github.com each=0 "
         "disagree=0 read=75\n"},
        {"api.github.com:443", NULL,
         "TLS api.github.com:443 resolved=- target=api.github.com sni=- each=0 disagree=0 "
         "read=52\n"},
        {"API.github.com:80", NULL,
         "TLS api.github.com:80 resolved=- target=api.github.com sni=- each=0 disagree=0 "
         "read=52\n"},
        {"db.internal:5432", NULL,
         "TLS db.internal:5432 resolved=- target=db.internal sni=- each=0 disagree=0 read=52\n"},
        {"198.18.0.10:5432", NULL, /* its synthetic address */
         "TLS db.internal:5432 resolved=db.internal target=db.internal sni=- each=0 disagree=0 "
         "read=52\n"},
        {"[fd73:616c:6c79::a]:5432", NULL,
         "TLS db.internal:5432 resolved=db.internal target=db.internal sni=- each=0 disagree=0 "
         "read=52\n"},
    };
    static struct inside in;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct io_fd io;
        char got[1024];
        struct hello h = hello_of(rows[i].sni, NULL);
        tunnel(rows[i].target, &io, got, sizeof(got));
        assert_string_equal(got, "HTTP/1.1 200 Connection established\r\n\r\n");
        assert_int_equal(io_write_all(&io, h.p, h.n), 0);
        assert_true(inside_read_all(&io, got, sizeof(got)) > 0);
        assert_string_equal(got, rows[i].line);
        io_fd_close(&io);
    }
    assert_int_equal(in.n_notes, 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(a_tunnel_is_a_connection_to_its_target)

/* The head of a tunnel and the first bytes in it may come in one segment. */
static int what_follows_the_head_stays_for_the_tunnel(void *arg)
{
    static struct inside in;
    char got[1024], said[1000];
    struct hello h = hello_of("api.github.com", NULL);
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    connect_head("api.github.com:443", said);
    size_t n = strlen(said);
    memcpy(said + n, h.p, h.n);
    assert_true(inside_say(PROXY, said, n + h.n, got, sizeof(got)) > 0);
    assert_string_equal(got, "HTTP/1.1 200 Connection established\r\n\r\n"
                             "TLS api.github.com:443 resolved=- target=api.github.com "
                             "sni=api.github.com each=0 disagree=0 read=75\n");
    inside_end(&in);
    return 0;
}
ON_LOOP(what_follows_the_head_stays_for_the_tunnel)

static int the_places_in_a_tunnel_have_to_agree(void *arg)
{
    static struct inside in;
    struct io_fd io;
    char got[1024], want[40];
    struct hello h = hello_of("evil.example", NULL);
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    tunnel("api.github.com:443", &io, got, sizeof(got));
    assert_int_equal(io_write_all(&io, h.p, h.n), 0);
    assert_true(inside_read_all(&io, got, sizeof(got)) > 0);
    (void)snprintf(want, sizeof(want), "disagree=%d ", -E_DENIED);
    assert_non_null(strstr(got, want));
    assert_int_equal(in.n_notes, 1);
    assert_int_equal(in.notes[0].why, FRONT_DISAGREE);
    io_fd_close(&io);
    /* SSH within 443, too */
    tunnel("api.github.com:443", &io, got, sizeof(got));
    assert_int_equal(io_write_all(&io, "SSH-2.0-x\r\n", 11), 0);
    assert_int_equal(inside_read_all(&io, got, sizeof(got)), -ECONNRESET);
    assert_int_equal(in.notes[1].why, FRONT_WRONG_PROTOCOL);
    io_fd_close(&io);
    inside_end(&in);
    return 0;
}
ON_LOOP(the_places_in_a_tunnel_have_to_agree)

/* Status and JSON body of the answer to `head`. */
static json_t *refused(const char *head, int status)
{
    char got[3000], line[20];
    ssize_t n = inside_say(PROXY, head, strlen(head), got, sizeof(got));
    if (n <= 0)
        fail_msg("%s: %zd", head, n);
    (void)snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    if (strncmp(got, line, strlen(line)) != 0)
        fail_msg("%s\n%s", head, got);
    assert_non_null(strstr(got, "\r\nProxy-Status: sallyport; error="));
    assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
    const char *body = strstr(got, "\r\n\r\n");
    assert_non_null(body);
    json_t *j = NULL;
    struct err e = {0};
    if (json_parse(body + 4, strlen(body + 4), &j, &e) < 0)
        fail_msg("%s", e.msg);
    return j;
}

static const char *message(json_t *j)
{
    return json_string_value(json_object_get(json_object_get(j, "error"), "message"));
}

static int refusals_are_in_words(void *arg)
{
    static const struct {
        const char *target;
        int status;
        enum front_why why;
    } rows[] = {
        {"other.example:443", 403, FRONT_DENIED},
        {"api.github.com:22", 403, FRONT_DENIED},
        {"10.0.0.1:443", 403, FRONT_DENIED},
        {"localhost:443", 403, FRONT_DENIED},
        {"a.b.c.d.e.f.pypi.example:443", 403, FRONT_DENIED},
        {"198.18.77.77:443", 403, FRONT_NO_NAME},
        {"api.github.com", 400, FRONT_BAD_REQUEST},
    };
    static struct inside in;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char head[200];
        connect_head(rows[i].target, head);
        AUTO_JSON json_t *j = refused(head, rows[i].status);
        assert_non_null(message(j));
        assert_int_equal(in.n_notes, i + 1);
        assert_int_equal(in.notes[i].why, rows[i].why);
    }
    AUTO_JSON json_t *j = refused("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    assert_non_null(strstr(message(j), "This is a proxy"));
    assert_int_equal(in.served, 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(refusals_are_in_words)

static int names_of_a_wildcard_are_counted_in_tunnels_too(void *arg)
{
    static struct inside in;
    char head[200], target[60], got[1024];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    for (int i = 0; i < 3; i++) {
        struct io_fd io;
        (void)snprintf(target, sizeof(target), "n%d.pypi.example:443", i);
        tunnel(target, &io, got, sizeof(got));
        assert_memory_equal(got, "HTTP/1.1 200", 12);
        io_fd_close(&io);
    }
    connect_head("n3.pypi.example:443", head);
    AUTO_JSON json_t *j = refused(head, 429);
    assert_non_null(message(j));
    assert_int_equal(in.n_notes, 1);
    assert_int_equal(in.notes[0].why, FRONT_NAMES_TOO_MANY);
    assert_string_equal(in.notes[0].host, "n3.pypi.example");
    assert_int_equal(in.notes[0].port, 443);
    inside_end(&in);
    return 0;
}
ON_LOOP(names_of_a_wildcard_are_counted_in_tunnels_too)

static int requests_in_absolute_form_are_handed_on_unread(void *arg)
{
    static struct inside in;
    static const char q[] = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
    char got[1024];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    assert_true(inside_say(PROXY, q, sizeof(q) - 1, got, sizeof(got)) > 0);
    assert_string_equal(got, "HTTP/1 -:0 resolved=- target=- sni=- each=1 disagree=0 read=51\n");
    inside_end(&in);
    return 0;
}
ON_LOOP(requests_in_absolute_form_are_handed_on_unread)

static int the_proxy_tells_about_itself(void *arg)
{
    static struct inside in;
    static const char star[] = "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char ca[] =
        "HEAD http://egress.sallyport/ca.pem HTTP/1.1\r\nHost: egress.sallyport\r\n\r\n";
    char got[1024];
    struct io_fd io;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    assert_true(inside_say(PROXY, star, sizeof(star) - 1, got, sizeof(got)) > 0);
    assert_memory_equal(got, "HTTP/1.1 200 ", 13);
    assert_non_null(strstr(got, "\r\nAllow: CONNECT, "));
    assert_true(inside_say(PROXY, ca, sizeof(ca) - 1, got, sizeof(got)) > 0);
    assert_memory_equal(got, "HTTP/1.1 200 ", 13);
    assert_non_null(strstr(got, "\r\nContent-Length: 28\r\n"));
    assert_memory_equal(got + strlen(got) - 4, "\r\n\r\n", 4);
    tunnel("egress.sallyport:80", &io, got, sizeof(got));
    assert_int_equal(
        io_write_all(&io, "GET /ca.pem HTTP/1.1\r\nHost: egress.sallyport\r\n\r\n", 48), 0);
    assert_true(inside_read_all(&io, got, sizeof(got)) > 0);
    assert_non_null(strstr(got, "-----BEGIN CERTIFICATE-----\n"));
    io_fd_close(&io);
    assert_int_equal(in.served + in.n_notes, 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(the_proxy_tells_about_itself)

static int another_policy_decides_from_then_on(void *arg)
{
    static struct inside in;
    char head[200], got[1024];
    struct io_fd io;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    tunnel("api.github.com:443", &io, got, sizeof(got));
    assert_memory_equal(got, "HTTP/1.1 200", 12);
    io_fd_close(&io);
    struct policy *p = load("allow: [other.example]\n");
    front_binding_set_policy(in.binding, p);
    policy_unref(p);
    connect_head("api.github.com:443", head);
    AUTO_JSON json_t *j = refused(head, 403);
    assert_non_null(message(j));
    tunnel("other.example:443", &io, got, sizeof(got));
    assert_memory_equal(got, "HTTP/1.1 200", 12);
    io_fd_close(&io);
    inside_end(&in);
    return 0;
}
ON_LOOP(another_policy_decides_from_then_on)

static int half_a_head_at_the_end_is_answered(void *arg)
{
    static struct inside in;
    struct io_fd io;
    char got[1024];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    inside_connect(PROXY, &io);
    assert_int_equal(io_write_all(&io, "CONNECT a", 9), 0);
    assert_int_equal(shutdown(io.fd, SHUT_WR), 0);
    assert_true(inside_read_all(&io, got, sizeof(got)) > 0);
    assert_memory_equal(got, "HTTP/1.1 400 ", 13);
    io_fd_close(&io);
    inside_end(&in);
    return 0;
}
ON_LOOP(half_a_head_at_the_end_is_answered)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_of_heads),
        cmocka_unit_test(what_was_for_the_proxy_is_taken_off),
        CASE(a_tunnel_is_a_connection_to_its_target),
        CASE(what_follows_the_head_stays_for_the_tunnel),
        CASE(the_places_in_a_tunnel_have_to_agree),
        CASE(refusals_are_in_words),
        CASE(names_of_a_wildcard_are_counted_in_tunnels_too),
        CASE(requests_in_absolute_form_are_handed_on_unread),
        CASE(the_proxy_tells_about_itself),
        CASE(another_policy_decides_from_then_on),
        CASE(half_a_head_at_the_end_is_answered),
    };
    if (!inside_network())
        return 77; /* an ordinary user gets no network here: skipped */
    return cmocka_run_group_tests_name("egress/capture/forward", tests, NULL, NULL);
}
