/* test_message.c - what a JSON-RPC object is to the client, and what is none. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/client/message.h"

#include <string.h>

static int read_text(const char *text, json_t **ret_json, struct mcp_message *m, struct err *e)
{
    json_t *j = NULL;
    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    *ret_json = j;
    return mcp_message_read(j, m, e);
}

static void messages_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum mcp_kind kind;
        uint64_t id;
    } rows[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", MCP_RESULT, 7},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"7\",\"result\":{}}", MCP_RESULT, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":-7,\"result\":{}}", MCP_RESULT, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}", MCP_RESULT, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-1,\"message\":\"\"}}", MCP_ERROR, 7},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-1,\"message\":\"\"}}", MCP_ERROR,
         0},
        {"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-1,\"message\":\"\"}}", MCP_ERROR, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\"}", MCP_REQUEST, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{}}", MCP_REQUEST, 0},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":[]}", MCP_NOTIFICATION, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        struct mcp_message m;
        struct err e = {0};
        if (read_text(rows[i].text, &j, &m, &e) != 0)
            fail_msg("%s: %s", rows[i].text, e.msg);
        assert_int_equal(m.kind, rows[i].kind);
        assert_true(m.id == rows[i].id);
    }
}

static void what_could_be_two_things_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"[]", "no JSON object"},
        {"{\"id\":1,\"result\":{}}", "jsonrpc"},
        {"{\"jsonrpc\":\"1.0\",\"id\":1,\"result\":{}}", "jsonrpc"},
        {"{\"jsonrpc\":2.0,\"id\":1,\"result\":{}}", "jsonrpc"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", "neither"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[]}", "no object"},
        {"{\"jsonrpc\":\"2.0\",\"result\":{}}", "no id"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":{}}", "no id"},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}", "no id"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{\"code\":1,\"message\":\"\"}}",
         "both"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"result\":{}}", "beside"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":5}", "no string"},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}", "id of a request"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":\"x\"}", "params"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1.5,\"message\":\"\"}}", "code"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1}}", "message"},
        {"{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{\"code\":1,\"message\":\"\"}}",
         "id of an error"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        struct mcp_message m;
        struct err e = {0};
        assert_int_equal(read_text(rows[i].text, &j, &m, &e), -E_PARSE);
        if (!strstr(e.msg, rows[i].words))
            fail_msg("%s: %s", rows[i].text, e.msg);
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct mcp_message m;
    AUTO_JSON json_t *params = json_new_object();
    AUTO_JSON json_t *request = mcp_message_request(3, "a/b", params);
    assert_int_equal(mcp_message_read(request, &m, NULL), 0);
    assert_int_equal(m.kind, MCP_REQUEST);
    assert_int_equal(json_get_int(request, "id", 0), 3);
    AUTO_JSON json_t *told = mcp_message_request(0, "a", NULL);
    assert_int_equal(mcp_message_read(told, &m, NULL), 0);
    assert_int_equal(m.kind, MCP_NOTIFICATION);
    AUTO_JSON json_t *id = json_string("x");
    AUTO_JSON json_t *no = mcp_message_answer(id, NULL, -32601, "Method not found");
    assert_int_equal(mcp_message_read(no, &m, NULL), 0);
    assert_int_equal(m.kind, MCP_ERROR);
    assert_string_equal(json_get_str(no, "id"), "x");
    AUTO_JSON json_t *yes = mcp_message_answer(id, json_new_object(), 0, NULL);
    assert_int_equal(mcp_message_read(yes, &m, NULL), 0);
    assert_int_equal(m.kind, MCP_RESULT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_told_apart),
        cmocka_unit_test(what_could_be_two_things_is_none),
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
