/* test_refusal.c - what a sandbox is told when it may not. */
#include "unit/egress/policy/load.h"
#include "unit/json.h"
#include "egress/policy/explain.h"
#include "egress/policy/refusal.h"

static struct policy *rules(void)
{
    return load("allow:\n"
                "  - host: api.example\n"
                "    methods: [GET]\n"
                "    paths: ['/v1/**']\n"
                "deny: [no.example]\n");
}

/* The body for a question, and the question's decision. */
static json_t *body(const struct policy *p, const char *host, unsigned port, const char *method,
                    const char *path, char **ret_explained)
{
    AUTO(buf) b = BUF_INIT(REFUSAL_BODY_MAX);
    AUTO(buf) words = BUF_INIT(4096);
    struct host h;
    char canonical[1024];
    struct policy_query q = {
        .host = &h, .port = (uint16_t)port, .transport = POLICY_TLS, .method = method};
    struct policy_decision d;
    assert_int_equal(host_parse(host, strlen(host), HOST_LITERALS, &h, NULL), 0);
    if (path && path_canonical(path, strlen(path), canonical, &q.path_n, &q.path_why) == 0)
        q.path = canonical;
    policy_decide(p, &q, &d);
    refusal_body(&q, &d, &b);
    assert_int_equal(buf_err(&b), 0);
    explain_decision(p, &q, &d, &words);
    *ret_explained = buf_take(&words, NULL);
    json_t *j = NULL;
    assert_int_equal(json_parse(buf_str(&b), b.len, &j, NULL), 0);
    return j;
}

static void the_body_says_which_rule_is_missing(void **state)
{
    static const struct {
        const char *host, *method, *path, *message, *missing;
        unsigned port;
    } rows[] = {
        {"new.example", "GET", "/x?secret=1", "no rule allows new.example.",
         "egress:\n  allow:\n    - host: \"new.example\"\n", 443},
        {"new.example", NULL, NULL, "no rule allows new.example.",
         "egress:\n  allow:\n    - host: \"new.example\"\n      port: 5432\n", 5432},
        {"api.example", "POST", "/v1/x", "api.example is allowed, but not the method POST /v1/x.",
         "egress:\n  allow:\n    - host: \"api.example\"\n      methods: [\"POST\"]\n      paths: "
         "[\"/v1/x\"]\n",
         443},
        {"api.example", "GET", "/v2/x", "api.example is allowed, but not the path GET /v2/x.",
         "egress:\n  allow:\n    - host: \"api.example\"\n      methods: [\"GET\"]\n      paths: "
         "[\"/v2/x\"]\n",
         443},
        {"api.example", "GET", "/v1/../x",
         "rules for api.example look at the path, and this one has a dot segment (\".\" or "
         "\"..\").",
         NULL, 443},
        {"no.example", "GET", "/", "a deny rule has no.example.", NULL, 443},
    };
    struct policy *p = rules();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *words = NULL;
        AUTO_JSON json_t *j =
            body(p, rows[i].host, rows[i].port, rows[i].method, rows[i].path, &words);
        assert_string_equal(json_get_str(j, "type"), "error");
        const json_t *error = json_object_get(j, "error");
        assert_string_equal(json_get_str(error, "type"), "egress_denied");
        const char *message = json_get_str(error, "message");
        assert_non_null(message);
        assert_string_equal(strchr(message, ':') + 2, rows[i].message);
        assert_string_equal(json_get_str(j, "host"), rows[i].host);
        assert_int_equal(json_get_int(j, "port", 0), rows[i].port);
        const char *missing = json_get_str(j, "missing_rule");
        if (rows[i].missing) {
            assert_string_equal(missing, rows[i].missing);
            /* It is a policy that would have allowed it. */
            struct policy *would = load(missing);
            struct policy_decision d =
                ask(would, rows[i].host, rows[i].port, POLICY_TLS, rows[i].method, rows[i].path);
            assert_int_equal(d.verdict, POLICY_ALLOW);
            policy_unref(would);
        } else {
            assert_null(missing);
        }
        assert_non_null(json_get_str(j, "how"));
        assert_null(strstr(json_get_str(j, "path") ? json_get_str(j, "path") : "", "secret"));
    }
    policy_unref(p);
}

