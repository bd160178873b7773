/* test_server.c - the server over real sockets on loopback, spoken to in raw bytes.
 *
 * Server and clients are fibers of one loop. A check that fails inside a fiber is noted and
 * reported from the test's own stack afterwards: cmocka leaves a failing test by longjmp, which
 * must not cross stacks. Time only bounds what goes wrong; nothing is synchronised by sleeping. */
#include "../unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "http/server.h"
#include "io/sock.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- checks inside fibers ---- */

static char failure[4096];
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond) && !failure[0]) {                                                              \
            int at_ = snprintf(failure, sizeof(failure), "line %d: %s: ", __LINE__, #cond);        \
            snprintf(failure + at_, sizeof(failure) - (size_t)at_, __VA_ARGS__);                   \
        }                                                                                          \
    } while (0)

/* ---- the server under test ---- */

struct fixture {
    struct http_server *srv;
    char addr[SOCK_ADDR_MAX];
    struct waitq gate;     /* what /wait waits on */
    struct waitq progress; /* something below has changed */
    int waiting;           /* handlers in http_wait */
    int wait_result, body_result, wait_over;
    int calls;
    struct http_server_config cfg;
};
static struct fixture F;

static void echo(struct http_exchange *x, size_t max)
{
    AUTO(buf) body = BUF_INIT(1 << 20);
    int r = http_body_read(x, max, &body);
    F.body_result = r;
    if (r == -EMSGSIZE)
        (void)http_reply(x, 413, "text/plain", "too large\n", 10);
    else if (r == -E_PARSE)
        (void)http_reply(x, 400, "text/plain", "bad body\n", 9);
    else if (r == 0)
        (void)http_reply(x, 200, "text/plain", body.data, body.len);
}

static void stream(struct http_exchange *x)
{
    static const char *const pieces[] = {"", "0123456789abcdef0", "", "end"};
    int r = http_stream_begin(x, 200, "text/plain");
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(pieces); i++)
        r = http_stream_write(x, pieces[i], strlen(pieces[i]));
    if (r == 0)
        (void)http_stream_end(x);
}

static void wait_here(struct http_exchange *x)
{
    F.waiting++;
    waitq_wake_all(&F.progress);
    F.wait_result = http_wait(x, &F.gate);
    F.wait_over++;
    waitq_wake_all(&F.progress);
    if (F.wait_result == 0)
        (void)http_reply(x, 200, NULL, "woken", 5);
}

static void upgrade(struct http_exchange *x)
{
    struct stream *s;
    AUTO(buf) early = BUF_INIT(1000);
    if (http_upgrade(x, "shout", &s, &early) < 0) {
        (void)http_reply(x, 426, NULL, NULL, 0);
        return;
    }
    char more[100];
    for (ssize_t n; (n = stream_read(s, more, sizeof(more))) > 0;)
        CHECK(buf_add(&early, more, (size_t)n) == 0, "too much");
    CHECK(stream_write(s, early.data, early.len) == 0, "write");
}

static char big[300000];

