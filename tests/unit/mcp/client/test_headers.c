/* test_headers.c - Mcp-Param-* from schema and arguments: the specification's examples, its rules, and
 * annotations in places where nobody would look. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/client/headers.h"

#include <stdio.h>
#include <string.h>

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    struct err e = {0};
    if (json_parse(text, strlen(text), &j, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return j;
}

static void values_are_encoded_as_the_specification_shows(void **state)
{
    (void)state;
    static const struct {
        const char *value, *want;
    } rows[] = {
        {"us-west1", "us-west1"},
        {"Hello, \xe4\xb8\x96\xe7\x95\x8c", "=?base64?SGVsbG8sIOS4lueVjA==?="},
        {" padded ", "=?base64?IHBhZGRlZCA=?="},
        {"line1\nline2", "=?base64?bGluZTEKbGluZTI=?="},
        {"=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
        {"=?base64?"
         "?=",
         "=?base64?PT9iYXNlNjQ/Pz0=?="},
        {"=?base64?=", "=?base64?="}, /* prefix and suffix would share a sign: no encoded value */
        {"a b", "a b"},
        {"\tx", "=?base64?CXg=?="},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) out = BUF_INIT(1000);
        assert_int_equal(mcp_header_value(&out, rows[i].value, strlen(rows[i].value)), 0);
        assert_string_equal(buf_str(&out), rows[i].want);
    }
}

static void parameters_become_headers(void **state)
{
    (void)state;
    AUTO_JSON json_t *schema =
        parse("{\"type\":\"object\",\"properties\":{"
              "\"s\":{\"type\":\"string\",\"x-mcp-header\":\"S\"},"
              "\"i\":{\"type\":\"integer\",\"x-mcp-header\":\"I\"},"
              "\"b\":{\"type\":\"boolean\",\"x-mcp-header\":\"B\"},"
              "\"n\":{\"type\":\"string\",\"x-mcp-header\":\"N\"},"
              "\"gone\":{\"type\":\"string\",\"x-mcp-header\":\"Gone\"},"
              "\"o\":{\"type\":\"object\",\"properties\":{\"x-mcp-header\":{\"type\":\"string\","
              "\"default\":{\"x-mcp-header\":\"data\"}},"
              "\"deep\":{\"type\":\"string\",\"x-mcp-header\":\"Deep\"}}},"
              "\"q\":{\"type\":\"string\"}}}");
    AUTO_JSON json_t *arguments =
        parse("{\"s\":\"v\",\"i\":-42,\"b\":false,\"n\":null,\"o\":{\"deep\":\"d\"},\"q\":\"no\"}");
    AUTO(mcp_headers) h = {0};
    struct err e = {0};
    if (mcp_params_add(schema, arguments, &h, &e) < 0)
        fail_msg("%s", e.msg);
    AUTO(buf) all = BUF_INIT(1000);
    for (size_t i = 0; i < h.n; i++)
        buf_addf(&all, "%s=%s;", h.rows[i].name, h.rows[i].value);
    assert_string_equal(buf_str(&all),
                        "Mcp-Param-S=v;Mcp-Param-I=-42;Mcp-Param-B=false;Mcp-Param-Deep=d;");
}

