/* test_exchange_h2.c - exchanges between real HTTP/2 connections: client and origin are the other sides
 * of the same code, so what is looked at is what passes through two of them. */
#include "unit/egress/proxy/harness.h"

#include <stdio.h>
#include <sys/socket.h>

#include "http/wire/ws.h"
#include "io/sock.h"
#include "io/stream.h"

struct wire {
    struct harness h;
    struct stream served, origin; /* our serving ends */
    struct http_link *asks, *link;
    struct exchange_calls calls;
    struct scope scope;
    void (*answer)(struct wire *w, struct http_pipe *p); /* what the origin does */
    struct buf asked;                                    /* what the origin read */
    struct waitq changed;
    bool origin_cut, origin_asked;
    size_t serving; /* of both servers */
};

static int wire_origin(void *arg, const struct exchange_want *want, struct exchange_origin *ret,
                       const char **ret_type, struct err *e)
{
    struct wire *w = CONTAINER_OF(arg, struct wire, h);
    (void)ret_type;
    (void)e;
    assert_int_equal(want->version, HTTP_2);
    *ret = (struct exchange_origin){.reused = true, .peer = "93.184.216.34", .hold = w};
    return http_link_ask(w->link, &ret->pipe);
}

static void wire_origin_done(void *arg, struct exchange_origin *o)
{
    (void)arg;
    (void)o;
}

static void serve_exchange(void *arg, struct http_pipe *p)
{
    struct wire *w = arg;
    exchange_run(&w->h.world, p);
}

static void serve_origin(void *arg, struct http_pipe *p)
{
    struct wire *w = arg;
    w->origin_asked = true;
    waitq_wake_all(&w->changed);
    w->answer(w, p);
    http_pipe_close(p);
}

static int run_server(struct wire *w, struct stream *s, void (*serve)(void *, struct http_pipe *))
{
    struct http_serve_options o = {.tls = true, .serve = serve, .arg = w, .connect_protocol = true};
    struct err e;
    (void)!http_serve(HTTP_2, s, &o, &e);
    stream_done(s);
    w->serving--;
    waitq_wake_all(&w->changed);
    return 0;
}

static int run_served(void *arg)
{
    struct wire *w = arg;
    return run_server(w, &w->served, serve_exchange);
}

static int run_origin(void *arg)
{
    struct wire *w = arg;
    return run_server(w, &w->origin, serve_origin);
}

static struct http_link *join(struct stream *serves)
{
    int fds[2];
    struct stream asks;
    struct http_link *l = NULL;
    struct err e = {0};
    struct http_link_options o = {.tls = true};
    assert_int_equal(sock_pair(SOCK_STREAM, fds), 0);
    assert_int_equal(stream_from_fd(serves, fds[0]), 0);
    assert_int_equal(stream_from_fd(&asks, fds[1]), 0);
    if (http_link_new(HTTP_2, &asks, &o, &l, &e) < 0)
        fail_msg("%s", e.msg);
    return l;
}

static void wire_start(struct wire *w, void (*answer)(struct wire *w, struct http_pipe *p))
{
    *w = (struct wire){.answer = answer, .asked = BUF_INIT(1 << 20), .serving = 2};
    waitq_init(&w->changed);
    harness_start(&w->h, POLICY, HTTP_2);
    w->calls = *w->h.world.calls;
    w->calls.origin = wire_origin;
    w->calls.origin_done = wire_origin_done;
    w->h.world.calls = &w->calls;
    scope_init(&w->scope);
    w->asks = join(&w->served);
    w->link = join(&w->origin);
    assert_int_equal(fiber_spawn(&w->scope, "served", run_served, w, NULL), 0);
    assert_int_equal(fiber_spawn(&w->scope, "origin", run_origin, w, NULL), 0);
    while (!http_link_connect_protocol(w->asks) || !http_link_connect_protocol(w->link))
        assert_int_equal(fiber_yield(), 0);
}

static void wire_end(struct wire *w)
{
    http_link_free(w->asks);
    while (w->serving == 2)
        assert_int_equal(waitq_wait(&w->changed), 0);
    http_link_free(w->link);
    while (w->serving)
        assert_int_equal(waitq_wait(&w->changed), 0);
    scope_done(&w->scope);
    w->h.over = w->h.client.closed = true;
    harness_end(&w->h);
    buf_done(&w->asked);
}

