/* test_spelling.c - text in a target, percent-encoded here and there. */
#include "unit/unit.h"
#include "base/buf.h"
#include "egress/inject/kind.h"

#include <string.h>

static void a_text_is_known_in_every_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *what;
        bool no_slash;
        size_t n;
    } rows[] = {
        {"abc", "abc", false, 3},      {"abcd", "abc", false, 3},    {"%61bc", "abc", false, 5},
        {"a%62%63x", "abc", false, 7}, {"ab", "abc", false, 0},      {"ab%6", "abc", false, 0},
        {"ab%", "abc", false, 0},      {"%2561bc", "abc", false, 0}, {"ABC", "abc", false, 0},
        {"a/b", "a/b", false, 3},      {"a/b", "a/b", true, 0},      {"a%2fb", "a/b", true, 5},
        {"a%2Fb", "a/b", true, 5},     {"a+b", "a+b", false, 3},     {"a%2Bb", "a+b", false, 5},
        {"%gg", "%gg", false, 3},      {"", "a", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = spelling_of(rows[i].raw, strlen(rows[i].raw), rows[i].what, strlen(rows[i].what),
                               rows[i].no_slash);
        if (n != rows[i].n)
            fail_msg("%s in %s: %zu", rows[i].what, rows[i].raw, n);
    }
}

static void a_name_is_compared_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *what;
        bool is;
    } rows[] = {
        {"key", "key", true}, {"k%65y", "key", true}, {"key2", "key", false}, {"ke", "key", false},
        {"a+b", "a b", true}, {"a%20b", "a b", true}, {"a%2bb", "a+b", true}, {"a+b", "a+b", false},
        {"", "", true},       {"x", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (spelling_is_name(rows[i].raw, strlen(rows[i].raw), rows[i].what) != rows[i].is)
            fail_msg("%s as %s", rows[i].what, rows[i].raw);
}

static void what_is_not_unreserved_is_encoded(void **state)
{
    (void)state;
    AUTO(buf) out = BUF_INIT(4096);
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    assert_int_equal(spelling_add(&out, all, 256, ""), 0);
    assert_int_equal(out.len, 66 + 3 * 190);
    buf_reset(&out);
    assert_int_equal(spelling_add(&out, "a-b._~ :/\0%\xff", 12, ":"), 0);
    assert_string_equal(buf_str(&out), "a-b._~%20:%2F%00%25%FF");
}

static void a_content_type_has_a_pattern_and_a_quoting(void **state)
{
    (void)state;
    static const struct {
        const char *type, *pattern;
        bool is;
    } rows[] = {
        {"text/plain", "text/*", true},
        {"TEXT/x", "text/*", true},
        {"text/", "text/*", false},
        {"text", "text/*", false},
        {"textual/plain", "text/*", false},
        {"application/json", "application/json", true},
        {"application/jsonx", "application/json", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (content_type_is(http_text_of(rows[i].type), rows[i].pattern) != rows[i].is)
            fail_msg("%s as %s", rows[i].type, rows[i].pattern);
    assert_false(content_type_is(http_text_of(NULL), "text/*"));
    static const struct {
        const char *type;
        enum scrub_quoting q;
    } quotings[] = {
        {"application/json", SCRUB_QUOTE_JSON},
        {"application/vnd.github+JSON", SCRUB_QUOTE_JSON},
        {"application/x-ndjson", SCRUB_QUOTE_JSON},
        {"application/x-www-form-urlencoded", SCRUB_QUOTE_PERCENT},
        {"text/html", SCRUB_QUOTE_MARKUP},
        {"image/svg+xml", SCRUB_QUOTE_MARKUP},
        {"text/plain", SCRUB_QUOTE_NONE},
        {NULL, SCRUB_QUOTE_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(quotings); i++)
        assert_int_equal(content_quoting(http_text_of(quotings[i].type)), quotings[i].q);
    static const struct {
        const char *type;
        bool counted;
    } counts[] = {
        {"application/grpc", true},
        {"application/grpc+json", true},
        {"application/grpc-web+x", true},
        {"application/grpc-web", true},
        {"application/connect+json", true},
        {"application/X-Protobuf", true},
        {"application/cbor", true},
        {"application/grpcx", false},
        {"application/json", false},
        {"text/plain", false},
        {NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        assert_int_equal(content_is_counted(http_text_of(counts[i].type)), counts[i].counted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_known_in_every_spelling),
        cmocka_unit_test(a_name_is_compared_decoded),
        cmocka_unit_test(what_is_not_unreserved_is_encoded),
        cmocka_unit_test(a_content_type_has_a_pattern_and_a_quoting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
