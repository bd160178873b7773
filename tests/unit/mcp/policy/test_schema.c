/* test_schema.c - what of JSON Schema is checked, and that nothing else is taken. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/json.h"
#include "mcp/policy/arguments.h"

#include <stdio.h>
#include <string.h>

static json_t *json(const char *text)
{
    json_t *j = NULL;
    struct err e = {0};
    if (json_parse(text, strlen(text), &j, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return j;
}

static const struct {
    const char *schema, *value, *fault; /* fault NULL: it meets it */
} rows[] = {
    {"{}", "1", NULL},
    {"{\"title\":\"x\",\"description\":\"y\",\"default\":1,\"examples\":[],\"$comment\":\"\"}",
     "[]", NULL},
    {"{\"type\":\"string\"}", "\"a\"", NULL},
    {"{\"type\":\"string\"}", "1", "type"},
    {"{\"type\":[\"string\",\"null\"]}", "null", NULL},
    {"{\"type\":\"integer\"}", "1.0", NULL},
    {"{\"type\":\"integer\"}", "1.5", "type"},
    {"{\"type\":\"number\"}", "1", NULL},
    {"{\"type\":\"boolean\"}", "0", "type"},
    {"{\"enum\":[\"ACME\",1,null]}", "\"ACME\"", NULL},
    {"{\"enum\":[\"ACME\",1,null]}", "\"acme\"", "enum"},
    {"{\"enum\":[\"ACME\",1,null]}", "1.0", NULL},
    {"{\"enum\":[\"ACME\",1,null]}", "null", NULL},
    {"{\"enum\":[\"1\"]}", "1", "enum"},
    {"{\"enum\":[\"ACME\"]}", "[\"ACME\"]", "enum"},
    {"{\"const\":true}", "true", NULL},
    {"{\"const\":true}", "1", "const"},
    {"{\"minLength\":2,\"maxLength\":3}", "\"\\u00e4\\u00e4\\u00e4\"", NULL},
    {"{\"minLength\":2}", "\"a\"", "minLength"},
    {"{\"maxLength\":3}", "\"abcd\"", "maxLength"},
    {"{\"maxLength\":3}", "12345", NULL},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"abc\"", NULL},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"abc\\n\"", "pattern"},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"aBc\"", "pattern"},
    {"{\"pattern\":\"^(a+)+$\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"",
     "pattern"},
    {"{\"minimum\":1,\"maximum\":9007199254740992}", "9007199254740993", "maximum"},
    {"{\"minimum\":1.5}", "1", "minimum"},
    {"{\"exclusiveMinimum\":1}", "1", "exclusiveMinimum"},
    {"{\"exclusiveMaximum\":2}", "2.0", "exclusiveMaximum"},
    {"{\"maximum\":9}", "123456789012345678901234567890", "maximum"},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}", "{\"a\":\"x\",\"b\":1}",
     NULL},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":1}", "type.a"},
    {"{\"required\":[\"a\"]}", "{}", "required"},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"b\":2}",
     "additionalProperties"},
    {"{\"additionalProperties\":{\"type\":\"string\"}}", "{\"a\":1}", "type.a"},
    {"{\"items\":{\"enum\":[1]}}", "[1,1,2]", "enum[2]"},
    {"{\"minItems\":1}", "[]", "minItems"},
    {"{\"maxItems\":1}", "[1,2]", "maxItems"},
    {"{\"allOf\":[{\"type\":\"string\"},{\"maxLength\":1}]}", "\"ab\"", "maxLength"},
    {"{\"anyOf\":[{\"type\":\"null\"},{\"enum\":[\"a\"]}]}", "\"a\"", NULL},
    {"{\"anyOf\":[{\"type\":\"null\"},{\"enum\":[\"a\"]}]}", "\"b\"", "anyOf"},
    {"{\"not\":{\"pattern\":\"secret\"}}", "\"a secret\"", "not"},
    {"{\"not\":{\"pattern\":\"secret\"}}", "\"fine\"", NULL},
    {"{\"properties\":{\"a\":{\"items\":{\"properties\":{\"b\":{\"const\":1}}}}}}",
     "{\"a\":[{},{\"b\":2}]}", "const.a[1].b"},
};

static void a_value_meets_a_schema(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *text = json(rows[i].schema), *value = NULL, *list = NULL;
        char wrapped[300], got[200] = "";
        struct err e = {0};
        const struct document doc = {.e = &e};
        struct place at = place_root(&doc, "schema", text);
        struct schema *s = NULL;
        struct schema_fault f;
        (void)snprintf(wrapped, sizeof(wrapped), "[%s]", rows[i].value);
        list = json(wrapped);
        value = json_incref(json_array_get(list, 0));
        if (schema_read(&at, &s) < 0)
            fail_msg("%s: %s", rows[i].schema, e.msg);
        if (!schema_meets(s, value, &f))
            (void)snprintf(got, sizeof(got), "%s%s", f.keyword, f.path);
        if (strcmp(got, rows[i].fault ? rows[i].fault : "") != 0)
            fail_msg("%s of %s: %s", rows[i].value, rows[i].schema, got);
        schema_free(s);
    }
}

