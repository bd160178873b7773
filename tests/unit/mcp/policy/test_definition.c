/* test_definition.c - one definition has one text, however it was written, and another has another. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "mcp/policy/definition.h"

#include <string.h>

static char *text_of(const char *json)
{
    AUTO(buf) out = BUF_INIT(2 * DEFINITION_MAX);
    AUTO_JSON json_t *j = NULL;
    struct err e = {0};
    if (json_parse(json, strlen(json), &j, &e) < 0)
        fail_msg("%s: %s", json, e.msg);
    assert_int_equal(definition_print(j, &out), 0);
    size_t n;
    return buf_take(&out, &n);
}

static void one_value_has_one_text(void **state)
{
    static const char *const rows[][2] = {
        {"{ \"b\" : 1, \"a\" : [ {\"d\":2,\"c\":3} ] }", "{\"a\":[{\"c\":3,\"d\":2}],\"b\":1}"},
        {"{\"n\\u0061me\":\"\\u00e4\\/\"}", "{\"name\":\"\xc3\xa4/\"}"},
        {"{\"a\":1.0,\"b\":1e3,\"c\":-0.0,\"d\":1.5,\"e\":15e-1}",
         "{\"a\":1,\"b\":1000,\"c\":0,\"d\":1.5,\"e\":1.5}"},
        {"{\"a\":9007199254740993,\"b\":9007199254740992.0}",
         "{\"a\":9007199254740993,\"b\":9007199254740992.0}"},
        {"{\"\":null,\"A\":true,\"a\":false}", "{\"\":null,\"A\":true,\"a\":false}"},
        {"7", "7"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text = text_of(rows[i][0]), *again = text_of(rows[i][1]);
        assert_string_equal(text, rows[i][1]);
        assert_string_equal(again, rows[i][1]);
    }
}

static void what_says_something_else_has_another_text(void **state)
{
    static const char *const rows[][2] = {
        {"{\"a\":[1,2]}", "{\"a\":[2,1]}"},
        {"{\"a\":\"\\u00e9\"}", "{\"a\":\"e\\u0301\"}"}, /* é in two spellings */
        {"{\"a\":\"x\"}", "{\"a\":\"x \"}"},
        {"{\"a\":1}", "{\"a\":\"1\"}"},
        {"{\"a\":null}", "{}"},
        {"{\"a\":{}}", "{\"a\":[]}"},
        {"{\"a\":1}", "{\"A\":1}"},
        {"{\"a\":1}", "{\"a\":1,\"x-unknown\":1}"},
        {"{\"a\":1}", "{\"a\":1.0000000001}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *a = text_of(rows[i][0]), *b = text_of(rows[i][1]);
        assert_string_not_equal(a, b);
    }
}

static void a_large_one_has_none(void **state)
{
    AUTO(buf) out = BUF_INIT(4 * DEFINITION_MAX);
    AUTO_FREE char *long_text = mem_array(2 * DEFINITION_MAX, 1);
    (void)state;
    for (size_t n = DEFINITION_MAX - 64; n < 2u * DEFINITION_MAX; n += DEFINITION_MAX - 128) {
        AUTO_JSON json_t *j = json_new_object();
        memset(long_text, 'x', n);
        json_put(j, "description", json_stringn(long_text, n));
        buf_reset(&out);
        assert_int_equal(definition_print(j, &out), n < DEFINITION_MAX ? 0 : -E_LIMIT);
    }
}

static void a_digest_is_of_such_a_text_alone(void **state)
{
    static const char *const bad[] = {
        "", "7", "[]", "{", "{ }", "{\"b\":1,\"a\":1}", "{\"a\":1.0}", "{}x", "{\"a\":1,\"a\":1}"};
    struct definition_digest a, b, c;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(definition_digest(bad[i], strlen(bad[i]), &a), -E_CORRUPT);
    const char one[] = "{\"d\":1,\"name\":\"a\"}", other[] = "{\"d\":1,\"name\":\"b\"}";
    const char third[] = "{\"d\":2,\"name\":\"a\"}";
    assert_int_equal(definition_digest(one, strlen(one), &a), 0);
    assert_int_equal(definition_digest(other, strlen(other), &b), 0);
    assert_int_equal(definition_digest(third, strlen(third), &c), 0);
    assert_string_not_equal(a.whole, b.whole);
    assert_string_equal(a.nameless, b.nameless);
    assert_string_not_equal(a.nameless, c.nameless);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_has_one_text),
        cmocka_unit_test(what_says_something_else_has_another_text),
        cmocka_unit_test(a_large_one_has_none),
        cmocka_unit_test(a_digest_is_of_such_a_text_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
