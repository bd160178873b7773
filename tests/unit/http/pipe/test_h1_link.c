/* test_h1_link.c - asking over HTTP/1.1: requests as an origin sees them, its answers as messages,
 * when a link can be used again, and what is never taken for an answer. */
#include "unit/http/pipe/h1_peer.h"
#include "unit/loop.h"

#define GET "GET / HTTP/1.1\r\nHost: o\r\n\r\n"

/* One exchange: what is asked, what the origin must hear, what it says, what is seen of that. */
struct row {
    const char *rule;
    const char *method; /* NULL: GET */
    const char *heard, *says, *seen;
    bool ends;  /* the origin ends the connection after it */
    bool again; /* the link takes another request afterwards */
};

static struct {
    struct buf seen, heard;
    bool again;
    int read, sent;
} W;

static void add(struct http_head *h, const char *name, const char *value)
{
    CHECK(http_head_add(h, http_text_of(name), http_text_of(value)) == 0, "add");
}

static int ask(struct http_pipe *p, const char *method)
{
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = http_text_of(method);
    q.scheme = HTTP_TEXT("http");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    if (str_eq(method, "POST"))
        q.body = HTTP_BODY_LENGTH;
    if (str_eq(method, "POST"))
        q.length = 5;
    if (str_eq(method, "PUT"))
        q.body = HTTP_BODY_STREAM;
    if (str_eq(method, "CONNECT")) {
        q.authority = HTTP_TEXT("o:1");
        q.path = (struct http_text){NULL, 0};
    }
    if (str_eq(method, "UPGRADE")) {
        q.method = HTTP_TEXT("GET");
        q.protocol = HTTP_TEXT("websocket");
    }
    int r = http_send_head(p, &q);
    if (r == 0 && q.body == HTTP_BODY_LENGTH)
        r = http_send_body(p, "hello", 5, true);
    if (r == 0 && q.body == HTTP_BODY_STREAM)
        r = http_send_body(p, "hello", 5, true);
    if (r == 0 && q.body != HTTP_BODY_NONE)
        r = http_send_end(p, NULL);
    return r;
}

/* Reads heads up to the final one and its body. */
static int listen_to(struct http_pipe *p)
{
    for (;;) {
        AUTO(http_head) h;
        http_head_init(&h);
        struct err e = {0};
        int r = http_read_head(p, &h, &e);
        if (r < 0) {
            CHECK(e.msg[0], "no words for %s", err_name(r));
            (void)buf_addf(&W.seen, "!%s", err_name(r));
            return r;
        }
        tell_head(&W.seen, &h);
        if (h.status < 200 && h.status != 101) {
            (void)buf_adds(&W.seen, ", ");
            continue;
        }
        if (h.status == 101 ||
            (h.status == 200 && !h.has_length && h.body == HTTP_BODY_STREAM && h.protocol.p)) {
            CHECK(http_send_body(p, "up", 2, false) == 0 && http_send_end(p, NULL) == 0, "raw");
        }
        return (int)tell_body(&W.seen, p);
    }
}

static const struct row *now;
static size_t now_step;

/* The origin: hears one request, says its part. */
static int origin(void *arg)
{
    struct raw_peer *peer = arg;
    while (!str_ends(buf_str(&W.heard), now->heard)) {
        char *room = buf_room(&W.heard, 1000);
        ssize_t n = stream_read(&peer->s, room, 1000);
        CHECK(n > 0, "the request ended: %s", buf_str(&W.heard));
        if (n <= 0)
            return 0;
        buf_commit(&W.heard, (size_t)n);
    }
    CHECK(str_eq(buf_str(&W.heard), now->heard), "heard %s", buf_str(&W.heard));
    peer->said = now->says;
    peer->n = strlen(now->says);
    peer->step = now_step;
    peer->ends = now->ends;
    return raw_say(peer);
}

