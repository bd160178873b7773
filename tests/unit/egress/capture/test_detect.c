/* test_detect.c - what first bytes are, and how long they are waited for. */
#include "unit/egress/capture/hello.h"
#include "unit/loop.h"
#include "base/err.h"
#include "base/time.h"
#include "egress/capture/detect.h"
#include "io/client_hello.h"
#include "io/sock.h"

#include <sys/socket.h>
#include <unistd.h>

static enum detect_kind kind_of(const void *p, size_t n, bool ended, uint16_t port)
{
    struct detected d;
    detect_bytes(p, n, ended, port, &d);
    assert_int_equal(d.kind == DETECT_BAD_TLS, d.why != NULL);
    return d.kind;
}

#define ROW(bytes, port, ended, kind)                                                              \
    {                                                                                              \
        (bytes), sizeof(bytes) - 1, (port), (ended), (kind)                                        \
    }

static void a_table_of_first_bytes(void **state)
{
    static const struct {
        const char *p;
        size_t n;
        uint16_t port;
        bool ended;
        enum detect_kind kind;
    } rows[] = {
        ROW("", 443, false, DETECT_MORE),
        ROW("GET / HTTP/1.1\r\n", 80, false, DETECT_HTTP1),
        ROW("GET ", 80, false, DETECT_HTTP1),
        ROW("GET", 80, false, DETECT_MORE),
        ROW("GET", 80, true, DETECT_OTHER),
        ROW("GET\t/ HTTP/1.1\r\n", 80, false, DETECT_OTHER),
        ROW("GET\r / HTTP/1.1\r\n", 80, false, DETECT_OTHER),
        ROW(" GET / HTTP/1.1\r\n", 80, false, DETECT_OTHER),
        ROW("\r\nGET / HTTP/1.1\r\n", 80, false, DETECT_HTTP1),
        ROW("\r\n", 80, false, DETECT_MORE),
        ROW("\r", 80, false, DETECT_MORE),
        ROW("\rG", 80, false, DETECT_OTHER),
        ROW("\nGET / HTTP/1.1\r\n", 80, false, DETECT_OTHER),
        ROW("GET / HTTP/1.1\r\n", 443, false, DETECT_HTTP1),
        ROW("get / HTTP/1.1\r\n", 80, false, DETECT_HTTP1), /* its reader says what is wrong */
        ROW("PROPFIND / HTTP/1.1\r\n", 80, false, DETECT_HTTP1),
        ROW("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", 80, false, DETECT_MORE),
        ROW("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", 80, false, DETECT_OTHER),
        /* elsewhere the line tells */
        ROW("GET / HTTP/1.1\r\n", 8080, false, DETECT_HTTP1),
        ROW("GET / HTTP/1.1\n", 8080, false, DETECT_HTTP1),
        ROW("GET / HTTP/1.1", 8080, false, DETECT_MORE),
        ROW("GET / HTTP/1.1", 8080, true, DETECT_OTHER),
        ROW("GET key\r\n", 6379, false, DETECT_OTHER),
        ROW("GET /HTTP/1.1\r\n", 8080, false, DETECT_OTHER),
        ROW("GET / HTTP/x.1\r\n", 8080, false, DETECT_HTTP1), /* its reader says what is wrong */
        ROW("GET / HTTP/1.1 \r\n", 8080, false, DETECT_HTTP1),
        ROW("GET\t/\tHTTP/1.1\r\n", 8080, false, DETECT_HTTP1),
        ROW("GET / XHTTP/1.1\r\n", 8080, false, DETECT_OTHER),
        ROW("GET HTTP/\r\n", 8080, false, DETECT_HTTP1),
        ROW("GET HTTP\r\n", 8080, false, DETECT_OTHER),
        ROW("HELO me\r\n", 25, false, DETECT_OTHER),
        ROW("\r\nGET / HTTP/1.1\r\n", 8080, false, DETECT_OTHER),
        ROW("*1", 6379, false, DETECT_MORE), /* may begin a method */
        ROW("*1\r\n$4\r\nPING\r\n", 6379, false, DETECT_OTHER),
        /* HTTP/2 */
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 80, false, DETECT_HTTP2),
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", 50051, false, DETECT_HTTP2),
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n", 80, false, DETECT_MORE),
        ROW("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 80, false, DETECT_HTTP1),
        ROW("P", 80, false, DETECT_MORE),
        /* SSH */
        ROW("SSH-2.0-OpenSSH_9.2\r\n", 443, false, DETECT_SSH),
        ROW("SSH-", 22, false, DETECT_SSH),
        ROW("SSH", 22, false, DETECT_MORE),
        ROW("SSH / HTTP/1.1\r\n", 80, false, DETECT_HTTP1),
        /* others */
        ROW("\0\0\0\10\4\322\26\57", 5432, false, DETECT_OTHER), /* SSLRequest */
        ROW("\0", 443, false, DETECT_OTHER),
        ROW("\x80\x2e\1\0\2", 443, false, DETECT_OTHER), /* SSL 2 */
        ROW("\x16", 5000, false, DETECT_MORE),
        ROW("\x16", 5000, true, DETECT_OTHER),
        ROW("\x16x", 5000, false, DETECT_OTHER),
        ROW("\x16x", 443, false, DETECT_BAD_TLS),
        ROW("\x16", 443, false, DETECT_MORE),
        ROW("\x16\x03\x01\x00", 443, false, DETECT_MORE),
        ROW("\x16\x03\x01\x00", 443, true, DETECT_BAD_TLS),
        ROW("\x16\x03\x01\x00\x05\x02\x00\x00\x01x", 5000, false, DETECT_BAD_TLS),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum detect_kind k = kind_of(rows[i].p, rows[i].n, rows[i].ended, rows[i].port);
        if (k != rows[i].kind)
            fail_msg("row %zu, %s: %s", i, rows[i].p, detect_kind_text(k));
    }
}

