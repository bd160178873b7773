/* test_document.c - every reader takes what it should, and says where and why it did not. */
#include "unit/unit.h"
#include "base/document.h"
#include "base/err.h"
#include "base/field.h"
#include "base/map.h"
#include "base/yaml.h"

#include <string.h>

static const struct field fields[] = {
    {0, "text", "text", "none", "-", false},
    {0, "list", "list", "none", "-", false},
    {0, "later", "object", "none", "-", true},
    {.key = NULL},
};
static const struct field_object objects[] = {{"the top", "-"}};
static const struct field_table table = {fields, objects, 1};

struct parsed {
    struct map lines;
    struct err e;
    struct document doc;
    json_t *tree;
};

static struct place parse(struct parsed *p, const char *name, const char *file, const char *yaml)
{
    *p = (struct parsed){0};
    map_init(&p->lines);
    p->doc = (struct document){.fields = &table, .file = file, .lines = &p->lines, .e = &p->e};
    if (yaml_parse_json_lines(yaml, strlen(yaml), &p->tree, &p->lines, &p->e) < 0)
        fail_msg("%s", p->e.msg);
    return place_root(&p->doc, name, p->tree);
}

static void parsed_done(struct parsed *p)
{
    json_decref(p->tree);
    map_done(&p->lines);
}

