/* test_envelope.c - ids and tokens are found where they count, and written anew with nothing else changed. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "mcp/stdio/envelope.h"

#include <string.h>

static void expect_span(const char *what, struct span s, const char *want)
{
    if (!want && s.p)
        fail_msg("%s: %.*s", what, (int)s.n, s.p);
    if (want && (!s.p || s.n != strlen(want) || memcmp(s.p, want, s.n) != 0))
        fail_msg("%s: %.*s instead of %s", what, s.p ? (int)s.n : 4, s.p ? s.p : "none", want);
}

static const struct row {
    const char *text, *id, *token, *cancelled, *subscription;
} rows[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}", "7", NULL, NULL, NULL},
    {"{\"id\" : \"a\\u0062\" ,\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{\"_meta\":{"
     "\"progressToken\": 1.50}}}",
     "\"a\\u0062\"", "1.50", NULL, NULL},
    /* Arguments that look like it are not it. */
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"progressToken\":2,"
     "\"arguments\":{\"_meta\":{\"progressToken\":3},\"id\":4}}}",
     "1", NULL, NULL, NULL},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":12,"
     "\"progress\":1,\"_meta\":{\"progressToken\":3}}}",
     NULL, "12", NULL, NULL},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
     "cancelled\",\"params\":{\"requestId\":\"r\"}}",
     NULL, NULL, "\"r\"", NULL},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"requestId\":1}}",
     NULL, NULL, NULL, NULL},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{"
     "\"io.modelcontextprotocol/subscriptionId\":9}}}",
     NULL, NULL, NULL, "9"},
    {"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"_meta\":{\"progressToken\":1,"
     "\"io.modelcontextprotocol/subscriptionId\":3},\"content\":[{\"id\":5}]}}",
     "3", NULL, NULL, "3"},
    {"{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-1,\"message\":\"id\",\"data\":{\"id\":8}}"
     "}",
     "3", NULL, NULL, NULL},
};

static void what_counts_is_found_where_it_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mcp_envelope m;
        struct err e = {0};
        if (mcp_envelope_read(rows[i].text, strlen(rows[i].text), &m, &e) != 0)
            fail_msg("%zu: %s", i, e.msg);
        expect_span("id", m.id, rows[i].id);
        expect_span("token", m.token, rows[i].token);
        expect_span("cancelled", m.cancelled, rows[i].cancelled);
        expect_span("subscription", m.subscription, rows[i].subscription);
        assert_int_equal(m.token.p != NULL, m.token_json != NULL);
        assert_int_equal(m.cancelled.p != NULL, m.cancelled_json != NULL);
        assert_int_equal(m.subscription.p != NULL, m.subscription_json != NULL);
        mcp_envelope_done(&m);
    }
}

static void what_is_no_message_is_refused(void **state)
{
    static const char *const texts[] = {
        "", "{", "[]", "1", "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"x\"}",
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}]",
        /* two readings */
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"x\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{\"code\":1,\"message\":\"\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"x\"}", "{\"jsonrpc\":\"2.0\"}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct mcp_envelope m;
        struct err e = {0};
        if (mcp_envelope_read(texts[i], strlen(texts[i]), &m, &e) == 0)
            fail_msg("%s", texts[i]);
        assert_true(e.msg[0]);
        mcp_envelope_done(&m);
    }
}

static void values_are_written_anew_and_nothing_else(void **state)
{
    static const char text[] =
        "{ \"jsonrpc\":\"2.0\",\n\t\"id\": \"x\" ,\"method\":\"m\",\r\n\"params\":{\"n\":1.000,"
        "\"t\":\"\\n\\u00e9\",\"_meta\":{\"progressToken\":\"y\"}}}";
    struct mcp_envelope m;
    struct err e = {0};
    AUTO(buf) out = BUF_INIT(1024);
    (void)state;
    assert_int_equal(mcp_envelope_read(text, strlen(text), &m, &e), 0);
    /* In any order; one that is not there changes nothing. */
    const struct mcp_splice list[] = {{m.token, "12", 2}, {m.cancelled, "no", 2}, {m.id, "345", 3}};
    assert_int_equal(mcp_splice(&out, text, strlen(text), list, ARRAY_LEN(list)), 0);
    assert_string_equal(
        buf_str(&out),
        "{ \"jsonrpc\":\"2.0\", \t\"id\": 345 ,\"method\":\"m\",  \"params\":{\"n\":1.000,"
        "\"t\":\"\\n\\u00e9\",\"_meta\":{\"progressToken\":12}}}");
    mcp_envelope_done(&m);
}

static void a_buffer_that_is_full_is_told(void **state)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
    struct mcp_envelope m;
    struct err e = {0};
    (void)state;
    assert_int_equal(mcp_envelope_read(text, strlen(text), &m, &e), 0);
    for (size_t room = 1; room < sizeof(text) + 1; room++) {
        AUTO(buf) out = BUF_INIT(room);
        const struct mcp_splice change = {m.id, "22", 2};
        if (mcp_splice(&out, text, strlen(text), &change, 1) == 0)
            assert_int_equal(out.len, sizeof(text));
        else
            assert_true(room <= sizeof(text));
    }
    mcp_envelope_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts_is_found_where_it_counts),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(values_are_written_anew_and_nothing_else),
        cmocka_unit_test(a_buffer_that_is_full_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
