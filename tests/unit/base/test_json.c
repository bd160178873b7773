/* test_json.c - what is taken, what is refused and with which words, and text that reads back the
 * same. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

static void json_is_printed_as_it_was_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* want NULL: the same text */
    } rows[] = {
        {"{}", NULL},
        {"[]", NULL},
        {"null", NULL},
        {" \r\n\t[1, 2 ]\n", "[1,2]"},
        {"{\"b\":1,\"a\":[true,false,null,{\"x\":\"y\"}]}", NULL},
        {"\"\\u0041\\n\\u0001\\\"\\\\\\/\"", "\"A\\n\\u0001\\\"\\\\/\""},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
        {"0.1", NULL},
        {"1.0", NULL},
        {"-0.0", NULL},
        {"1e3", "1000.0"},
        {"1e300", "1e+300"},
        {"0.30000000000000004", NULL},
        {"9223372036854775807", NULL},
        {"-9223372036854775808", NULL},
        {"9223372036854775808", "9.223372036854776e+18"},
        {"[123456789012345678901234567890,\"123456789012345678901234567890\"]",
         "[1.2345678901234568e+29,\"123456789012345678901234567890\"]"},
        {"{\"a\":-99999999999999999999,\"b\":99999999999999999999}", "{\"a\":-1e+20,\"b\":1e+20}"},
        {"[[],{},[{}],[[1]],{\"a\":[]}]", NULL},
        {"\"]]]]{{{{\"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        struct err e = {0};
        if (json_parse(rows[i].text, strlen(rows[i].text), &j, &e) < 0)
            fail_msg("%s: %s", rows[i].text, e.msg);
        AUTO_FREE
        char *text = json_text(j, NULL);
        assert_string_equal(text, rows[i].want ? rows[i].want : rows[i].text);
        AUTO_JSON json_t *again = NULL;
        assert_int_equal(json_parse(text, strlen(text), &again, NULL), 0);
        assert_true(json_equal(j, again));
    }
}

static void bad_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n; /* 0: strlen */
        const char *words;
    } rows[] = {
        {"", 0, "line 1"},
        {" ", 0, "line 1"},
        {"{", 0, "line 1"},
        {"[1,]", 0, "line 1 column 4: "},
        {"[1]x", 0, "line 1 column 4: "},
        {"[1][2]", 0, "line 1 column 4: "},
        {"{\"a\":1,\n \"a\":2}", 0, "line 2 column 4: duplicate object key"},
        {"\"a\\u0000b\"", 0, "\\u0000"},
        {"\"a\0b\"", 5, ""},
        {"[1,\0]", 5, "line 1 column 4: NUL byte"},
        {"\"\xc3\"", 0, "unable to decode"},
        {"\"\xed\xa0\x80\"", 0, "unable to decode"},
        {"\"\\ud800\"", 0, "invalid Unicode"},
        {"1e999", 0, "real number overflow"},
        {"01", 0, "line 1"},
        {"+1", 0, "line 1"},
        {"NaN", 0, "line 1"},
        {"'a'", 0, "line 1"},
        {"\"a\nb\"", 0, "line 1"},
        {"\"open", 0, "line 1"},
        {"\"open\\", 0, "line 1"},
        {"-", 0, "line 1"},
        {"0099999999999999999999", 0, "line 1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *j = NULL;
        struct err e = {0};
        size_t n = rows[i].n ? rows[i].n : strlen(rows[i].text);
        int r = json_parse(rows[i].text, n, &j, &e);
        if (r != -E_PARSE || !strstr(e.msg, rows[i].words))
            fail_msg("%s: %d %s", rows[i].text, r, e.msg);
        assert_null(j);
        assert_int_equal(e.code, -E_PARSE);
    }
}

/* An error names the place and never repeats the text: it may be a credential. */
static void an_error_does_not_quote_the_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"key\": hunter2 }",           "{\"key\": \"hunter2\" \"x\"}",
        "{\"hunter2\":1,\"hunter2\":2}", "[\"a\", hunter2near 'hunter2]",
        "{\"a\": \"hunter2\xff\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_t *j = NULL;
        struct err e = {0};
        assert_int_equal(json_parse(texts[i], strlen(texts[i]), &j, &e), -E_PARSE);
        if (strstr(e.msg, "hunter"))
            fail_msg("%s", e.msg);
        assert_non_null(strstr(e.msg, "column"));
    }
}

static void depth_has_a_ceiling(void **state)
{
    (void)state;
    for (size_t depth = 60; depth < 70; depth++) {
        for (int objects = 0; objects < 2; objects++) {
            AUTO(buf) b = BUF_INIT(10000);
            for (size_t i = 0; i < depth; i++)
                (void)buf_adds(&b, objects ? "{\"a\":" : "[");
            if (objects)
                (void)buf_adds(&b, "1");
            for (size_t i = 0; i < depth; i++)
                (void)buf_adds(&b, objects ? "}" : "]");
            AUTO_JSON json_t *j = NULL;
            struct err e = {0};
            assert_int_equal(json_parse(buf_str(&b), b.len, &j, &e), depth <= 64 ? 0 : -E_PARSE);
            if (depth > 64)
                assert_non_null(strstr(e.msg, "too deeply"));
            else {
                AUTO_FREE
                char *text = json_text(j, NULL);
                assert_string_equal(text, buf_str(&b));
            }
        }
    }
}

