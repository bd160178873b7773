/* test_client.c - the client over a transport that a test wrote: no sockets, so that cancellation,
 * deadlines and tokens are seen from the fiber's side. */
#include "unit/loop.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "mcp/client/client.h"

#include <stdio.h>
#include <string.h>

/* A server of 2026-07-28 in a transport. Streams are its own, one at a time. */
struct script {
    struct mcp_transport base;
    char answer[1024];
    size_t at, len;
    bool hang;          /* tools/call is never answered */
    const char *want;   /* the only token that is taken; NULL: any */
    const char *modern; /* the answer to server/discover */
    int opened, closed, freed, calls, refusals;
    char methods[512];
};

static const char *const headers_json = "content-type: application/json\n";

static void say(struct script *s, int64_t id, const char *result)
{
    s->len =
        (size_t)snprintf(s->answer, sizeof(s->answer),
                         "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":%s}", (long long)id, result);
    s->at = 0;
}

static int script_open(struct mcp_transport *t, const struct client_request *q, void **ret_stream,
                       struct client_response *ret_head, struct err *e)
{
    struct script *s = CONTAINER_OF(t, struct script, base);
    (void)e;
    AUTO_JSON json_t *j = NULL;
    assert_int_equal(json_parse(q->body, q->body_len, &j, NULL), 0);
    const char *method = json_get_str(j, "method");
    size_t used = strlen(s->methods);
    snprintf(s->methods + used, sizeof(s->methods) - used, "%s ", method);
    s->opened++;
    *ret_stream = s;
    buf_init(&ret_head->headers, 1000);
    buf_adds(&ret_head->headers, headers_json);
    ret_head->status = 200;
    s->len = s->at = 0;
    if (s->want && !str_eq(q->bearer, s->want)) {
        s->refusals++;
        ret_head->status = 401;
        buf_adds(&ret_head->headers, "www-authenticate: Bearer error=\"invalid_token\"\n");
        return 0;
    }
    int64_t id = json_get_int(j, "id", 0);
    if (str_eq(method, "server/discover"))
        say(s, id, s->modern);
    else if (str_eq(method, "tools/list"))
        say(s, id, "{\"tools\":[{\"name\":\"go\",\"inputSchema\":{}}],\"ttlMs\":600000}");
    else if (!s->hang)
        say(s, id, "{\"content\":[]}");
    s->calls += str_eq(method, "tools/call");
    return 0;
}

static ssize_t script_read(struct mcp_transport *t, void *stream, void *p, size_t n, struct err *e)
{
    struct script *s = CONTAINER_OF(t, struct script, base);
    assert_ptr_equal(stream, s);
    if (s->len == 0 && s->hang) {
        int r = fiber_sleep_ms(1000000);
        return err_set(e, r < 0 ? r : -E_CLOSED, "the wait is over");
    }
    size_t left = s->len - s->at, k = left < n ? left : n;
    memcpy(p, s->answer + s->at, k);
    s->at += k;
    return (ssize_t)k;
}

static void script_close(struct mcp_transport *t, void *stream)
{
    (void)stream;
    CONTAINER_OF(t, struct script, base)->closed++;
}

static void script_free(struct mcp_transport *t)
{
    CONTAINER_OF(t, struct script, base)->freed++;
}

static const struct mcp_transport_ops script_ops = {script_open, script_read, script_close,
                                                    script_free};

static struct script script_make(void)
{
    return (struct script){.base.ops = &script_ops,
                           .modern = "{\"supportedVersions\":[\"2026-07-28\"]}"};
}

static struct mcp_client *open_on(struct script *s, struct mcp_options o)
{
    struct mcp_client *c = NULL;
    struct mcp_failure f = {0};
    o.url = "https://a.example/mcp";
    o.transport = &s->base;
    if (mcp_client_open(&o, &c, &f) < 0)
        fail_msg("%s: %s", mcp_source_name(f.source), f.err.msg);
    return c;
}

static int a_list_is_kept_for_as_long_as_the_server_allows(void *arg)
{
    (void)arg;
    struct script s = script_make();
    struct mcp_client *c = open_on(&s, (struct mcp_options){0});
    struct mcp_failure f = {0};
    assert_string_equal(mcp_client_version(c), "2026-07-28");
    for (int i = 0; i < 3; i++) {
        AUTO_JSON json_t *tools = NULL;
        assert_int_equal(mcp_client_list_tools(c, &tools, NULL, &f), 0);
        assert_int_equal(json_array_size(tools), 1);
    }
    assert_string_equal(s.methods, "server/discover tools/list ");
    AUTO_JSON json_t *result = NULL;
    assert_int_equal(mcp_client_call_tool(c, "go", NULL, NULL, &result, &f), 0);
    assert_string_equal(s.methods, "server/discover tools/list tools/call ");
    mcp_client_close(c);
    assert_int_equal(s.opened, s.closed);
    assert_int_equal(s.freed, 1);
    return 0;
}

struct caller {
    struct mcp_client *c;
    struct mcp_failure f;
    int result;
    bool over;
};

static int call_it(void *arg)
{
    struct caller *w = arg;
    AUTO_JSON json_t *result = NULL;
    w->result = mcp_client_call_tool(w->c, "go", NULL, NULL, &result, &w->f);
    w->over = true;
    return 0;
}

