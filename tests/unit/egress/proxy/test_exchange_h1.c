/* test_exchange_h1.c - exchanges between real HTTP/1.1 connections: the sandbox and the origin are
 * sockets that say bytes, so what is on the wire is what counts. */
#include "unit/egress/proxy/harness.h"

#include <sys/socket.h>

#include "io/sock.h"
#include "io/stream.h"

struct wire {
    struct harness h;
    struct stream client, served, origin, asked; /* ours, theirs; ours, theirs */
    struct http_link *link;
    struct exchange_calls calls;
    struct buf from_client, from_origin;
    bool served_over;
    size_t links;
};

static int wire_origin(void *arg, const struct exchange_want *want, struct exchange_origin *ret,
                       const char **ret_type, struct err *e)
{
    struct wire *w = CONTAINER_OF(arg, struct wire, h);
    (void)want;
    (void)ret_type;
    int r = 0;
    if (!w->link) {
        struct http_link_options o = {.tls = true};
        r = http_link_new(HTTP_1_1, &w->asked, &o, &w->link, e);
        w->links++;
    }
    *ret = (struct exchange_origin){.peer = "93.184.216.34", .hold = w};
    return r < 0 ? r : http_link_ask(w->link, &ret->pipe);
}

static void wire_origin_done(void *arg, struct exchange_origin *o)
{
    struct wire *w = CONTAINER_OF(arg, struct wire, h);
    (void)o;
    if (http_link_ended(w->link)) {
        http_link_free(w->link);
        w->link = NULL;
    }
}

static void serve(void *arg, struct http_pipe *p)
{
    struct wire *w = arg;
    exchange_run(&w->h.world, p);
}

static int run_server(void *arg)
{
    struct wire *w = arg;
    struct http_serve_options o = {.tls = true, .serve = serve, .arg = w};
    struct err e;
    (void)!http_serve(HTTP_1_1, &w->served, &o, &e);
    w->served_over = true;
    stream_done(&w->served);
    return 0;
}

static void pair(struct stream *a, struct stream *b)
{
    int fds[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fds), 0);
    assert_int_equal(stream_from_fd(a, fds[0]), 0);
    assert_int_equal(stream_from_fd(b, fds[1]), 0);
}

static void wire_start(struct wire *w, const char *policy)
{
    *w = (struct wire){.from_client = BUF_INIT(64 << 20), .from_origin = BUF_INIT(64 << 20)};
    harness_start(&w->h, policy, HTTP_1_1);
    w->calls = *w->h.world.calls;
    w->calls.origin = wire_origin;
    w->calls.origin_done = wire_origin_done;
    w->h.world.calls = &w->calls;
    pair(&w->client, &w->served);
    pair(&w->origin, &w->asked);
    assert_int_equal(fiber_spawn(&w->h.scope, "server", run_server, w, NULL), 0);
}

static void wire_end(struct wire *w)
{
    stream_done(&w->client);
    stream_done(&w->origin);
    while (!w->served_over)
        assert_int_equal(fiber_sleep_ms(1), 0); /* it has nobody to tell but us */
    http_link_free(w->link);
    w->h.over = w->h.client.closed = true;
    harness_end(&w->h);
    buf_done(&w->from_client);
    buf_done(&w->from_origin);
}

static void say(struct stream *s, const char *text)
{
    assert_int_equal(stream_write(s, text, strlen(text)), 0);
}

/* Reads until `text` stands in what came. */
static void await(struct stream *s, struct buf *b, const char *text)
{
    struct fiber_deadline d = fiber_deadline_push_ms(10000);
    while (!b->data || !strstr(b->data, text)) {
        char *to = buf_room(b, 65536);
        ssize_t n = stream_read(s, to, 65536);
        if (n <= 0)
            fail_msg("waited for %s (%zd); got:\n%s", text, n, buf_str(b));
        buf_commit(b, (size_t)n);
    }
    fiber_deadline_pop(&d);
}