static void a_verdict_does_not_depend_on_how_bytes_were_cut(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                        "SSH-2.0-x\r\n",
                                        "SEARCH / HTTP/1.1\r\n\r\n",
                                        "PRIVATE key\r\n",
                                        "\1\2\3\4"};
    static const uint16_t ports[] = {80, 443, 8080};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (size_t j = 0; j < ARRAY_LEN(ports); j++) {
            enum detect_kind all = kind_of(texts[i], strlen(texts[i]), false, ports[j]);
            assert_int_not_equal(all, DETECT_MORE);
            for (size_t n = 0; n < strlen(texts[i]); n++) {
                enum detect_kind k = kind_of(texts[i], n, false, ports[j]);
                if (k != all && k != DETECT_MORE)
                    fail_msg("%zu bytes of %s are %s", n, texts[i], detect_kind_text(k));
            }
        }
}

static void a_client_hello_says_name_and_protocols(void **state)
{
    struct hello h = hello_of("API.GitHub.com", "\2h2\10http/1.1");
    struct detected d;
    (void)state;
    for (size_t n = 1; n < h.n; n++)
        assert_int_equal(kind_of(h.p, n, false, 443), DETECT_MORE);
    detect_bytes(h.p, h.n, false, 443, &d);
    assert_int_equal(d.kind, DETECT_TLS);
    assert_true(d.has_sni);
    assert_string_equal(d.sni.text, "api.github.com");
    assert_true(d.alpn && d.alpn_h2 && d.alpn_http1);
    h = hello_of(NULL, NULL);
    detect_bytes(h.p, h.n, false, 8443, &d);
    assert_int_equal(d.kind, DETECT_TLS);
    assert_false(d.has_sni || d.alpn || d.alpn_h2 || d.alpn_http1);
    h = hello_of("x.example", "\3foo");
    detect_bytes(h.p, h.n, false, 443, &d);
    assert_true(d.alpn && !d.alpn_h2 && !d.alpn_http1);
}

