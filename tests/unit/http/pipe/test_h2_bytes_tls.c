/* test_h2_bytes_tls.c - what the tunnel does with its streams: the caller's TLS within a stream of
 * HTTP/2, HTTP/1.1 and HTTP/2 on that; and what idle ones cost. */
#include "unit/http/pipe/h1_peer.h"
#include "unit/io/tls_world.h"
#include "http/pipe/h2_conn.h"

#include <malloc.h>

#define HOST  "wiki.example"
#define LARGE 3000000u

static struct {
    struct world world;
    struct cert_identity *identity;
    struct tls_trust *trust;
    struct stream edge, gateway; /* the two ends of a connection */
    struct scope scope;
    struct http_link *l;
    enum http_version inner;
    int served; /* tunnels that have ended */
    int result; /* of the last inner http_serve, or handshake */
    int outer;
    struct waitq changed;
} W;

static void inner_serve(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) q;
    http_head_init(&q);
    struct err e = {0};
    CHECK(http_read_head(p, &q, &e) == 0 && http_text_eq(q.scheme, "https"), "%s", e.msg);
    struct http_head h = {.status = 200, .body = HTTP_BODY_STREAM};
    char bytes[2000];
    ssize_t n = 0;
    int r = http_send_head(p, &h);
    while (r == 0 && (n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0)
        r = http_send_body(p, bytes, (size_t)n, true);
    if (r == 0 && n == 0)
        r = http_send_end(p, NULL);
    http_pipe_close(p);
}

/* As a gateway does it: TLS is answered within the tunnel, and HTTP on that. */
static void serve_tunnel(void *arg, struct http_pipe *p)
{
    (void)arg;
    struct http_head h = {.status = 200, .body = HTTP_BODY_STREAM};
    struct stream below, s;
    struct err e = {0};
    AUTO(http_head) q;
    http_head_init(&q);
    CHECK(http_read_head(p, &q, &e) == 0 && http_send_head(p, &h) == 0, "%s", e.msg);
    http_pipe_stream(p, &below);
    struct tls_serve_options o = {.identity = W.identity};
    W.result = tls_serve(W.world.ctx, &o, &below, &s, NULL, &e);
    if (W.result == 0) {
        struct http_serve_options inner = {.tls = true, .serve = inner_serve};
        CHECK(stream_is_tls(&s), "TLS");
        W.result = http_serve(W.inner, &s, &inner, &e);
        if (W.result == 0)
            (void)!stream_finish(&s);
    }
    stream_done(&s);
    W.served++;
    waitq_wake_all(&W.changed);
}

static int gateway(void *arg)
{
    (void)arg;
    struct http_serve_options o = {.serve = serve_tunnel, .streams_max = 2000};
    struct err e = {0};
    W.outer = http_serve(HTTP_2, &W.gateway, &o, &e);
    stream_done(&W.gateway);
    return 0;
}

static void start(enum http_version inner)
{
    struct err e = {0};
    memset(&W, 0, sizeof(W));
    waitq_init(&W.changed);
    CHECK(world_init(&W.world) == 0, "world");
    W.identity = world_leaf(W.world.ca, HOST, false);
    W.trust = world_trust(W.world.ca_file);
    W.inner = inner;
    connect_two(&W.edge, &W.gateway);
    scope_init(&W.scope);
    CHECK(fiber_spawn(&W.scope, "gateway", gateway, NULL, NULL) == 0, "spawn");
    CHECK(http_link_new(HTTP_2, &W.edge, &(struct http_link_options){0}, &W.l, &e) == 0, "%s",
          e.msg);
}
static void stop(void)
{
    http_link_free(W.l);
    scope_done(&W.scope);
    tls_trust_free(W.trust);
    cert_identity_unref(W.identity);
    CHECK(world_done(&W.world) == 0, "world");
}
static void until_served(int n)
{
    while (W.served < n && waitq_wait(&W.changed) == 0)
        ;
}

/* A tunnel, and a caller's TLS in it. */
static int call(struct stream *ret)
{
    struct http_pipe *p = NULL;
    struct stream below;
    struct err e = {0};
    AUTO(http_head) a;
    http_head_init(&a);
    CHECK(http_link_ask(W.l, &p) == 0, "ask");
    struct http_head h = {.method = HTTP_TEXT("CONNECT"),
                          .authority = HTTP_TEXT(HOST ":443"),
                          .body = HTTP_BODY_STREAM};
    CHECK(http_send_head(p, &h) == 0 && http_read_head(p, &a, &e) == 0 && a.status == 200, "%s",
          e.msg);
    http_pipe_stream(p, &below);
    struct tls_connect_options o = {.host = HOST};
    int r = tls_connect(W.trust, &o, &below, ret, NULL, &e);
    CHECK(r == 0, "%s", e.msg);
    return r;
}

