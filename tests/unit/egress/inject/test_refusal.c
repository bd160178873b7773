/* test_refusal.c - what a refused request is answered: words for a model, nothing of what it sent. */
#include "unit/egress/inject/world.h"
#include "egress/inject/refusal.h"

static void a_body_says_what_and_how(void **state)
{
    (void)state;
    struct inject_refusal r;
    struct host host = {0};
    AUTO(buf) out = BUF_INIT(4096);
    assert_int_equal(host_parse("api.example", 11, 0, &host, NULL), 0);
    assert_int_equal(inject_refuse(&r, INJECT_LEAK, "TOKEN", "it \"holds\" %s", "TOKEN"),
                     -E_DENIED);
    inject_refusal_body(&r, &host, &out);
    AUTO_JSON json_t *j = NULL;
    assert_int_equal(json_parse(out.data, out.len, &j, NULL), 0);
    const json_t *error = json_object_get(j, "error");
    assert_string_equal(json_get_str(j, "type"), "error");
    assert_string_equal(json_get_str(error, "type"), "leak_attempt");
    assert_string_equal(json_get_str(error, "message"),
                        "The request was not sent: it \"holds\" TOKEN.");
    assert_string_equal(json_get_str(j, "credential"), "TOKEN");
    assert_string_equal(json_get_str(j, "host"), "api.example");
    assert_non_null(strstr(json_get_str(j, "how"), "credentials[].hosts"));
    assert_string_equal(inject_proxy_error(&r), "http_request_denied");
    (void)inject_refuse(&r, INJECT_LEAK, NULL, "x");
    buf_reset(&out);
    inject_refusal_body(&r, &host, &out);
    assert_non_null(strstr(buf_str(&out), "\"credential\":null"));
}

static void each_reason_has_a_name_and_a_status(void **state)
{
    (void)state;
    static const struct {
        enum inject_why why;
        const char *name;
        int status;
        bool loud;
    } rows[] = {
        {INJECT_MISPLACED, "misplaced_placeholder", 403, false},
        {INJECT_LEAK, "leak_attempt", 403, true},
        {INJECT_SECRET_SEEN, "secret_seen", 403, true},
        {INJECT_MISSING, "missing_placeholder", 403, false},
        {INJECT_PLAINTEXT, "plaintext", 403, false},
        {INJECT_LIMITED, "rate_limited", 429, false},
        {INJECT_BODY_CODED, "coded_body", 415, false},
        {INJECT_UNSUBSTITUTED, "unsubstituted", 502, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct inject_refusal r;
        (void)inject_refuse(&r, rows[i].why, "A", "x");
        assert_string_equal(inject_why_name(rows[i].why), rows[i].name);
        assert_int_equal(r.status, rows[i].status);
        assert_int_equal(inject_why_is_loud(rows[i].why), rows[i].loud);
    }
}

static void nothing_that_was_sent_comes_back(void **state)
{
    static const char *const requests[] = {
        "GET /marker-1?marker-2\nx-n: " P("OTHER") " marker-3\n",
        "GET /marker-1" P("TOKEN") "\nauthorization: marker-2\n",
        "GET /?q=" S("TOKEN") "marker-1\n",
        "GET /\nauthorization: Basic <marker-1:" P_STRANGER ">\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        AUTO(buf) out = BUF_INIT(1 << 16);
        world_send(*state, "api.example", 443, POLICY_TLS, requests[i], &out);
        assert_int_equal(out.data[0], '!');
        assert_null(strstr(buf_str(&out), "marker"));
        assert_null(strstr(buf_str(&out), "sp_ph"));
        assert_null(strstr(buf_str(&out), "S3cr3t"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_says_what_and_how),
        cmocka_unit_test(each_reason_has_a_name_and_a_status),
        WORLD_CASE(nothing_that_was_sent_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
