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

#define FILTER "{\"type\":\"object\",\"properties\":{\"project\":{\"enum\":[\"ACME\"]}}}"

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
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"\\u00e4\\u00e4\\u00e4\"", NULL},
    {"{\"type\":\"string\",\"minLength\":2}", "\"a\"", "minLength"},
    {"{\"type\":\"string\",\"maxLength\":3}", "\"abcd\"", "maxLength"},
    {"{\"type\":[\"string\",\"integer\"],\"maxLength\":3}", "12345", NULL},
    {"{\"type\":\"string\",\"maxLength\":3}", "12345", "type"},
    {"{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"}", "\"abc\"", NULL},
    {"{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"}", "\"abc\\n\"", "pattern"},
    {"{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"}", "\"aBc\"", "pattern"},
    {"{\"type\":\"string\",\"pattern\":\"^(a+)+$\"}",
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"", "pattern, which takes too long"},
    {"{\"type\":\"number\",\"minimum\":1,\"maximum\":9007199254740992}", "9007199254740993",
     "maximum"},
    {"{\"type\":\"number\",\"minimum\":1.5}", "1", "minimum"},
    {"{\"type\":\"number\",\"exclusiveMinimum\":1}", "1", "exclusiveMinimum"},
    {"{\"type\":\"number\",\"exclusiveMaximum\":2}", "2.0", "exclusiveMaximum"},
    {"{\"type\":\"number\",\"maximum\":9}", "123456789012345678901234567890", "maximum"},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}",
     "{\"a\":\"x\",\"b\":1}", NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":1}", "type.a"},
    {"{\"type\":\"object\",\"required\":[\"a\"]}", "{}", "required"},
    {"{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":false}",
     "{\"a\":1,\"b\":2}", "additionalProperties"},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", "{\"a\":1}", "type.a"},
    {"{\"type\":\"array\",\"items\":{\"enum\":[1]}}", "[1,1,2]", "enum[2]"},
    {"{\"type\":\"array\",\"minItems\":1}", "[]", "minItems"},
    {"{\"type\":\"array\",\"maxItems\":1}", "[1,2]", "maxItems"},
    {"{\"allOf\":[{\"type\":\"string\"},{\"type\":\"string\",\"maxLength\":1}]}", "\"ab\"",
     "maxLength"},
    {"{\"anyOf\":[{\"type\":\"null\"},{\"enum\":[\"a\"]}]}", "\"a\"", NULL},
    {"{\"anyOf\":[{\"type\":\"null\"},{\"enum\":[\"a\"]}]}", "\"b\"", "anyOf"},
    {"{\"type\":\"string\",\"not\":{\"type\":\"string\",\"pattern\":\"secret\"}}", "\"a secret\"",
     "not"},
    {"{\"type\":\"string\",\"not\":{\"type\":\"string\",\"pattern\":\"secret\"}}", "\"fine\"",
     NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"object\",\"properties\":{\"b\":{\"const\":1}}}}}}",
     "{\"a\":[{},{\"b\":2}]}", "const.a[1].b"},
    {FILTER, "{\"project\":\"ACME\",\"more\":1}", NULL},
    {FILTER, "{\"Project\":\"X\"}", "a member in another spelling"},
    {FILTER, "{\"project\":\"ACME\",\"PROJECT\":\"X\"}", "a member in another spelling"},
    {"{\"type\":\"object\",\"required\":[\"task\"]}", "{\"task\":1,\"tas\xe2\x84\xaa\":1}",
     "a member in another spelling"},
    {"{\"type\":\"object\",\"properties\":{\"a\":{},\"A\":{}}}", "{\"a\":1,\"A\":2}", NULL},
    {"{\"type\":\"object\",\"not\":{\"type\":\"object\",\"required\":[\"force\"]}}",
     "{\"Force\":1}", "a member in another spelling"},
    {"{\"type\":\"array\",\"items\":" FILTER "}", "[{},{\"Project\":1},{}]",
     "a member in another spelling[1]"},
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
        struct schema_budget budget = SCHEMA_BUDGET;
        struct schema_fault f;
        (void)snprintf(wrapped, sizeof(wrapped), "[%s]", rows[i].value);
        list = json(wrapped);
        value = json_incref(json_array_get(list, 0));
        if (schema_read(&at, &s) < 0)
            fail_msg("%s: %s", rows[i].schema, e.msg);
        if (!schema_meets(s, value, &budget, &f))
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
    {"{\"pattern\":\"^/public/\"}", "schema.pattern: needs \"type: string\" beside it"},
    {"{\"type\":\"array\",\"pattern\":\"a\"}", "schema.pattern: needs"},
    {"{\"enum\":[\"a\"],\"minLength\":1}", "schema.minLength: needs"},
    {"{\"maxLength\":1}", "schema.maxLength: needs"},
    {"{\"maximum\":9}", "schema.maximum: needs \"type: number\" or \"type: integer\" beside it"},
    {"{\"type\":\"string\",\"minimum\":9}", "schema.minimum: needs"},
    {"{\"exclusiveMinimum\":9}", "schema.exclusiveMinimum: needs"},
    {"{\"exclusiveMaximum\":9}", "schema.exclusiveMaximum: needs"},
    {"{\"items\":{}}", "schema.items: needs \"type: array\""},
    {"{\"minItems\":1}", "schema.minItems: needs"},
    {"{\"maxItems\":1}", "schema.maxItems: needs"},
    {"{\"properties\":{}}", "schema.properties: needs \"type: object\""},
    {"{\"required\":[]}", "schema.required: needs"},
    {"{\"additionalProperties\":false}", "schema.additionalProperties: needs"},
    {"{\"type\":\"array\",\"items\":{\"maximum\":9}}", "schema.items.maximum: needs"},
    {"{\"type\":\"string\",\"not\":{\"pattern\":\"a\"}}", "schema.not.pattern: needs"},
    {"{\"not\":{\"type\":\"string\",\"pattern\":\"a\"}}", "schema.not: needs a \"type\" beside it"},
    {"{\"type\":\"string\",\"anyOf\":[{\"not\":{\"const\":1}}]}", "schema.anyOf[0].not: needs"},
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

