/* test_mirror.c - headers say what the body says, or nothing goes anywhere. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "mcp/policy/mirror.h"

#include <string.h>

#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"
#define CALL                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"                                            \
    "call\",\"params\":{\"name\":\"a\\u00e4\"," META "}}"
#define OLD  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"get\"}}"
#define LIST "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{" META "}}"
#define NEW                                                                                        \
    {                                                                                              \
        "mcp-protocol-version", "2026-07-28"                                                       \
    }
#define NAMED                                                                                      \
    {                                                                                              \
        "mcp-name", "=?base64?YcOk?="                                                              \
    }

static const struct row {
    const char *body;
    const char *fields[5][2];
    const char *words; /* NULL: fine */
} rows[] = {
    {CALL, {NEW, {"mcp-method", "tools/call"}, NAMED}, NULL},
    {LIST, {NEW, {"mcp-method", "tools/list"}}, NULL},
    {OLD, {{"mcp-protocol-version", "2025-11-25"}}, NULL},
    {OLD, {{NULL}}, NULL},
    {OLD, {{"mcp-method", "tools/call"}, {"mcp-name", "get"}}, NULL},
    {OLD, {{"mcp-method", "tools/list"}}, "mcp-method does not say"},
    {OLD, {{"mcp-name", "drop"}}, "mcp-name does not say"},
    {CALL, {{"mcp-method", "tools/call"}, NAMED}, "mcp-protocol-version is missing"},
    {CALL, {{"mcp-protocol-version", "2025-11-25"}}, "mcp-protocol-version does not say"},
    {CALL, {NEW, NAMED}, "mcp-method is missing"},
    {CALL, {NEW, {"mcp-method", "tools/call"}}, "mcp-name is missing"},
    {CALL, {NEW, {"mcp-method", "Tools/call"}, NAMED}, "mcp-method does not say"},
    {CALL, {NEW, {"mcp-method", "tools/call"}, {"mcp-name", "b"}}, "mcp-name does not say"},
    {CALL, {NEW, {"mcp-method", "tools/call"}, {"mcp-name", "=?base64?YcOk?"}}, "does not say"},
    {CALL, {NEW, {"mcp-method", "tools/call"}, {"mcp-name", "=?base64?Y?="}}, "can be read"},
    {CALL, {NEW, {"mcp-method", "tools/call"}, NAMED, {"mcp-name", "b"}}, "twice"},
    {OLD, {NEW, {"mcp-method", "tools/call"}}, "mcp-name is missing"},
    {OLD, {{"mcp-name", "get"}, {"mcp_name", "drop"}}, "has '_'"},
    {OLD, {{"mcp_name", "get"}}, "has '_'"},
    {OLD, {{"mcp-protocol_version", "2026-07-28"}}, "has '_'"},
    {OLD, {{"mcp_param-a", "1"}}, "has '_'"},
    {OLD, {{"mcp-name", "get"}, {"mcpx_name", "drop"}, {"x_mcp-name", "drop"}, {"mcp", "1"}}, NULL},
    {"[" OLD "]", {NEW}, "no batches"},
    {"[" OLD "]", {{NULL}}, NULL},
};

static void headers_say_what_the_body_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_head h;
        struct mcp_body b;
        struct err e = {0};
        http_head_init(&h);
        for (size_t k = 0; k < 5 && rows[i].fields[k][0]; k++)
            assert_int_equal(http_head_add(&h, http_text_of(rows[i].fields[k][0]),
                                           http_text_of(rows[i].fields[k][1])),
                             0);
        assert_int_equal(mcp_body_read(rows[i].body, strlen(rows[i].body), &b, &e), 0);
        int r = mirror_check(&h.fields, &b, &e);
        if (rows[i].words ? r != -E_CONFLICT || !strstr(e.msg, rows[i].words) : r != 0)
            fail_msg("row %zu: %d %s", i, r, e.msg);
        mcp_body_done(&b);
        http_head_done(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(headers_say_what_the_body_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