static void a_server_name_that_is_no_host_is_refused(void **state)
{
    static const char *const names[] = {"10.0.0.1", "a..b", "a b", "0x7f.1", "[::1]", "*.example"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct hello h = hello_of(names[i], NULL);
        assert_int_equal(kind_of(h.p, h.n, false, 443), DETECT_BAD_TLS);
    }
}

static void a_line_without_end_is_no_http(void **state)
{
    static char line[DETECT_BYTES_MAX];
    (void)state;
    memset(line, 'a', sizeof(line));
    memcpy(line, "GET /", 5);
    assert_int_equal(kind_of(line, sizeof(line) - 1, false, 8080), DETECT_MORE);
    assert_int_equal(kind_of(line, sizeof(line), false, 8080), DETECT_OTHER);
}

/* ---- waiting ---- */

struct pair {
    struct io_fd ours;
    int theirs;
};

static void pair_begin(struct pair *p)
{
    int fds[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fds), 0);
    assert_int_equal(io_fd_add(&p->ours, fds[0]), 0);
    p->theirs = fds[1];
}

static void pair_end(struct pair *p)
{
    io_fd_close(&p->ours);
    if (p->theirs >= 0)
        (void)close(p->theirs);
}

static void say(struct pair *p, const void *bytes, size_t n)
{
    assert_int_equal(send(p->theirs, bytes, n, 0), n);
}

static const struct detect_limits short_ones = {.first_ms = 100, .silent_ms = 30};

struct slow {
    struct pair *p;
    struct hello h;
};

static int say_byte_by_byte(void *arg)
{
    struct slow *s = arg;
    for (size_t i = 0; i < s->h.n; i++) {
        say(s->p, s->h.p + i, 1);
        /* The last byte lets the other fiber end, and this one with it. */
        for (int k = 0; k < 3 && i + 1 < s->h.n; k++)
            assert_int_equal(fiber_yield(), 0);
    }
    return 0;
}

static int say_late(void *arg)
{
    struct slow *s = arg;
    time_test_advance(40 * NS_PER_MS);
    assert_int_equal(fiber_yield(), 0); /* the wait is over now, and its fiber behind this one */
    say(s->p, s->h.p, s->h.n);
    return 0;
}

static int a_hello_that_comes_byte_by_byte_is_understood_and_stays(void *arg)
{
    struct pair p;
    struct detected d;
    char left[600];
    (void)arg;
    pair_begin(&p);
    struct slow s = {.p = &p, .h = hello_of("api.github.com", "\2h2")};
    AUTO(scope) sc;
    scope_init(&sc);
    assert_int_equal(fiber_spawn(&sc, "slow", say_byte_by_byte, &s, NULL), 0);
    assert_int_equal(detect(&p.ours, 443, &(struct detect_limits){0}, &d), 0);
    assert_int_equal(d.kind, DETECT_TLS);
    assert_string_equal(d.sni.text, "api.github.com");
    assert_int_equal(io_read(&p.ours, left, sizeof(left)), s.h.n);
    assert_memory_equal(left, s.h.p, s.h.n);
    pair_end(&p);
    return 0;
}
ON_LOOP(a_hello_that_comes_byte_by_byte_is_understood_and_stays)

static int silence_is_an_answer_where_the_server_may_speak_first(void *arg)
{
    struct pair p;
    struct detected d;
    (void)arg;
    pair_begin(&p);
    int64_t from = time_mono_ns();
    assert_int_equal(detect(&p.ours, 3306, &short_ones, &d), 0);
    assert_int_equal(d.kind, DETECT_SILENT);
    assert_true(time_mono_ns() - from >= 30 * NS_PER_MS);
    pair_end(&p);
    return 0;
}
ON_LOOP(silence_is_an_answer_where_the_server_may_speak_first)

