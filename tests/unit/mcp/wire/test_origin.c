/* test_origin.c - scheme, host and port of an address. */
#include "unit/unit.h"
#include "base/err.h"
#include "mcp/wire/origin.h"

#include <string.h>

static void an_origin_is_read(void **state)
{
    (void)state;
    struct mcp_origin o;
    assert_int_equal(mcp_origin_read("https://A.example/x", &o, NULL), 0);
    assert_true(o.tls);
    assert_int_equal(o.port, 443);
    assert_string_equal(o.host.text, "a.example");
    assert_int_equal(o.n, strlen("https://A.example"));
    assert_int_equal(mcp_origin_read("http://[::1]:8080?x", &o, NULL), 0);
    assert_false(o.tls);
    assert_int_equal(o.port, 8080);
    assert_int_equal(o.n, strlen("http://[::1]:8080"));
}

static void origins_are_compared(void **state)
{
    (void)state;
    assert_true(mcp_origin_same("https://a/x", "https://A:443/y?z"));
    assert_false(mcp_origin_same("https://a/", "http://a/"));
    assert_false(mcp_origin_same("https://a/", "https://a:444/"));
    assert_false(mcp_origin_same("https://a/", "https://a.b/"));
    assert_false(mcp_origin_same("https://a/", "https://a@a/"));
    assert_false(mcp_origin_same("a", "a"));
}

static void two_readings_are_refused(void **state)
{
    (void)state;
    struct mcp_origin o;
    struct err e = {0};
    assert_int_equal(mcp_origin_read("https://u@a/", &o, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "user name"));
    assert_int_equal(mcp_origin_read("file:///x", &o, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "http://"));
    assert_true(mcp_url_is_clean("https://a/%20", 13));
    static const char *const bad[] = {"a b", "a\\b", "a\tb", "\x7f", "\xc3\xa4"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(mcp_url_is_clean(bad[i], strlen(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_origin_is_read),
        cmocka_unit_test(origins_are_compared),
        cmocka_unit_test(two_readings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