static void handler(struct http_exchange *x, void *arg)
{
    const struct h1_request *q = http_request(x);
    struct fixture *f = arg;
    f->calls++;
    if (str_eq(q->path, "/ok")) {
        (void)http_reply(x, 200, "text/plain", "ok", 2);
    } else if (str_eq(q->path, "/echo")) {
        echo(x, 1 << 20);
    } else if (str_eq(q->path, "/small")) {
        echo(x, 4);
    } else if (str_eq(q->path, "/stream")) {
        stream(x);
    } else if (str_eq(q->path, "/none")) {
        ;
    } else if (str_eq(q->path, "/half")) {
        CHECK(http_stream_begin(x, 200, "text/plain") == 0, "begin");
        CHECK(http_stream_write(x, "ab", 2) == 0, "write");
    } else if (str_eq(q->path, "/wait")) {
        wait_here(x);
    } else if (str_eq(q->path, "/upgrade")) {
        upgrade(x);
    } else if (str_eq(q->path, "/big")) {
        (void)http_reply(x, 200, NULL, big, sizeof(big));
    } else if (str_eq(q->path, "/bigstream")) {
        if (http_stream_begin(x, 200, NULL) == 0 && http_stream_write(x, big, sizeof(big)) == 0)
            (void)http_stream_end(x);
    } else if (str_eq(q->path, "/headers")) {
        http_set_header(x, "X-Good", "yes");
        http_set_header(x, "X-Split", "a\r\nInjected: b");
        http_set_header(x, "X Name", "a");
        http_set_header(x, "Content-Length", "7");
        http_set_header(x, "X-High", "\xc3\xa4");
        (void)http_reply(x, 200, NULL, "h", 1);
    } else if (str_eq(q->path, "/close")) {
        http_set_header(x, "Connection", "close");
        (void)http_reply(x, 204, NULL, NULL, 0);
    } else if (str_eq(q->path, "/empty")) {
        (void)http_reply(x, 204, "text/plain", NULL, 0);
    } else if (str_eq(q->path, "/what")) {
        AUTO(buf) b = BUF_INIT(1000);
        (void)buf_addf(&b, "%s|%s|%s|%s", q->method, q->path, q->query,
                       h1_header_get(q, "x", NULL));
        (void)http_reply(x, 200, NULL, b.data, b.len);
    } else {
        (void)http_reply(x, 404, NULL, "no", 2);
    }
}

static int server_main(void *arg)
{
    (void)arg;
    return http_server_run(F.srv);
}

struct script {
    int (*fn)(void);
    int result;
};

static int root(void *arg)
{
    struct script *sc = arg;
    AUTO(fiber_deadline) guard = fiber_deadline_push_ms(60000);
    struct err e = {0};
    F.cfg.listen = "127.0.0.1:0";
    F.cfg.handler = handler;
    F.cfg.arg = &F;
    F.srv = http_server_new(&F.cfg, F.addr, &e);
    CHECK(F.srv, "%s", e.msg);
    if (!F.srv)
        return -1;
    waitq_init(&F.gate);
    waitq_init(&F.progress);
    {
        AUTO(scope) s;
        scope_init(&s);
        CHECK(fiber_spawn(&s, "server", server_main, NULL, NULL) == 0, "spawn");
        sc->result = sc->fn();
        http_server_stop(F.srv, 1000);
        CHECK(scope_join(&s) == 0, "join");
    }
    struct http_stats st;
    http_server_stats(F.srv, &st);
    CHECK(st.open == 0, "%zu connections left", st.open);
    http_server_free(F.srv);
    return 0;
}

static void run(int (*fn)(void), struct http_server_config cfg)
{
    failure[0] = 0;
    F = (struct fixture){.cfg = cfg};
    struct script sc = {.fn = fn};
    assert_int_equal(loop_init(), 0);
    (void)loop_run(root, &sc);
    loop_done();
    if (failure[0])
        fail_msg("%s", failure);
}

/* ---- clients ---- */

static int dial(struct io_fd *io)
{
    struct err e = {0};
    int r = sock_connect(F.addr, io, &e);
    CHECK(r == 0, "%s", e.msg);
    return r;
}

static void say(struct io_fd *io, const char *p, size_t n)
{
    int r = io_write_all(io, p, n);
    CHECK(r == 0, "write: %d", r);
}
#define SAY(io, s) say(io, s, sizeof(s) - 1)

/* Reads until the peer ends. */
static void read_all(struct io_fd *io, struct buf *out)
{
    for (;;) {
        char *p = buf_room(out, 65536);
        CHECK(p, "answer too long");
        if (!p)
            return;
        ssize_t n = io_read(io, p, 65536);
        CHECK(n >= 0, "read: %zd after %zu bytes", n, out->len);
        if (n <= 0)
            return;
        buf_commit(out, (size_t)n);
    }
}

/* Reads until `n` bytes are there. */
static void read_n(struct io_fd *io, struct buf *out, size_t n)
{
    while (out->len < n) {
        char *p = buf_room(out, n - out->len);
        ssize_t r = io_read(io, p, n - out->len);
        CHECK(r > 0, "read: %zd after %zu of %zu bytes", r, out->len, n);
        if (r <= 0)
            return;
        buf_commit(out, (size_t)r);
    }
}