static void integers_are_safe_ones(void **state)
{
    (void)state;
    AUTO_JSON json_t *schema =
        parse("{\"properties\":{\"i\":{\"type\":\"integer\",\"x-mcp-header\":\"I\"}}}");
    static const struct {
        const char *arguments, *want; /* NULL: refused */
    } rows[] = {
        {"{\"i\":9007199254740991}", "9007199254740991"},
        {"{\"i\":-9007199254740991}", "-9007199254740991"},
        {"{\"i\":9007199254740992}", NULL},
        {"{\"i\":-9007199254740992}", NULL},
        {"{\"i\":42.0}", "42"},
        {"{\"i\":1e300}", NULL},
        {"{\"i\":0.5}", NULL},
        {"{\"i\":[]}", NULL},
        {"{\"i\":{}}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *arguments = parse(rows[i].arguments);
        AUTO(mcp_headers) h = {0};
        struct err e = {0};
        int r = mcp_params_add(schema, arguments, &h, &e);
        assert_int_equal(r, rows[i].want ? 0 : -EINVAL);
        assert_int_equal(h.n, rows[i].want ? 1 : 0);
        if (rows[i].want)
            assert_string_equal(h.rows[0].value, rows[i].want);
    }
}

static void annotations_that_break_a_rule_are_refused(void **state)
{
    (void)state;
#define ON(type, name) "{\"type\":\"" type "\",\"x-mcp-header\":" name "}"
    static const char *const bad[] = {
        "{\"x-mcp-header\":\"Root\",\"type\":\"string\"}",
        "{\"properties\":{\"a\":" ON("string", "\"\"") "}}",
        "{\"properties\":{\"a\":" ON("string", "5") "}}",
        "{\"properties\":{\"a\":" ON("string", "null") "}}",
        "{\"properties\":{\"a\":" ON("string", "\"a b\"") "}}",
        "{\"properties\":{\"a\":" ON("string", "\"a:b\"") "}}",
        "{\"properties\":{\"a\":" ON("string", "\"a\\r\\nb\"") "}}",
        "{\"properties\":{\"a\":" ON("number", "\"A\"") "}}",
        "{\"properties\":{\"a\":" ON("object", "\"A\"") "}}",
        "{\"properties\":{\"a\":{\"x-mcp-header\":\"A\"}}}",
        "{\"properties\":{\"a\":{\"type\":[\"string\",\"null\"],\"x-mcp-header\":\"A\"}}}",
        "{\"properties\":{\"a\":" ON("string", "\"Up\"") ",\"b\":" ON("string", "\"uP\"") "}}",
        "{\"properties\":{\"a\":{\"type\":\"array\",\"items\":" ON("string", "\"A\"") "}}}",
        "{\"anyOf\":[{\"properties\":{\"a\":" ON("string", "\"A\"") "}}]}",
        "{\"if\":{\"properties\":{\"a\":" ON("string", "\"A\"") "}}}",
        "{\"$defs\":{\"a\":" ON("string", "\"A\"") "}}",
        "{\"patternProperties\":{\".\":" ON("string", "\"A\"") "}}",
        "{\"additionalProperties\":" ON("string", "\"A\"") "}",
        "{\"properties\":[" ON("string", "\"A\"") "]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_JSON json_t *schema = parse(bad[i]);
        struct err e = {0};
        if (mcp_params_check(schema, &e) != -E_PARSE)
            fail_msg("taken: %s", bad[i]);
        assert_true(e.msg[0] != 0);
    }
    static const char *const good[] = {
        "{}",
        "{\"properties\":{\"x-mcp-header\":{\"type\":\"string\"}}}",
        "{\"$defs\":{\"x-mcp-header\":{\"type\":\"string\"}}}",
        "{\"properties\":{\"a\":{\"enum\":[{\"x-mcp-header\":1}],\"const\":{\"x-mcp-header\":1}}}}",
        "{\"properties\":{\"a\":" ON("string", "\"A\"") ",\"b\":" ON("integer", "\"B\"") "}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        AUTO_JSON json_t *schema = parse(good[i]);
        struct err e = {0};
        if (mcp_params_check(schema, &e) != 0)
            fail_msg("%s: %s", good[i], e.msg);
    }
}

static void more_than_enough_is_refused(void **state)
{
    (void)state;
    AUTO(buf) text = BUF_INIT(1 << 16);
    buf_adds(&text, "{\"properties\":{");
    for (int i = 0; i <= MCP_PARAMS_MAX; i++)
        buf_addf(&text, "%s\"p%d\":{\"type\":\"string\",\"x-mcp-header\":\"P%d\"}", i ? "," : "", i,
                 i);
    buf_adds(&text, "}}");
    AUTO_JSON json_t *schema = parse(buf_str(&text));
    struct err e = {0};
    assert_int_equal(mcp_params_check(schema, &e), -E_PARSE);

    AUTO_JSON json_t *one =
        parse("{\"properties\":{\"s\":{\"type\":\"string\",\"x-mcp-header\":\"S\"}}}");
    AUTO_FREE char *longest = mem_zalloc(MCP_HEADER_VALUE_MAX + 2);
    memset(longest, 'x', MCP_HEADER_VALUE_MAX + 1);
    AUTO_JSON json_t *arguments = json_new_object();
    json_put_str(arguments, "s", longest);
    AUTO(mcp_headers) h = {0};
    assert_int_equal(mcp_params_add(one, arguments, &h, &e), -EINVAL);
    longest[MCP_HEADER_VALUE_MAX] = 0;
    json_put_str(arguments, "s", longest);
    assert_int_equal(mcp_params_add(one, arguments, &h, &e), 0);
    assert_int_equal(h.n, 1);
    for (size_t n = h.n; n < MCP_HEADERS_MAX; n++)
        assert_true(mcp_headers_add(&h, "a", "b"));
    assert_false(mcp_headers_add(&h, "a", "b"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_encoded_as_the_specification_shows),
        cmocka_unit_test(parameters_become_headers),
        cmocka_unit_test(integers_are_safe_ones),
        cmocka_unit_test(annotations_that_break_a_rule_are_refused),
        cmocka_unit_test(more_than_enough_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