static int a_small_get_goes_through_two_real_connections(void *arg)
{
    (void)arg;
    static struct wire w;
    wire_start(&w, POLICY);
    for (int i = 0; i < 3; i++) { /* the same two connections */
        say(&w.client,
            "GET /v1/x HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer " PLACEHOLDER
            "\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
            "Proxy-Connection: keep-alive\r\nX-End: 2\r\n\r\n");
        await(&w.origin, &w.from_client, "\r\n\r\n");
        /* A13: what belongs to one connection does not go on */
        assert_string_equal(
            w.from_client.data,
            "GET /v1/x HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer " SECRET
            "\r\nX-End: 2\r\naccept-encoding: identity\r\n\r\n");
        say(&w.origin,
            "HTTP/1.1 200 OK\r\nContent-Length: 37\r\nConnection: x-mine\r\nX-Mine: 1\r\n"
            "X-Theirs: 2\r\n\r\ngot " SECRET "!");
        await(&w.client, &w.from_origin, "!");
        assert_string_equal(w.from_origin.data,
                            "HTTP/1.1 200 OK\r\nX-Theirs: 2\r\nContent-Length: 43\r\n\r\n"
                            "got " PLACEHOLDER "!");
        buf_reset(&w.from_client);
        buf_reset(&w.from_origin);
    }
    assert_int_equal(w.links, 1);
    wire_end(&w);
    return 0;
}
ON_LOOP(a_small_get_goes_through_two_real_connections)

