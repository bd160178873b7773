/* test_server.c - the server over real sockets on loopback, spoken to in raw bytes: framing, order,
 * refusals. Each conversation is held three times: whole, in single bytes and in steps of seven. */
#include "base/limits.h"
#include "unit/http/server/talk.h"

static void echo(struct http_exchange *x, size_t max)
{
    AUTO(buf) body = BUF_INIT(1 << 20);
    int r = http_body_read(x, max, &body, NULL);
    if (r == -EMSGSIZE)
        (void)http_reply(x, 413, "text/plain", "too large\n", 10);
    else if (r == -E_PARSE)
        (void)http_reply(x, 400, "text/plain", "bad body\n", 9);
    else if (r == 0)
        (void)http_reply(x, 200, "text/plain", body.data, body.len);
}

/* A buffer smaller than what it says it takes. */
static void tiny(struct http_exchange *x)
{
    AUTO(buf) body = BUF_INIT(4);
    int r = http_body_read(x, 1000, &body, NULL);
    (void)http_reply(x, r == -EMSGSIZE ? 413 : 200, NULL, "t", 1);
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

static char big[300000];

static void handler(struct http_exchange *x, void *arg)
{
    const struct h1_request *q = http_request(x);
    (void)arg;
    if (str_eq(q->path, "/ok")) {
        (void)http_reply(x, 200, "text/plain", "ok", 2);
    } else if (str_eq(q->path, "/echo")) {
        echo(x, 1 << 20);
    } else if (str_eq(q->path, "/small")) {
        echo(x, 4);
    } else if (str_eq(q->path, "/tiny")) {
        tiny(x);
    } else if (str_eq(q->path, "/stream")) {
        stream(x);
    } else if (str_eq(q->path, "/none")) {
        ;
    } else if (str_eq(q->path, "/half")) {
        CHECK(http_stream_begin(x, 200, "text/plain") == 0, "begin");
        CHECK(http_stream_write(x, "ab", 2) == 0, "write");
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

/* ---- what came back ---- */

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
    {"chunked body over the buffer: the rest is not taken for anything else",
     "POST /tiny HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
     "chunked\r\n\r\n2\r\nab\r\n3\r\n0\r\n\r\n0\r\n\r\n" GET_OK,
     "HTTP/1.1 413 Content Too Large\r\nContent-Length: 1\r\nConnection: close\r\n\r\nt", true},
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
             "The only transfer coding that this server supports is chunked."),
     true},
    {"version", "GET / HTTP/2.0\r\n\r\n",
     REFUSED("505 HTTP Version Not Supported", "invalid_request_error",
             "This server speaks only HTTP/1.0 and HTTP/1.1."),
     true},
    {"expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n",
     REFUSED("417 Expectation Failed", "invalid_request_error",
             "The only expectation that this server supports is 100-continue."),
     true},
    /* ends */
    {"nothing at all", "", "", false},
    {"half a head, then the end", "GET /ok HTTP/1.1\r\nHo", "", false},
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

static void have_talks(void)
{
    for (size_t i = 0; i < ARRAY_LEN(talks) && !failure[0]; i++) {
        const struct talk *t = &talks[i];
        one_talk(t, strlen(t->send) + 1);
        /* In steps it is not on its way. */
        if (!str_eq(t->name, "100-continue with the body on its way"))
            one_talk(t, 1);
        one_talk(t, 7);
    }
}

static void conversations_go_as_written_however_cut(void **state)
{
    (void)state;
    talk_run(have_talks, (struct http_server_config){.handler = handler});
}

/* The client keeps its body back until it is asked for. */
static void ask_first(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    (void)dial(&io);
    for (int i = 0; i < 2; i++) { /* the connection stays usable */
        SAY(&io,
            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        read_until(&io, &got, "\r\n\r\n");
        CHECK(str_eq(buf_str(&got), "HTTP/1.1 100 Continue\r\n\r\n"), "%s", buf_str(&got));
        SAY(&io, "hello");
        read_until(&io, &got, "hello");
        buf_reset(&got);
    }
    SAY(&io, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: "
             "chunked\r\n\r\n");
    read_until(&io, &got, "\r\n\r\n");
    SAY(&io, "2\r\nhi\r\n0\r\n\r\n");
    read_until(&io, &got, "\r\n\r\nhi");
}

static void a_body_is_asked_for_with_100(void **state)
{
    (void)state;
    talk_run(ask_first, (struct http_server_config){.handler = handler});
}

/* Answers larger than any buffer, to a client that reads only after it has asked
 * for all of them. */
static void read_big(void)
{
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 7 + i / 1000);
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(16 << 20);
    (void)dial(&io);
    for (int i = 0; i < 20; i++)
        SAY(&io, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    SAY(&io, "GET /bigstream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    read_all(&io, &got);
    const char *p = buf_str(&got), *end = p + got.len;
    for (int i = 0; i < 21 && !failure[0]; i++) {
        const char *body = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
        CHECK(body, "answer %d: no head", i);
        if (!body)
            return;
        body += 4;
        if (i < 20) {
            CHECK((size_t)(end - body) > sizeof(big) && memcmp(body, big, sizeof(big)) == 0,
                  "answer %d", i);
            p = body + sizeof(big);
        } else {
            AUTO(buf) plain = BUF_INIT(sizeof(big) + 1);
            struct h1_chunked d = {0};
            ssize_t n = h1_chunked_feed(&d, body, (size_t)(end - body), &plain);
            CHECK(n == end - body && d.done && plain.len == sizeof(big) &&
                      memcmp(plain.data, big, sizeof(big)) == 0,
                  "stream: %zd, %zu bytes", n, plain.len);
        }
    }
}

static void answers_larger_than_any_buffer_arrive(void **state)
{
    (void)state;
    talk_run(read_big, (struct http_server_config){.handler = handler});
}

static void send_big(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(4 << 20), chunked = BUF_INIT(4 << 20);
    (void)dial(&io);
    (void)buf_addf(&chunked, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                   sizeof(big));
    (void)buf_add(&chunked, big, sizeof(big));
    (void)buf_adds(&chunked, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                             "Connection: close\r\n\r\n");
    for (size_t at = 0; at < sizeof(big); at += 1000) {
        (void)buf_adds(&chunked, "3e8;ext=1\r\n");
        (void)buf_add(&chunked, big + at, 1000);
        (void)buf_adds(&chunked, "\r\n");
    }
    (void)buf_adds(&chunked, "0\r\n\r\n");
    say(&io, chunked.data, chunked.len);
    read_all(&io, &got);
    const char *p = buf_str(&got), *end = p + got.len;
    for (int i = 0; i < 2; i++) {
        const char *body = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
        CHECK(body && (size_t)(end - body) >= sizeof(big) + 4 &&
                  memcmp(body + 4, big, sizeof(big)) == 0,
              "echo %d of %zu bytes", i, got.len);
        if (!body)
            return;
        p = body + 4 + sizeof(big);
    }
}

static void bodies_larger_than_any_buffer_arrive(void **state)
{
    (void)state;
    talk_run(send_big, (struct http_server_config){.handler = handler});
}

/* A client that sends on after it was refused still gets to read why. */
static void keep_sending(void)
{
    static const char *const heads[] = {
        "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
        "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n",
        "POST /echo HTTP/1.1\r\nHost : a\r\nContent-Length: 99999999\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        AUTO(io_fd) io = IO_FD_NONE;
        AUTO(buf) got = BUF_INIT(10000);
        (void)dial(&io);
        say(&io, heads[i], strlen(heads[i]));
        say(&io, big, sizeof(big));
        CHECK(shutdown(io.fd, SHUT_WR) == 0, "shutdown");
        read_all(&io, &got);
        CHECK(str_starts(buf_str(&got), i < 2 ? "HTTP/1.1 413" : "HTTP/1.1 400"), "%zu: %s", i,
              buf_str(&got));
    }
}

static void a_refused_client_gets_to_read_why(void **state)
{
    (void)state;
    talk_run(keep_sending, (struct http_server_config){.handler = handler});
}

static void over_long(void)
{
    static const struct {
        const char *before, *unit, *want;
        size_t times;
    } rows[] = {
        {"GET /", "a", "HTTP/1.1 414", LIMIT_TARGET_BYTES + 1},
        {"GET / HTTP/1.1\r\n", "a: b\r\n", "HTTP/1.1 431", LIMIT_HEADER_COUNT + 1},
        {"GET / HTTP/1.1\r\nHost: ", "a", "HTTP/1.1 431", LIMIT_HEADER_BYTES},
        {"", "M", "HTTP/1.1 501", 40},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(io_fd) io = IO_FD_NONE;
        AUTO(buf) got = BUF_INIT(10000), out = BUF_INIT(1 << 20);
        (void)buf_adds(&out, rows[i].before);
        for (size_t k = 0; k < rows[i].times; k++)
            (void)buf_adds(&out, rows[i].unit);
        (void)dial(&io);
        say(&io, out.data, out.len);
        read_all(&io, &got); /* the server ends it, though the head does not */
        CHECK(str_starts(buf_str(&got), rows[i].want), "%zu: %s", i, buf_str(&got));
    }
    struct http_stats st;
    http_server_stats(T.srv, &st);
    CHECK(st.bad_requests == ARRAY_LEN(rows) && st.requests == 0, "%llu bad",
          (unsigned long long)st.bad_requests);
}

static void over_long_heads_are_refused(void **state)
{
    (void)state;
    talk_run(over_long, (struct http_server_config){.handler = handler});
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_go_as_written_however_cut),
        cmocka_unit_test(a_body_is_asked_for_with_100),
        cmocka_unit_test(answers_larger_than_any_buffer_arrive),
        cmocka_unit_test(bodies_larger_than_any_buffer_arrive),
        cmocka_unit_test(a_refused_client_gets_to_read_why),
        cmocka_unit_test(over_long_heads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