static int a_cancelled_call_closes_its_stream(void *arg)
{
    (void)arg;
    struct script s = script_make();
    s.hang = true;
    struct mcp_client *c = open_on(&s, (struct mcp_options){0});
    struct caller w = {.c = c};
    struct scope scope;
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "caller", call_it, &w, NULL), 0);
    while (s.calls == 0)
        assert_int_equal(fiber_yield(), 0);
    assert_int_equal(fiber_yield(), 0);
    assert_int_equal(s.opened, s.closed + 1);
    assert_false(w.over);
    scope_done(&scope);
    assert_true(w.over);
    assert_int_equal(w.result, -ECANCELED);
    assert_int_equal(w.f.source, MCP_CANCELLED);
    assert_int_equal(s.opened, s.closed);
    assert_null(strstr(s.methods, "notifications/cancelled")); /* closing says it */
    mcp_failure_done(&w.f);
    mcp_client_close(c);
    return 0;
}

static int a_deadline_of_the_caller_ends_a_call(void *arg)
{
    (void)arg;
    struct script s = script_make();
    s.hang = true;
    struct mcp_client *c = open_on(&s, (struct mcp_options){0});
    struct caller w = {.c = c};
    struct fiber_deadline d = fiber_deadline_push_ms(30);
    (void)call_it(&w);
    fiber_deadline_pop(&d);
    assert_int_equal(w.result, -ETIMEDOUT);
    assert_int_equal(w.f.source, MCP_TIMEOUT);
    assert_int_equal(s.opened, s.closed);
    mcp_failure_done(&w.f);
    s.hang = false; /* the client lives on */
    (void)call_it(&w);
    assert_int_equal(w.result, 0);
    mcp_client_close(c);
    return 0;
}

struct tokens {
    int asked, refused;
    const char *first, *other; /* NULL: none */
};

static int give_token(void *arg, bool refused, struct secret *ret, struct err *e)
{
    struct tokens *t = arg;
    (void)e;
    t->asked++;
    t->refused += refused;
    const char *token = refused ? t->other : t->first;
    return token ? secret_set(ret, token, strlen(token)) : 1;
}

static int a_refused_token_is_replaced_once(void *arg)
{
    (void)arg;
    static const struct {
        const char *first, *other;
        int refusals, result;
    } rows[] = {
        {"right", NULL, 0, 0},          {"wrong", "right", 1, 0},    {NULL, "right", 1, 0},
        {"wrong", "worse", 2, -EACCES}, {"wrong", NULL, 1, -EACCES}, {NULL, NULL, 1, -EACCES},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct script s = script_make();
        s.want = "right";
        struct tokens tokens = {.first = rows[i].first, .other = rows[i].other};
        struct mcp_client *c = NULL;
        struct mcp_failure f = {0};
        const struct mcp_options o = {.url = "https://a.example/mcp",
                                      .bearer = give_token,
                                      .bearer_arg = &tokens,
                                      .transport = &s.base};
        assert_int_equal(mcp_client_open(&o, &c, &f), rows[i].result);
        assert_int_equal(s.refusals, rows[i].refusals);
        assert_int_equal(s.opened, s.closed);
        if (rows[i].result < 0) {
            assert_int_equal(f.source, MCP_AUTH);
            assert_int_equal(f.status, 401);
            assert_string_equal(f.challenge.error, "invalid_token");
            assert_int_equal(s.freed, 0); /* the transport stays the caller's */
        }
        mcp_failure_done(&f);
        mcp_client_close(c);
    }
    return 0;
}

static int options_that_make_no_sense_are_refused(void *arg)
{
    (void)arg;
    const struct client_header bad[] = {{"Mcp-Method", "x"},  {"", "x"},
                                        {"a b", "x"},         {"a", "x\r\ny: z"},
                                        {"mcp-param-x", "1"}, {"HOST", "x"}};
    for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
        struct script s = script_make();
        struct mcp_client *c = NULL;
        struct mcp_failure f = {0};
        struct mcp_options o = {.url = "https://a.example/mcp", .transport = &s.base};
        if (i < ARRAY_LEN(bad)) {
            o.headers = &bad[i];
            o.n_headers = 1;
        } else {
            o.url = "https://user:secret@a.example/mcp";
        }
        assert_int_equal(mcp_client_open(&o, &c, &f), -EINVAL);
        assert_int_equal(f.source, MCP_HERE);
        assert_null(strstr(f.err.msg, "secret"));
        assert_int_equal(s.opened, 0);
        mcp_failure_done(&f);
    }
    return 0;
}

ON_LOOP(a_list_is_kept_for_as_long_as_the_server_allows)
ON_LOOP(a_cancelled_call_closes_its_stream)
ON_LOOP(a_deadline_of_the_caller_ends_a_call)
ON_LOOP(a_refused_token_is_replaced_once)
ON_LOOP(options_that_make_no_sense_are_refused)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_list_is_kept_for_as_long_as_the_server_allows),
        CASE(a_cancelled_call_closes_its_stream),
        CASE(a_deadline_of_the_caller_ends_a_call),
        CASE(a_refused_token_is_replaced_once),
        CASE(options_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
