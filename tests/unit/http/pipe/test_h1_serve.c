/* test_h1_serve.c - requests over HTTP/1.1 as the boundary sees them, and its answers as a client
 * sees them: framing, refusals, keep-alive, in one piece and byte by byte. */
#include "unit/http/pipe/h1_peer.h"
#include "unit/loop.h"
#include "base/limits.h"

/* ---- a server whose answers are told by the path ---- */

static struct {
    struct buf seen; /* a line for each exchange */
    int code;        /* of http_serve */
    bool tls;
    int64_t head_ms, idle_ms;
} W;

static void add(struct http_head *h, const char *name, const char *value)
{
    CHECK(http_head_add(h, http_text_of(name), http_text_of(value)) == 0, "add");
}

static void send_all(struct http_pipe *p, const char *body)
{
    int r = http_send_body(p, body, strlen(body), true);
    CHECK(r == 0, "send_body: %s", err_name(r));
    r = http_send_end(p, NULL);
    CHECK(r == 0, "send_end: %s", err_name(r));
}

static void answer_stream(struct http_pipe *p, bool trailers)
{
    AUTO(http_head) h;
    http_head_init(&h);
    h.status = 200;
    h.body = HTTP_BODY_STREAM;
    CHECK(http_send_head(p, &h) == 0, "head");
    CHECK(http_send_body(p, "one", 3, true) == 0 && http_send_body(p, "three", 5, true) == 0,
          "body");
    AUTO(http_head) t;
    http_head_init(&t);
    add(&t, "x-sum", "8");
    add(&t, "content-length", "8");
    CHECK(http_send_end(p, trailers ? &t.fields : NULL) == 0, "end");
}

static void answer_with(struct http_pipe *p, int status, enum http_body body, uint64_t length)
{
    AUTO(http_head) h;
    http_head_init(&h);
    h.status = status;
    h.body = body;
    h.length = length;
    h.has_length = length > 0;
    add(&h, "x-a", "b");
    add(&h, "content-length", "77"); /* a framing field that somebody has put there */
    add(&h, "connection", "x-a");
    int r = http_send_head(p, &h);
    CHECK(r == 0, "send_head: %s", err_name(r));
}

static void answer_101(struct http_pipe *p)
{
    AUTO(http_head) h;
    http_head_init(&h);
    h.status = 101;
    add(&h, "sec-websocket-accept", "x");
    CHECK(http_send_head(p, &h) == 0, "101");
    (void)tell_body(&W.seen, p);
    CHECK(http_send_body(p, "raw", 3, false) == 0 && http_send_end(p, NULL) == 0, "raw");
}

static void answer(struct http_pipe *p, const struct http_head *q)
{
    if (http_text_eq(q->path, "/unread")) {
        answer_with(p, 200, HTTP_BODY_LENGTH, 2);
        send_all(p, "ok");
        return;
    }
    if (http_text_eq(q->path, "/upgrade") || http_text_eq(q->method, "CONNECT")) {
        if (q->protocol.p) {
            answer_101(p);
            return;
        }
        if (http_text_eq(q->method, "CONNECT")) {
            answer_with(p, 200, HTTP_BODY_NONE, 0);
            (void)tell_body(&W.seen, p);
            CHECK(http_send_body(p, "raw", 3, false) == 0 && http_send_end(p, NULL) == 0, "raw");
            return;
        }
    }
    (void)tell_body(&W.seen, p);
    if (http_text_eq(q->path, "/stream"))
        answer_stream(p, false);
    else if (http_text_eq(q->path, "/trailers"))
        answer_stream(p, true);
    else if (http_text_eq(q->path, "/none"))
        answer_with(p, 200, HTTP_BODY_NONE, 0);
    else if (http_text_eq(q->path, "/204"))
        answer_with(p, 204, HTTP_BODY_NONE, 0);
    else if (http_text_eq(q->path, "/304"))
        answer_with(p, 304, HTTP_BODY_NONE, 9);
    else if (http_text_eq(q->path, "/interim")) {
        answer_with(p, 103, HTTP_BODY_NONE, 0);
        answer_with(p, 200, HTTP_BODY_NONE, 0);
    } else if (http_text_eq(q->path, "/cut")) {
        answer_with(p, 200, HTTP_BODY_LENGTH, 5);
        CHECK(http_send_body(p, "ab", 2, false) == 0, "part");
    } else if (http_text_eq(q->path, "/cutstream")) {
        answer_with(p, 200, HTTP_BODY_STREAM, 0);
        CHECK(http_send_body(p, "ab", 2, false) == 0, "part");
    } else if (http_text_eq(q->method, "HEAD") && !http_text_eq(q->path, "/body")) {
        answer_with(p, 200, HTTP_BODY_NONE, 42);
    } else {
        answer_with(p, 200, HTTP_BODY_LENGTH, 2);
        send_all(p, "ok");
    }
}