static int exchange_main(void *arg)
{
    (void)arg;
    AUTO(fiber_deadline) guard = fiber_deadline_push_ms(30000);
    struct raw_peer peer = {.n = 0};
    struct stream ours;
    connect_two(&ours, &peer.s);
    struct http_link_options o = {.tls = false};
    struct http_link *l;
    struct http_pipe *p = NULL;
    struct err e = {0};
    CHECK(http_link_new(HTTP_1_1, &ours, &o, &l, &e) == 0, "%s", e.msg);
    CHECK(http_link_room(l) == 1 && http_link_version(l) == HTTP_1_1 &&
              !http_link_connect_protocol(l),
          "fresh");
    {
        AUTO(scope) s;
        scope_init(&s);
        CHECK(fiber_spawn(&s, "origin", origin, &peer, NULL) == 0, "spawn");
        CHECK(http_link_ask(l, &p) == 0, "ask");
        struct http_pipe *second;
        CHECK(http_link_ask(l, &second) == -EBUSY && http_link_room(l) == 0, "busy");
        W.sent = ask(p, now->method ? now->method : "GET");
        W.read = listen_to(p);
        CHECK(scope_join(&s) == 0, "join");
    }
    http_pipe_close(p);
    W.again = !http_link_ended(l);
    CHECK(http_link_room(l) == (W.again ? 1u : 0u), "room");
    if (W.again) {
        CHECK(http_link_ask(l, &p) == 0 &&
                  http_send_head(p, &(struct http_head){.method = HTTP_TEXT("GET"),
                                                        .authority = HTTP_TEXT("o"),
                                                        .path = HTTP_TEXT("/2")}) == 0,
              "again");
        static const char two[] = "HTTP/1.1 204 No Content\r\n\r\n";
        CHECK(stream_write(&peer.s, two, sizeof(two) - 1) == 0, "second answer");
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(http_read_head(p, &h, &e) == 0 && h.status == 204, "%s", e.msg);
        http_pipe_close(p);
        CHECK(!http_link_ended(l), "after the second");
    } else {
        CHECK(http_link_ask(l, &p) == -E_CLOSED, "closed");
    }
    http_link_free(l);
    stream_done(&peer.s);
    return 0;
}

static void exchange(const struct row *row, size_t step)
{
    now = row;
    now_step = step;
    failing_rule = row->rule;
    buf_done(&W.seen);
    buf_done(&W.heard);
    buf_init(&W.seen, 1 << 20);
    buf_init(&W.heard, 1 << 20);
    run_on_loop(exchange_main, NULL);
    report_failure();
}