static void add(struct http_head *h, const char *name, const char *value)
{
    assert_int_equal(http_head_add(h, http_text_of(name), http_text_of(value)), 0);
}

static struct http_pipe *request(struct wire *w, const char *method, enum http_body body,
                                 const char *protocol)
{
    struct http_pipe *p = NULL;
    struct http_head h;
    http_head_init(&h);
    h.method = http_text_of(method);
    h.scheme = HTTP_TEXT("https");
    h.authority = HTTP_TEXT("api.example");
    h.path = HTTP_TEXT("/v1/x");
    h.protocol = http_text_of(protocol);
    h.body = body;
    add(&h, "authorization", "Bearer " PLACEHOLDER);
    assert_int_equal(http_link_ask(w->asks, &p), 0);
    assert_int_equal(http_send_head(p, &h), 0);
    assert_int_equal(http_flush(p) < 0 && body != HTTP_BODY_NONE, 0);
    http_head_done(&h);
    return p;
}

static int read_status(struct http_pipe *p, struct http_head *ret)
{
    struct err e = {0};
    http_head_init(ret);
    int r = http_read_head(p, ret, &e);
    return r < 0 ? r : ret->status;
}

/* Reads until `text` has come, or the end. */
static void read_until(struct http_pipe *p, struct buf *b, const char *text)
{
    char piece[1024];
    ssize_t n = 1;
    struct fiber_deadline d = fiber_deadline_push_ms(10000);
    while (n > 0 && (!text || !b->data || !strstr(b->data, text))) {
        n = http_read_body(p, piece, sizeof(piece), NULL);
        if (n > 0)
            assert_int_equal(buf_add(b, piece, (size_t)n), 0);
    }
    fiber_deadline_pop(&d);
    if (n < 0)
        fail_msg("%zd after %s", n, buf_str(b));
}

/* Answers with what it was told in authorization, and says it again in a trailer. */
static void echo(struct wire *w, struct http_pipe *p)
{
    struct http_head h, r;
    (void)w;
    assert_int_equal(read_status(p, &h), 0);
    const struct http_field *f = http_fields_get(&h.fields, "authorization", NULL);
    assert_non_null(f);
    assert_true(http_text_eq(f->value, "Bearer " SECRET));
    assert_true(f->sensitive); /* A31: not in a compression table */
    http_head_init(&r);
    r.status = 200;
    r.body = HTTP_BODY_STREAM;
    assert_int_equal(http_send_head(p, &r), 0);
    assert_int_equal(http_send_body(p, f->value.p, f->value.n, true), 0);
    struct http_field trailer = {.name = HTTP_TEXT("x-echo"), .value = f->value};
    struct http_fields trailers = {&trailer, 1, 1};
    assert_int_equal(http_send_end(p, &trailers), 0);
    http_head_done(&h);
    http_head_done(&r);
}

static int a_request_goes_through_two_real_connections(void *arg)
{
    (void)arg;
    static struct wire w;
    wire_start(&w, echo);
    for (int i = 0; i < 3; i++) {
        struct http_pipe *p = request(&w, "GET", HTTP_BODY_NONE, NULL);
        struct http_head h;
        AUTO(buf) b = BUF_INIT(1 << 20);
        assert_int_equal(read_status(p, &h), 200);
        read_until(p, &b, NULL);
        assert_string_equal(buf_str(&b), "Bearer " PLACEHOLDER);
        const struct http_field *t = http_fields_get(http_trailers(p), "x-echo", NULL);
        assert_true(t && http_text_eq(t->value, "Bearer " PLACEHOLDER));
        http_head_done(&h);
        http_pipe_close(p);
    }
    wire_end(&w);
    return 0;
}
ON_LOOP(a_request_goes_through_two_real_connections)

