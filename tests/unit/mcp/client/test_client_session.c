/* test_client_session.c - a client over a transport that the test gives: what it says and when, with servers that
 * fail in the middle.
 *
 * The transport answers each request at once by `answer`, or keeps a GET open for ever. What was asked
 * is written down, one line a request: method, JSON-RPC method, and the session that it named. */
#include "base/str.h"
#include "mcp/client/client.h"

#include "unit/loop.h"

#include <string.h>

struct wire {
    struct mcp_transport base;
    /* The status, and the rest of the answer; -1: a stream that stays open. */
    int (*answer)(struct wire *w, const char *method, struct buf *head, struct buf *body);
    char asked[128][96];
    size_t n, open, freed;
    struct waitq news;
    int step;
    char id[24]; /* of the request that is being answered */
    char posted[4096];
};

struct stream {
    struct buf body;
    bool endless;
};

static struct buf *call_body, *listener_body; /* of streams that are open; NULL: closed */

static const char *header_of(const struct client_request *q, const char *name)
{
    for (size_t i = 0; i < q->n_headers; i++)
        if (str_ieq(q->headers[i].name, name))
            return q->headers[i].value;
    return "-";
}

static int wire_open(struct mcp_transport *t, const struct client_request *q, void **ret_stream,
                     struct client_response *ret_head, struct err *e)
{
    struct wire *w = CONTAINER_OF(t, struct wire, base);
    AUTO_JSON json_t *j = NULL;
    if (fiber_yield() < 0)
        return err_set(e, -ECANCELED, "cancelled");
    if (q->body_len)
        assert_int_equal(json_parse(q->body, q->body_len, &j, NULL), 0);
    const char *method = json_get_str(j, "method");
    assert_true(w->n < ARRAY_LEN(w->asked));
    (void)snprintf(w->asked[w->n++], sizeof(w->asked[0]), "%s %s %s", q->method,
                   method ? method : "-", header_of(q, "mcp-session-id"));
    (void)snprintf(w->id, sizeof(w->id), "%lld", (long long)json_get_int(j, "id", 0));
    (void)snprintf(w->posted, sizeof(w->posted), "%.*s", (int)q->body_len,
                   q->body ? (const char *)q->body : "");
    struct stream *s = mem_new(struct stream);
    s->body = BUF_INIT(65536);
    ret_head->headers = BUF_INIT(4096);
    int status = w->answer(w, method ? method : q->method, &ret_head->headers, &s->body);
    s->endless = status < 0;
    ret_head->status = status < 0 ? 200 : status;
    w->open++;
    *ret_stream = s;
    return 0;
}

static ssize_t wire_read(struct mcp_transport *t, void *stream, void *p, size_t n, struct err *e)
{
    struct wire *w = CONTAINER_OF(t, struct wire, base);
    struct stream *s = stream;
    int r = fiber_yield(); /* time that has passed is noticed even where there are bytes */
    while (r == 0 && s->body.len == 0 && s->endless)
        r = waitq_wait(&w->news);
    if (r < 0)
        return err_set(e, r, "no answer in time");
    size_t k = n < s->body.len ? n : s->body.len;
    memcpy(p, s->body.data ? s->body.data : "", k);
    buf_consume(&s->body, k);
    return (ssize_t)k;
}

static void wire_close(struct mcp_transport *t, void *stream)
{
    struct stream *s = stream;
    CONTAINER_OF(t, struct wire, base)->open--;
    if (call_body == &s->body)
        call_body = NULL;
    if (listener_body == &s->body)
        listener_body = NULL;
    buf_done(&s->body);
    free(s);
}

static void wire_free(struct mcp_transport *t)
{
    CONTAINER_OF(t, struct wire, base)->freed++;
}

static const struct mcp_transport_ops ops = {wire_open, wire_read, wire_close, wire_free};

