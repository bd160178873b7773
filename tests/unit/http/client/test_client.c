/* test_client.c - the outbound client against a scripted peer on loopback, in the same loop. */
#include "unit/loop.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "http/client/client.h"
#include "io/sock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the peer does with its one connection: read a request head (and the body it announces), send
 * `answer` in pieces of `piece` bytes, then close unless `hang`. */
struct peer {
    const char *answer;
    size_t answer_len, piece;
    bool hang;
    int requests; /* how many requests on the connection are answered */
    char address[SOCK_ADDR_MAX];
    struct io_fd listener;
    char seen[8192];
    size_t seen_len;
};

static int peer_run(void *arg)
{
    struct peer *p = arg;
    int fd = sock_accept(&p->listener, NULL);
    if (fd < 0)
        return fd;
    struct stream s = {0};
    assert_int_equal(stream_from_fd(&s, fd), 0);
    int r = 0;
    for (int k = 0; k < (p->requests ? p->requests : 1) && r == 0; k++) {
        p->seen_len = 0;
        while (!memmem(p->seen, p->seen_len, "\r\n\r\n", 4)) {
            ssize_t n = stream_read(&s, p->seen + p->seen_len, sizeof(p->seen) - p->seen_len);
            if (n <= 0) {
                stream_done(&s);
                return 0;
            }
            p->seen_len += (size_t)n;
        }
        for (size_t at = 0; at < p->answer_len && r == 0;) {
            size_t n = p->piece && p->piece < p->answer_len - at ? p->piece : p->answer_len - at;
            r = stream_write(&s, p->answer + at, n);
            at += n;
            if (r == 0)
                r = fiber_yield();
        }
    }
    while (p->hang && r == 0)
        r = fiber_sleep_ms(1000);
    stream_done(&s);
    return 0;
}

struct setup {
    struct scope scope;
    struct peer peer;
    struct http_client *client;
    char url[256];
};

static void begin(struct setup *t, const char *answer, size_t n)
{
    struct err e = {0};
    *t = (struct setup){.peer = {.answer = answer, .answer_len = n, .listener = IO_FD_NONE}};
    scope_init(&t->scope);
    int fd = sock_listen("127.0.0.1:0", 8, t->peer.address, &e);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&t->peer.listener, fd), 0);
    t->client = http_client_new("test/1", &e);
    assert_non_null(t->client);
    snprintf(t->url, sizeof(t->url), "http://%s/path?q=1", t->peer.address);
}

static void start(struct setup *t)
{
    assert_int_equal(fiber_spawn(&t->scope, "peer", peer_run, &t->peer, NULL), 0);
}

static void end(struct setup *t)
{
    http_client_free(t->client);
    scope_done(&t->scope);
    io_fd_close(&t->peer.listener);
}

static int fetch(struct setup *t, size_t max, struct client_response *resp, struct err *e)
{
    struct client_header h[] = {{"x-test", "v"}};
    struct client_request q = {.method = "POST",
                               .url = t->url,
                               .headers = h,
                               .n_headers = 1,
                               .bearer = "tok",
                               .body = "hello",
                               .body_len = 5};
    return client_fetch(t->client, &q, max, resp, e);
}

static const struct {
    const char *name, *answer;
    size_t piece, max;
    int result, status;
    const char *body, *header, *header_value;
} table[] = {
    {"plain", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b c\r\n\r\nhi", 0, 100, 0, 200, "hi",
     "x-a", "b c"},
    {"byte by byte", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 1, 100, 0, 200, "hi", NULL,
     NULL},
    {"chunk longer than said",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n you\r\n0\r\n\r\n", 3,
     100, -E_CLOSED, 0, NULL, NULL, NULL},
    {"chunked right",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n4\r\n you\r\n0\r\n\r\n", 3,
     100, 0, 200, "hi you", NULL, NULL},
    {"no body", "HTTP/1.1 204 No Content\r\n\r\n", 0, 100, 0, 204, "", NULL, NULL},
    {"status is no error", "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 0,
     100, 0, 429, "", "retry-after", "7"},
    {"redirect is not followed",
     "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 0, 100, 0,
     302, "", "location", "http://127.0.0.1:1/"},
    {"too large", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsix123", 0, 5, -EMSGSIZE, 0, NULL,
     NULL, NULL},
    {"exactly at the ceiling", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfive5", 0, 5, 0, 200,
     "five5", NULL, NULL},
    {"cut short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 0, 100, -E_CLOSED, 0, NULL,
     NULL, NULL},
    {"no answer", "", 0, 100, -E_CLOSED, 0, NULL, NULL, NULL},
    {"not HTTP", "SSH-2.0-OpenSSH\r\n", 0, 100, -E_PROTO, 0, NULL, NULL, NULL},
    {"interim head",
     "HTTP/1.1 103 Early\r\nX-A: no\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-A: "
     "yes\r\n\r\n!",
     0, 100, 0, 200, "!", "x-a", "yes"},
};