static void a_place_is_told_with_and_without_a_file(void **state)
{
    (void)state;
    static const struct {
        const char *name, *file, *words;
    } rows[] = {
        {NULL, "a.yaml", "a.yaml:3: list[1]: wrong"},
        {"top", "a.yaml", "a.yaml:3: top.list[1]: wrong"},
        {"top", NULL, "top.list[1] (line 3): wrong"},
        {NULL, NULL, "list[1] (line 3): wrong"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parsed p;
        struct place root = parse(&p, rows[i].name, rows[i].file, "list:\n- x\n- y\n");
        struct place list = place_member(&root, "list"), item = place_item(&list, 1);
        assert_int_equal(place_fail(&item, "wrong"), -E_PARSE);
        assert_string_equal(p.e.msg, rows[i].words);
        parsed_done(&p);
    }
}

static void the_root_and_what_is_missing_have_a_line(void **state)
{
    struct parsed p;
    struct place root = parse(&p, NULL, "a.yaml", "\ntext: x\n");
    struct place gone = place_member(&root, "list");
    size_t n;
    (void)state;
    assert_int_equal(place_fail(&root, "wrong"), -E_PARSE);
    assert_string_equal(p.e.msg, "a.yaml:2: wrong");
    assert_int_equal(place_list(&gone, 1, &n), -E_PARSE);
    assert_string_equal(p.e.msg, "a.yaml:2: list: is missing");
    parsed_done(&p);
    root = parse(&p, NULL, "a.yaml", "x");
    assert_int_equal(place_object(&root, 0), -E_PARSE);
    assert_string_equal(p.e.msg, "a.yaml: an object is expected");
    parsed_done(&p);
}

static void keys_are_those_of_the_table(void **state)
{
    static const struct {
        const char *yaml, *words;
    } rows[] = {
        {"text: x\nlist: []\n", NULL},
        {"text: x\ntxet: x\n", "txet (line 2): there is no such field; did you mean \"text\"?"},
        {"text: x\nzzzzzz: x\n", "zzzzzz (line 2): there is no such field of the top"},
        {"text: x\nlater: {}\n", "later (line 2): is not built yet"},
        {"- text\n", "an object is expected"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parsed p;
        struct place root = parse(&p, NULL, NULL, rows[i].yaml);
        assert_int_equal(place_object(&root, 0), rows[i].words ? -E_PARSE : 0);
        assert_string_equal(p.e.msg, rows[i].words ? rows[i].words : "");
        parsed_done(&p);
    }
}

static int read_text(const struct place *at)
{
    const char *s = NULL;
    return place_text(at, 3, &s);
}

static int read_bool(const struct place *at)
{
    bool b = false;
    return place_bool(at, &b);
}

static int read_number(const struct place *at)
{
    int64_t v = 0;
    return place_number(at, 2, 4, &v);
}

static int read_choice(const struct place *at)
{
    static const char *const names[] = {"a", "b", NULL};
    unsigned v = 0;
    return place_choice(at, names, &v);
}

static int read_duration(const struct place *at)
{
    int64_t ms = 0;
    return place_duration(at, &ms);
}

static int read_rate(const struct place *at)
{
    uint32_t count = 0;
    int64_t window_ms = 0;
    return place_rate(at, &count, &window_ms);
}

static void each_reader_takes_and_refuses(void **state)
{
    static const char choice[] = "text (line 1): one of a, b is expected";
    static const char number[] = "text (line 1): a number from 2 to 4 is expected";
    static const char text[] = "text (line 1): a text of 1 to 3 bytes is expected";
    static const char truth[] = "text (line 1): true or false is expected";
    static const char duration[] = "text (line 1): a duration is expected: 1 to 366 and s, m, h or "
                                   "d, as in \"5m\"";
    static const char rate[] = "text (line 1): a rate is expected: a number and /s, /m, /h or /d, "
                               "as in \"100/m\"";
    static const struct {
        int (*read)(const struct place *);
        const char *yaml, *words;
    } rows[] = {
        {read_text, "text: abc", NULL},
        {read_text, "text: abcd", text},
        {read_text, "text: ''", text},
        {read_text, "text: 17", "text (line 1): a text is expected (quote it)"},
        {read_text, "text: \"a\\tb\"", "text (line 1): has a control character"},
        {read_text, "list: []", "text (line 1): is missing"},
        {read_bool, "text: true", NULL},
        {read_bool, "text: yes", truth},
        {read_bool, "list: []", NULL},
        {read_number, "text: 2", NULL},
        {read_number, "text: 4", NULL},
        {read_number, "text: 1", number},
        {read_number, "text: 5", number},
        {read_number, "text: '3'", number},
        {read_number, "text: 3.0", number},
        {read_choice, "text: b", NULL},
        {read_choice, "text: c", choice},
        {read_choice, "text: [a]", choice},
        {read_duration, "text: 366d", NULL},
        {read_duration, "text: 0s", duration},
        {read_duration, "text: 367d", duration},
        {read_duration, "text: 5", duration},
        {read_rate, "text: 1/d", NULL},
        {read_rate, "text: 0/d", rate},
        {read_rate, "text: 1/x", rate},
        {read_rate, "text: 1000000001/s", rate},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parsed p;
        struct place root = parse(&p, NULL, NULL, rows[i].yaml);
        struct place at = place_member(&root, "text");
        int r = rows[i].read(&at);
        if (r != (rows[i].words ? -E_PARSE : 0) ||
            strcmp(p.e.msg, rows[i].words ? rows[i].words : "") != 0)
            fail_msg("row %zu: %s: %d %s", i, rows[i].yaml, r, p.e.msg);
        parsed_done(&p);
    }
}

static void words_are_put_behind_the_place(void **state)
{
    struct parsed p;
    struct place root = parse(&p, NULL, "a.yaml", "text: x");
    struct place at = place_member(&root, "text");
    struct err inner = {.code = -EINVAL, .msg = "no host"};
    (void)state;
    assert_int_equal(place_wrap(&at, &inner), -EINVAL);
    assert_int_equal(p.e.code, -EINVAL);
    assert_string_equal(p.e.msg, "a.yaml:1: text: no host");
    parsed_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_is_told_with_and_without_a_file),
        cmocka_unit_test(the_root_and_what_is_missing_have_a_line),
        cmocka_unit_test(keys_are_those_of_the_table),
        cmocka_unit_test(each_reader_takes_and_refuses),
        cmocka_unit_test(words_are_put_behind_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