static int send_large(void *arg)
{
    struct http_pipe *p = arg;
    char bytes[3000];
    int r = 0;
    for (size_t at = 0; r == 0 && at < LARGE; at += sizeof(bytes)) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)((at + i) * 7 % 251);
        r = http_send_body(p, bytes, sizeof(bytes), true);
    }
    return r == 0 ? http_send_end(p, NULL) : r;
}

static void exchange(struct http_link *l, bool large)
{
    struct http_pipe *p = NULL;
    struct err e = {0};
    AUTO(http_head) a;
    http_head_init(&a);
    CHECK(http_link_ask(l, &p) == 0, "ask");
    if (!p)
        return;
    struct http_head h = {.method = HTTP_TEXT("POST"),
                          .scheme = HTTP_TEXT("https"),
                          .authority = HTTP_TEXT(HOST),
                          .path = HTTP_TEXT("/mcp"),
                          .body = HTTP_BODY_STREAM};
    struct scope s;
    scope_init(&s);
    int r = http_send_head(p, &h);
    if (r == 0 && large)
        r = fiber_spawn(&s, "sender", send_large, p, NULL);
    else if (r == 0)
        r = http_send_end(p, NULL);
    if (r == 0)
        r = http_read_head(p, &a, &e);
    CHECK(r == 0 && a.status == 200, "%d %s", r, e.msg);
    char bytes[2000];
    size_t at = 0, wrong = 0;
    ssize_t n = r;
    while (r == 0 && (n = http_read_body(p, bytes, sizeof(bytes), NULL)) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            wrong += bytes[i] != (char)(at * 7 % 251);
    CHECK(n == 0 && wrong == 0 && at == (large ? LARGE : 0), "%zd %zu %zu", n, at, wrong);
    CHECK(scope_join(&s) == 0 && s.first_error == 0, "%d", s.first_error);
    scope_done(&s);
    http_pipe_close(p);
}

static int caller(void *arg)
{
    (void)arg;
    struct stream s;
    struct http_link *l = NULL;
    struct err e = {0};
    if (call(&s) < 0)
        return 0;
    CHECK(http_link_new(W.inner, &s, &(struct http_link_options){.tls = true}, &l, &e) == 0, "%s",
          e.msg);
    exchange(l, false);
    exchange(l, true);
    CHECK(!http_link_ended(l), "goes on");
    exchange(l, false);
    http_link_free(l);
    return 0;
}

static void calls_within_a_tunnel(enum http_version inner)
{
    start(inner);
    struct scope s;
    scope_init(&s);
    for (int i = 0; i < 4; i++)
        CHECK(fiber_spawn(&s, "caller", caller, NULL, NULL) == 0, "spawn");
    CHECK(scope_join(&s) == 0, "join");
    scope_done(&s);
    until_served(4);
    CHECK(W.result == 0, "%d", W.result);
    stop();
}

static void http1_within_tls_within_a_tunnel(void)
{
    calls_within_a_tunnel(HTTP_1_1);
}
static void http2_within_tls_within_a_tunnel(void)
{
    calls_within_a_tunnel(HTTP_2);
}
/* TLS again in that: whoever waits does so at the bottom. */
static void tls_within_tls_within_a_tunnel(void)
{
    struct stream s, inner;
    struct err e = {0};
    char bytes[10];
    start(HTTP_1_1);
    CHECK(call(&s) == 0, "call");
    struct tls_connect_options o = {.host = HOST};
    struct fiber_deadline d = fiber_deadline_push_ms(50);
    int r = tls_connect(W.trust, &o, &s, &inner, NULL, &e);
    fiber_deadline_pop(&d);
    /* The other side speaks HTTP/1.1 and answers a ClientHello with 400: no TLS. */
    CHECK(r == -E_TLS || r == -ETIMEDOUT || r == -ECONNRESET, "%d %s", r, e.msg);
    CHECK(stream_read(&inner, bytes, 1) == -EBADF, "done");
    until_served(1);
    stop();
}
static int read_one(void *arg)
{
    char byte;
    return (int)stream_read(arg, &byte, 1);
}

static void ends_of_all_kinds_reach_who_waits(void)
{
    static const struct {
        const char *what;
        int code;
    } ends[] = {{"done", -EBADF}, {"reset", -EBADF}, {"cancel", 0}, {"connection", -ECONNRESET}};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct stream s;
        struct scope readers;
        start(HTTP_1_1);
        CHECK(call(&s) == 0, "call");
        scope_init(&readers);
        CHECK(fiber_spawn(&readers, "reader", read_one, &s, NULL) == 0 && fiber_yield() == 0,
              "spawn");
        if (i == 0)
            stream_done(&s);
        else if (i == 1)
            stream_reset(&s);
        else if (i == 2)
            scope_cancel(&readers);
        else
            scope_cancel(&W.scope);
        CHECK(scope_join(&readers) == 0 && readers.first_error == ends[i].code, "%s: %d",
              ends[i].what, readers.first_error);
        scope_done(&readers);
        CHECK(i != 3 || stream_gone(&s), "gone");
        stream_done(&s);
        until_served(1);
        stop();
    }
}
/* Half a handshake, and the tunnel is cut. */
static void a_handshake_ends_with_its_tunnel(void)
{
    struct http_pipe *p = NULL;
    struct stream s;
    struct err e = {0};
    AUTO(http_head) a;
    http_head_init(&a);
    start(HTTP_1_1);
    CHECK(http_link_ask(W.l, &p) == 0, "ask");
    struct http_head h = {.method = HTTP_TEXT("CONNECT"),
                          .authority = HTTP_TEXT(HOST ":443"),
                          .body = HTTP_BODY_STREAM};
    CHECK(http_send_head(p, &h) == 0 && http_read_head(p, &a, &e) == 0, "%s", e.msg);
    http_pipe_stream(p, &s);
    CHECK(stream_write(&s, "\x16\x03\x01\x02", 4) == 0, "half a record");
    (void)!fiber_sleep_ms(5);
    stream_done(&s);
    until_served(1);
    CHECK(W.result == -ECONNRESET || W.result == -ECANCELED, "%d", W.result);
    stop();
}
/* ---- what idle ones cost ---- */

