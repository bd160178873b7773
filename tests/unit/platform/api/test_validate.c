/* validate: one request object, field by field. */

#include "base/err.h"
#include "platform/api/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    struct err e = {0};
    if (json_parse(text, strlen(text), &j, &e) < 0)
        fail_msg("%s: %s", text, e.msg);
    return j;
}

/* Walks `o` the way a handler does. */
static void walk(struct refusal *r, const json_t *o)
{
    static const char *const colours[] = {"red", "green", NULL};
    struct v v = v_object(r, o, "");
    v_str(&v, "name", V_REQUIRED, 1, 4);
    v_str(&v, "note", V_NULLABLE, 0, 5);
    v_int(&v, "n", V_OPTIONAL, 1, 9, 1);
    v_bool(&v, "on", V_OPTIONAL, false);
    v_enum(&v, "colour", V_OPTIONAL, colours);
    v_array(&v, "list", V_OPTIONAL, 2);
    v_metadata(&v, "metadata");
    v_unsupported(&v, "budget", "budgets are not part of this version");
    struct v sub = v_sub(&v, "in", V_OPTIONAL);
    v_str(&sub, "x", V_OPTIONAL, 2, 3);
    v_end(&sub);
    v_end(&v);
}

static void every_refusal_names_the_field(void **state)
{
    static const struct {
        const char *text, *message; /* NULL: accepted */
    } cases[] = {
        {"{\"name\":\"ab\"}", NULL},
        {"{\"name\":\"abcd\",\"note\":null,\"n\":9,\"on\":true,\"colour\":\"red\",\"list\":[1,2],"
         "\"metadata\":{\"a\":\"b\"},\"budget\":null,\"in\":{\"x\":\"ab\"}}",
         NULL},
        {"{\"name\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"}", NULL}, /* characters, not bytes */
        {"{\"name\":\"a\",\"budget\":{}}", NULL},
        {"{\"name\":\"a\",\"budget\":[]}", NULL},
        {"{}", "name: field is required"},
        {"{\"name\":null}", "Failed to parse request: name: must not be null"},
        {"{\"name\":7}", "Failed to parse request: name: must be a string, not a number"},
        {"{\"name\":\"\"}", "name: must not be empty"},
        {"{\"name\":\"abcde\"}", "name: must have at most 4 characters, has 5"},
        {"{\"name\":\"a\",\"n\":0}", "n: must be from 1 to 9, is 0"},
        {"{\"name\":\"a\",\"n\":1.0}",
         "Failed to parse request: n: must be a whole number, not a fraction"},
        {"{\"name\":\"a\",\"n\":\"1\"}",
         "Failed to parse request: n: must be a whole number, not a string"},
        {"{\"name\":\"a\",\"on\":1}",
         "Failed to parse request: on: must be true or false, not a number"},
        {"{\"name\":\"a\",\"colour\":\"blue\"}", "Failed to parse request: colour: \"blue\" is not "
                                                 "a valid value; expected one of red, green"},
        {"{\"name\":\"a\",\"list\":{}}",
         "Failed to parse request: list: must be an array, not an object"},
        {"{\"name\":\"a\",\"list\":[1,2,3]}", "list: must have at most 2 entries, has 3"},
        {"{\"name\":\"a\",\"budget\":{\"a\":1}}", "budget: budgets are not part of this version"},
        {"{\"name\":\"a\",\"in\":[]}",
         "Failed to parse request: in: must be an object, not an array"},
        {"{\"name\":\"a\",\"in\":{\"x\":\"a\"}}", "in.x: must have at least 2 characters, has 1"},
        {"{\"name\":\"a\",\"in\":{\"y\":1}}", "Failed to parse request: in.y: unknown field"},
        {"{\"name\":\"a\",\"colr\":1}", "Failed to parse request: colr: unknown field"},
        {"{\"name\":\"a\",\"metadata\":[]}",
         "Failed to parse request: metadata: must be an object of strings, not an array"},
        {"{\"name\":\"a\",\"metadata\":{\"k\":1}}",
         "Failed to parse request: metadata: the value of \"k\" must be a string, not a number"},
        {"{\"name\":\"a\",\"metadata\":{\"\":\"x\"}}",
         "metadata: key \"\" must have 1 to 64 characters"},
        {"[]", "Failed to parse request: must be an object, not an array"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_JSON json_t *j = parse(cases[i].text);
        struct refusal r = {0};
        walk(&r, j);
        if (!cases[i].message) {
            if (r.status)
                fail_msg("%s: refused: %s", cases[i].text, r.message);
            continue;
        }
        if (r.status != 400 || strcmp(r.type, "invalid_request_error") ||
            strcmp(r.message, cases[i].message))
            fail_msg("%s: %d \"%s\", not \"%s\"", cases[i].text, r.status, r.message,
                     cases[i].message);
    }
}

static void the_first_error_is_told_with_its_path(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = parse("{\"a\":1,\"b\":2}");
    struct refusal r = {0};
    struct v v = v_object(&r, j, "events[3].");
    assert_null(v_str(&v, "a", V_REQUIRED, 1, 10));
    assert_null(v_str(&v, "b", V_REQUIRED, 1, 10));
    assert_string_equal(r.message,
                        "Failed to parse request: events[3].a: must be a string, not a number");
    struct refusal whole = {0};
    v = v_object(&whole, NULL, "events[3].");
    v_fail(&v, "", "too big");
    assert_string_equal(whole.message, "events[3]: too big");
}

static void an_absent_object_reads_as_empty(void **state)
{
    (void)state;
    struct refusal r = {0};
    struct v v = v_object(&r, NULL, "");
    assert_null(v_str(&v, "title", V_NULLABLE, 0, 9));
    assert_false(v_has(&v, "title"));
    v_end(&v);
    assert_false(v_failed(&v));
}

static void null_is_present(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = parse("{\"a\":null,\"b\":1}");
    struct refusal r = {0};
    struct v v = v_object(&r, j, "");
    assert_true(v_is_null(&v, "a"));
    assert_true(v_has(&v, "a"));
    assert_false(v_is_null(&v, "b"));
    assert_true(v_has(&v, "b"));
    assert_false(v_has(&v, "c"));
}

static void metadata_holds_sixteen_pairs(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = json_object();
    json_t *m = json_object();
    json_put(j, "metadata", m);
    for (int i = 0; i < 16; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        json_put_str(m, key, "v");
    }
    json_put_null(m, "gone"); /* deletes a key: does not count */
    struct refusal r = {0};
    struct v v = v_object(&r, j, "");
    assert_non_null(v_metadata(&v, "metadata"));
    json_put_str(m, "one more", "v");
    assert_null(v_metadata(&v, "metadata"));
    assert_string_equal(r.message, "metadata: must have at most 16 pairs, has 17");
}

static void a_quoted_text_is_clipped_at_eighty_characters(void **state)
{
    char wide[800];
    (void)state;
    assert_string_equal(v_clip("short"), "short");
    assert_string_equal(v_clip(""), "");
    for (size_t i = 0; i < 200; i++)
        memcpy(wide + 4 * i, "\xf0\x9f\x99\x82", 4);
    wide[799] = '\0';
    const char *cut = v_clip(wide);
    assert_int_equal(strlen(cut), 80 * 4 + 3);
    memset(wide, 0x80, sizeof(wide) - 1); /* continuation bytes without a lead */
    assert_true(strlen(v_clip(wide)) <= 80 * 4 + 3);
}

static void a_long_refusal_is_cut_at_a_character(void **state)
{
    (void)state;
    char long_text[2000];
    for (size_t i = 0; i + 2 < sizeof(long_text); i += 2)
        memcpy(long_text + i, "\xc3\xa9", 2);
    long_text[1998] = '\0';
    struct refusal r = {0};
    assert_int_equal(refuse(&r, 409, "conflict_error", "x%s", long_text), -E_DENIED);
    assert_int_equal(r.status, 409);
    AUTO_JSON json_t *s = json_string(r.message); /* NULL when it is not UTF-8 */
    assert_non_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_names_the_field),
        cmocka_unit_test(the_first_error_is_told_with_its_path),
        cmocka_unit_test(an_absent_object_reads_as_empty),
        cmocka_unit_test(null_is_present),
        cmocka_unit_test(metadata_holds_sixteen_pairs),
        cmocka_unit_test(a_quoted_text_is_clipped_at_eighty_characters),
        cmocka_unit_test(a_long_refusal_is_cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
