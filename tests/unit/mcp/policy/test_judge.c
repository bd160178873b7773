/* test_judge.c - what may pass, and what is said of what may not. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "mcp/policy/judge.h"

#include <string.h>

#define REQUEST(method, params)                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"
#define CALL(name) REQUEST("tools/call", "{\"name\":" name "}")

static const struct row {
    const char *text, *rule; /* NULL: allowed */
    int code;
    size_t entry;
} rows[] = {
    {CALL("\"get_x\""), NULL, 0, 0},
    {CALL("\"g\\u0065t_x\""), NULL, 0, 0},
    {REQUEST("tools/list", "{}"), NULL, 0, 0},
    {REQUEST("resources/read", "{\"uri\":\"drop_x\"}"), NULL, 0, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"name\":\"drop_x\"}}", NULL, 0, 0},
    {CALL("\"drop_x\""), "tools.deny: drop_*", MCP_CODE_REFUSED, 0},
    {CALL("\"d\\u0072op_x\""), "tools.deny: drop_*", MCP_CODE_REFUSED, 0},
    {CALL("\"Drop_X\""), "tools.deny: drop_*", MCP_CODE_REFUSED, 0},
    {CALL("\"other\""), "tools.allow", MCP_CODE_REFUSED, 0},
    {CALL("\"GET_x\""), "tools.allow", MCP_CODE_REFUSED, 0},
    {CALL("\" get_x\""), "tools", MCP_CODE_REFUSED, 0},
    {CALL("\"get_x\\n\""), "tools", MCP_CODE_REFUSED, 0},
    {CALL("\"get_\\u00e4\""), "tools", MCP_CODE_REFUSED, 0},
    {CALL("\"get_\\u200b\""), "tools", MCP_CODE_REFUSED, 0},
    {CALL("\"\""), "tools", MCP_CODE_REFUSED, 0},
    {CALL("7"), "tools", MCP_CODE_PARAMS, 0},
    {CALL("[\"get_x\"]"), "tools", MCP_CODE_PARAMS, 0},
    {REQUEST("tools/call", "{}"), "tools", MCP_CODE_PARAMS, 0},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\"}", "tools", MCP_CODE_PARAMS, 0},
    {REQUEST("Tools/Call", "{\"name\":\"drop_x\"}"), "tools", MCP_CODE_INVALID, 0},
    {REQUEST("TOOLS/LIST", "{}"), "tools", MCP_CODE_INVALID, 0},
    {"[" CALL("\"get_x\"") "," CALL("\"get_y\"") "]", NULL, 0, 0},
    {"[" CALL("\"get_x\"") "," CALL("\"drop_x\"") "]", "tools.deny: drop_*", MCP_CODE_REFUSED, 1},
};

static void rules_are_about_calls_of_tools(void **state)
{
    const char *allow[] = {"get_*", "drop_*"}, *deny[] = {"drop_*"};
    const struct tool_policy p = {.has_allow = true, .allow = {allow, 2}, .deny = {deny, 1}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mcp_body b;
        struct judge_verdict v;
        struct err e = {0};
        assert_int_equal(mcp_body_read(rows[i].text, strlen(rows[i].text), &b, &e), 0);
        judge_body(&p, &b, &v);
        if (v.allowed != (rows[i].rule == NULL))
            fail_msg("%s: %d", rows[i].text, v.allowed);
        if (!v.allowed && (strcmp(v.rule, rows[i].rule) != 0 || v.code != rows[i].code ||
                           v.entry != rows[i].entry || !v.words[0]))
            fail_msg("%s: %s %d %s", rows[i].text, v.rule, v.code, v.words);
        mcp_body_done(&b);
    }
}

/* Patterns have 64 KiB to look at in a batch, and not in each call of it. */
static void a_batch_has_one_budget(void **state)
{
    static const char rules[] =
        "{\"get_x\":{\"q\":{\"type\":\"string\",\"not\":{\"type\":\"string\",\"pattern\":\"b\"}}}}";
    struct tool_policy p = {.has_allow = false};
    struct err e = {0};
    const struct document doc = {.e = &e};
    AUTO_JSON json_t *j = NULL, *batch = json_array();
    AUTO(buf) text = BUF_INIT(1u << 20);
    struct judge_verdict v;
    struct mcp_body b;
    char *q = calloc(1, 4097);
    (void)state;
    assert_non_null(q);
    memset(q, 'a', 4096);
    assert_int_equal(json_parse(rules, sizeof(rules) - 1, &j, &e), 0);
    struct place at = place_root(&doc, "arguments", j);
    assert_int_equal(argument_policy_read(&at, &p.arguments), 0);
    for (int i = 0; i < 17; i++)
        json_array_append_new(batch, json_pack("{s:s,s:i,s:s,s:{s:s,s:{s:s}}}", "jsonrpc", "2.0",
                                               "id", i, "method", "tools/call", "params", "name",
                                               "get_x", "arguments", "q", q));
    assert_int_equal(json_print(&text, batch), 0);
    assert_int_equal(mcp_body_read(buf_str(&text), text.len, &b, &e), 0);
    judge_body(&p, &b, &v);
    assert_false(v.allowed);
    assert_int_equal(v.entry, 16);
    assert_string_equal(v.rule, "tools.arguments.get_x.q: pattern, of texts above 64 KiB together");
    mcp_body_done(&b);
    argument_policy_done(&p.arguments);
    free(q);
}

static void a_body_that_was_never_read_is_denied(void **state)
{
    const struct tool_policy p = {.has_allow = false};
    const struct mcp_body none = {.json = NULL};
    struct judge_verdict v;
    (void)state;
    judge_body(&p, &none, &v);
    assert_false(v.allowed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_about_calls_of_tools),
        cmocka_unit_test(a_batch_has_one_budget),
        cmocka_unit_test(a_body_that_was_never_read_is_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
