/* test_body.c - what has two readings is no message. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "mcp/wire/body.h"

#include <stdio.h>
#include <string.h>

#define CALL "\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\""

static const struct row {
    const char *text, *words; /* NULL: it is taken */
} rows[] = {
    {"{" CALL ",\"params\":{\"name\":\"a\"}}", NULL},
    {" \r\n{" CALL "}\n", NULL},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", NULL},
    {"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}", NULL},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{}}", NULL},
    {"{\"jsonrpc\":\"2.0\",\"error\":{}}", NULL},
    {"[{" CALL "},{\"jsonrpc\":\"2.0\",\"method\":\"a\"}]", NULL},
    {"{\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"a\"}", NULL},
    {"{" CALL ",\"na\\u006de\":1,\"other\":{}}", NULL}, /* an unknown member of the message */
    /* JSON with two readings, or none */
    {"", "JSON"},
    {"{" CALL "} x", "JSON"},
    {"{" CALL "}{}", "JSON"},
    {"\xef\xbb\xbf{" CALL "}", "JSON"},
    {"{" CALL ",\"params\":{\"name\":\"a\",\"name\":\"b\"}}", "JSON"},
    {"{" CALL ",\"params\":{\"name\":\"a\",\"n\\u0061me\":\"b\"}}", "JSON"},
    {"{" CALL ",\"method\":\"tools/list\"}", "JSON"},
    {"{" CALL ",\"params\":{\"name\":\"a\\u0000b\"}}", "JSON"},
    {"{" CALL ",\"params\":{\"name\":\"\xff\"}}", "JSON"},
    {"{" CALL ",\"params\":{\"name\":'a'}}", "JSON"},
    {"{" CALL ",}", "JSON"},
    {"{" CALL "/**/}", "JSON"},
    /* members that some readers take for others */
    {"{" CALL ",\"Method\":\"tools/list\"}", "\"method\" in another spelling"},
    {"{" CALL ",\"Params\":{\"name\":\"b\"}}", "\"params\" in another spelling"},
    {"{" CALL ",\"param\xc5\xbf\":{\"name\":\"b\"}}", "\"params\" in another spelling"},
    {"{" CALL ",\"params\":{\"name\":\"a\",\"NAME\":\"b\"}}", "\"name\" in another spelling"},
    {"{" CALL ",\"params\":{\"name\":\"a\",\"ta\xc5\xbf"
     "\xe2\x84\xaaid\":\"b\"}}",
     "\"taskId\" in another spelling"},
    {"{" CALL ",\"ID\":2}", "\"id\" in another spelling"},
    /* JSON-RPC */
    {"1", "a message is an object"},
    {"\"tools/call\"", "a message is an object"},
    {"[]", "a batch has 1 to"},
    {"[[{" CALL "}]]", "a message is an object"},
    {"[{" CALL "},1]", "a message is an object"},
    {"{\"id\":1,\"method\":\"a\"}", "jsonrpc"},
    {"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"a\"}", "jsonrpc"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", "method is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}", "method is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call \"}", "method is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/c\xc3\xa4ll\"}", "method is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"a\"}", "id is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"a\"}", "id is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1e400,\"method\":\"a\"}", ""},
    {"{\"jsonrpc\":\"2.0\",\"id\":18446744073709551616,\"method\":\"a\"}", "id is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"a\"}", "id is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"a\"}", "id is"},
    {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"a\"}", "id is"},
    {"{" CALL ",\"params\":[\"a\"]}", "params is an object"},
    {"{" CALL ",\"params\":null}", "params is an object"},
    {"{" CALL ",\"result\":{}}", "not both"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1}", "a method, a result or an error"},
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{}}", "a method, a result or an error"},
    {"{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":1}", "an answer has the id"},
};

static void one_reading(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mcp_body b;
        struct err e = {0};
        int r = mcp_body_read(rows[i].text, strlen(rows[i].text), &b, &e);
        if ((r == 0) != (rows[i].words == NULL) || (r < 0 && !strstr(e.msg, rows[i].words)))
            fail_msg("%s\n%d %s", rows[i].text, r, e.msg);
        assert_true(r == 0 || r == -E_PARSE);
        mcp_body_done(&b);
    }
}