static int what_frames_a_message_is_written_anew(void *arg) /* A8 */
{
    (void)arg;
    static struct wire w;
    wire_start(&w, POLICY);
    /* two lengths that agree, a chunk extension, an odd case: none of it goes on */
    say(&w.client, "POST /v1/x HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: Chunked\r\n"
                   "Content-Type: text/csv\r\n\r\n0005;x=y\r\nhello\r\n0\r\n\r\n"
                   /* a second request behind it: it is one of its own, and judged as one */
                   "GET /v2/denied HTTP/1.1\r\nHost: api.example\r\n\r\n");
    await(&w.origin, &w.from_client, "0\r\n\r\n");
    assert_string_equal(w.from_client.data,
                        "POST /v1/x HTTP/1.1\r\nHost: api.example\r\nContent-Type: text/csv\r\n"
                        "accept-encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "5\r\nhello\r\n0\r\n\r\n");
    say(&w.origin, "HTTP/1.1 204 No Content\r\n\r\n");
    await(&w.client, &w.from_origin, "HTTP/1.1 204");
    await(&w.client, &w.from_origin, "HTTP/1.1 403");
    await(&w.client, &w.from_origin, "egress_denied");
    wire_end(&w);
    return 0;
}
ON_LOOP(what_frames_a_message_is_written_anew)

static int a_client_that_expects_100_gets_the_origins(void *arg)
{
    (void)arg;
    static struct wire w;
    wire_start(&w, POLICY);
    say(&w.client, "POST /v1/x HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n"
                   "Content-Type: text/csv\r\nExpect: 100-continue\r\n\r\n");
    await(&w.origin, &w.from_client, "Expect: 100-continue\r\n\r\n");
    say(&w.origin, "HTTP/1.1 100 Continue\r\n\r\n");
    await(&w.client, &w.from_origin, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&w.client, "hello");
    await(&w.origin, &w.from_client, "hello");
    say(&w.origin, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await(&w.client, &w.from_origin, "\r\n\r\nok");
    assert_null(strstr(strstr(w.from_origin.data, "100 Continue") + 4, "100 Continue")); /* once */
    wire_end(&w);
    return 0;
}
ON_LOOP(a_client_that_expects_100_gets_the_origins)

static int a_stream_of_events_has_no_delay(void *arg) /* A19 */
{
    (void)arg;
    static struct wire w;
    wire_start(&w, POLICY);
    say(&w.client, "GET /v1/x HTTP/1.1\r\nHost: api.example\r\n\r\n");
    await(&w.origin, &w.from_client, "\r\n\r\n");
    say(&w.origin, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n");
    await(&w.client, &w.from_origin, "\r\n\r\n"); /* the head alone */
    say(&w.origin, "b\r\ndata: one\n\n\r\n");
    await(&w.client, &w.from_origin, "data: one\n\n");
    say(&w.origin, "b\r\ndata: two\n\n\r\n");
    await(&w.client, &w.from_origin, "data: two\n\n");
    say(&w.origin, "0\r\n\r\n");
    await(&w.client, &w.from_origin, "0\r\n\r\n");
    wire_end(&w);
    return 0;
}
ON_LOOP(a_stream_of_events_has_no_delay)

static int a_length_that_lies_is_passed_on_as_a_cut(void *arg)
{
    (void)arg;
    static struct wire w;
    wire_start(&w, POLICY);
    say(&w.client, "GET /v1/x HTTP/1.1\r\nHost: api.example\r\n\r\n");
    await(&w.origin, &w.from_client, "\r\n\r\n");
    say(&w.origin, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nonly this");
    await(&w.client, &w.from_origin, "only this");
    stream_done(&w.origin);
    char rest[256];
    ssize_t n;
    do
        n = stream_read(&w.client, rest, sizeof(rest));
    while (n > 0);
    assert_null(strstr(buf_str(&w.from_origin), "0\r\n\r\n"));
    harness_await_log(&w.h, "reason=origin_cut");
    wire_end(&w);
    return 0;
}
ON_LOOP(a_length_that_lies_is_passed_on_as_a_cut)

static int a_huge_head_and_what_is_no_http_are_502(void *arg)
{
    (void)arg;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        NULL, /* a head without an end */
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        static struct wire w;
        wire_start(&w, POLICY);
        say(&w.client, "GET /v1/x HTTP/1.1\r\nHost: api.example\r\n\r\n");
        await(&w.origin, &w.from_client, "\r\n\r\n");
        if (answers[i]) {
            say(&w.origin, answers[i]);
        } else {
            AUTO(buf) head = BUF_INIT(1 << 20);
            (void)buf_adds(&head, "HTTP/1.1 200 OK\r\n");
            while (head.len < 300000)
                (void)buf_adds(&head,
                               "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
            /* nobody reads it to its end */
            (void)!stream_write(&w.origin, head.data, head.len);
        }
        await(&w.client, &w.from_origin, "HTTP/1.1 502");
        await(&w.client, &w.from_origin, "\"bad_answer\"");
        wire_end(&w);
    }
    return 0;
}
ON_LOOP(a_huge_head_and_what_is_no_http_are_502)

static int a_websocket_is_opened_over_real_connections(void *arg)
{
    (void)arg;
    static struct wire w;
    wire_start(&w, POLICY);
    say(&w.client,
        "GET /v1/ws HTTP/1.1\r\nHost: api.example\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    await(&w.origin, &w.from_client, "\r\n\r\n");
    assert_non_null(strstr(w.from_client.data, "Upgrade: websocket\r\nConnection: Upgrade\r\n"));
    assert_null(strcasestr(w.from_client.data, "extensions"));
    say(&w.origin,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello");
    await(&w.client, &w.from_origin, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    await(&w.client, &w.from_origin, "\x81\x05hello");
    say(&w.client, "\x81\x85"
                   "aaaa"
                   "\x09\x04\x0d\x0d\x0e"); /* hello, masked */
    buf_reset(&w.from_client);
    await(&w.origin, &w.from_client, "\x81\x85");
    wire_end(&w);
    return 0;
}
ON_LOOP(a_websocket_is_opened_over_real_connections)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_small_get_goes_through_two_real_connections),
        CASE(what_frames_a_message_is_written_anew),
        CASE(a_client_that_expects_100_gets_the_origins),
        CASE(a_stream_of_events_has_no_delay),
        CASE(a_length_that_lies_is_passed_on_as_a_cut),
        CASE(a_huge_head_and_what_is_no_http_are_502),
        CASE(a_websocket_is_opened_over_real_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