static void serve(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) q;
    http_head_init(&q);
    struct err e = {0};
    CHECK(http_read_head(p, &q, &e) == 0, "%s", e.msg);
    tell_head(&W.seen, &q);
    answer(p, &q);
    (void)buf_addc(&W.seen, '\n');
    http_pipe_close(p);
}

static void refuse(void *arg, int status, const char *why, struct http_head *ret,
                   struct http_text *ret_body)
{
    (void)arg;
    ret->status = status;
    add(ret, "x-refused", "yes");
    *ret_body = http_text_of(why);
}

static int serving(void *arg)
{
    struct stream *s = arg;
    struct http_serve_options o = {.tls = W.tls,
                                   .head_timeout_ms = W.head_ms,
                                   .idle_timeout_ms = W.idle_ms,
                                   .refuse = refuse,
                                   .serve = serve};
    struct err e = {0};
    W.code = http_serve(HTTP_1_1, s, &o, &e);
    CHECK(W.code == 0 || e.msg[0], "no words for %s", err_name(W.code));
    stream_done(s);
    return 0;
}

/* What the client says, and what comes of it. */
struct talk {
    const char *in;
    size_t n, step;
    bool ends;
    struct raw_peer peer;
};

static int talk_main(void *arg)
{
    struct talk *t = arg;
    AUTO(fiber_deadline) guard = fiber_deadline_push_ms(30000);
    struct stream ours;
    t->peer = (struct raw_peer){.said = t->in, .n = t->n, .step = t->step, .ends = t->ends};
    buf_init(&t->peer.heard, 1 << 20);
    connect_two(&t->peer.s, &ours);
    AUTO(scope) s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "serve", serving, &ours, NULL) == 0, "spawn");
    CHECK(fiber_spawn(&s, "say", raw_say, &t->peer, NULL) == 0, "spawn");
    (void)raw_listen(&t->peer);
    if (!t->ends)
        (void)!stream_finish(&t->peer.s);
    CHECK(scope_join(&s) == 0, "join");
    stream_done(&t->peer.s);
    return 0;
}

static void talk(struct talk *t, const char *in, size_t n, size_t step, bool ends)
{
    buf_done(&W.seen);
    buf_init(&W.seen, 1 << 20);
    W.code = 1;
    *t = (struct talk){.in = in, .n = n, .step = step, .ends = ends};
    run_on_loop(talk_main, t);
    report_failure();
}
static void talk_done(struct talk *t)
{
    buf_done(&t->peer.heard);
}

static void expect(const char *rule, const char *what, const char *got, const char *want)
{
    if (!str_eq(got, want))
        fail_msg("%s: %s\n--- got\n%s\n--- want\n%s\n", rule, what, got, want);
}

/* ---- requests ---- */

#define H    "Host: a\r\n"
#define OK   "HTTP/1.1 200 OK\r\nx-a: b\r\nContent-Length: 2\r\n"
#define FINE OK "\r\nok"