static void wire_init(struct wire *w,
                      int (*answer)(struct wire *, const char *, struct buf *, struct buf *))
{
    *w = (struct wire){.base.ops = &ops, .answer = answer};
    waitq_init(&w->news);
}

static int json_answer(struct wire *w, struct buf *head, struct buf *body, const char *result)
{
    buf_adds(head, "content-type: application/json\n");
    buf_addf(body, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", w->id, result);
    return 200;
}

#define OPENED "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}"

static struct wire wire; /* of the case that runs */

/* What a server of 2025 with sessions answers besides what a case wants. */
static int ordinary(struct wire *w, const char *method, struct buf *head, struct buf *body)
{
    if (str_eq(method, "initialize")) {
        buf_addf(head, "mcp-session-id: s-%d\n", ++w->step);
        return json_answer(w, head, body, OPENED);
    }
    if (str_eq(method, "GET")) {
        buf_adds(head, "content-type: text/event-stream\n");
        return -1;
    }
    return str_starts(method, "notifications/") || str_eq(method, "POST") ? 202
           : str_eq(method, "DELETE")                                     ? 200
                                      : json_answer(w, head, body, "{}");
}

static int open_client(struct wire *w, struct mcp_options o, struct mcp_client **ret,
                       struct mcp_failure *f)
{
    o.url = "http://127.0.0.1/mcp";
    o.era = MCP_ERA_LEGACY;
    o.transport = &w->base;
    return mcp_client_open(&o, ret, f);
}

static void expect_asked(const struct wire *w, size_t from, const char *want)
{
    AUTO(buf) seen = BUF_INIT(8192);
    for (size_t i = from; i < w->n; i++)
        buf_addf(&seen, "%s\n", w->asked[i]);
    assert_string_equal(buf_str(&seen), want);
}

/* ---- opening that fails, with a listener and a session ---- */

static int no_endpoint(struct wire *w, const char *method, struct buf *head, struct buf *body)
{
    return str_eq(method, "GET") ? ordinary(w, method, head, body) : 405;
}

static int given_transport_stays(void *arg)
{
    (void)arg;
    struct mcp_client *c = NULL;
    struct mcp_failure f;
    wire_init(&wire, no_endpoint);
    struct mcp_options o = {.limits.silence_ms = 50};
    assert_true(open_client(&wire, o, &c, &f) < 0); /* HTTP+SSE whose stream names no address */
    expect_asked(&wire, 0, "POST initialize -\nGET - -\n");
    assert_int_equal(wire.open, 0);
    assert_int_equal(wire.freed, 0);
    mcp_failure_done(&f);
    return 0;
}
ON_LOOP(given_transport_stays)

static int not_initialized(struct wire *w, const char *method, struct buf *head, struct buf *body)
{
    return str_eq(method, "notifications/initialized") ? 500 : ordinary(w, method, head, body);
}

static int half_opened_session_is_deleted(void *arg)
{
    (void)arg;
    struct mcp_client *c = NULL;
    struct mcp_failure f;
    wire_init(&wire, not_initialized);
    assert_true(open_client(&wire, (struct mcp_options){0}, &c, &f) < 0);
    expect_asked(&wire, 0, "POST initialize -\nPOST notifications/initialized s-1\nDELETE - s-1\n");
    assert_int_equal(wire.open + wire.freed, 0);
    mcp_failure_done(&f);
    return 0;
}
ON_LOOP(half_opened_session_is_deleted)

/* ---- a session that is lost ---- */

/* The second initialize fails; the session s-1 is forgotten after the first call. */
static int forgetful(struct wire *w, const char *method, struct buf *head, struct buf *body)
{
    const char *session = strrchr(w->asked[w->n - 1], ' ') + 1;
    if (str_eq(method, "initialize") && w->step == 1) {
        w->step++;
        return 500;
    }
    if (str_eq(method, "tools/call") && !str_eq(session, "s-3"))
        return str_eq(session, "-") ? 400 : 404;
    return ordinary(w, method, head, body);
}

static int call(struct mcp_client *c)
{
    AUTO_JSON json_t *result = NULL;
    struct mcp_failure f = {0};
    int r = mcp_client_call_tool(c, "go", NULL, NULL, &result, &f);
    mcp_failure_done(&f);
    return r;
}

static int failed_reopening_is_tried_again(void *arg)
{
    (void)arg;
    struct mcp_client *c = NULL;
    struct mcp_failure f;
    wire_init(&wire, forgetful);
    assert_int_equal(open_client(&wire, (struct mcp_options){0}, &c, &f), 0);
    assert_true(call(c) < 0);
    expect_asked(&wire, 2, "POST tools/call s-1\nPOST initialize -\n");
    assert_int_equal(call(c), 0);
    expect_asked(&wire, 4,
                 "POST initialize -\nPOST notifications/initialized s-3\nPOST tools/call s-3\n");
    mcp_client_close(c);
    expect_asked(&wire, 7, "DELETE - s-3\n");
    assert_int_equal(wire.open, 0);
    assert_int_equal(wire.freed, 1);
    return 0;
}
ON_LOOP(failed_reopening_is_tried_again)

/* Every session but the second is unknown. */
static int second_only(struct wire *w, const char *method, struct buf *head, struct buf *body)
{
    const char *session = strrchr(w->asked[w->n - 1], ' ') + 1;
    if (str_eq(method, "tools/call") && !str_eq(session, "s-2"))
        return str_eq(session, "-") ? 400 : 404;
    return ordinary(w, method, head, body);
}

static int call_beside(void *arg)
{
    assert_int_equal(call(arg), 0);
    return 0;
}

/* Three calls at once: one opens the session anew, none goes out without one. */
static int calls_wait_for_the_new_session(void *arg)
{
    (void)arg;
    struct mcp_client *c = NULL;
    struct mcp_failure f;
    wire_init(&wire, second_only);
    assert_int_equal(open_client(&wire, (struct mcp_options){0}, &c, &f), 0);
    AUTO(scope) s;
    scope_init(&s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fiber_spawn(&s, "call", call_beside, c, NULL), 0);
        for (int turns = 0; turns < i; turns++)
            assert_int_equal(fiber_yield(), 0);
    }
    assert_int_equal(scope_join(&s), 0);
    size_t opened = 0, bare = 0;
    for (size_t i = 0; i < wire.n; i++) {
        opened += str_starts(wire.asked[i], "POST initialize");
        bare += str_eq(wire.asked[i], "POST tools/call -");
    }
    assert_int_equal(opened, 2);
    assert_int_equal(bare, 0);
    mcp_client_close(c);
    return 0;
}
ON_LOOP(calls_wait_for_the_new_session)

