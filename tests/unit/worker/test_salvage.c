/* test_salvage.c - texts that json_parse refuses, and what is left of them. */
#include "unit/unit.h"
#include "base/str.h"
#include "worker/salvage.h"

#include <stdlib.h>
#include <string.h>

#define DEEP64  "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
#define CLOSE64 "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"

static void what_is_left_of_a_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *left; /* NULL: nothing */
    } rows[] = {
        {"{}", "{}"},
        {" {\"a\" : 1 , \"b\":[ ] } ", "{\"a\":1,\"b\":[]}"},
        {"{\"a\":\"x\\u0000y\",\"b\":2}", "{\"a\":null,\"b\":2}"},
        {"{\"a\":{\"x\":\"\\ud800\"},\"b\":\"}]\\\"\"}", "{\"a\":null,\"b\":\"}]\\\"\"}"},
        {"{\"a\":{\"x\":1,\"x\":2},\"b\":2}", "{\"a\":null,\"b\":2}"},
        {"{\"a\":1,\"b\":2,\"a\":1}", "{\"a\":null,\"b\":2}"},
        {"{\"a\":1,\"a\":2,\"a\":3}", "{\"a\":null}"},
        {"{\"a\":" DEEP64 CLOSE64 ",\"b\":true}", "{\"a\":" DEEP64 CLOSE64 ",\"b\":true}"},
        {"{\"a\":{\"x\":" DEEP64 CLOSE64 "},\"b\":true}", "{\"a\":null,\"b\":true}"},
        {"{\"a\\u0000\":1,\"b\":2}", "{\"b\":2}"},
        {"{\"data\":[{\"id\":\"1\"},{\"id\":\"2\",\"input\":\"\\u0000\"},7,\"\\ud800\",{\"id\":"
         "\"3\"}],"
         "\"next_page\":\"p\"}",
         "{\"data\":[{\"id\":\"1\"},{\"id\":\"2\",\"input\":null},7,{\"id\":\"3\"}],\"next_page\":"
         "\"p\"}"},
        {"{\"a\":nul,\"b\":01}", "{\"a\":null,\"b\":null}"},
        {"{\"a\":[}],\"b\":1}", NULL},
        {"", NULL},
        {"7", NULL},
        {"[1]", NULL},
        {"<html>", NULL},
        {"{", NULL},
        {"{\"a\"", NULL},
        {"{\"a\":", NULL},
        {"{\"a\":1", NULL},
        {"{\"a\":1,", NULL},
        {"{\"a\":\"x", NULL},
        {"{\"a\":\"x\\", NULL},
        {"{\"a\":[1", NULL},
        {"{\"a\":[\"\\u0000\",", NULL},
        {"{\"a\":1}x", NULL},
        {"{\"a\":1 \"b\":2}", NULL},
        {"{a:1}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].text);
        AUTO_FREE char *exact = malloc(n + 1); /* a byte beyond is a byte too far */
        memcpy(exact, rows[i].text, n);
        exact[n] = 'X';
        AUTO_JSON json_t *j = salvage(exact, n);
        AUTO_FREE char *left = j ? json_text(j, NULL) : NULL;
        if (!str_eq(left, rows[i].left))
            fail_msg("%s: %s", rows[i].text, left ? left : "nothing");
    }
}

static void a_long_text_is_left_alone(void **state)
{
    (void)state;
    AUTO_FREE char *text = mem_zalloc(SALVAGE_BYTES_MAX + 2);
    memset(text, ' ', SALVAGE_BYTES_MAX + 1);
    memcpy(text, "{}", 2);
    AUTO_JSON json_t *j = salvage(text, SALVAGE_BYTES_MAX);
    assert_non_null(j);
    assert_null(salvage(text, SALVAGE_BYTES_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_of_a_text),
        cmocka_unit_test(a_long_text_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
