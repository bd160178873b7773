/* test_endpoint.c - where requests may go: the caller's origin, however the server spells it. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/client/client_internal.h"

#include <string.h>

static void addresses_that_are_taken_and_refused(void **state)
{
    (void)state;
    static const char *const good[] = {"http://a/", "https://a.example:8443/mcp?x=1",
                                       "http://[::1]:9/x", "https://127.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(mcp_endpoint_check(good[i], NULL), 0);
    static const char *const bad[] = {"",
                                      "ftp://a/",
                                      "a.example/mcp",
                                      "http://",
                                      "http://u:p@a/",
                                      "http://a/ b",
                                      "http://a/#f",
                                      "http://a/\\b",
                                      "http://a:0/",
                                      "http://a:/",
                                      "http://a:70000/",
                                      "http://a\n/",
                                      "http:/a",
                                      "HTTP://a/",
                                      "http://\xc3\xa4/"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        if (mcp_endpoint_check(bad[i], &e) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
        assert_true(e.msg[0] != 0);
    }
}

static void endpoints_are_resolved_within_the_origin(void **state)
{
    (void)state;
    static const struct {
        const char *base, *said, *want; /* NULL: refused */
    } rows[] = {
        {"http://a/sse", "/messages?sessionId=1", "http://a/messages?sessionId=1"},
        {"http://a/x/sse?q=1", "messages", "http://a/x/messages"},
        {"http://a/sse", "?id=1", "http://a/sse?id=1"},
        {"http://a/sse?old=1", "?id=1", "http://a/sse?id=1"},
        {"http://a", "messages", "http://a/messages"},
        {"http://a", "?id=1", "http://a/?id=1"},
        {"http://a:80/sse", "http://A/m", "http://A/m"},
        {"https://a/sse", "https://a:443/m", "https://a:443/m"},
        {"https://a/sse", "/m?u=http://b/", "https://a/m?u=http://b/"},
        {"https://a/sse", "http://a/m", NULL},
        {"https://a/sse", "https://b/m", NULL},
        {"https://a/sse", "https://a:8443/m", NULL},
        {"https://a/sse", "https://a.b/m", NULL},
        {"https://a/sse", "https://a@b/m", NULL},
        {"https://a/sse", "//b/m", NULL},
        {"https://a/sse", "javascript:x", NULL},
        {"https://a/sse", "b:80/m", NULL},
        {"https://a/sse", "", NULL},
        {"https://a/sse", "/a b", NULL},
        {"https://a/sse", "/a\r\nHost: b", NULL},
        {"https://a/sse", "/\\b", NULL},
        {"https://a/sse", "\\\\b/m", NULL},
        {"https://a/sse", "/m#f", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *got = NULL;
        struct err e = {0};
        int r = mcp_endpoint_resolve(rows[i].base, rows[i].said, strlen(rows[i].said), &got, &e);
        if ((r == 0) != (rows[i].want != NULL) || (r == 0 && !str_eq(got, rows[i].want)))
            fail_msg("%s + %s: %d %s", rows[i].base, rows[i].said, r, got ? got : e.msg);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_are_taken_and_refused),
        cmocka_unit_test(endpoints_are_resolved_within_the_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