static int every_answer_is_given_or_has_words(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        static struct setup t;
        begin(&t, table[i].answer, strlen(table[i].answer));
        t.peer.piece = table[i].piece;
        start(&t);
        struct client_response resp = {0};
        struct err e = {0};
        int r = fetch(&t, table[i].max, &resp, &e);
        if (r != table[i].result)
            fail_msg("%s: %d (%s), not %d", table[i].name, r, e.msg, table[i].result);
        if (r < 0) {
            if (!e.msg[0])
                fail_msg("%s: no words", table[i].name);
        } else {
            char value[64];
            assert_int_equal(resp.status, table[i].status);
            assert_string_equal(buf_str(&resp.body), table[i].body);
            if (table[i].header) {
                assert_non_null(
                    client_response_header(&resp, table[i].header, value, sizeof(value)));
                assert_string_equal(value, table[i].header_value);
            }
        }
        client_response_done(&resp);
        end(&t);
    }
    return 0;
}

static int a_request_is_sent_as_written_or_refused(void *arg)
{
    (void)arg;
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    static struct setup t;
    begin(&t, ok, sizeof(ok) - 1);
    start(&t);
    struct client_response resp = {0};
    struct err e = {0};
    assert_int_equal(fetch(&t, 100, &resp, &e), 0);
    t.peer.seen[t.peer.seen_len] = '\0';
    assert_non_null(strstr(t.peer.seen, "POST /path?q=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(t.peer.seen, "Authorization: Bearer tok\r\n"));
    assert_non_null(strstr(t.peer.seen, "x-test: v\r\n"));
    assert_non_null(strstr(t.peer.seen, "Content-Length: 5\r\n"));
    assert_null(strstr(t.peer.seen, "Expect:"));
    client_response_done(&resp);

    struct client_header bad[] = {{"x-a", "v\r\nEvil: 1"}};
    struct client_request q = {.method = "GET", .url = t.url, .headers = bad, .n_headers = 1};
    assert_int_equal(client_fetch(t.client, &q, 100, &resp, &e), -EINVAL);
    q = (struct client_request){.method = "GET", .url = "file:///etc/passwd"};
    assert_int_equal(client_fetch(t.client, &q, 100, &resp, &e), -EINVAL);
    q = (struct client_request){.method = "GET", .url = "http://127.0.0.1:1/"};
    assert_int_equal(client_fetch(t.client, &q, 100, &resp, &e), -ECONNREFUSED);
    end(&t);
    return 0;
}

static int fetch_and_report(void *arg)
{
    struct setup *t = arg;
    struct client_response resp = {0};
    struct err e = {0};
    int r = fetch(t, 100, &resp, &e);
    client_response_done(&resp);
    t->peer.requests = r; /* read by the test */
    return 0;
}

static int a_request_ends_by_cancel_and_by_deadline(void *arg)
{
    (void)arg;
    static struct setup t;
    begin(&t, "", 0);
    t.peer.hang = true;
    start(&t);
    struct scope s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "caller", fetch_and_report, &t, NULL), 0);
    while (t.peer.seen_len == 0) /* until the request is really under way */
        assert_int_equal(fiber_sleep_ms(1), 0);
    scope_cancel(&s);
    scope_done(&s);
    assert_int_equal(t.peer.requests, -ECANCELED);
    end(&t);

    begin(&t, "", 0);
    t.peer.hang = true;
    start(&t);
    struct client_response resp = {0};
    struct err e = {0};
    struct fiber_deadline d = fiber_deadline_push_ms(30);
    assert_int_equal(fetch(&t, 100, &resp, &e), -ETIMEDOUT);
    fiber_deadline_pop(&d);
    end(&t);
    return 0;
}