/* Says each message again, as it comes. */
static void converse(struct wire *w, struct http_pipe *p)
{
    struct http_head h, r;
    (void)w;
    assert_int_equal(read_status(p, &h), 0);
    http_head_init(&r);
    r.status = 200;
    r.body = HTTP_BODY_STREAM;
    assert_int_equal(http_send_head(p, &r), 0);
    assert_int_equal(http_flush(p), 0);
    char piece[1024];
    ssize_t n;
    while ((n = http_read_body(p, piece, sizeof(piece), NULL)) > 0)
        assert_int_equal(http_send_body(p, piece, (size_t)n, false), 0);
    if (n == 0)
        assert_int_equal(http_send_end(p, NULL), 0);
    http_head_done(&h);
    http_head_done(&r);
}

static int messages_go_back_and_forth_without_delay(void *arg) /* A19, gRPC */
{
    (void)arg;
    static struct wire w;
    wire_start(&w, converse);
    struct http_pipe *p = request(&w, "POST", HTTP_BODY_STREAM, NULL);
    struct http_head h;
    assert_int_equal(read_status(p, &h), 200); /* before anything was said */
    AUTO(buf) b = BUF_INIT(1 << 20);
    for (int i = 0; i < 10; i++) {
        char text[32];
        int n = snprintf(text, sizeof(text), "message %d;", i);
        assert_int_equal(http_send_body(p, text, (size_t)n, false), 0);
        read_until(p, &b, text);
    }
    assert_int_equal(http_send_end(p, NULL), 0);
    read_until(p, &b, NULL);
    http_head_done(&h);
    http_pipe_close(p);
    wire_end(&w);
    return 0;
}
ON_LOOP(messages_go_back_and_forth_without_delay)

static int a_websocket_over_connect_carries_messages(void *arg) /* RFC 8441 */
{
    (void)arg;
    static struct wire w;
    wire_start(&w, converse);
    struct http_pipe *p = request(&w, "CONNECT", HTTP_BODY_STREAM, "websocket");
    struct http_head h;
    assert_int_equal(read_status(p, &h), 200);
    AUTO(buf) frame = BUF_INIT(1000);
    AUTO(buf) b = BUF_INIT(1000);
    /* the origin says back what it hears, which is masked: the boundary must not let that pass */
    assert_int_equal(ws_frame(&frame, WS_TEXT, true, PLACEHOLDER, strlen(PLACEHOLDER), true), 0);
    assert_int_equal(http_send_body(p, frame.data, frame.len, false), 0);
    read_until(p, &b, "broke the WebSocket protocol");
    assert_int_equal(strncmp(b.data, "\x88", 1), 0);
    http_head_done(&h);
    http_pipe_close(p);
    harness_await_log(&w.h, "protocol=wss");
    assert_true(harness_logged(&w.h, "reason=bad_answer"));
    wire_end(&w);
    return 0;
}
ON_LOOP(a_websocket_over_connect_carries_messages)

/* Thinks until it is told that nobody waits. */
static void think(struct wire *w, struct http_pipe *p)
{
    struct http_head h;
    assert_int_equal(read_status(p, &h), 0);
    http_head_done(&h);
    while (!http_gone(p) && fiber_sleep_ms(5) == 0)
        continue;
    w->origin_cut = true;
    waitq_wake_all(&w->changed);
}

static int a_client_that_resets_its_stream_cuts_the_origins(void *arg)
{
    (void)arg;
    static struct wire w;
    wire_start(&w, think);
    struct http_pipe *p = request(&w, "GET", HTTP_BODY_NONE, NULL);
    while (!w.origin_asked)
        assert_int_equal(waitq_wait(&w.changed), 0);
    http_reset(p, HTTP_RESET_CANCEL);
    http_pipe_close(p);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(10000);
    while (!w.origin_cut)
        assert_int_equal(waitq_wait(&w.changed), 0);
    fiber_deadline_pop(&d);
    harness_await_log(&w.h, "reason=client_gone");
    wire_end(&w);
    return 0;
}
ON_LOOP(a_client_that_resets_its_stream_cuts_the_origins)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_goes_through_two_real_connections),
        CASE(messages_go_back_and_forth_without_delay),
        CASE(a_websocket_over_connect_carries_messages),
        CASE(a_client_that_resets_its_stream_cuts_the_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