struct row {
    const char *rule, *in, *seen, *out;
};
static const struct row good[] = {
    {"the least", "GET / HTTP/1.1\r\n" H "\r\n", "GET http a /\n", FINE},
    {"fields are kept in order, names in lower case",
     "GET /x?y=z HTTP/1.1\r\nX-B: 1\r\n" H "x-a:  2 \r\nX-b: 3\r\n\r\n",
     "GET http a /x?y=z x-b=1 x-a=2 x-b=3\n", FINE},
    {"a length", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
     "POST http a / {5} hello\n", FINE},
    {"a length of 0", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "POST http a / {0}\n",
     FINE},
    {"a body of a GET", "GET / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi",
     "GET http a / {2} hi\n", FINE},
    {"chunks",
     "POST / HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00a;x=\"y\"\r\n0123456789"
     "\r\n0\r\n\r\n",
     "POST http a / {stream} abc0123456789\n", FINE},
    {"trailers, framing fields dropped",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n1\r\na\r\n0\r\n"
     "X-Sum: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: b\r\n\r\n",
     "POST http a / {stream} a + x-sum=1\n", FINE},
    {"hop-by-hop fields do not go on",
     "GET / HTTP/1.1\r\n" H "Connection: keep-alive, X-Mine, x-other\r\nx-mine: 1\r\nX-Other: 2\r\n"
     "Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: gzip\r\nHTTP2-Settings: AA\r\nx-z: 3\r\n\r\n",
     "GET http a / x-z=3\n", FINE},
    {"te: trailers", "GET / HTTP/1.1\r\n" H "TE: gzip;q=1, trailers\r\nConnection: TE\r\n\r\n",
     "GET http a / te\n", FINE},
    {"two in a row", "GET /1 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
     "GET http a /1\nGET http a /2\n", FINE FINE},
    {"a body between",
     "POST /1 HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" H "\r\n",
     "POST http a /1 {3} abc\nGET http a /2\n", FINE FINE},
    {"an empty line between (old clients)",
     "POST /1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\na\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
     "POST http a /1 {1} a\nGET http a /2\n", FINE FINE},
    {"chunks, then another",
     "POST /1 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
     "GET /2 HTTP/1.1\r\n" H "\r\n",
     "POST http a /1 {stream} ab\nGET http a /2\n", FINE FINE},
    {"an unread body is dropped",
     "POST /unread HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" H "\r\n",
     "POST http a /unread {3}\nGET http a /2\n", FINE FINE},
    {"unread chunks are dropped",
     "POST /unread HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
     "GET /2 HTTP/1.1\r\n" H "\r\n",
     "POST http a /unread {stream}\nGET http a /2\n", FINE FINE},
    {"close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
     "GET http a /\n", OK "Connection: close\r\n\r\nok"},
    {"HTTP/1.0", "GET / HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n", "GET http - /\n",
     OK "Connection: close\r\n\r\nok"},
    {"HTTP/1.0 that stays", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET http - /\n",
     OK "Connection: keep-alive\r\n\r\nok"},
    {"HTTP/1.0 gets a stream to the end",
     "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
     "GET http - /stream\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonethree"},
    {"HTTP/1.0 gets no interim answer", "GET /interim HTTP/1.0\r\n\r\n", "GET http - /interim\n",
     "HTTP/1.1 200 OK\r\nx-a: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
    {"a stream", "GET /stream HTTP/1.1\r\n" H "\r\n", "GET http a /stream\n",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"},
    {"a stream with trailers", "GET /trailers HTTP/1.1\r\n" H "\r\n", "GET http a /trailers\n",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n"
     "x-sum: 8\r\n\r\n"},
    {"no body says so", "GET /none HTTP/1.1\r\n" H "\r\n", "GET http a /none\n",
     "HTTP/1.1 200 OK\r\nx-a: b\r\nContent-Length: 0\r\n\r\n"},
    {"204 says nothing", "GET /204 HTTP/1.1\r\n" H "\r\n", "GET http a /204\n",
     "HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n"},
    {"304 tells a length", "GET /304 HTTP/1.1\r\n" H "\r\n", "GET http a /304\n",
     "HTTP/1.1 304 Not Modified\r\nx-a: b\r\nContent-Length: 9\r\n\r\n"},
    {"HEAD tells a length", "HEAD / HTTP/1.1\r\n" H "\r\n", "HEAD http a /\n",
     "HTTP/1.1 200 OK\r\nx-a: b\r\nContent-Length: 42\r\n\r\n"},
    {"HEAD never gets a body", "HEAD /body HTTP/1.1\r\n" H "\r\nGET / HTTP/1.1\r\n" H "\r\n",
     "HEAD http a /body\nGET http a /\n",
     "HTTP/1.1 200 OK\r\nx-a: b\r\nContent-Length: 2\r\n\r\n" FINE},
    {"an interim answer", "GET /interim HTTP/1.1\r\n" H "\r\n", "GET http a /interim\n",
     "HTTP/1.1 103 Early Hints\r\nx-a: b\r\n\r\nHTTP/1.1 200 OK\r\nx-a: b\r\nContent-Length: "
     "0\r\n\r\n"},
    {"100 when the body is asked for",
     "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
     "POST http a / expects {2} ab\n", "HTTP/1.1 100 Continue\r\n\r\n" FINE},
    {"no 100 without a body", "GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n",
     "GET http a /\n", FINE},
    {"no 100 to HTTP/1.0", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
     "POST http - / {1} a\n", OK "Connection: close\r\n\r\nok"},
    {"a body that was not asked for ends the connection",
     "POST /unread HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
     "GET /2 HTTP/1.1\r\n" H "\r\n",
     "POST http a /unread expects {2}\n", OK "Connection: close\r\n\r\nok"},
    {"absolute form", "GET http://A.b:80/x?y HTTP/1.1\r\nHost: a.B:80\r\n\r\n",
     "GET http A.b:80 /x?y\n", FINE},
    {"absolute form, query only", "GET http://a?y HTTP/1.1\r\n" H "\r\n", "GET http a /?y\n", FINE},
    {"absolute form, nothing", "GET http://a HTTP/1.1\r\n" H "\r\n", "GET http a /\n", FINE},
    {"absolute form of OPTIONS *", "OPTIONS http://a HTTP/1.1\r\n" H "\r\n", "OPTIONS http a *\n",
     FINE},
    {"asterisk", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS http a *\n", FINE},
    {"upgrade",
     "GET /upgrade HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
     "Sec-WebSocket-Key: k\r\n\r\nbytes\r\n\r\nGET / HTTP/1.1",
     "GET http a /upgrade sec-websocket-key=k ->websocket bytes\r\n\r\nGET / HTTP/1.1\n",
     "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nUpgrade: websocket\r\n"
     "Connection: Upgrade\r\n\r\nraw"},
    {"upgrade that Connection does not name", "GET /x HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n",
     "GET http a /x\n", FINE},
    {"upgrade to HTTP/2 is not heard",
     "GET /x HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
     "HTTP2-Settings: AA\r\n\r\n",
     "GET http a /x\n", FINE},
    {"a choice of protocols is not heard",
     "GET /x HTTP/1.1\r\n" H "Upgrade: a, b\r\nConnection: Upgrade\r\n\r\n", "GET http a /x\n",
     FINE},
    {"two Upgrade fields are not heard",
     "GET /x HTTP/1.1\r\n" H "Upgrade: a\r\nUpgrade: b\r\nConnection: Upgrade\r\n\r\n",
     "GET http a /x\n", FINE},
    {"upgrade with a body is not heard",
     "GET /x HTTP/1.1\r\n" H "Upgrade: a\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\na",
     "GET http a /x {1} a\n", FINE},
    {"upgrade of POST is not heard",
     "POST /x HTTP/1.1\r\n" H "Upgrade: a\r\nConnection: Upgrade\r\n\r\n", "POST http a /x\n",
     FINE},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nbytes", "CONNECT http a:443  bytes\n",
     "HTTP/1.1 200 OK\r\nx-a: b\r\n\r\nraw"},
    {"CONNECT, Host without the port", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n",
     "CONNECT http a:443 \n", "HTTP/1.1 200 OK\r\nx-a: b\r\n\r\nraw"},
    {"nothing at all", "", "", ""},
};

static void requests_become_messages_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        failing_rule = good[i].rule;
        /* In one piece, byte by byte, ..., in two pieces cut at every byte of the second half. */
        for (size_t step = 0; step < strlen(good[i].in) || step < 2; step++) {
            struct talk t;
            talk(&t, good[i].in, strlen(good[i].in), step, true);
            expect(good[i].rule, "seen", buf_str(&W.seen), good[i].seen);
            expect(good[i].rule, "heard", buf_str(&t.peer.heard), good[i].out);
            assert_int_equal(t.peer.code, 0);
            assert_int_equal(W.code, 0);
            talk_done(&t);
        }
    }
}