/* A reader slower than the peer: the transfer is paused and goes on, nothing is lost. */
static int a_slow_reader_loses_nothing(void *arg)
{
    (void)arg;
    size_t n = 3u << 20;
    char head[128];
    int head_len =
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    AUTO_FREE char *answer = mem_zalloc((size_t)head_len + n);
    memcpy(answer, head, (size_t)head_len);
    for (size_t i = 0; i < n; i++)
        answer[(size_t)head_len + i] = (char)(i * 31 >> 3);
    static struct setup t;
    begin(&t, answer, (size_t)head_len + n);
    t.peer.piece = 60000;
    start(&t);
    struct client_request q = {.method = "GET", .url = t.url};
    struct client_stream *s = NULL;
    struct client_response resp = {0};
    struct err e = {0};
    assert_int_equal(client_open(t.client, &q, &s, &resp, &e), 0);
    assert_int_equal(resp.status, 200);
    client_response_done(&resp);
    size_t got = 0;
    ssize_t k;
    char bytes[3000];
    while ((k = client_read(s, bytes, sizeof(bytes), &e)) > 0) {
        if (memcmp(bytes, answer + head_len + got, (size_t)k) != 0)
            fail_msg("bytes differ at %zu", got);
        got += (size_t)k;
        if (got % 7 == 0)
            assert_int_equal(fiber_yield(), 0);
    }
    assert_int_equal(k, 0);
    assert_int_equal(got, n);
    client_stream_close(s);
    end(&t);
    return 0;
}

/* Two requests of one client use one connection: the peer accepts only once. */
static int two_requests_use_one_connection(void *arg)
{
    (void)arg;
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.";
    static struct setup t;
    begin(&t, ok, sizeof(ok) - 1);
    t.peer.requests = 2;
    start(&t);
    for (int i = 0; i < 2; i++) {
        struct client_response resp = {0};
        struct err e = {0};
        struct client_request q = {.method = "GET", .url = t.url};
        assert_int_equal(client_fetch(t.client, &q, 100, &resp, &e), 0);
        client_response_done(&resp);
    }
    end(&t);
    return 0;
}

/* Reads one request; with `answer`, answers it. */
static int serve_one(struct stream *s, bool answer)
{
    char seen[2048];
    size_t n = 0;
    while (n < 5 || memcmp(seen + n - 5, "hello", 5) != 0) {
        ssize_t k = stream_read(s, seen + n, sizeof(seen) - n);
        if (k <= 0)
            return -E_CLOSED;
        n += (size_t)k;
    }
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.";
    return answer ? stream_write(s, ok, sizeof(ok) - 1) : 0;
}

/* Answers the first request of its first connection, takes the second and closes without a word; a
 * second connection is served as it should be. */
static int forgetful_peer(void *arg)
{
    struct peer *p = arg;
    for (int connection = 0; connection < 2; connection++) {
        int fd = sock_accept(&p->listener, NULL);
        if (fd < 0)
            return fd;
        struct stream s = {0};
        assert_int_equal(stream_from_fd(&s, fd), 0);
        for (int i = 0; i < 2; i++)
            if (serve_one(&s, connection > 0 || i == 0) == 0)
                p->requests++;
        stream_done(&s);
    }
    return 0;
}

/* The library repeats a request whose kept connection dies; with no_repeat it does not. */
static int what_must_not_happen_twice_is_sent_once(void *arg)
{
    (void)arg;
    for (int no_repeat = 0; no_repeat < 2; no_repeat++) {
        static struct setup t;
        begin(&t, "", 0);
        assert_int_equal(fiber_spawn(&t.scope, "peer", forgetful_peer, &t.peer, NULL), 0);
        const struct client_request q = {
            .method = "POST", .url = t.url, .body = "hello", .body_len = 5, .no_repeat = no_repeat};
        for (int i = 0; i < 2; i++) {
            struct client_response resp = {0};
            struct err e = {0};
            int r = client_fetch(t.client, &q, 100, &resp, &e);
            assert_int_equal(r, i && no_repeat ? -E_CLOSED : 0);
            client_response_done(&resp);
        }
        assert_int_equal(t.peer.requests, no_repeat ? 2 : 3);
        end(&t);
    }
    return 0;
}

