/* test_client_open.c - a client over a transport that the test gives: what it says and when, with servers that
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
    char asked[32][96];
    size_t n, open, freed;
    struct waitq never;
    int step;
    char id[24]; /* of the request that is being answered */
    char posted[4096];
};

struct stream {
    struct buf body;
    bool endless;
};

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
    while (s->body.len == 0 && s->endless) {
        int r = waitq_wait(&w->never);
        if (r < 0)
            return err_set(e, r, "no answer in time");
    }
    size_t k = n < s->body.len ? n : s->body.len;
    memcpy(p, s->body.data ? s->body.data : "", k);
    buf_consume(&s->body, k);
    return (ssize_t)k;
}

static void wire_close(struct mcp_transport *t, void *stream)
{
    struct stream *s = stream;
    CONTAINER_OF(t, struct wire, base)->open--;
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
    waitq_init(&w->never);
}

static int json_answer(struct wire *w, struct buf *head, struct buf *body, const char *result)
{
    buf_adds(head, "content-type: application/json\n");
    buf_addf(body, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", w->id, result);
    return 200;
}

#define OPENED "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}"

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
    static struct wire w;
    struct mcp_client *c = NULL;
    struct mcp_failure f;
    wire_init(&w, no_endpoint);
    struct mcp_options o = {.limits.silence_ms = 50};
    assert_true(open_client(&w, o, &c, &f) < 0); /* HTTP+SSE whose stream names no address */
    expect_asked(&w, 0, "POST initialize -\nGET - -\n");
    assert_int_equal(w.open, 0);
    assert_int_equal(w.freed, 0);
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
    static struct wire w;
    struct mcp_client *c = NULL;
    struct mcp_failure f;
    wire_init(&w, not_initialized);
    assert_true(open_client(&w, (struct mcp_options){0}, &c, &f) < 0);
    expect_asked(&w, 0, "POST initialize -\nPOST notifications/initialized s-1\nDELETE - s-1\n");
    assert_int_equal(w.open + w.freed, 0);
    mcp_failure_done(&f);
    return 0;
}
ON_LOOP(half_opened_session_is_deleted)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(given_transport_stays),
        CASE(half_opened_session_is_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
