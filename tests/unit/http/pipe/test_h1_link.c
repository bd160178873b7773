/* test_h1_link.c - asking over HTTP/1.1: requests as an origin sees them, its answers as messages,
 * when a link can be used again, and what is never taken for an answer. */
#include "unit/http/pipe/h1_origin.h"

#define GET "GET / HTTP/1.1\r\nHost: o\r\n\r\n"

/* One exchange: what is asked, what the origin must hear, what it says, what is seen of that. */
struct row {
    const char *rule;
    const char *method; /* NULL: GET */
    const char *heard, *says, *seen;
    bool ends;  /* the origin ends the connection after it */
    bool again; /* the link takes another request afterwards */
};

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
    CHECK(fiber_sleep_ms(1) == 0,
          "what has come behind the answer is known after a turn of the loop");
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
        /* In one piece, byte by byte, ..., in two pieces cut at every byte of the second half. */
        for (size_t step = 0; step < strlen(row->says) || step < 2; step++) {
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

LINK_CASE(bytes_before_a_request_end_the_link)
LINK_CASE(an_idle_link_sees_that_its_peer_has_left)
LINK_CASE(a_peer_that_leaves_before_the_request_is_told_apart)
LINK_CASE(a_pipe_without_a_request_leaves_the_link_as_it_was)
LINK_CASE(a_reset_wakes_who_waits_and_the_peer_can_tell)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_become_messages_however_cut),
        CASE(bytes_before_a_request_end_the_link),
        CASE(an_idle_link_sees_that_its_peer_has_left),
        CASE(a_peer_that_leaves_before_the_request_is_told_apart),
        CASE(a_pipe_without_a_request_leaves_the_link_as_it_was),
        CASE(a_reset_wakes_who_waits_and_the_peer_can_tell),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&W.seen);
    buf_done(&W.heard);
    return r;
}
