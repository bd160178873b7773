/* test_query.c - a credential in the query, where the caller may say what it likes. */
#include "unit/unit.h"
#include "base/buf.h"
#include "tunnel/gateway/query.h"

#include <string.h>

static void each_spelling_of_the_name_goes(void **state)
{
    (void)state;
    static const struct {
        const char *target, *name, *want;
    } rows[] = {
        {"/mcp", "key", "/mcp?key=a%2Bb%26c"},
        {"/mcp?", "key", "/mcp?key=a%2Bb%26c"},
        {"/mcp?x=1", "key", "/mcp?x=1&key=a%2Bb%26c"},
        {"/mcp?x=1&y=%20&&z", "key", "/mcp?x=1&y=%20&&z&key=a%2Bb%26c"},
        {"/mcp?key=mine", "key", "/mcp?key=a%2Bb%26c"},
        {"/mcp?key", "key", "/mcp?key=a%2Bb%26c"},
        {"/mcp?key=&x=1&key=2", "key", "/mcp?x=1&key=a%2Bb%26c"},
        {"/mcp?%6bey=2&k%65y=3&x=key", "key", "/mcp?x=key&key=a%2Bb%26c"},
        {"/mcp?%6Bey=2", "key", "/mcp?key=a%2Bb%26c"},
        {"/mcp?KEY=2&keys=3&ke=4&%6=5&k%zzey=6", "key",
         "/mcp?KEY=2&keys=3&ke=4&%6=5&k%zzey=6&key=a%2Bb%26c"},
        {"/mcp?x=1;key=2", "key", "/mcp?x=1;key=2&key=a%2Bb%26c"},
        {"/mcp?a+b=2&a%20b=3", "a b", "/mcp?a%20b=a%2Bb%26c"},
        {"/key=1?x=?key=2", "key", "/key=1?x=?key=2&key=a%2Bb%26c"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) out = BUF_INIT(1000);
        assert_int_equal(query_with(http_text_of(rows[i].target), rows[i].name, "a+b&c", 5, &out),
                         0);
        assert_string_equal(buf_str(&out), rows[i].want);
    }
    AUTO(buf) small = BUF_INIT(10);
    assert_int_equal(query_with(http_text_of("/mcp?x=1"), "key", "abcdef", 6, &small), -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_spelling_of_the_name_goes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