static void cut_line(char *text, const char *name)
{
    char *at;
    while ((at = strstr(text, name))) {
        char *end = strstr(at, "\r\n");
        memmove(at, end + 2, strlen(end + 2) + 1);
    }
}

/* Removes what differs from run to run: Date must be there, once per head; request ids become "R",
 * and the length of a body with one, once checked, "*". */
static void normalise(struct buf *b)
{
    char *p = b->data;
    if (!p)
        return;
    size_t heads = 0, dates = 0;
    for (char *at = p; (at = strstr(at, "HTTP/1.1 ")); at++)
        heads += at[9] >= '2' && at[9] <= '5';
    for (char *at = p; (at = strstr(at, "Date: ")); at++)
        dates++;
    CHECK(heads == dates, "%zu heads, %zu dates", heads, dates);
    cut_line(p, "Date: ");
    for (char *at; (at = strstr(p, "\r\nrequest-id: req_"));) {
        char *length = at;
        while (length[-1] != ' ')
            length--;
        char *body = strstr(at, "\r\n\r\n") + 4, *id = strstr(body, "\"request_id\":\"req_");
        CHECK(id && atoi(length) == id + 14 + 28 + 2 - body, "length %.4s, body %s", length, body);
        if (!id)
            return;
        CHECK(memcmp(id + 14, at + 14, 28) == 0, "two ids: %s", at);
        memmove(id + 15, id + 14 + 28, strlen(id + 14 + 28) + 1);
        id[14] = 'R';
        memmove(at + 15, at + 14 + 28, strlen(at + 14 + 28) + 1);
        at[14] = 'R';
        memmove(length + 1, at, strlen(at) + 1);
        *length = '*';
    }
    b->len = strlen(p);
}

struct talk {
    const char *name, *send, *want;
    bool server_ends; /* the client does not shut its side down: the server must end by itself */
};

#define REFUSED(status, type, why)                                                                 \
    "HTTP/1.1 " status "\r\nContent-Type: application/json\r\nContent-Length: *\r\n"               \
    "request-id: R\r\nConnection: close\r\n\r\n"                                                   \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" why                      \
    "\"},\"request_id\":\"R\"}"
#define OK "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
#define OK_LAST                                                                                    \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: "             \
    "close\r\n\r\nok"
