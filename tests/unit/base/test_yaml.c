/* test_yaml.c - the subset as JSON, and every refusal with its place. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/yaml.h"

#include <string.h>

static void yaml_reads_as_json(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"", "null"},
        {"# only a comment\n", "null"},
        {"a: 1\nb: -2.5\nc: 1e3\n", "{\"a\":1,\"b\":-2.5,\"c\":1000.0}"},
        {"a: true\nb: false\nc: null\nd: ~\ne:\n",
         "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null}"},
        {"[yes, no, on, off, True, NULL, 0x10, 1_000, 010, +1, .5, 1., .inf, -, 2026-05-28]",
         "[\"yes\",\"no\",\"on\",\"off\",\"True\",\"NULL\",\"0x10\",\"1_000\",\"010\",\"+1\",\"."
         "5\","
         "\"1.\",\".inf\",\"-\",\"2026-05-28\"]"},
        {"[\"1\", 'true', \"null\", '']", "[\"1\",\"true\",\"null\",\"\"]"},
        {"- a\n- - b\n  - c\n- k: v\n", "[\"a\",[\"b\",\"c\"],{\"k\":\"v\"}]"},
        {"text: |\n  line 1\n  line 2\nfold: >-\n  x\n  y\n",
         "{\"text\":\"line 1\\nline 2\\n\",\"fold\":\"x y\"}"},
        {"1: one\ntrue: two\n", "{\"1\":\"one\",\"true\":\"two\"}"},
        {"listen: 127.0.0.1:8080\nurl: https://a/b?c=d#e\n",
         "{\"listen\":\"127.0.0.1:8080\",\"url\":\"https://a/b?c=d#e\"}"},
        {"{\"json\": [1, {\"a\": null}]}", "{\"json\":[1,{\"a\":null}]}"},
        {"99999999999999999999", "1e+20"},
        {"---\na: b\n...\n", "{\"a\":\"b\"}"},
        {"k: \xc3\xa9\n", "{\"k\":\"\xc3\xa9\"}"},
        {"<<: x\n", "{\"<<\":\"x\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        struct err e = {0};
        if (yaml_parse_json(rows[i].yaml, strlen(rows[i].yaml), &j, &e) < 0)
            fail_msg("%s: %s", rows[i].yaml, e.msg);
        AUTO_FREE
        char *text = json_text(j, NULL);
        assert_string_equal(text, rows[i].json);
    }
}

static void what_yaml_may_not_say_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *words;
    } rows[] = {
        {"a: &x 1\n", "line 1 column 4: anchors"},
        {"a: &x [1]\n", "line 1 column 4: anchors"},
        {"a: &x {b: 1}\n", "line 1 column 4: anchors"},
        {"a: *x\n", "line 1 column 4: aliases"},
        {"a: !!str 1\n", "line 1 column 4: tags"},
        {"a: !x [1]\n", "line 1 column 4: anchors and tags"},
        {"a: 1\nb: 2\na: 3\n", "line 3 column 1: the key \"a\" is given twice"},
        {"x:\n  - {k: 1, k: 2}\n", "line 2 column 12: the key \"k\" is given twice"},
        {"? [1, 2]\n: 3\n", "line 1 column 3: a key must be a scalar"},
        {"? {a: b}\n: 3\n", "a key must be a scalar"},
        {"a: 1\n---\nb: 2\n", "a second document"},
        {"a: \"x\\0y\"\n", "line 1 column 4: NUL"},
        {"\"x\\0y\": 1\n", "line 1 column 1: NUL"},
        {"a: [1, 2\n", "line 2"},
        {"a: b: c\n", "line 1 column 5"},
        {"\ta: 1\n", "line 1"},
        {"a: \xff\n", "byte 3"},
        {"a: 1\n b: 2\n", "line 2"},
        {"%YAML 3.0\n---\na\n", "line 1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *j = NULL;
        struct err e = {0};
        int r = yaml_parse_json(rows[i].yaml, strlen(rows[i].yaml), &j, &e);
        if (r != -E_PARSE || e.code != r || !strstr(e.msg, rows[i].words))
            fail_msg("%s: %d %s", rows[i].yaml, r, e.msg);
        assert_null(j);
    }
}

static void depth_has_a_ceiling(void **state)
{
    (void)state;
    for (size_t depth = 62; depth < 68; depth++) {
        AUTO(buf) b = BUF_INIT(1000);
        for (size_t i = 0; i < depth; i++)
            (void)buf_addc(&b, '[');
        for (size_t i = 0; i < depth; i++)
            (void)buf_addc(&b, ']');
        AUTO_JSON json_t *j = NULL;
        struct err e = {0};
        assert_int_equal(yaml_parse_json(buf_str(&b), b.len, &j, &e), depth <= 64 ? 0 : -E_PARSE);
        if (depth > 64)
            assert_string_equal(
                e.msg, "line 1 column 65: nested too deeply; at most 64 levels are allowed");
    }
    AUTO(buf) deep = BUF_INIT(200000);
    for (size_t i = 0; i < 100000; i++)
        (void)buf_addc(&deep, '[');
    json_t *j = NULL;
    assert_int_equal(yaml_parse_json(buf_str(&deep), deep.len, &j, NULL), -E_PARSE);
}

static void size_has_a_ceiling(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(LIMIT_YAML_BYTES + 1);
    char *to = buf_room(&b, LIMIT_YAML_BYTES + 1);
    memset(to, '#', LIMIT_YAML_BYTES + 1);
    buf_commit(&b, LIMIT_YAML_BYTES + 1);
    json_t *j = NULL;
    struct err e = {0};
    assert_int_equal(yaml_parse_json(buf_str(&b), b.len, &j, &e), -EMSGSIZE);
    assert_int_equal(yaml_parse_json(buf_str(&b), b.len - 1, &j, &e), 0);
    json_decref(j);
    assert_int_equal(yaml_parse_json(NULL, 0, &j, &e), 0);
    json_decref(j);
}

static void everything_has_its_line(void **state)
{
    (void)state;
    static const char text[] = "# one\n"
                               "a:\n"
                               "  b: true\n"
                               "  'c d': [1,\n"
                               "    {e: 2}, true]\n"
                               "\n"
                               "f:\n"
                               "  - x\n"
                               "  -\n"
                               "    g: y\n";
    AUTO(map) lines = {0};
    AUTO_JSON json_t *j = NULL;
    map_init(&lines);
    assert_int_equal(yaml_parse_json_lines(text, sizeof(text) - 1, &j, &lines, NULL), 0);
    const json_t *a = json_object_get(j, "a"), *c = json_object_get(a, "c d");
    const json_t *f = json_object_get(j, "f");
    assert_int_equal(yaml_line_of(&lines, j), 2);
    assert_int_equal(yaml_line_of_key(&lines, j, "a"), 2);
    assert_int_equal(yaml_line_of(&lines, a), 3);
    assert_int_equal(yaml_line_of_key(&lines, a, "b"), 3);
    assert_int_equal(yaml_line_of_key(&lines, a, "c d"), 4);
    assert_int_equal(yaml_line_of_item(&lines, c, 0), 4);
    assert_int_equal(yaml_line_of_item(&lines, c, 1), 5);
    assert_int_equal(yaml_line_of_item(&lines, c, 2), 5); /* true, as on line 3 */
    assert_int_equal(yaml_line_of_key(&lines, json_array_get(c, 1), "e"), 5);
    assert_int_equal(yaml_line_of_key(&lines, j, "f"), 7);
    assert_int_equal(yaml_line_of_item(&lines, f, 0), 8);
    assert_int_equal(yaml_line_of_item(&lines, f, 1), 10);
    assert_int_equal(yaml_line_of_key(&lines, json_array_get(f, 1), "g"), 10);
    assert_int_equal(yaml_line_of_key(&lines, j, "b"), 0); /* nothing there */
    assert_int_equal(yaml_line_of_item(&lines, f, 2), 0);
    assert_int_equal(yaml_line_of(&lines, json_object_get(a, "b")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_reads_as_json),
        cmocka_unit_test(what_yaml_may_not_say_is_refused),
        cmocka_unit_test(depth_has_a_ceiling),
        cmocka_unit_test(size_has_a_ceiling),
        cmocka_unit_test(everything_has_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