#define R "HTTP/1.1 200 OK\r\n"
static const struct row answers[] = {
    {"a length", NULL, GET, R "Content-Length: 3\r\nX-A: b\r\n\r\nabc", "200 x-a=b {3} abc", false,
     true},
    {"a length of 0", NULL, GET, R "Content-Length: 0\r\n\r\n", "200 {0}", false, true},
    {"chunks", NULL, GET, R "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n",
     "200 {stream} abcd", false, true},
    {"trailers", NULL, GET,
     R "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n",
     "200 {stream} a + x-t=1", false, true},
    {"no framing: to the end", NULL, GET, R "\r\nabc", "200 {stream} abc", true, false},
    {"HTTP/1.0, to the end", NULL, GET, "HTTP/1.0 200 OK\r\n\r\nabc", "200 {stream} abc", true,
     false},
    {"HTTP/1.0 with a length is not kept", NULL, GET,
     "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", "200 {1} a", false,
     false},
    {"close", NULL, GET, R "Content-Length: 1\r\nConnection: close\r\n\r\na", "200 {1} a", false,
     false},
    {"no space before an empty reason", NULL, GET, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
     "200 {0}", false, true},
    {"a reason with any bytes", NULL, GET,
     "HTTP/1.1 404 not\tf\xc3\xb6und\r\nContent-Length: 0\r\n\r\n", "404 {0}", false, true},
    {"204", NULL, GET, "HTTP/1.1 204 No Content\r\n\r\n", "204", false, true},
    {"204 with a length of 0", NULL, GET, "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", "204",
     false, true},
    {"304 with a length", NULL, GET, "HTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n",
     "304 {none of 7}", false, true},
    {"304 with chunked", NULL, GET, "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", "304",
     false, true},
    {"HEAD with a length", "HEAD", "HEAD / HTTP/1.1\r\nHost: o\r\n\r\n",
     R "Content-Length: 7\r\n\r\n", "200 {none of 7}", false, true},
    {"HEAD with chunked", "HEAD", "HEAD / HTTP/1.1\r\nHost: o\r\n\r\n",
     R "Transfer-Encoding: chunked\r\n\r\n", "200", false, true},
    {"interim answers first", NULL, GET,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\n\r\n" R
     "Content-Length: 1\r\n\r\na",
     "100, 103 link=a, 200 {1} a", false, true},
    {"hop-by-hop fields do not go on", NULL, GET,
     R "Connection: x-b\r\nX-B: 1\r\nKeep-Alive: timeout=5\r\nTrailer: x\r\nProxy-Connection: a\r\n"
       "Content-Length: 0\r\n\r\n",
     "200 {0}", false, true},
    {"a request with a length", "POST",
     "POST / HTTP/1.1\r\nHost: o\r\nContent-Length: 5\r\n\r\nhello", R "Content-Length: 0\r\n\r\n",
     "200 {0}", false, true},
    {"a request in chunks", "PUT",
     "PUT / HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
     R "Content-Length: 0\r\n\r\n", "200 {0}", false, true},
    {"PATCH without a body says so", "PATCH",
     "PATCH / HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\n\r\n", R "Content-Length: 0\r\n\r\n",
     "200 {0}", false, true},
    {"CONNECT", "CONNECT", "CONNECT o:1 HTTP/1.1\r\nHost: o:1\r\n\r\n", R "\r\nany\r\n\r\nthing",
     "200 {stream} any\r\n\r\nthing", true, false},
    {"CONNECT that fails is HTTP", "CONNECT", "CONNECT o:1 HTTP/1.1\r\nHost: o:1\r\n\r\n",
     "HTTP/1.1 403 no\r\nContent-Length: 2\r\n\r\nno", "403 {2} no", false, true},
    {"upgrade", "UPGRADE",
     "GET / HTTP/1.1\r\nHost: o\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
     "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "
     "x\r\n\r\nraw",
     "101 sec-websocket-accept=x ->WebSocket {stream} raw", true, false},
    {"upgrade that is not taken", "UPGRADE",
     "GET / HTTP/1.1\r\nHost: o\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
     R "Content-Length: 1\r\n\r\na", "200 {1} a", false, true},
    {"bytes behind the answer", NULL, GET,
     R "Content-Length: 1\r\n\r\na" R "Content-Length: 0\r\n\r\n", "200 {1} a", false, false},
    {"bytes behind 204", NULL, GET, "HTTP/1.1 204 x\r\n\r\nabc", "204", false, false},
    {"bytes behind chunks", NULL, GET,
     R "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "200 {stream}", false,
     false},
    {"an end behind the answer", NULL, GET, R "Content-Length: 1\r\n\r\na", "200 {1} a", true,
     false},
    /* cut short */
    {"no answer", NULL, GET, "", "!E_CLOSED", true, false},
    {"half a head", NULL, GET, "HTTP/1.1 200 OK\r\nContent", "!ECONNRESET", true, false},
    {"an interim answer and no other", NULL, GET, "HTTP/1.1 100 x\r\n\r\n", "100, !ECONNRESET",
     true, false},
    {"a length cut short", NULL, GET, R "Content-Length: 3\r\n\r\nab", "200 {3} ab !ECONNRESET",
     true, false},
    {"chunks cut short", NULL, GET, R "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
     "200 {stream} abc !ECONNRESET", true, false},
    {"a trailer cut short", NULL, GET, R "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
     "200 {stream} !ECONNRESET", true, false},
    /* refused */
    {"CL and TE", NULL, GET, R "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "!E_PARSE", false, false},
    {"two lengths", NULL, GET, R "Content-Length: 1\r\nContent-Length: 2\r\n\r\na", "!E_PARSE",
     false, false},
    {"two equal lengths", NULL, GET, R "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
     "!E_PARSE", false, false},
    {"a list of lengths", NULL, GET, R "Content-Length: 1, 1\r\n\r\na", "!E_PARSE", false, false},
    {"xchunked", NULL, GET, R "Transfer-Encoding: xchunked\r\n\r\n", "!E_PARSE", false, false},
    {"gzip, chunked", NULL, GET, R "Transfer-Encoding: gzip, chunked\r\n\r\n", "!E_PARSE", false,
     false},
    {"chunked in HTTP/1.0", NULL, GET,
     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!E_PARSE", false, false},
    {"obs-fold", NULL, GET, R "X: a\r\n b\r\nContent-Length: 0\r\n\r\n", "!E_PARSE", false, false},
    {"a bare LF", NULL, GET, R "X: a\nContent-Length: 0\r\n\r\n", "!E_PARSE", false, false},
    {"a bare CR", NULL, GET, R "X: a\rb\r\nContent-Length: 0\r\n\r\n", "!E_PARSE", false, false},
    {"bare LFs throughout", NULL, GET, "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "!E_PARSE", false,
     false},
    {"a space before the colon", NULL, GET, R "Content-Length : 0\r\n\r\n", "!E_PARSE", false,
     false},
    {"HTTP/0.9", NULL, GET, "<html>\n\n", "!E_PARSE", false, false},
    {"HTTP/2", NULL, GET, "HTTP/2 200\r\n\r\n", "!E_PARSE", false, false},
    {"an empty line first", NULL, GET, "\r\n" R "Content-Length: 0\r\n\r\n", "!E_PARSE", false,
     false},
    {"a status of 99", NULL, GET, "HTTP/1.1 099 x\r\n\r\n", "!E_PARSE", false, false},
    {"a status of 600", NULL, GET, "HTTP/1.1 600 x\r\n\r\n", "!E_PARSE", false, false},
    {"a status of four digits", NULL, GET, "HTTP/1.1 2000 x\r\n\r\n", "!E_PARSE", false, false},
    {"a tab behind the status", NULL, GET, "HTTP/1.1 200\tOK\r\n\r\n", "!E_PARSE", false, false},
    {"204 with a body", NULL, GET, "HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\na", "!E_PARSE",
     false, false},
    {"100 with chunks", NULL, GET, "HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n",
     "!E_PARSE", false, false},
    {"a 101 that nobody asked for", NULL, GET,
     "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "!E_PARSE", false,
     false},
    {"a 101 to another protocol", "UPGRADE",
     "GET / HTTP/1.1\r\nHost: o\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
     "HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "!E_PARSE", false, false},
    {"a 101 without Upgrade", "UPGRADE",
     "GET / HTTP/1.1\r\nHost: o\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
     "HTTP/1.1 101 x\r\n\r\n", "!E_PARSE", false, false},
    {"CONNECT with a length", "CONNECT", "CONNECT o:1 HTTP/1.1\r\nHost: o:1\r\n\r\n",
     R "Content-Length: 3\r\n\r\nabc", "!E_PARSE", false, false},
    {"broken chunks", NULL, GET, R "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX", NULL, false,
     false},
};

static void answers_become_messages_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        const struct row *row = &answers[i];
        for (size_t step = 0; step < 4; step++) {
            exchange(row, step);
            const char *want = row->seen ? row->seen : "200 {stream} abc !E_PARSE";
            if (!str_eq(buf_str(&W.seen), want))
                fail_msg("%s, step %zu: %s, not %s", row->rule, step, buf_str(&W.seen), want);
            if (W.again != row->again)
                fail_msg("%s, step %zu: taken again: %d", row->rule, step, W.again);
            assert_int_equal(W.sent, 0);
        }
    }
}

/* ---- what is no answer ---- */

static struct http_link *new_link(struct stream *peer)
{
    struct stream ours;
    connect_two(&ours, peer);
    struct http_link_options o = {.tls = false};
    struct http_link *l = NULL;
    CHECK(http_link_new(HTTP_1_1, &ours, &o, &l, NULL) == 0, "link");
    return l;
}

static int say(struct stream *s, const char *text)
{
    return stream_write(s, text, strlen(text));
}

static int bytes_before_a_request_end_the_link(void *arg)
{
    (void)arg;
    static const char forged[] = R "Content-Length: 0\r\n\r\n";
    struct stream peer;
    /* while it lies idle */
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(say(&peer, forged) == 0, "say");
    CHECK(http_link_ask(l, &p) == -E_CLOSED && http_link_room(l) == 0, "idle");
    http_link_free(l);
    stream_done(&peer);
    /* when the pipe is out, before the request goes */
    l = new_link(&peer);
    CHECK(http_link_ask(l, &p) == 0, "ask");
    CHECK(say(&peer, forged) == 0, "say");
    CHECK(fiber_sleep_ms(1) == 0, "events");
    CHECK(ask(p, "GET") == -ECONNRESET, "sent");
    CHECK(listen_to(p) == -ECONNRESET, "read");
    http_pipe_close(p);
    CHECK(http_link_ended(l), "ended");
    http_link_free(l);
    stream_done(&peer);
    /* the same, and somebody reads first */
    l = new_link(&peer);
    CHECK(http_link_ask(l, &p) == 0, "ask");
    CHECK(say(&peer, forged) == 0, "say");
    CHECK(listen_to(p) == -E_PARSE, "read first");
    http_pipe_close(p);
    CHECK(http_link_ended(l), "ended");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

static int an_idle_link_sees_that_its_peer_has_left(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    CHECK(!http_link_ended(l), "fresh");
    stream_done(&peer);
    CHECK(fiber_sleep_ms(1) == 0, "events");
    CHECK(http_link_ended(l), "left");
    http_link_free(l);
    return 0;
}

/* Nothing has gone out: the request may be sent again on another link. */
static int a_peer_that_leaves_before_the_request_is_told_apart(void *arg)
{
    (void)arg;
    for (int late = 0; late < 2; late++) {
        struct stream peer;
        struct http_link *l = new_link(&peer);
        struct http_pipe *p;
        CHECK(http_link_ask(l, &p) == 0, "ask");
        if (late)
            CHECK(ask(p, "GET") == 0, "sent"); /* unread bytes: the kernel answers with a reset */
        stream_done(&peer);
        CHECK(fiber_sleep_ms(1) == 0, "events");
        CHECK(late || ask(p, "GET") == -ECONNRESET, "sent");
        CHECK(listen_to(p) == -E_CLOSED, "read");
        http_pipe_close(p);
        CHECK(http_link_ended(l), "ended");
        http_link_free(l);
    }
    return 0;
}

static int a_pipe_without_a_request_leaves_the_link_as_it_was(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    http_pipe_close(p);
    CHECK(!http_link_ended(l) && http_link_room(l) == 1, "unused");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* Values that would cut a message in two do not go out, and nothing else either. */
static int what_would_split_a_request_is_not_sent(void *arg)
{
    (void)arg;
    static const struct {
        const char *what;
        struct http_text method, authority, path, name, value;
    } rows[] = {
        {"CR in a value", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a\rb")},
        {"LF in a value", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a\nb: c")},
        {"NUL in a value", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a\0b")},
        {"colon in a name", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x:"),
         HTTP_TEXT("a")},
        {"LF in a name", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x\n"),
         HTTP_TEXT("a")},
        {"no name", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT(""),
         HTTP_TEXT("a")},
        {"space in the path", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("/ HTTP/1.1\r\nX:"),
         HTTP_TEXT("x"), HTTP_TEXT("a")},
        {"a path without a slash", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT("a"), HTTP_TEXT("x"),
         HTTP_TEXT("a")},
        {"no path", HTTP_TEXT("GET"), HTTP_TEXT("o"), HTTP_TEXT(""), HTTP_TEXT("x"),
         HTTP_TEXT("a")},
        {"LF in the authority", HTTP_TEXT("GET"), HTTP_TEXT("o\r\nX: y"), HTTP_TEXT("/"),
         HTTP_TEXT("x"), HTTP_TEXT("a")},
        {"space in the method", HTTP_TEXT("GET /"), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a")},
        {"no method", HTTP_TEXT(""), HTTP_TEXT("o"), HTTP_TEXT("/"), HTTP_TEXT("x"),
         HTTP_TEXT("a")},
    };
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        failing_rule = rows[i].what;
        AUTO(http_head) q;
        http_head_init(&q);
        q.method = rows[i].method;
        q.authority = rows[i].authority;
        q.path = rows[i].path;
        CHECK(http_head_add(&q, rows[i].name, rows[i].value) == 0, "add");
        CHECK(http_send_head(p, &q) == -EINVAL, "sent");
    }
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("GET");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    q.protocol = HTTP_TEXT("h2c");
    CHECK(http_send_head(p, &q) == -EINVAL, "h2c");
    q.protocol = HTTP_TEXT("a, b");
    CHECK(http_send_head(p, &q) == -EINVAL, "a list");
    q.protocol = HTTP_TEXT("websocket");
    q.body = HTTP_BODY_STREAM;
    CHECK(http_send_head(p, &q) == -EINVAL, "upgrade with a body");
    http_pipe_close(p);
    char c;
    CHECK(stream_try_read(&peer, &c, 1) == -EAGAIN, "something went out");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* Framing fields that stand among the others, and what the members say. */
static int requests_are_framed_by_their_members_alone(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("GET");
    q.authority = HTTP_TEXT("o:8080");
    q.path = HTTP_TEXT("/x?y");
    q.protocol = HTTP_TEXT("websocket");
    q.has_te_trailers = true;
    add(&q, "sec-websocket-key", "k");
    q.fields.items[0].as_sent = "Sec-WebSocket-Key";
    add(&q, "x-other", "v");
    q.fields.items[1].as_sent = "X-OTHEr-name"; /* of another name that begins alike */
    add(&q, "x-renamed", "v");
    q.fields.items[2].as_sent = "X-Someone"; /* stale */
    add(&q, "content-length", "9");
    add(&q, "transfer-encoding", "chunked");
    add(&q, "host", "evil");
    add(&q, "connection", "close");
    add(&q, "te", "gzip");
    CHECK(http_send_head(p, &q) == 0, "sent");
    char got[1024];
    ssize_t n = stream_read(&peer, got, sizeof(got) - 1);
    got[n > 0 ? n : 0] = '\0';
    CHECK(str_eq(got, "GET /x?y HTTP/1.1\r\nHost: o:8080\r\nSec-WebSocket-Key: k\r\nX-OTHEr: v\r\n"
                      "x-renamed: v\r\nTE: trailers\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade, TE\r\n\r\n"),
          "%s", got);
    http_pipe_close(p);
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* ---- bodies ---- */

static int a_length_is_kept_to(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("POST");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    q.body = HTTP_BODY_LENGTH;
    q.length = 3;
    CHECK(http_send_body(p, "a", 1, false) == -EINVAL, "before the head");
    CHECK(http_send_head(p, &q) == 0 && http_send_head(p, &q) == -EINVAL, "a second head");
    CHECK(http_send_body(p, "abcd", 4, false) == -EINVAL, "too many");
    CHECK(http_send_body(p, "ab", 2, false) == 0, "some");
    CHECK(http_send_body(p, "cd", 2, false) == -EINVAL, "too many, later");
    CHECK(http_send_end(p, NULL) == -EINVAL, "too few");
    CHECK(http_send_body(p, "c", 1, false) == -ECONNRESET, "cut off");
    http_pipe_close(p);
    CHECK(http_link_ended(l), "ended");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* What is held back, and when it goes. */
static int a_small_message_goes_out_in_one_write(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    char got[1024];
    CHECK(http_link_ask(l, &p) == 0, "ask");
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("PUT");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    q.body = HTTP_BODY_STREAM;
    CHECK(http_send_head(p, &q) == 0, "head");
    CHECK(stream_try_read(&peer, got, sizeof(got)) == -EAGAIN, "the head went early");
    CHECK(fiber_sleep_ms(1) == 0, "events");
    CHECK(http_send_body(p, "ab", 2, true) == 0, "body");
    CHECK(stream_try_read(&peer, got, sizeof(got)) == -EAGAIN, "the body went early");
    CHECK(http_flush(p) == 0, "flush");
    ssize_t n = stream_read(&peer, got, sizeof(got));
    CHECK(n > 10 && memcmp(got + n - 7, "2\r\nab\r\n", 7) == 0, "%zd", n);
    CHECK(http_send_body(p, "cd", 2, true) == 0 && http_send_end(p, NULL) == 0, "end");
    n = stream_read(&peer, got, sizeof(got));
    CHECK(n == 12 && memcmp(got, "2\r\ncd\r\n0\r\n\r\n", 12) == 0, "%zd", n);
    http_pipe_close(p);
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* `idle` is true exactly when nothing more is there and the end is not known. */
static int idle_says_that_nothing_more_is_there(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    char got[64];
    bool idle = false;
    CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
    CHECK(say(&peer, R "Transfer-Encoding: chunked\r\n\r\n6\r\nabc") == 0, "say");
    AUTO(http_head) h;
    http_head_init(&h);
    CHECK(http_read_head(p, &h, NULL) == 0, "head");
    CHECK(http_read_body(p, got, 2, &idle) == 2 && !idle, "more is buffered");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 1 && idle, "all there was");
    CHECK(say(&peer, "def\r\n0\r\n\r\n") == 0, "say");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 3 && !idle, "the end is there");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 0, "end");
    http_pipe_close(p);
    CHECK(!http_link_ended(l), "kept");
    /* The same with a length, and bytes that come while nobody looks. */
    CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
    CHECK(say(&peer, R "Content-Length: 6\r\n\r\nab") == 0, "say");
    http_head_done(&h);
    CHECK(http_read_head(p, &h, NULL) == 0, "head");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 2 && idle, "all there was");
    CHECK(say(&peer, "cd") == 0 && fiber_sleep_ms(1) == 0, "say");
    CHECK(http_read_body(p, got, 1, &idle) == 1 && !idle, "one more is there");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 1 && idle, "no more");
    CHECK(say(&peer, "ef") == 0, "say");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 2 && !idle, "the end");
    CHECK(http_read_body(p, got, sizeof(got), &idle) == 0, "end");
    http_pipe_close(p);
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* An origin that answers early, does not read on and ends: its answer is read all the same. */
static int an_early_answer_is_read(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0, "ask");
    AUTO(http_head) q;
    http_head_init(&q);
    q.method = HTTP_TEXT("PUT");
    q.authority = HTTP_TEXT("o");
    q.path = HTTP_TEXT("/");
    q.body = HTTP_BODY_STREAM;
    CHECK(http_send_head(p, &q) == 0 && http_flush(p) == 0, "head");
    char got[1024];
    CHECK(stream_read(&peer, got, sizeof(got)) > 0, "request");
    CHECK(say(&peer, "HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno") == 0, "say");
    stream_done(&peer);
    int r = http_send_body(p, "abc", 3, false);
    CHECK(r == -ECONNRESET, "%s", err_name(r));
    buf_reset(&W.seen);
    CHECK(listen_to(p) == 0, "answer");
    CHECK(str_eq(buf_str(&W.seen), "413 {2} no"), "%s", buf_str(&W.seen));
    http_pipe_close(p);
    CHECK(http_link_ended(l), "ended");
    http_link_free(l);
    return 0;
}

/* A wait for the answer that ended is no end: it can be read later. */
static int a_deadline_leaves_the_answer_to_be_read(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
    CHECK(say(&peer, "HTTP/1.1 200") == 0, "half");
    AUTO(http_head) h;
    http_head_init(&h);
    struct err e = {0};
    struct fiber_deadline d = fiber_deadline_push_ms(5);
    CHECK(http_read_head(p, &h, &e) == -ETIMEDOUT && e.msg[0], "%s", e.msg);
    fiber_deadline_pop(&d);
    CHECK(say(&peer, " OK\r\nContent-Length: 0\r\n\r\n") == 0, "half");
    CHECK(http_read_head(p, &h, &e) == 0 && h.status == 200, "%s", e.msg);
    http_pipe_close(p);
    CHECK(!http_link_ended(l), "kept");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

static int reads_head(void *arg)
{
    AUTO(http_head) h;
    http_head_init(&h);
    W.read = http_read_head(arg, &h, NULL);
    return 0;
}

static int a_reset_wakes_who_waits_and_the_peer_can_tell(void *arg)
{
    (void)arg;
    struct stream peer;
    struct http_link *l = new_link(&peer);
    struct http_pipe *p;
    CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
    {
        AUTO(scope) s;
        scope_init(&s);
        W.read = 0;
        CHECK(fiber_spawn(&s, "reads", reads_head, p, NULL) == 0, "spawn");
        CHECK(fiber_sleep_ms(1) == 0, "waits");
        http_reset(p, HTTP_RESET_CANCEL);
        CHECK(scope_join(&s) == 0, "join");
    }
    CHECK(W.read == -ECONNRESET, "%s", err_name(W.read));
    CHECK(http_send_body(p, "a", 1, false) == -ECONNRESET, "send");
    http_pipe_close(p);
    CHECK(http_link_ended(l), "ended");
    http_link_free(l);
    stream_done(&peer);
    return 0;
}

/* A large body both ways, of each framing, through small and large calls. */
struct bulk {
    struct http_pipe *p;
    size_t step;
};
#define BULK (1u << 20)
static int sends_bulk(void *arg)
{
    struct bulk *b = arg;
    AUTO_FREE char *bytes = malloc(b->step);
    for (size_t at = 0; at < BULK;) {
        size_t n = BULK - at < b->step ? BULK - at : b->step;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)((at + i) * 7 % 251);
        int r = http_send_body(b->p, bytes, n, at % 3 == 0);
        CHECK(r == 0, "%s", err_name(r));
        if (r < 0)
            return 0;
        at += n;
    }
    int r = http_send_end(b->p, NULL);
    CHECK(r == 0, "%s", err_name(r));
    return 0;
}
static size_t receives_bulk(struct http_pipe *p, size_t step)
{
    AUTO_FREE char *bytes = malloc(step);
    size_t at = 0;
    ssize_t n;
    bool idle;
    while ((n = http_read_body(p, bytes, step, &idle)) > 0) {
        for (ssize_t i = 0; i < n; i++, at++)
            CHECK(bytes[i] == (char)(at * 7 % 251), "byte %zu", at);
    }
    CHECK(n == 0, "%s", err_name((int)n));
    return at;
}
static size_t bulk_step;
static enum http_body bulk_body;
static void serve_bulk(void *arg, struct http_pipe *p)
{
    (void)arg;
    AUTO(http_head) q;
    http_head_init(&q);
    CHECK(http_read_head(p, &q, NULL) == 0 && q.body == bulk_body, "head");
    CHECK(receives_bulk(p, bulk_step) == BULK, "length");
    AUTO(http_head) h;
    http_head_init(&h);
    h.status = 200;
    h.body = bulk_body;
    h.length = BULK;
    CHECK(http_send_head(p, &h) == 0, "head");
    struct bulk b = {p, bulk_step};
    (void)sends_bulk(&b);
    http_pipe_close(p);
}
static int serving_bulk(void *arg)
{
    struct http_serve_options o = {.serve = serve_bulk};
    struct err e = {0};
    int r = http_serve(HTTP_1_1, arg, &o, &e);
    CHECK(r == 0, "%s", e.msg);
    stream_done(arg);
    return 0;
}
static int large_bodies_go_through_whole(void *arg)
{
    (void)arg;
    static const size_t steps[] = {1000, 16384, 16385, 70000, BULK};
    struct stream peer;
    struct http_link *l = new_link(&peer);
    AUTO(scope) s;
    scope_init(&s);
    CHECK(fiber_spawn(&s, "serves", serving_bulk, &peer, NULL) == 0, "spawn");
    for (size_t i = 0; i < 2 * ARRAY_LEN(steps); i++) {
        bulk_step = steps[i / 2];
        bulk_body = i % 2 ? HTTP_BODY_STREAM : HTTP_BODY_LENGTH;
        struct bulk b = {.step = bulk_step};
        CHECK(http_link_ask(l, &b.p) == 0, "ask");
        AUTO(http_head) q;
        http_head_init(&q);
        q.method = HTTP_TEXT("POST");
        q.authority = HTTP_TEXT("o");
        q.path = HTTP_TEXT("/");
        q.body = bulk_body;
        q.length = BULK;
        CHECK(http_send_head(b.p, &q) == 0, "head");
        (void)sends_bulk(&b);
        AUTO(http_head) h;
        http_head_init(&h);
        CHECK(http_read_head(b.p, &h, NULL) == 0 && h.body == bulk_body, "head");
        CHECK(receives_bulk(b.p, bulk_step) == BULK, "length");
        http_pipe_close(b.p);
        CHECK(!http_link_ended(l), "kept");
    }
    http_link_free(l);
    CHECK(scope_join(&s) == 0, "join");
    return 0;
}

/* A head of the boundary's own memory is wiped; that it is secret survives the reading. */
static int a_large_answer_head_has_a_ceiling(void *arg)
{
    (void)arg;
    static char big[300 << 10];
    for (int over = 0; over < 2; over++) {
        struct stream peer;
        struct http_link *l = new_link(&peer);
        struct http_pipe *p;
        CHECK(http_link_ask(l, &p) == 0 && ask(p, "GET") == 0, "ask");
        size_t n = (size_t)sprintf(big, R "Content-Length: 0\r\n"), most = over ? 290000 : 250000;
        while (n < most)
            n += (size_t)sprintf(big + n, "x: %02000d\r\n", 1);
        n += (size_t)sprintf(big + n, "\r\n");
        AUTO(scope) s;
        scope_init(&s);
        struct raw_peer says = {.said = big, .n = n, .step = 30000};
        stream_move(&says.s, &peer);
        CHECK(fiber_spawn(&s, "says", raw_say, &says, NULL) == 0, "spawn");
        AUTO(http_head) h;
        http_head_init(&h);
        struct err e = {0};
        int r = http_read_head(p, &h, &e);
        CHECK(r == (over ? -E_LIMIT : 0), "%s %s", err_name(r), e.msg);
        http_pipe_close(p);
        http_link_free(l);
        CHECK(scope_join(&s) == 0, "join");
        stream_done(&says.s);
    }
    return 0;
}

#define LINK_CASE(f)                                                                               \
    static int guarded_##f(void *arg)                                                              \
    {                                                                                              \
        AUTO(fiber_deadline) guard = fiber_deadline_push_ms(30000);                                \
        return f(arg);                                                                             \
    }                                                                                              \
    static void case_##f(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        failing_rule = "";                                                                         \
        failure[0] = '\0';                                                                         \
        run_on_loop(guarded_##f, NULL);                                                            \
        report_failure();                                                                          \
    }
LINK_CASE(bytes_before_a_request_end_the_link)
LINK_CASE(an_idle_link_sees_that_its_peer_has_left)
LINK_CASE(a_peer_that_leaves_before_the_request_is_told_apart)
LINK_CASE(a_pipe_without_a_request_leaves_the_link_as_it_was)
LINK_CASE(what_would_split_a_request_is_not_sent)
LINK_CASE(requests_are_framed_by_their_members_alone)
LINK_CASE(a_length_is_kept_to)
LINK_CASE(a_small_message_goes_out_in_one_write)
LINK_CASE(idle_says_that_nothing_more_is_there)
LINK_CASE(an_early_answer_is_read)
LINK_CASE(a_deadline_leaves_the_answer_to_be_read)
LINK_CASE(a_reset_wakes_who_waits_and_the_peer_can_tell)
LINK_CASE(large_bodies_go_through_whole)
LINK_CASE(a_large_answer_head_has_a_ceiling)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_become_messages_however_cut),
        CASE(bytes_before_a_request_end_the_link),
        CASE(an_idle_link_sees_that_its_peer_has_left),
        CASE(a_peer_that_leaves_before_the_request_is_told_apart),
        CASE(a_pipe_without_a_request_leaves_the_link_as_it_was),
        CASE(what_would_split_a_request_is_not_sent),
        CASE(requests_are_framed_by_their_members_alone),
        CASE(a_length_is_kept_to),
        CASE(a_small_message_goes_out_in_one_write),
        CASE(idle_says_that_nothing_more_is_there),
        CASE(an_early_answer_is_read),
        CASE(a_deadline_leaves_the_answer_to_be_read),
        CASE(a_reset_wakes_who_waits_and_the_peer_can_tell),
        CASE(large_bodies_go_through_whole),
        CASE(a_large_answer_head_has_a_ceiling),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&W.seen);
    buf_done(&W.heard);
    return r;
}