#define ONCE 20 /* make what is made once */
#define IDLE 220

static size_t heap(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static int wait_for_the_end(void *arg)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: " HOST "\r\n\r\n";
    char bytes[200];
    CHECK(stream_write(arg, request, strlen(request)) == 0, "write");
    while (stream_read(arg, bytes, sizeof(bytes)) > 0)
        ;
    return 0;
}

/* Both ends of a tunnel with a session of TLS in it, each with a fiber that reads (three pages of stack,
 * not counted), which is more than edge and gateway have: where the edge holds a caller's socket there is
 * a session here. */
static void idle_tunnels_cost_little(void)
{
    static struct stream all[ONCE + IDLE];
    struct scope readers;
    size_t before = 0;
    start(HTTP_1_1);
    scope_init(&readers);
    for (int i = 0; i < ONCE + IDLE; i++) {
        if (i == ONCE)
            before = heap();
        CHECK(call(&all[i]) == 0, "call");
        CHECK(fiber_spawn(&readers, "reader", wait_for_the_end, &all[i], NULL) == 0, "spawn");
    }
    CHECK(fiber_sleep_ms(2500) == 0, "each gives back what it can after a second of silence");
    size_t each = (heap() - before) / IDLE;
    print_message("an idle tunnel with TLS and HTTP/1.1, both ends: %zu bytes of heap\n", each);
    CHECK(SANITIZED || each < 40 << 10, "%zu", each);
    scope_done(&readers);
    for (int i = 0; i < ONCE + IDLE; i++)
        stream_done(&all[i]);
    until_served(ONCE + IDLE);
    stop();
}
#define TLS_CASE(f)                                                                                \
    static int guarded_##f(void *arg)                                                              \
    {                                                                                              \
        (void)arg;                                                                                 \
        AUTO(fiber_deadline) guard = fiber_deadline_push_ms(60000);                                \
        f();                                                                                       \
        return 0;                                                                                  \
    }                                                                                              \
    static void case_##f(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        failure[0] = '\0';                                                                         \
        run_on_loop(guarded_##f, NULL);                                                            \
        report_failure();                                                                          \
    }
TLS_CASE(http1_within_tls_within_a_tunnel)
TLS_CASE(http2_within_tls_within_a_tunnel)
TLS_CASE(tls_within_tls_within_a_tunnel)
TLS_CASE(ends_of_all_kinds_reach_who_waits)
TLS_CASE(a_handshake_ends_with_its_tunnel)
TLS_CASE(idle_tunnels_cost_little)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(http1_within_tls_within_a_tunnel), CASE(http2_within_tls_within_a_tunnel),
        CASE(tls_within_tls_within_a_tunnel),   CASE(ends_of_all_kinds_reach_who_waits),
        CASE(a_handshake_ends_with_its_tunnel), CASE(idle_tunnels_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
