/* test_failure.c - provenance of failures, and WWW-Authenticate as strangers write it. */
#include "unit/unit.h"
#include "base/str.h"
#include "mcp/client/failure.h"

#include <string.h>

static void challenges_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *header, *scheme, *error, *scope, *resource_metadata;
    } rows[] = {
        {"Bearer", "Bearer", "", "", ""},
        {"Bearer realm=\"x\"", "Bearer", "", "", ""},
        {"Bearer error=\"invalid_token\", resource_metadata=\"https://a/b?c=d\", scope=\"r w\"",
         "Bearer", "invalid_token", "r w", "https://a/b?c=d"},
        {"bearer ERROR=insufficient_scope,Scope=\"a\"", "bearer", "insufficient_scope", "a", ""},
        {"Basic realm=\"a, Bearer error=\\\"no\\\"\", Bearer error=yes", "Bearer", "yes", "", ""},
        {"Basic realm=\"a\", Digest qop=auth", "Basic", "", "", ""},
        {"Negotiate abc==, Bearer scope=x", "Bearer", "", "x", ""}, /* token68 is passed over */
        {"Bearer scope=\"un\\\"quoted\"", "Bearer", "", "un\"quoted", ""},
        {"Bearer scope=\"no end", "Bearer", "", "", ""},
        {"Bearer scope = \"a\" , error = b", "Bearer", "b", "a", ""},
        {"", "", "", "", ""},
        {"\"", "", "", "", ""},
        {", ,Bearer  error=x", "Bearer", "x", "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mcp_challenge c;
        mcp_challenge_read(rows[i].header, &c);
        if (!str_eq(c.scheme, rows[i].scheme) || !str_eq(c.error, rows[i].error) ||
            !str_eq(c.scope, rows[i].scope) ||
            !str_eq(c.resource_metadata, rows[i].resource_metadata))
            fail_msg("%s: %s|%s|%s|%s", rows[i].header, c.scheme, c.error, c.scope,
                     c.resource_metadata);
    }
}

static void what_does_not_fit_is_left_empty(void **state)
{
    (void)state;
    struct mcp_challenge c;
    char header[1200] = "Bearer error=";
    size_t n = strlen(header);
    memset(header + n, 'e', 63);
    mcp_challenge_read(header, &c);
    assert_int_equal(strlen(c.error), 63);
    header[n + 63] = 'e';
    mcp_challenge_read(header, &c);
    assert_string_equal(c.error, "");
    assert_string_equal(c.scheme, "Bearer");

    memset(header, 0, sizeof(header));
    strcpy(header, "Bearer resource_metadata=\"");
    n = strlen(header);
    memset(header + n, 'u', 511);
    header[n + 511] = '"';
    mcp_challenge_read(header, &c);
    assert_int_equal(strlen(c.resource_metadata), 511);
    header[n + 511] = 'u';
    header[n + 512] = '"';
    mcp_challenge_read(header, &c);
    assert_string_equal(c.resource_metadata, "");
}

static void every_code_of_the_way_there_has_a_source(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum mcp_source source;
    } rows[] = {
        {-EHOSTUNREACH, MCP_DNS},  {-ECONNREFUSED, MCP_CONNECT}, {-E_TLS, MCP_TLS},
        {-ETIMEDOUT, MCP_TIMEOUT}, {-ECANCELED, MCP_CANCELLED},  {-EMSGSIZE, MCP_LIMIT},
        {-E_PROTO, MCP_PROTOCOL},  {-EINVAL, MCP_HERE},          {-ENOMEM, MCP_HERE},
        {-E_CLOSED, MCP_CLOSED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mcp_failure f = {0};
        assert_int_equal(mcp_fail_transport(&f, rows[i].code), rows[i].code);
        assert_int_equal(f.source, rows[i].source);
        assert_true(f.err.msg[0] != 0);
        mcp_failure_done(&f);
    }
    for (int s = MCP_NO_FAILURE; s <= MCP_SERVER; s++)
        assert_string_not_equal(mcp_source_name((enum mcp_source)s), "unknown");
    struct mcp_failure f = {0};
    assert_int_equal(mcp_fail(&f, MCP_LIMIT, -E_LIMIT, "%d of %s", 3, "x"), -E_LIMIT);
    assert_string_equal(f.err.msg, "3 of x");
    mcp_failure_done(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenges_are_read),
        cmocka_unit_test(what_does_not_fit_is_left_empty),
        cmocka_unit_test(every_code_of_the_way_there_has_a_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