/* A request that says "served?" is smuggled behind each of these. */
#define NEXT "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
struct bad {
    const char *rule, *in;
    size_t n; /* 0: a text */
    int status;
};
static const struct bad smuggling[] = {
    {"CL and TE",
     "POST / HTTP/1.1\r\n" H "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\n\r\n" NEXT,
     0, 400},
    {"TE and CL",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n"
     "0\r\n\r\n" NEXT,
     0, 400},
    {"two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" NEXT,
     0, 400},
    {"two equal lengths",
     "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" NEXT, 0, 400},
    {"a list of lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 0, 0\r\n\r\n" NEXT, 0, 400},
    {"a signed length", "POST / HTTP/1.1\r\n" H "Content-Length: +0\r\n\r\n" NEXT, 0, 400},
    {"a negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n" NEXT, 0, 400},
    {"a hexadecimal length", "POST / HTTP/1.1\r\n" H "Content-Length: 0x0\r\n\r\n" NEXT, 0, 400},
    {"an empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n" NEXT, 0, 400},
    {"a length beyond 63 bits",
     "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n" NEXT, 0, 400},
    {"xchunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n" NEXT, 0, 501},
    {"chunked, identity",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n" NEXT, 0, 501},
    {"two Transfer-Encodings",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n" NEXT, 0,
     501},
    {"chunked in quotes", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n" NEXT, 0,
     501},
    {"TE with a tab in the name",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n\r\n" NEXT, 0, 400},
    {"TE with a space before the colon",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n" NEXT, 0, 400},
    {"TE behind obs-fold",
     "POST / HTTP/1.1\r\n" H "X: a\r\n Transfer-Encoding: chunked\r\n\r\n" NEXT, 0, 400},
    {"TE behind a bare LF", "POST / HTTP/1.1\r\n" H "X: a\nTransfer-Encoding: chunked\r\n\r\n" NEXT,
     0, 400},
    {"TE behind a bare CR", "POST / HTTP/1.1\r\n" H "X: a\rTransfer-Encoding: chunked\r\n\r\n" NEXT,
     0, 400},
    {"TE in HTTP/1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n" NEXT, 0, 400},
    {"NUL in a name", "POST / HTTP/1.1\r\n" H "Content-Length\0: 0\r\n\r\n" NEXT,
     sizeof("POST / HTTP/1.1\r\n" H "Content-Length\0: 0\r\n\r\n" NEXT) - 1, 400},
    {"NUL in a value", "POST / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n" NEXT,
     sizeof("POST / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n" NEXT) - 1, 400},
    {"NUL in the target", "GET /a\0b HTTP/1.1\r\n" H "\r\n" NEXT,
     sizeof("GET /a\0b HTTP/1.1\r\n" H "\r\n" NEXT) - 1, 400},
    {"an empty field name", "GET / HTTP/1.1\r\n" H ": a\r\n\r\n" NEXT, 0, 400},
    {"a tab in the request line", "GET\t/ HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"a tab before the version", "GET /\tHTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"two spaces", "GET  / HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"a vertical tab in the request line", "GET /\v HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"a form feed before the target", "GET \f/ HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"a space behind the version", "GET / HTTP/1.1 \r\n" H "\r\n" NEXT, 0, 400},
    {"a bare CR in the request line", "GET / HTTP/1.1\r" H "\r\n" NEXT, 0, 400},
    {"a bare LF behind the request line", "GET / HTTP/1.1\n" H "\r\n" NEXT, 0, 400},
    {"a bare LF ends the head", "GET / HTTP/1.1\r\n" H "\n" NEXT, 0, 400},
    {"a CR too many", "GET / HTTP/1.1\r\r\n" H "\r\n" NEXT, 0, 400},
    {"no-break space in the request line", "GET\xa0/ HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"two targets", "GET / /b HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"HTTP/0.9", "GET /\r\n" NEXT, 0, 400},
    {"HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 400},
    {"no Host", "GET / HTTP/1.1\r\n\r\n" NEXT, 0, 400},
    {"two Hosts", "GET / HTTP/1.1\r\n" H "Host: b\r\n\r\n" NEXT, 0, 421},
    {"the same Host twice", "GET / HTTP/1.1\r\n" H H "\r\n" NEXT, 0, 400},
    {"a Host that is none", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n" NEXT, 0, 400},
    {"absolute form of another host", "GET http://b/ HTTP/1.1\r\n" H "\r\n" NEXT, 0, 421},
    {"absolute form of another scheme", "GET https://a/ HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"absolute form with a user", "GET http://u@a/ HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"an unknown expectation", "GET / HTTP/1.1\r\n" H "Expect: x\r\n\r\n" NEXT, 0, 417},
    {"CONNECT without a port", "CONNECT a HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"a method that is CONNECT in another case", "COnNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" NEXT,
     0, 400},
    {"CONNECT with a path", "CONNECT /a HTTP/1.1\r\n" H "\r\n" NEXT, 0, 400},
    {"CONNECT of another host", "CONNECT b:443 HTTP/1.1\r\n" H "\r\n" NEXT, 0, 421},
    {"CONNECT with a body", "CONNECT a:443 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\na" NEXT, 0,
     400},
};

static void smuggling_is_refused_and_nothing_behind_it_is_served(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(smuggling); i++) {
        const struct bad *b = &smuggling[i];
        failing_rule = b->rule;
        for (size_t step = 0; step < 2; step++) {
            struct talk t;
            talk(&t, b->in, b->n ? b->n : strlen(b->in), step, true);
            expect(b->rule, "seen", buf_str(&W.seen), "");
            char line[32];
            snprintf(line, sizeof(line), "HTTP/1.1 %d ", b->status);
            const char *heard = buf_str(&t.peer.heard);
            if (!str_starts(heard, line) || !strstr(heard, "\r\nx-refused: yes\r\n") ||
                !strstr(heard, "\r\nConnection: close\r\n"))
                fail_msg("%s: step %zu: %s", b->rule, step, heard);
            const char *body = strstr(heard, "\r\n\r\n");
            assert_non_null(body);
            assert_null(strstr(body + 4, "HTTP/1.1"));
            assert_int_equal(W.code, -E_PARSE);
            talk_done(&t);
        }
    }
}

/* A body whose framing is broken: the exchange is told, the answer goes out, the connection ends. */
static const struct row broken[] = {
    {"a chunk without a size", "\r\nabc\r\n0\r\n\r\n", NULL, NULL},
    {"a chunk with a sign", "+3\r\nabc\r\n0\r\n\r\n", NULL, NULL},
    {"a chunk with 0x", "0x3\r\nabc\r\n0\r\n\r\n", NULL, NULL},
    {"a chunk line with a bare LF", "3\nabc\r\n0\r\n\r\n", NULL, NULL},
    {"a chunk line with a bare CR", "3\rabc\r\n0\r\n\r\n", NULL, NULL},
    {"an extension with a bare LF", "3;a\nabc\r\n0\r\n\r\n", NULL, NULL},
    {"a chunk that is longer than it says", "3\r\nabcd\r\n0\r\n\r\n", NULL, NULL},
    {"a chunk with a bare LF behind", "3\r\nabc\n0\r\n\r\n", NULL, NULL},
    {"a size of 17 digits", "00000000000000003\r\nabc\r\n0\r\n\r\n", NULL, NULL},
    {"a trailer that is folded", "0\r\nx: a\r\n b\r\n\r\n", NULL, NULL},
    {"a trailer without a colon", "0\r\nx\r\n\r\n", NULL, NULL},
    {"a trailer with a bare LF", "0\r\nx: a\n\r\n", NULL, NULL},
};

static void a_body_with_broken_chunks_is_an_error_and_the_last(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        failing_rule = broken[i].rule;
        for (size_t step = 0; step < 2; step++) {
            AUTO_FREE char *in =
                mem_printf("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n%s" NEXT,
                           broken[i].in);
            struct talk t;
            talk(&t, in, strlen(in), step, true);
            if (!str_ends(buf_str(&W.seen), " !E_PARSE\n") || strstr(buf_str(&W.seen), "smuggled"))
                fail_msg("%s: %s", broken[i].rule, buf_str(&W.seen));
            expect(broken[i].rule, "heard", buf_str(&t.peer.heard),
                   OK "Connection: close\r\n\r\nok");
            assert_int_equal(W.code, -E_PARSE);
            talk_done(&t);
        }
    }
}

static void a_body_that_is_cut_short_is_an_error(void **state)
{
    (void)state;
    static const char *const in[] = {
        "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nabcd",
        "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(in); i++) {
        struct talk t;
        talk(&t, in[i], strlen(in[i]), i % 2, true);
        if (!str_ends(buf_str(&W.seen), " !ECONNRESET\n"))
            fail_msg("%zu: %s", i, buf_str(&W.seen));
        talk_done(&t);
    }
}

static void an_answer_that_is_not_ended_is_cut_off(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"length", "GET /cut HTTP/1.1\r\n" H "\r\n" NEXT, "GET http a /cut\n",
         "HTTP/1.1 200 OK\r\nx-a: b\r\nContent-Length: 5\r\n\r\nab"},
        {"stream", "GET /cutstream HTTP/1.1\r\n" H "\r\n" NEXT, "GET http a /cutstream\n",
         "HTTP/1.1 200 OK\r\nx-a: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct talk t;
        talk(&t, rows[i].in, strlen(rows[i].in), 0, false);
        expect(rows[i].rule, "seen", buf_str(&W.seen), rows[i].seen);
        expect(rows[i].rule, "heard", buf_str(&t.peer.heard), rows[i].out);
        assert_int_equal(W.code, -ECONNRESET);
        talk_done(&t);
    }
}

static void heads_have_ceilings(void **state)
{
    (void)state;
    static char in[300 << 10];
    struct talk t;
    /* 60 KiB of fields pass, which is more than a buffer. */
    size_t n = (size_t)sprintf(in, "GET / HTTP/1.1\r\n" H);
    for (int i = 0; i < 60; i++)
        n += (size_t)sprintf(in + n, "x: %01000d\r\n", i);
    size_t head = n;
    n += (size_t)sprintf(in + n, "\r\n"
                                 "GET /2 HTTP/1.1\r\n" H "\r\n");
    talk(&t, in, n, 4000, true);
    expect("large", "heard", buf_str(&t.peer.heard), FINE FINE);
    talk_done(&t);
    /* 70 KiB do not. */
    for (n = head; n < 70000;)
        n += (size_t)sprintf(in + n, "x: %01000d\r\n", 1);
    n += (size_t)sprintf(in + n, "\r\n");
    talk(&t, in, n, 0, true);
    assert_true(str_starts(buf_str(&t.peer.heard), "HTTP/1.1 431 "));
    talk_done(&t);
    /* Nor 257 fields, nor a target of 16 KiB and one, nor a Connection that names 65. */
    n = (size_t)sprintf(in, "GET / HTTP/1.1\r\n" H);
    for (int i = 0; i < HTTP_FIELDS_MAX; i++)
        n += (size_t)sprintf(in + n, "x: y\r\n");
    n += (size_t)sprintf(in + n, "\r\n");
    talk(&t, in, n, 0, true);
    assert_true(str_starts(buf_str(&t.peer.heard), "HTTP/1.1 431 "));
    talk_done(&t);
    n = (size_t)sprintf(in, "GET /%016384d HTTP/1.1\r\n" H "\r\n", 0);
    talk(&t, in, n, 0, true);
    assert_true(str_starts(buf_str(&t.peer.heard), "HTTP/1.1 414 "));
    talk_done(&t);
    n = (size_t)sprintf(in, "GET / HTTP/1.1\r\n" H "Connection: a");
    for (int i = 0; i < 64; i++)
        n += (size_t)sprintf(in + n, ",a");
    n += (size_t)sprintf(in + n, "\r\n\r\n");
    talk(&t, in, n, 0, true);
    assert_true(str_starts(buf_str(&t.peer.heard), "HTTP/1.1 400 "));
    talk_done(&t);
}

static void an_unread_body_that_is_large_ends_the_connection(void **state)
{
    (void)state;
    static char in[400 << 10];
    size_t n = (size_t)sprintf(in, "POST /unread HTTP/1.1\r\n" H "Content-Length: 300000\r\n\r\n");
    memset(in + n, 'x', 300000);
    n += 300000;
    n += (size_t)sprintf(in + n, NEXT);
    struct talk t;
    talk(&t, in, n, 0, true);
    expect("seen", "seen", buf_str(&W.seen), "POST http a /unread {300000}\n");
    assert_true(str_starts(buf_str(&t.peer.heard), "HTTP/1.1 200 OK\r\n"));
    assert_true(str_ends(buf_str(&t.peer.heard), "\r\n\r\nok"));
    assert_null(strstr(buf_str(&t.peer.heard), "smuggled"));
    assert_int_equal(t.peer.code, 0);
    talk_done(&t);
}

static void waits_have_an_end(void **state)
{
    (void)state;
    W.head_ms = W.idle_ms = 30;
    struct talk t;
    /* A head that does not go on. */
    talk(&t, "GET / HT", 8, 0, false);
    assert_true(str_starts(buf_str(&t.peer.heard), "HTTP/1.1 408 "));
    talk_done(&t);
    /* A second request that does not come: no words. */
    static const char one[] = "GET / HTTP/1.1\r\n" H "\r\n";
    talk(&t, one, sizeof(one) - 1, 0, false);
    expect("idle", "heard", buf_str(&t.peer.heard), FINE);
    assert_int_equal(W.code, 0);
    talk_done(&t);
    W.head_ms = W.idle_ms = 0;
}

/* The answers before it were not read, so there is no room for a refusal. */
static int refused_main(void *arg)
{
    (void)arg;
    AUTO(fiber_deadline) guard = fiber_deadline_push_ms(5000);
    struct stream ours, peer;
    connect_two(&peer, &ours);
    static const char zeros[4096], bad[] = "GET  / HTTP/1.1\r\n\r\n";
    while (send(ours.io.fd, zeros, sizeof(zeros), MSG_DONTWAIT) > 0)
        ;
    while (send(ours.io.fd, zeros, 1, MSG_DONTWAIT) > 0)
        ;
    CHECK(stream_write(&peer, bad, sizeof(bad) - 1) == 0, "write");
    AUTO(scope) s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "serve", serving, &ours, NULL) == 0, "spawn");
    int r = scope_join(&s);
    CHECK(r == 0, "it waits for ever: %s", err_name(r));
    stream_done(&peer);
    return 0;
}

static void a_refusal_does_not_wait_for_ever(void **state)
{
    (void)state;
    W.head_ms = 30;
    W.code = 1;
    run_on_loop(refused_main, NULL);
    report_failure();
    assert_int_equal(W.code, -E_PARSE);
    W.head_ms = 0;
}

static void a_client_that_leaves_in_mid_head_is_an_error(void **state)
{
    (void)state;
    struct talk t;
    talk(&t, "GET / HT", 8, 0, true);
    assert_int_equal(W.code, -ECONNRESET);
    talk_done(&t);
}

static void over_tls_the_scheme_is_https(void **state)
{
    (void)state;
    static const char one[] = "GET https://a/ HTTP/1.1\r\n" H "\r\n";
    W.tls = true;
    struct talk t;
    talk(&t, one, sizeof(one) - 1, 0, true);
    expect("https", "seen", buf_str(&W.seen), "GET https a /\n");
    talk_done(&t);
    W.tls = false;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_become_messages_however_cut),
        cmocka_unit_test(smuggling_is_refused_and_nothing_behind_it_is_served),
        cmocka_unit_test(a_body_with_broken_chunks_is_an_error_and_the_last),
        cmocka_unit_test(a_body_that_is_cut_short_is_an_error),
        cmocka_unit_test(an_answer_that_is_not_ended_is_cut_off),
        cmocka_unit_test(heads_have_ceilings),
        cmocka_unit_test(an_unread_body_that_is_large_ends_the_connection),
        cmocka_unit_test(waits_have_an_end),
        cmocka_unit_test(a_refusal_does_not_wait_for_ever),
        cmocka_unit_test(a_client_that_leaves_in_mid_head_is_an_error),
        cmocka_unit_test(over_tls_the_scheme_is_https),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&W.seen);
    return r;
}