/* A busy process finds out late that time is up, and that something has come meanwhile. */
static int what_came_in_time_is_no_silence(void *arg)
{
    struct pair p;
    struct detected d;
    (void)arg;
    pair_begin(&p);
    time_test_set(time_mono_ns(), 0);
    struct slow s = {.p = &p, .h = hello_of("api.github.com", NULL)};
    AUTO(scope) sc;
    scope_init(&sc);
    assert_int_equal(fiber_spawn(&sc, "late", say_late, &s, NULL), 0);
    assert_int_equal(detect(&p.ours, 8443, &short_ones, &d), 0);
    assert_int_equal(d.kind, DETECT_TLS);
    time_test_reset();
    pair_end(&p);
    return 0;
}
ON_LOOP(what_came_in_time_is_no_silence)

static int silence_on_the_web_and_half_a_word_anywhere_are_too_late(void *arg)
{
    static const struct {
        uint16_t port;
        const char *said;
    } rows[] = {{80, ""}, {443, ""}, {443, "\x16"}, {80, "GE"}, {8080, "GET / HT"}, {22, "SSH"}};
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        struct detected d;
        pair_begin(&p);
        say(&p, rows[i].said, strlen(rows[i].said));
        int64_t from = time_mono_ns();
        assert_int_equal(detect(&p.ours, rows[i].port, &short_ones, &d), -ETIMEDOUT);
        assert_true(time_mono_ns() - from >= 100 * NS_PER_MS);
        pair_end(&p);
    }
    return 0;
}
ON_LOOP(silence_on_the_web_and_half_a_word_anywhere_are_too_late)

static int an_end_is_seen_behind_what_was_said(void *arg)
{
    struct pair p;
    struct detected d;
    (void)arg;
    pair_begin(&p);
    say(&p, "GET", 3);
    assert_int_equal(shutdown(p.theirs, SHUT_WR), 0);
    assert_int_equal(detect(&p.ours, 80, &(struct detect_limits){0}, &d), 0);
    assert_int_equal(d.kind, DETECT_OTHER);
    pair_end(&p);
    pair_begin(&p);
    (void)close(p.theirs);
    p.theirs = -1;
    assert_int_equal(detect(&p.ours, 3306, &(struct detect_limits){0}, &d), -E_CLOSED);
    pair_end(&p);
    return 0;
}
ON_LOOP(an_end_is_seen_behind_what_was_said)

/* What is waited for must not be what is there already: the fiber would spin until the deadline. */
static int waiting_for_more_does_not_spin(void *arg)
{
    struct pair p;
    struct detected d;
    struct fiber_stats before, after;
    (void)arg;
    pair_begin(&p);
    say(&p, "GET / HT", 8);
    fiber_get_stats(&before);
    assert_int_equal(detect(&p.ours, 8080, &short_ones, &d), -ETIMEDOUT);
    fiber_get_stats(&after);
    assert_true(after.switches - before.switches < 10);
    pair_end(&p);
    return 0;
}
ON_LOOP(waiting_for_more_does_not_spin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_of_first_bytes),
        cmocka_unit_test(a_verdict_does_not_depend_on_how_bytes_were_cut),
        cmocka_unit_test(a_client_hello_says_name_and_protocols),
        cmocka_unit_test(a_server_name_that_is_no_host_is_refused),
        cmocka_unit_test(a_line_without_end_is_no_http),
        CASE(a_hello_that_comes_byte_by_byte_is_understood_and_stays),
        CASE(silence_is_an_answer_where_the_server_may_speak_first),
        CASE(what_came_in_time_is_no_silence),
        CASE(silence_on_the_web_and_half_a_word_anywhere_are_too_late),
        CASE(an_end_is_seen_behind_what_was_said),
        CASE(waiting_for_more_does_not_spin),
    };
    return cmocka_run_group_tests_name("egress/capture/detect", tests, NULL, NULL);
}