/* Two connections are open at once, and each gets one request. */
static int patient_peer(void *arg)
{
    struct peer *p = arg;
    struct stream s[2];
    for (int i = 0; i < 2; i++) {
        int fd = sock_accept(&p->listener, NULL);
        if (fd < 0)
            return fd;
        assert_int_equal(stream_from_fd(&s[i], fd), 0);
        p->requests += serve_one(&s[i], true) == 0;
    }
    stream_done(&s[0]);
    stream_done(&s[1]);
    return 0;
}

/* A server may be about to close it. */
static int what_must_not_happen_twice_takes_no_idle_connection(void *arg)
{
    (void)arg;
    static struct setup t;
    begin(&t, "", 0);
    assert_int_equal(fiber_spawn(&t.scope, "peer", patient_peer, &t.peer, NULL), 0);
    const struct client_request q = {
        .method = "POST", .url = t.url, .body = "hello", .body_len = 5, .no_repeat = true};
    for (int i = 0; i < 2; i++) {
        struct client_response resp = {0};
        struct err e = {0};
        assert_int_equal(client_fetch(t.client, &q, 100, &resp, &e), 0);
        client_response_done(&resp);
        if (i == 0)
            assert_int_equal(fiber_sleep_ms(3200), 0);
    }
    assert_int_equal(t.peer.requests, 2);
    end(&t);
    return 0;
}

static int a_connection_goes_where_connect_to_says(void *arg)
{
    (void)arg;
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.";
    static struct setup t;
    begin(&t, ok, sizeof(ok) - 1);
    start(&t);
    AUTO_FREE char *rule = mem_printf("name.invalid:81:%s", t.peer.address);
    static const char *const none[] = {"",          "a:1:b",     "a:1:b:",  "a::b:1",
                                       ":1:b:2",    "a:1::2",    "a:1:b:0", "a:65536:b:1",
                                       "a:1:b:2:3", "[::1:1:b:2"};
    struct err e = {0};
    assert_int_equal(http_client_set_connect_to(t.client, "other.invalid:1:127.0.0.1:1", &e), 0);
    assert_int_equal(http_client_set_connect_to(t.client, rule, &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(none); i++) /* the last good one stays */
        assert_int_equal(http_client_set_connect_to(t.client, none[i], &e), -EINVAL);
    assert_string_equal(http_client_connect_target("[::1]:1:[::2]:3"), "[::2]:3");
    struct client_response resp = {0};
    const struct client_request q = {.method = "GET", .url = "http://name.invalid:81/"};
    assert_int_equal(client_fetch(t.client, &q, 100, &resp, &e), 0);
    assert_non_null(memmem(t.peer.seen, t.peer.seen_len, "Host: name.invalid:81\r\n", 23));
    client_response_done(&resp);
    end(&t);
    return 0;
}

ON_LOOP(every_answer_is_given_or_has_words)
ON_LOOP(what_must_not_happen_twice_is_sent_once)
ON_LOOP(what_must_not_happen_twice_takes_no_idle_connection)
ON_LOOP(a_connection_goes_where_connect_to_says)
ON_LOOP(a_request_is_sent_as_written_or_refused)
ON_LOOP(a_request_ends_by_cancel_and_by_deadline)
ON_LOOP(a_slow_reader_loses_nothing)
ON_LOOP(two_requests_use_one_connection)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_answer_is_given_or_has_words),
        CASE(a_request_is_sent_as_written_or_refused),
        CASE(a_request_ends_by_cancel_and_by_deadline),
        CASE(a_slow_reader_loses_nothing),
        CASE(two_requests_use_one_connection),
        CASE(what_must_not_happen_twice_is_sent_once),
        CASE(what_must_not_happen_twice_takes_no_idle_connection),
        CASE(a_connection_goes_where_connect_to_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