static char odd_session[700];

static int odd_id(struct wire *w, const char *method, struct buf *head, struct buf *body)
{
    if (!str_eq(method, "initialize"))
        return ordinary(w, method, head, body);
    buf_addf(head, "mcp-session-id: %s\n", odd_session);
    return json_answer(w, head, body, OPENED);
}

static int ids_that_are_none_are_refused(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct mcp_client *c = NULL;
        struct mcp_failure f;
        wire_init(&wire, odd_id);
        (void)snprintf(odd_session, sizeof(odd_session), "%0*d%s", i ? 513 : 10, 0, i ? "" : " b");
        assert_true(open_client(&wire, (struct mcp_options){0}, &c, &f) < 0);
        assert_int_equal(f.source, MCP_PROTOCOL);
        assert_non_null(strstr(f.err.msg, i ? "longer than 512 bytes" : "no visible ASCII"));
        expect_asked(&wire, 0, "POST initialize -\n");
        mcp_failure_done(&f);
    }
    return 0;
}
ON_LOOP(ids_that_are_none_are_refused)

/* ---- questions ---- */

static char call_id[24];
static bool ask_on_listener;

/* Asks in the middle of a call, and answers the call when it has the person's answer. */
static int asking(struct wire *w, const char *method, struct buf *head, struct buf *body)
{
    if (str_eq(method, "GET"))
        listener_body = body;
    if (str_eq(method, "POST") && call_body) {
        buf_addf(call_body, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n", call_id);
        waitq_wake_all(&w->news);
    }
    if (!str_eq(method, "tools/call"))
        return ordinary(w, method, head, body);
    call_body = body;
    (void)str_copy(call_id, sizeof(call_id), w->id);
    buf_adds(head, "content-type: text/event-stream\n");
    buf_adds(ask_on_listener ? listener_body : body,
             "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"elicitation/create\","
             "\"params\":{}}\n\n");
    waitq_wake_all(&w->news);
    return -1;
}

/* A person who thinks for so many milliseconds: longer than a server may be silent. */
static int think(void *arg, const char *method, const json_t *params, json_t **ret)
{
    (void)method, (void)params;
    int r = fiber_sleep_ms(*(int *)arg);
    if (r == 0)
        *ret = json_new_object();
    return r;
}

static int thinking_is_no_silence(void *arg)
{
    (void)arg;
    int ms = 1600;
    const struct mcp_options o = {.ask = think, .ask_arg = &ms, .limits.silence_ms = 800};
    for (int i = 0; i < 2; i++) {
        struct mcp_client *c = NULL;
        struct mcp_failure f;
        ask_on_listener = i > 0;
        wire_init(&wire, asking);
        assert_int_equal(open_client(&wire, o, &c, &f), 0);
        assert_int_equal(call(c), 0);
        mcp_client_close(c);
    }
    return 0;
}
ON_LOOP(thinking_is_no_silence)

static int thinking_ends_with_the_whole(void *arg)
{
    (void)arg;
    int ms = 60000; /* the answer never comes in time, however slow the machine is */
    const struct mcp_options o = {
        .ask = think, .ask_arg = &ms, .limits = {.silence_ms = 400, .whole_ms = 600}};
    for (int i = 0; i < 2; i++) {
        struct mcp_client *c = NULL;
        struct mcp_failure f;
        ask_on_listener = i > 0;
        wire_init(&wire, asking);
        assert_int_equal(open_client(&wire, o, &c, &f), 0);
        assert_int_equal(call(c), -ETIMEDOUT);
        mcp_client_close(c);
    }
    return 0;
}
ON_LOOP(thinking_ends_with_the_whole)

static int pinging(struct wire *w, const char *method, struct buf *head, struct buf *body)
{
    if (str_eq(method, "GET"))
        for (int i = 0; i < 100; i++)
            buf_addf(body, "data: {\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"ping\"}\n\n", i);
    return ordinary(w, method, head, body);
}

static int questions_on_the_listener_are_bounded(void *arg)
{
    (void)arg;
    struct mcp_client *c = NULL;
    struct mcp_failure f;
    wire_init(&wire, pinging);
    assert_int_equal(open_client(&wire, (struct mcp_options){.listen = true}, &c, &f), 0);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(fiber_yield(), 0);
    size_t answers = 0, streams = 0;
    for (size_t i = 0; i < wire.n; i++) {
        answers += str_eq(wire.asked[i], "POST - s-1");
        streams += str_starts(wire.asked[i], "GET ");
    }
    assert_int_equal(answers, 64);
    assert_int_equal(streams, 1);
    assert_int_equal(wire.open, 0); /* the stream was closed */
    assert_int_equal(call(c), 0);
    mcp_client_close(c);
    return 0;
}
ON_LOOP(questions_on_the_listener_are_bounded)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(given_transport_stays),           CASE(half_opened_session_is_deleted),
        CASE(failed_reopening_is_tried_again), CASE(calls_wait_for_the_new_session),
        CASE(ids_that_are_none_are_refused),   CASE(thinking_is_no_silence),
        CASE(thinking_ends_with_the_whole),    CASE(questions_on_the_listener_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