#define GET_OK "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct talk talks[] = {
    {"one request", GET_OK, OK, false},
    {"three pipelined", GET_OK GET_OK GET_OK, OK OK OK, false},
    {"close is honoured, the rest ignored",
     "GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET_OK, OK_LAST, true},
    {"1.0 closes", "GET /ok HTTP/1.0\r\n\r\n", OK_LAST, true},
    {"1.0 keep-alive", "GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /ok HTTP/1.0\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: "
     "keep-alive\r\n\r\nok" OK_LAST,
     true},
    {"HEAD has the head only", "HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n" GET_OK,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n" OK, false},
    {"HEAD of a stream", "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" GET_OK,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" OK, false},
    {"204 has neither type nor length", "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n" GET_OK,
     "HTTP/1.1 204 No Content\r\n\r\n" OK, false},
    {"request as the handler sees it", "PUT /what?q=1 HTTP/1.1\r\nHost: a\r\nX: y z\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\nPUT|/what|q=1|y z", false},
    /* bodies */
    {"body with a length",
     "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET_OK,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello" OK, false},
    {"chunked body with trailers",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
     "chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: v\r\n\r\n" GET_OK,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello" OK, false},
    {"unread body is skipped",
     "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /" GET_OK, OK OK, false},
    {"unread chunked body is skipped",
     "POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET "
     "/\r\n0\r\n\r\n" GET_OK,
     OK OK, false},
    {"unread bad chunks end it",
     "POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz" GET_OK, OK, true},
    {"body over the handler's limit, small",
     "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET_OK,
     "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\ntoo "
     "large\n" OK,
     false},
    {"chunked body over the limit",
     "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
     "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" GET_OK,
     "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\ntoo "
     "large\n" OK,
     false},
    {"announced body too large to skip",
     "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nhello",
     "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nContent-Length: "
     "10\r\nConnection: close\r\n\r\n"
     "too large\n",
     false},
    {"bad chunk",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 "
     "\r\nhello\r\n0\r\n\r\n" GET_OK,
     "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: "
     "close\r\n\r\nbad body\n",
     false},
    {"body cut off", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", "", false},
    /* Expect */
    {"100-continue",
     "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n" GET_OK,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n" OK, false},
    {"100-continue with the body on its way",
     "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
     "5\r\n\r\nhello" GET_OK,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello" OK, false},
    {"unread body never asked for",
     "POST /ok HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", OK_LAST,
     false},
    /* streams */
    {"chunked answer", "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" GET_OK,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
     "11\r\n0123456789abcdef0\r\n3\r\nend\r\n0\r\n\r\n" OK,
     false},
    {"streamed answer for 1.0", "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n0123456789abcdef0end",
     true},
    {"handler gives up half-way", "GET /half HTTP/1.1\r\nHost: a\r\n\r\n" GET_OK,
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
     true},
    {"handler does not answer", "GET /none HTTP/1.1\r\nHost: a\r\n\r\n" GET_OK,
     "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: "
     "*\r\nrequest-id: R\r\n"
     "\r\n{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"The request was not "
     "answered.\"},"
     "\"request_id\":\"R\"}" OK,
     false},
    {"bad response headers are left out", "GET /headers HTTP/1.1\r\nHost: a\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-Good: yes\r\nX-High: \xc3\xa4\r\n\r\nh", false},
    {"handler closes", "GET /close HTTP/1.1\r\nHost: a\r\n\r\n" GET_OK,
     "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", true},
    /* refusals */
    {"malformed", "GET  / HTTP/1.1\r\n\r\n",
     REFUSED("400 Bad Request", "invalid_request_error", "The request target is empty."), true},
    {"good, then malformed", GET_OK "\x16\x03\x01",
     OK REFUSED("400 Bad Request", "invalid_request_error",
                "The request does not begin with a method and one space."),
     true},
    {"smuggling",
     "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\nG",
     REFUSED("400 Bad Request", "invalid_request_error",
             "Content-Length and Transfer-Encoding exclude each other."),
     true},
    {"coding unknown", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
     REFUSED("501 Not Implemented", "invalid_request_error",
             "The only transfer coding understood here is chunked."),
     true},
    {"version", "GET / HTTP/2.0\r\n\r\n",
     REFUSED("505 HTTP Version Not Supported", "invalid_request_error",
             "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
     true},
    {"expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n",
     REFUSED("417 Expectation Failed", "invalid_request_error",
             "The only expectation understood here is 100-continue."),
     true},
    /* ends */
    {"nothing at all", "", "", false},
    {"half a head, then the end", "GET /ok HTTP/1.1\r\nHo", "", false},
    {"upgrade not asked for", "GET /upgrade HTTP/1.1\r\nHost: a\r\n\r\n",
     "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", false},
    {"upgrade",
     "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nEARLY",
     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nEARLY",
     false},
};

static void one_talk(const struct talk *t, size_t step)
{
    AUTO(io_fd) io = IO_FD_NONE;
    if (dial(&io) < 0)
        return;
    size_t n = strlen(t->send);
    for (size_t at = 0; at < n; at += step) {
        say(&io, t->send + at, n - at < step ? n - at : step);
        if (step < n)
            CHECK(fiber_yield() == 0, "yield");
    }
    if (!t->server_ends)
        CHECK(shutdown(io.fd, SHUT_WR) == 0, "shutdown");
    AUTO(buf) got = BUF_INIT(1 << 20);
    read_all(&io, &got);
    normalise(&got);
    CHECK(str_eq(buf_str(&got), t->want), "%s (in steps of %zu):\ngot:  %s\nwant: %s", t->name,
          step, buf_str(&got), t->want);
}

static int talk_to_server(void)
{
    for (size_t i = 0; i < ARRAY_LEN(talks) && !failure[0]; i++) {
        const struct talk *t = &talks[i];
        one_talk(t, strlen(t->send) + 1);
        if (!str_eq(t->name,
                    "100-continue with the body on its way")) /* in steps it is not on its way */
            one_talk(t, 1);
        one_talk(t, 7);
    }
    return 0;
}

static void test_talks(void **state)
{
    (void)state;
    run(talk_to_server, (struct http_server_config){0});
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