static struct schema *read_one(const char *text, json_t **keep)
{
    struct err e = {0};
    const struct document doc = {.e = &e};
    *keep = json(text);
    struct place at = place_root(&doc, "schema", *keep);
    struct schema *s = NULL;
    if (schema_read(&at, &s) < 0)
        fail_msg("%s: %s", text, e.msg);
    return s;
}

/* `head`, and `fill` behind it until there are n bytes. */
static json_t *long_text(const char *head, char fill, size_t n)
{
    char *s = malloc(n);
    assert_non_null(s);
    memset(s, fill, n);
    memcpy(s, head, strlen(head));
    json_t *j = json_stringn(s, n);
    free(s);
    assert_non_null(j);
    return j;
}

/* What cannot be told is refused on both sides: where a pattern is demanded, and where it is forbidden. */
static void what_cannot_be_told_is_refused(void **state)
{
    static const struct {
        const char *pattern, *head;
        char fill;
        size_t n;
        const char *positive, *negative; /* NULL: met */
    } t[] = {
        {"(?s)DROP.*TABLE", "DROP TABLE", 'a', 4096, NULL, "not"},
        {"(?s)DROP.*TABLE", "DROP VIEW", 'a', 4096, "pattern", NULL},
        {"(?s)DROP.*TABLE", "DROP TABLE", 'a', 4097, "pattern, of a text above 4096 bytes",
         "pattern, of a text above 4096 bytes"},
        {"(?s)DROP.*TABLE", "DROP TABLE", 'a', 1200000, "pattern, of a text above 4096 bytes",
         "pattern, of a text above 4096 bytes"},
        {"delete[\\\\s\\\\S]*from", "delete from", 'a', 4096, NULL, "not"},
        {"delete[\\\\s\\\\S]*from", "delete from", 'a', 1200000,
         "pattern, of a text above 4096 bytes", "pattern, of a text above 4096 bytes"},
        /* Runs out of its steps, which no single place of the text would use up. */
        {"\\\\s+$", "x", ' ', 4096, NULL, "not"},
        {"\\\\s+[yz]", "x", ' ', 4096, "pattern, which takes too long",
         "pattern, which takes too long"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        for (int no = 0; no < 2; no++) {
            char text[300], got[200] = "";
            AUTO_JSON json_t *keep = NULL, *value = long_text(t[i].head, t[i].fill, t[i].n);
            (void)snprintf(
                text, sizeof(text),
                no ? "{\"type\":\"string\",\"not\":{\"type\":\"string\",\"pattern\":\"%s\"}}"
                   : "{\"type\":\"string\",\"pattern\":\"%s\"}",
                t[i].pattern);
            struct schema *s = read_one(text, &keep);
            struct schema_budget budget = SCHEMA_BUDGET;
            struct schema_fault f;
            if (!schema_meets(s, value, &budget, &f))
                (void)snprintf(got, sizeof(got), "%s", f.keyword);
            const char *want = no ? t[i].negative : t[i].positive;
            if (strcmp(got, want ? want : "") != 0)
                fail_msg("%s of %zu bytes: %s", text, t[i].n, got);
            schema_free(s);
        }
}

/* Nothing around it turns it into a yes, and what is told is where it began. */
static void what_cannot_be_told_stays_so(void **state)
{
    static const char *const schemas[] = {
        "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"not\":{\"type\":\"string\","
        "\"pattern\":\"b\"}}}",
        "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"b\"},{"
        "\"type\":\"string\"}]}}",
        "{\"type\":\"array\",\"not\":{\"type\":\"array\",\"items\":{\"type\":\"string\","
        "\"pattern\":\"b\"}}}",
        "{\"type\":\"array\",\"not\":{\"type\":\"array\",\"not\":{\"type\":\"array\",\"items\":{"
        "\"type\":"
        "\"string\",\"pattern\":\"b\"}}}}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
        AUTO_JSON json_t *keep = NULL, *list = json_array();
        struct schema *s = read_one(schemas[i], &keep);
        struct schema_budget budget = SCHEMA_BUDGET;
        struct schema_fault f;
        json_array_append_new(list, long_text("b", 'a', 5000));
        json_array_append_new(list, json_string("c"));
        assert_false(schema_meets(s, list, &budget, &f));
        assert_string_equal(f.keyword, "pattern, of a text above 4096 bytes");
        assert_string_equal(f.path, "[0]");
        schema_free(s);
    }
}

/* Counted, not timed: whatever comes behind the budget costs no byte and no step more. */
static void all_texts_share_one_budget(void **state)
{
    AUTO_JSON json_t *keep = NULL, *list = json_array(), *short_one = json("[\"aaaa\"]");
    struct schema *s = read_one(
        "{\"type\":\"array\",\"items\":{\"allOf\":[{\"type\":\"string\",\"pattern\":\"a\"},"
        "{\"type\":\"string\",\"not\":{\"type\":\"string\",\"pattern\":\"b\"}}]}}",
        &keep);
    struct schema_budget budget = SCHEMA_BUDGET, before;
    struct schema_fault f;
    (void)state;
    for (int i = 0; i < 1000; i++)
        json_array_append_new(list, long_text("a", 'a', 4096));
    assert_false(schema_meets(s, list, &budget, &f));
    assert_string_equal(f.keyword, "pattern, of texts above 64 KiB together");
    assert_string_equal(f.path, "[8]"); /* 64 KiB are eight texts with two patterns each */
    assert_int_equal(budget.bytes, 0);
    before = budget;
    assert_false(schema_meets(s, list, &budget, &f));
    assert_false(schema_meets(s, short_one, &budget, &f));
    assert_string_equal(f.path, "[0]");
    assert_int_equal(budget.bytes, before.bytes);
    assert_int_equal(budget.steps, before.steps);
    budget = SCHEMA_BUDGET;
    assert_true(schema_meets(s, short_one, &budget, &f));
    assert_int_equal(budget.bytes, SCHEMA_BUDGET.bytes - 8);
    assert_true(budget.steps < SCHEMA_BUDGET.steps);
    schema_free(s);
}

static void arguments_are_there_and_meet_their_rules(void **state)
{
    static const char rules[] = "{\"get_*\":{\"project\":{\"enum\":[\"ACME\"]},\"page?\":{\"type\":"
                                "\"integer\",\"maximum\":9}},"
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
        struct schema_budget budget = SCHEMA_BUDGET;
        struct argument_fault f;
        char got[200] = "";
        if (!argument_policy_meets(&p, calls[i].tool, a, &budget, &f))
            (void)snprintf(got, sizeof(got), "%s.%s %s", f.tool, f.name, f.keyword);
        if (strcmp(got, calls[i].fault ? calls[i].fault : "") != 0)
            fail_msg("%s %s: %s", calls[i].tool, calls[i].arguments, got);
    }
    struct schema_budget budget = SCHEMA_BUDGET;
    struct argument_fault f;
    assert_false(argument_policy_meets(&p, "get_x", NULL, &budget, &f));
    argument_policy_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_meets_a_schema),
        cmocka_unit_test(what_is_not_checked_is_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(what_cannot_be_told_is_refused),
        cmocka_unit_test(what_cannot_be_told_stays_so),
        cmocka_unit_test(all_texts_share_one_budget),
        cmocka_unit_test(arguments_are_there_and_meet_their_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