static void values_are_counted_before_they_are_made(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n; /* values and names */
    } rows[] = {
        {"1", 1},
        {"\"a,[{\\\"t\"", 1},
        {"[]", 1},
        {"[{},{},{}]", 4},
        {"[true,false,null,1,-2.5e3,\"x\"]", 7},
        {" { \"true\" : [ null ] , \"n\" : { } } ", 6},
        {"[12345678901234567890123,1]", 3}, /* too large for 64 bits */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        struct err e = {0};
        size_t n = strlen(rows[i].text);
        assert_int_equal(json_parse_few(rows[i].text, n, rows[i].n - 1, &j, &e), -E_LIMIT);
        assert_null(j);
        assert_non_null(strstr(e.msg, "values and names"));
        assert_int_equal(json_parse_few(rows[i].text, n, rows[i].n, &j, &e), 0);
    }
}

/* Close to the length of the text, and no further than asked. */
static void weight_is_about_the_text(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "null",
        "[]",
        "{}",
        "\"0123456789012345678901234567890123456789\"",
        "[\"aaaaaaaaaaaaaaaaaaaaaaaa\",{\"bbbbbbbbbbbbbb\":\"ccccccccccccccccccccccc\"},[1,2,3]]",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        size_t n = strlen(rows[i]);
        assert_int_equal(json_parse(rows[i], n, &j, NULL), 0);
        size_t w = json_weight(j, SIZE_MAX);
        if (w > 2 * n + 8 || 2 * w + 8 < n)
            fail_msg("%zu for %s", w, rows[i]);
        assert_int_equal(json_weight(j, w ? w - 1 : 0), w ? w - 1 : 0);
    }
    assert_int_equal(json_weight(NULL, 100), 8);
}

static void output_has_a_ceiling(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = json_pack("{s:s}", "k", "0123456789");
    AUTO(buf) b = BUF_INIT(10);
    assert_int_equal(json_print(&b, j), -EMSGSIZE);
    AUTO(buf) fits = BUF_INIT(18);
    assert_int_equal(json_print(&fits, j), 0);
    assert_string_equal(buf_str(&fits), "{\"k\":\"0123456789\"}");
    AUTO(buf) null = BUF_INIT(18);
    assert_int_equal(json_print(&null, NULL), 0);
    assert_string_equal(buf_str(&null), "null");
}

static void getters_give_the_type_or_nothing(void **state)
{
    (void)state;
    AUTO_JSON json_t *o = json_object();
    json_put_str(o, "s", "text");
    json_put_str(o, "none", NULL);
    json_put_str(o, "bytes", "a\xff\xc3\xa9z");
    json_put_int(o, "i", -5);
    json_put_bool(o, "t", true);
    json_put_null(o, "n");
    json_put(o, "list", json_array());
    json_put(o, "nothing", NULL);
    assert_string_equal(json_get_str(o, "s"), "text");
    assert_string_equal(json_get_str(o, "bytes"), "a\xef\xbf\xbd\xc3\xa9z");
    assert_null(json_get_str(o, "i"));
    assert_null(json_get_str(o, "absent"));
    assert_null(json_get_str(NULL, "s"));
    assert_null(json_get_str(json_object_get(o, "list"), "s"));
    assert_int_equal(json_get_int(o, "i", 1), -5);
    assert_int_equal(json_get_int(o, "s", 1), 1);
    assert_int_equal(json_get_int(NULL, "s", 1), 1);
    assert_true(json_get_bool(o, "t", false));
    assert_true(json_get_bool(o, "i", true));
    assert_false(json_get_bool(NULL, "i", false));
    AUTO_FREE
    char *text = json_text(o, NULL);
    assert_string_equal(
        text, "{\"s\":\"text\",\"none\":null,\"bytes\":\"a\xef\xbf\xbd\xc3\xa9z\",\"i\":-5,"
              "\"t\":true,\"n\":null,\"list\":[],\"nothing\":null}");
    AUTO_JSON json_t *nul = json_str_lossy("a\0b", 3);
    assert_string_equal(json_string_value(nul), "a\xef\xbf\xbd"
                                                "b");
}

static void reals_survive_the_round_trip(void **state)
{
    (void)state;
    static const double values[] = {
        0.0,  -0.0,     0.1,  1.0 / 3, 1e21,  123456789.125,          5e-324,
        1e15, 1e16,     1e17, 2.5,     -1e-7, 1.7976931348623157e308, 100,
        0.3,  0.1 + 0.2};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        AUTO_JSON json_t *j = json_real(values[i]);
        size_t n;
        AUTO_FREE
        char *text = json_text(j, &n);
        AUTO_JSON json_t *back = NULL;
        assert_int_equal(json_parse(text, n, &back, NULL), 0);
        assert_true(json_is_real(back));
        double v = json_real_value(back);
        assert_memory_equal(&v, &values[i], sizeof(v));
    }
}

static void what_is_stored_and_cannot_be_read_is_damaged(void **state)
{
    (void)state;
    json_t *j = NULL;
    assert_int_equal(json_parse_stored(NULL, 0, &j), -E_CORRUPT);
    assert_int_equal(json_parse_stored("{\"a\":", 5, &j), -E_CORRUPT);
    assert_int_equal(json_parse_stored("", 0, &j), -E_CORRUPT);
    assert_null(j);
    assert_int_equal(json_parse_stored("{}", 2, &j), 0);
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_printed_as_it_was_read),
        cmocka_unit_test(bad_json_is_refused_with_its_place),
        cmocka_unit_test(an_error_does_not_quote_the_text),
        cmocka_unit_test(depth_has_a_ceiling),
        cmocka_unit_test(values_are_counted_before_they_are_made),
        cmocka_unit_test(weight_is_about_the_text),
        cmocka_unit_test(output_has_a_ceiling),
        cmocka_unit_test(getters_give_the_type_or_nothing),
        cmocka_unit_test(reals_survive_the_round_trip),
        cmocka_unit_test(what_is_stored_and_cannot_be_read_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