static void the_id_is_known_for_the_answer_when_the_rest_is_not_good(void **state)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":\"q7\",\"method\":\"a\",\"params\":3}";
    struct mcp_body b;
    struct err e = {0};
    (void)state;
    assert_int_equal(mcp_body_read(text, strlen(text), &b, &e), -E_PARSE);
    assert_string_equal(json_string_value(b.id), "q7");
    mcp_body_done(&b);
}

static void depth_and_size_are_bounded(void **state)
{
    char text[400] = "{" CALL ",\"params\":{\"a\":";
    struct mcp_body b;
    struct err e = {0};
    (void)state;
    size_t n = strlen(text);
    memset(text + n, '[', 70);
    memset(text + n + 70, ']', 70);
    memcpy(text + n + 140, "}}", 3);
    assert_int_equal(mcp_body_read(text, n + 142, &b, &e), -E_PARSE);
    mcp_body_done(&b);
}

/* A tree has up to a hundred times the bytes of its text. */
static void values_are_bounded(void **state)
{
    AUTO(buf) text = BUF_INIT(MCP_BODY_BYTES);
    struct mcp_body b;
    struct err e = {0};
    (void)state;
    (void)buf_adds(&text, "{" CALL ",\"params\":{\"a\":[");
    for (size_t i = 0; i < 19000; i++)
        (void)buf_adds(&text, "[],");
    size_t few = text.len;
    (void)buf_adds(&text, "0]}}");
    assert_int_equal(mcp_body_read(buf_str(&text), text.len, &b, &e), 0);
    mcp_body_done(&b);
    text.len = few;
    for (size_t i = 0; i < 1000; i++)
        (void)buf_adds(&text, "[],");
    (void)buf_adds(&text, "0]}}");
    assert_int_equal(mcp_body_read(buf_str(&text), text.len, &b, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, "more than 20000 values"));
    mcp_body_done(&b);
}

static void what_is_left_are_names_and_ids(void **state)
{
    static const char text[] =
        "[{" CALL ",\"params\":{\"name\":\"get\",\"arguments\":{\"a\":[[],[]]}}},"
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"big\":1}}]";
    static const char wrong[] = "{\"jsonrpc\":\"2.0\",\"id\":\"q7\",\"method\":\"a\",\"params\":3}";
    AUTO(buf) left = BUF_INIT(1 << 10);
    struct mcp_body b;
    struct err e = {0};
    (void)state;
    assert_int_equal(mcp_body_read(text, strlen(text), &b, &e), 0);
    const size_t before = json_weight(b.json, 1 << 10);
    mcp_body_shrink(&b);
    assert_true(json_weight(b.json, 1 << 10) < before);
    assert_int_equal(json_print(&left, b.json), 0);
    assert_null(strstr(buf_str(&left), "arguments"));
    assert_null(strstr(buf_str(&left), "big"));
    assert_int_equal(b.n, 2);
    assert_non_null(b.entries[0].method);
    assert_non_null(b.entries[0].id);
    assert_string_equal(json_get_str(b.entries[0].params, "name"), "get");
    assert_null(b.entries[1].method);
    mcp_body_done(&b);
    assert_int_equal(mcp_body_read(wrong, strlen(wrong), &b, &e), -E_PARSE);
    mcp_body_shrink(&b);
    assert_string_equal(json_string_value(b.id), "q7");
    mcp_body_done(&b);
    assert_int_equal(mcp_body_read("[", 1, &b, &e), -E_PARSE);
    mcp_body_shrink(&b);
    assert_null(b.id);
    mcp_body_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_reading),
        cmocka_unit_test(the_id_is_known_for_the_answer_when_the_rest_is_not_good),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(values_are_bounded),
        cmocka_unit_test(what_is_left_are_names_and_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