static const struct {
    const char *schema, *words;
} refused[] = {
    {"{\"$ref\":\"https://evil.example/schema\"}", "schema.$ref: is not followed"},
    {"{\"$ref\":\"#/$defs/a\"}", "is not followed"},
    {"{\"properties\":{\"a\":{\"$ref\":\"x\"}}}", "schema.properties.a.$ref: is not followed"},
    {"{\"$dynamicRef\":\"x\"}", "is not followed"},
    {"{\"oneOf\":[]}", "schema.oneOf: is no keyword"},
    {"{\"format\":\"date\"}", "is no keyword"},
    {"{\"patternProperties\":{}}", "is no keyword"},
    {"{\"dependentRequired\":{}}", "is no keyword"},
    {"{\"enums\":[1]}", "is no keyword"},
    {"{\"Enum\":[1]}", "is no keyword"},
    {"{\"multipleOf\":2}", "is no keyword"},
    {"{\"uniqueItems\":true}", "is no keyword"},
    {"{\"if\":{}}", "is no keyword"},
    {"{\"type\":\"text\"}", "schema.type"},
    {"{\"type\":[]}", "names no type"},
    {"{\"enum\":[]}", "is empty"},
    {"{\"enum\":\"a\"}", "a list is expected"},
    {"{\"enum\":[[1]]}", "schema.enum[0]"},
    {"{\"const\":{}}", "a text, a number"},
    {"{\"pattern\":\"(\"}", "schema.pattern"},
    {"{\"minimum\":\"1\"}", "a number is expected"},
    {"{\"required\":[1]}", "schema.required[0]"},
    {"{\"anyOf\":[]}", "is empty"},
    {"{\"items\":[{}]}", "a schema is expected"},
    {"{\"additionalProperties\":1}", "a schema is expected"},
    {"true", "a schema is expected"},
};

static void what_is_not_checked_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char wrapped[300];
        struct err e = {0};
        const struct document doc = {.e = &e};
        (void)snprintf(wrapped, sizeof(wrapped), "[%s]", refused[i].schema);
        AUTO_JSON json_t *list = json(wrapped);
        struct place at = place_root(&doc, "schema", json_array_get(list, 0));
        struct schema *s = NULL;
        assert_int_equal(schema_read(&at, &s), -E_PARSE);
        assert_null(s);
        if (!strstr(e.msg, refused[i].words))
            fail_msg("%s: %s", refused[i].schema, e.msg);
    }
}

static void depth_is_bounded(void **state)
{
    char text[600] = "";
    struct err e = {0};
    const struct document doc = {.e = &e};
    (void)state;
    for (int i = 0; i < 20; i++)
        memcpy(text + strlen(text), "{\"not\":", 8);
    memcpy(text + strlen(text), "{}", 3);
    for (int i = 0; i < 20; i++)
        memcpy(text + strlen(text), "}", 2);
    AUTO_JSON json_t *j = json(text);
    struct place at = place_root(&doc, "schema", j);
    struct schema *s = NULL;
    assert_int_equal(schema_read(&at, &s), -E_PARSE);
    assert_non_null(strstr(e.msg, "levels deep"));
}

static void arguments_are_there_and_meet_their_rules(void **state)
{
    static const char rules[] =
        "{\"get_*\":{\"project\":{\"enum\":[\"ACME\"]},\"page?\":{\"maximum\":9}},"
        "\"*_ticket\":{\"id\":{\"type\":\"integer\"}}}";
    static const struct {
        const char *tool, *arguments, *fault;
    } calls[] = {
        {"other", "{}", NULL},
        {"get_x", "{\"project\":\"ACME\"}", NULL},
        {"get_x", "{\"project\":\"ACME\",\"page\":9,\"more\":[]}", NULL},
        {"get_x", "{\"project\":\"ACME\",\"page\":10}", "get_*.page maximum"},
        {"get_x", "{\"project\":\"EVIL\"}", "get_*.project enum"},
        {"get_x", "{}", "get_*.project required"},
        {"GET_x", "{}", "get_*.project required"},
        {"get_x", "{\"project\":\"ACME\",\"Project\":\"EVIL\"}",
         "get_*.project in another spelling"},
        {"get_x", "{\"project\":\"ACME\",\"PAGE\":10}", "get_*.page in another spelling"},
        {"get_ticket", "{\"project\":\"ACME\"}", "*_ticket.id required"},
        {"get_ticket", "{\"project\":\"ACME\",\"id\":7}", NULL},
    };
    struct err e = {0};
    const struct document doc = {.e = &e};
    struct argument_policy p = {.n = 0};
    AUTO_JSON json_t *j = json(rules);
    struct place at = place_root(&doc, "arguments", j);
    (void)state;
    assert_int_equal(argument_policy_read(&at, &p), 0);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        AUTO_JSON json_t *a = json(calls[i].arguments);
        struct argument_fault f;
        char got[200] = "";
        if (!argument_policy_meets(&p, calls[i].tool, a, &f))
            (void)snprintf(got, sizeof(got), "%s.%s %s", f.tool, f.name, f.keyword);
        if (strcmp(got, calls[i].fault ? calls[i].fault : "") != 0)
            fail_msg("%s %s: %s", calls[i].tool, calls[i].arguments, got);
    }
    struct argument_fault f;
    assert_false(argument_policy_meets(&p, "get_x", NULL, &f));
    argument_policy_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_meets_a_schema),
        cmocka_unit_test(what_is_not_checked_is_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(arguments_are_there_and_meet_their_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
