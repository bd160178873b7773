/* test_mapping.c - headers that a server has declared for its arguments: learned from lists, compared in calls. */
#include "unit/unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "mcp/policy/mapping.h"

#include <string.h>

static json_t *json(const char *text)
{
    json_t *j = NULL;
    struct err e = {0};
    if (json_parse(text, strlen(text), &j, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return j;
}

static void learn(struct mapping *m, const char *tools)
{
    AUTO_JSON json_t *j = json(tools);
    mapping_learn(m, j);
}

/* Headers as "name: value" lines; "" is no header. */
static int check(const struct mapping *m, const char *arguments, const char *headers, bool demanded,
                 struct err *e)
{
    struct http_head h;
    http_head_init(&h);
    for (const char *p = headers; *p;) {
        const char *colon = strchr(p, ':'), *end = strchr(p, '\n');
        end = end ? end : p + strlen(p);
        assert_non_null(colon);
        assert_int_equal(http_head_add(&h, (struct http_text){p, (size_t)(colon - p)},
                                       (struct http_text){colon + 2, (size_t)(end - colon - 2)}),
                         0);
        p = *end ? end + 1 : end;
    }
    AUTO_JSON json_t *j = arguments ? json(arguments) : NULL;
    int r = mapping_check(m, "t", j, &h.fields, demanded, e);
    http_head_done(&h);
    return r;
}

#define TOOL                                                                                       \
    "{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"                        \
    "\"region\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"},"                                \
    "\"n\":{\"type\":\"integer\",\"x-mcp-header\":\"Count\"},"                                     \
    "\"deep\":{\"type\":\"object\",\"properties\":{"                                               \
    "\"dry\":{\"type\":\"boolean\",\"x-mcp-header\":\"dry-run\"}}}}}}"

static void calls(void **state)
{
    static const struct {
        const char *arguments, *headers, *words; /* NULL: it passes */
        bool lax;                                /* it passes where headers are not demanded */
    } rows[] = {
        {"{\"region\":\"eu\"}", "mcp-param-region: eu", NULL, true},
        {"{\"region\":\"\"}", "mcp-param-region: ", NULL, true},
        {"{\"region\":\"\\u00e9\"}", "mcp-param-region: =?base64?w6k=?=", NULL, true},
        {"{\"region\":\"eu\"}", "mcp-param-region: =?base64?ZXU=?=", NULL, true},
        {"{\"n\":42}", "mcp-param-count: 42", NULL, true},
        {"{\"n\":42.0}", "mcp-param-count: 42", NULL, true},
        {"{\"n\":42}", "mcp-param-count: 42.00", NULL, true},
        {"{\"n\":-0.0}", "mcp-param-count: 0", NULL, true},
        {"{\"n\":9007199254740991}", "mcp-param-count: 9007199254740991", NULL, true},
        {"{\"deep\":{\"dry\":true}}", "mcp-param-dry-run: true", NULL, true},
        {"{}", "", NULL, true},
        {NULL, "", NULL, true},
        {"{\"region\":null,\"deep\":7}", "", NULL, true},
        /* Not declared. */
        {"{}", "mcp-param-other: x\nmcp-param-regions: x", NULL, true},
        {"{\"other\":1}", "", NULL, true},
        /* Another value. */
        {"{\"region\":\"eu\"}", "mcp-param-region: us", "does not say what the body says", false},
        {"{\"region\":\"eu\"}", "mcp-param-region: EU", "does not say what the body says", false},
        {"{\"region\":\"eu\"}", "mcp-param-region: ", "does not say what the body says", false},
        {"{\"region\":\"42\"}", "mcp-param-region: 42.0", "does not say what the body says", false},
        {"{\"n\":42}", "mcp-param-count: 43", "does not say what the body says", false},
        {"{\"n\":42}", "mcp-param-count: 42.", "does not say what the body says", false},
        {"{\"n\":42}", "mcp-param-count: 4.2e1", "does not say what the body says", false},
        {"{\"n\":42}", "mcp-param-count: 42.01", "does not say what the body says", false},
        {"{\"n\":42}", "mcp-param-count: +42", "does not say what the body says", false},
        {"{\"n\":9007199254740993}", "mcp-param-count: 9007199254740993",
         "does not say what the body says", false},
        {"{\"n\":{}}", "mcp-param-count: 42", "does not say what the body says", false},
        {"{\"deep\":{\"dry\":true}}", "mcp-param-dry-run: True", "does not say what the body says",
         false},
        {"{\"region\":\"eu\"}", "mcp-param-region: =?base64?Z?=", "no value that can be read",
         false},
        {"{\"region\":\"eu\"}", "mcp-param-region: =?base64?/w==?=", "no value that can be read",
         false},
        /* Spelled like one. */
        {"{\"deep\":{\"dry\":true}}", "mcp-param-dry-run: true\nmcp-param-dry_run: false",
         "some servers take it for mcp-param-dry-run", false},
        {"{}", "mcp-param-dry_run: true", "some servers take it for mcp-param-dry-run", false},
        /* Twice; without its argument; missing. */
        {"{\"region\":\"eu\"}", "mcp-param-region: eu\nmcp-param-region: eu", "stands there twice",
         false},
        {"{}", "mcp-param-region: eu", "the call has no such argument", false},
        {NULL, "mcp-param-region: eu", "the call has no such argument", false},
        {"{\"region\":null}", "mcp-param-region: null", "the call has no such argument", false},
        {"{\"deep\":[]}", "mcp-param-dry-run: true", "the call has no such argument", false},
        {"{\"region\":\"eu\"}", "", "mcp-param-region is missing", true},
        {"{\"n\":\"text\",\"region\":\"eu\"}", "mcp-param-region: eu", "mcp-param-count is missing",
         true},
    };
    struct mapping m;
    (void)state;
    mapping_init(&m, NULL);
    learn(&m, "[" TOOL "]");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        int r = check(&m, rows[i].arguments, rows[i].headers, true, &e);
        if ((r == 0) != !rows[i].words ||
            (r < 0 && (r != -E_CONFLICT || !strstr(e.msg, rows[i].words))))
            fail_msg("%s %s: %d %s", rows[i].arguments, rows[i].headers, r, e.msg);
        r = check(&m, rows[i].arguments, rows[i].headers, false, &e);
        if ((r == 0) != rows[i].lax)
            fail_msg("%s %s: %d", rows[i].arguments, rows[i].headers, r);
    }
    mapping_done(&m);
}

