/* test_arguments.c - key=value as JSON, and answers made of defaults. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/mcp/arguments.h"

#include <string.h>

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return j;
}

static void words_become_what_the_schema_wants(void **state)
{
    (void)state;
    AUTO_JSON json_t *schema = parse("{\"properties\":{\"s\":{\"type\":\"string\"},"
                                     "\"n\":{\"type\":\"number\"},\"odd\":{\"type\":5}}}");
    static const struct {
        const char *word, *want;
    } rows[] = {
        {"s=12", "{\"s\":\"12\"}"},     {"s=", "{\"s\":\"\"}"},
        {"n=12", "{\"n\":12}"},         {"x=true", "{\"x\":true}"},
        {"x=[1,2]", "{\"x\":[1,2]}"},   {"x=text", "{\"x\":\"text\"}"},
        {"x=a=b", "{\"x\":\"a=b\"}"},   {"x=\"12\"", "{\"x\":\"12\"}"},
        {"odd=null", "{\"odd\":null}"}, {"x=1 2", "{\"x\":\"1 2\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = json_new_object();
        assert_int_equal(mcp_argument_put(j, rows[i].word, schema, NULL), 0);
        AUTO_FREE char *text = json_text(j, NULL);
        assert_string_equal(text, rows[i].want);
    }
    AUTO_JSON json_t *j = json_new_object();
    struct err e = {0};
    assert_int_equal(mcp_argument_put(j, "word", NULL, &e), -EINVAL);
    assert_int_equal(mcp_argument_put(j, "=x", NULL, &e), -EINVAL);
    assert_int_equal(mcp_argument_put(j, "a=\xff", NULL, &e), -EINVAL);
    assert_int_equal(mcp_argument_put(j, "a=1", NULL, &e), 0);
    assert_int_equal(mcp_argument_put(j, "a=2", NULL, &e), -EINVAL);
    assert_int_equal(json_get_int(j, "a", 0), 1);
}

static void defaults_are_accepted_and_nothing_is_made_up(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *want;
    } rows[] = {
        {"{\"properties\":{\"a\":{\"default\":1},\"b\":{}}}",
         "{\"action\":\"accept\",\"content\":{\"a\":1}}"},
        {"{\"properties\":{\"a\":{\"default\":false}},\"required\":[\"a\"]}",
         "{\"action\":\"accept\",\"content\":{\"a\":false}}"},
        {"{\"properties\":{\"a\":{}},\"required\":[\"a\"]}", "{\"action\":\"decline\"}"},
        {"{\"properties\":{\"a\":{\"default\":1}},\"required\":[5]}", "{\"action\":\"decline\"}"},
        {"{}", "{\"action\":\"accept\",\"content\":{}}"},
        {"7", "{\"action\":\"accept\",\"content\":{}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *params = mem_printf("{\"requestedSchema\":%s}", rows[i].schema);
        AUTO_JSON json_t *j = parse(params);
        AUTO_JSON json_t *answer = mcp_elicit_defaults(j);
        AUTO_FREE char *text = json_text(answer, NULL);
        assert_string_equal(text, rows[i].want);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_become_what_the_schema_wants),
        cmocka_unit_test(defaults_are_accepted_and_nothing_is_made_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