static void a_long_path_becomes_a_pattern_that_has_it(void **state)
{
    struct policy *p = rules();
    char path[900] = "/";
    (void)state;
    for (size_t i = 1; i + 12 < sizeof(path); i += 12)
        memcpy(path + i, "ab%C3%A9-cd/", 13);
    AUTO_FREE char *words = NULL;
    AUTO_JSON json_t *j = body(p, "api.example", 443, "GET", path, &words);
    const char *missing = json_get_str(j, "missing_rule");
    assert_non_null(strstr(missing, "/**\"]"));
    struct policy *would = load(missing);
    assert_int_equal(ask(would, "api.example", 443, POLICY_TLS, "GET", path).verdict, POLICY_ALLOW);
    policy_unref(would);
    policy_unref(p);
}

static void a_decision_is_explained_in_lines(void **state)
{
    struct policy *p = rules();
    AUTO_FREE char *words = NULL;
    AUTO_JSON json_t *j = body(p, "api.example", 443, "POST", "/v1/x", &words);
    (void)state;
    char *end = strstr(words, "policy: ");
    assert_non_null(end);
    *end = '\0';
    assert_string_equal(
        words,
        "deny api.example:443 POST /v1/x\n"
        "why: api.example is allowed, but not the method POST /v1/x\n"
        "nearest rule: egress.allow[0] (line 2): api.example, ports 80 and 443, GET HEAD, /v1/**\n"
        "looked into: no\n");
    assert_string_equal(
        json_get_str(j, "rule"),
        "egress.allow[0] (line 2): api.example, ports 80 and 443, GET HEAD, /v1/**");
    policy_unref(p);
}

static void what_the_sandbox_sent_cannot_break_out(void **state)
{
    struct policy *p = rules();
    AUTO_FREE char *words = NULL;
    char method[2000];
    memset(method, 'M', sizeof(method));
    method[1999] = '\0';
    method[3] = '"';
    method[4] = '\n';
    AUTO_JSON json_t *j = body(p, "api.example", 443, method, "/v1/\"x", &words);
    (void)state;
    assert_int_equal(strlen(json_get_str(j, "method")), 64);
    assert_null(strchr(json_get_str(json_object_get(j, "error"), "message"), '\n'));
    struct policy *again = NULL;
    const char *missing = json_get_str(j, "missing_rule");
    assert_int_equal(policy_parse(missing, strlen(missing), &again, NULL),
                     -E_PARSE); /* the method is none */
    policy_unref(p);
}

static void proxy_status_is_a_structured_field(void **state)
{
    static const struct {
        const char *error, *details, *want;
    } rows[] = {
        {NULL, NULL, "sallyport"},
        {"http_request_denied", NULL, "sallyport; error=http_request_denied"},
        {"http_request_denied", "no rule",
         "sallyport; error=http_request_denied; details=\"no rule\""},
        {"dns_error", "a\"b\\c\r\nx: \xc3\xbc",
         "sallyport; error=dns_error; details=\"a\\\"b\\\\c??x: ??\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) b = BUF_INIT(1024);
        refusal_proxy_status(rows[i].error, rows[i].details, &b);
        assert_string_equal(buf_str(&b), rows[i].want);
    }
    char big[2000];
    memset(big, '"', sizeof(big));
    big[1999] = '\0';
    AUTO(buf) b = BUF_INIT(4096);
    refusal_proxy_status("dns_error", big, &b);
    assert_true(b.len <= REFUSAL_PROXY_STATUS_MAX);
    assert_int_equal(b.data[b.len - 1], '"');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_body_says_which_rule_is_missing),
        cmocka_unit_test(a_long_path_becomes_a_pattern_that_has_it),
        cmocka_unit_test(a_decision_is_explained_in_lines),
        cmocka_unit_test(what_the_sandbox_sent_cannot_break_out),
        cmocka_unit_test(proxy_status_is_a_structured_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