static void a_name_may_have_an_underscore(void **state)
{
    struct mapping m;
    struct err e = {0};
    (void)state;
    mapping_init(&m, NULL);
    learn(&m, "[{\"name\":\"t\",\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"string\","
              "\"x-mcp-header\":\"Dry_Run\"},\"b\":{\"type\":\"string\",\"x-mcp-header\":\"x-y\"},"
              "\"c\":{\"type\":\"string\",\"x-mcp-header\":\"x_y\"}}}}]");
    assert_int_equal(check(&m, "{\"a\":\"1\"}", "mcp-param-dry_run: 1", true, &e), 0);
    assert_int_equal(check(&m, "{\"a\":\"1\"}", "mcp-param-dry_run: 2", true, &e), -E_CONFLICT);
    assert_int_equal(check(&m, "{\"a\":\"1\"}", "mcp-param-dry_run: 1\nmcp-param-dry-run: 1", true,
                           &e),
                     -E_CONFLICT);
    assert_int_equal(
        check(&m, "{\"b\":\"1\",\"c\":\"2\"}", "mcp-param-x-y: 1\nmcp-param-x_y: 2", true, &e), 0);
    mapping_done(&m);
}

static void the_last_list_counts(void **state)
{
    struct mapping m;
    struct err e = {0};
    (void)state;
    mapping_init(&m, NULL);
    assert_int_equal(check(&m, "{\"region\":\"eu\"}", "mcp-param-region: us", true, &e), 0);
    learn(&m, "[" TOOL "]");
    assert_int_equal(check(&m, "{\"region\":\"eu\"}", "mcp-param-region: us", true, &e),
                     -E_CONFLICT);
    learn(&m, "[{\"name\":\"other\",\"inputSchema\":{}}]"); /* a page of others */
    assert_int_equal(check(&m, "{\"region\":\"eu\"}", "", true, &e), -E_CONFLICT);
    learn(&m, "[{\"name\":\"t\",\"inputSchema\":{\"properties\":{\"region\":{\"type\":\"string\","
              "\"x-mcp-header\":\"Zone\"}}}}]");
    assert_int_equal(check(&m, "{\"region\":\"eu\"}", "mcp-param-zone: eu", true, &e), 0);
    assert_int_equal(check(&m, "{\"region\":\"eu\"}", "mcp-param-zone: us", true, &e), -E_CONFLICT);
    /* Annotations that break the rules say nothing. */
    learn(&m, "[{\"name\":\"t\",\"inputSchema\":{\"properties\":{\"region\":{\"type\":\"string\","
              "\"x-mcp-header\":\"Zone\"},\"b\":{\"type\":\"array\",\"x-mcp-header\":\"B\"}}}}]");
    assert_int_equal(check(&m, "{\"region\":\"eu\"}", "", true, &e), 0);
    learn(&m, "[{\"name\":\"t\"},{\"name\":7},{},null,\"t\"]");
    assert_int_equal(m.bytes.n, 0);
    mapping_done(&m);
}

static void what_is_remembered_has_an_end(void **state)
{
    struct budget all = {.max = 20000};
    struct mapping m, other;
    (void)state;
    mapping_init(&m, &all);
    mapping_init(&other, &all);
    for (int i = 0; i < 300; i++) {
        AUTO_FREE char *text =
            mem_printf("[{\"name\":\"t%d\",\"inputSchema\":{\"properties\":{\"%0100d\":{\"type\":"
                       "\"string\",\"x-mcp-header\":\"H\"}}}}]",
                       i, i);
        learn(&m, text);
        assert_true(all.used <= all.max);
    }
    assert_true(m.tools.n > 50 && m.tools.n < 200);
    learn(&other, "[" TOOL "]"); /* has no room */
    assert_int_equal(other.tools.n, 0);
    assert_int_equal(other.bytes.n, 0);
    mapping_done(&m);
    assert_int_equal(all.used, 0);
    learn(&other, "[" TOOL "]");
    assert_int_equal(other.tools.n, 1);
    mapping_done(&other);
    assert_int_equal(all.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls),
        cmocka_unit_test(a_name_may_have_an_underscore),
        cmocka_unit_test(the_last_list_counts),
        cmocka_unit_test(what_is_remembered_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
