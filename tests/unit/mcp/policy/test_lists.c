/* test_lists.c - a list lacks what may not be called, and every other byte stays. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "mcp/policy/lists.h"

#include <string.h>

static const struct row {
    const char *text, *want; /* want NULL: it goes on as it is; "": an error */
    bool modern;
} rows[] = {
    {"{\"id\":1,\"result\":{\"tools\":[{\"name\":\"get_b\",\"x\":1.0},{\"name\":\"drop\"},{"
     "\"name\":"
     "\"get_a\" , \"y\":12345678901234567890}],\"nextCursor\":\"c\"}}",
     "{\"id\":1,\"result\":{\"tools\":[{\"name\":\"get_a\" , \"y\":12345678901234567890},{\"name\":"
     "\"get_b\",\"x\":1.0}],\"nextCursor\":\"c\"}}",
     false},
    {" { \"result\" : { \"a\":\"]\\\"}\", \"t\\u006fols\" : [ {\"name\":\"drop\"} ] } } ",
     " { \"result\" : { \"a\":\"]\\\"}\", \"t\\u006fols\" : [] } } ", false},
    {"{\"result\":{\"tools\":[{\"name\":7},{},1,{\"name\":\"get_x\"},null]}}",
     "{\"result\":{\"tools\":[{\"name\":\"get_x\"}]}}", false},
    {"{\"result\":{\"tools\":[]}}", "{\"result\":{\"tools\":[]}}", false},
    /* the revision 2026-07-28 */
    {"{\"result\":{\"tools\":[],\"ttlMs\":5,\"cacheScope\":\"public\"}}",
     "{\"result\":{\"tools\":[],\"ttlMs\":5,\"cacheScope\":\"private\"}}", false},
    {"{\"result\":{\"cacheScope\":\"public\",\"tools\":[{\"name\":\"drop\"}]}}",
     "{\"result\":{\"cacheScope\":\"private\",\"tools\":[]}}", false},
    {"{\"result\":{\"tools\":[],\"resultType\":\"complete\"}}",
     "{\"result\":{\"cacheScope\":\"private\",\"tools\":[],\"resultType\":\"complete\"}}", false},
    {"{\"result\":{\"tools\":[]}}", "{\"result\":{\"cacheScope\":\"private\",\"tools\":[]}}", true},
    /* batches */
    {"[{\"result\":{\"tools\":[{\"name\":\"drop\"}]}},{\"result\":{}},{\"result\":{\"tools\":[{"
     "\"name\":\"get_\"}]}}]",
     "[{\"result\":{\"tools\":[]}},{\"result\":{}},{\"result\":{\"tools\":[{\"name\":\"get_\"}]}}]",
     false},
    /* what is no list */
    {"{\"result\":{\"content\":[{\"text\":\"tools\"}]}}", NULL, false},
    {"{\"result\":{\"tools\":\"none\"}}", NULL, false},
    {"{\"params\":{\"tools\":[{\"name\":\"drop\"}]}}", NULL, false},
    {"\"tools\"", NULL, false},
    {"not json at all", NULL, false},
    {"{\"result\":{\"a\":1,\"a\":2}}", NULL, false},
    {"", NULL, false},
    /* what may be one and has no one reading */
    {"{\"result\":{\"tools\":[],\"tools\":[{\"name\":\"drop\"}]}}", "", false},
    {"{\"result\":{\"tools\":[{\"name\":\"drop\"}]}", "", false},
    {"{\"result\":{\"t\\u006fols\":[{\"name\":\"drop\"}]}}x", "", false},
    {"{\"result\":{\"Tools\":[{\"name\":\"drop\"}]}}", "", false},
    {"{\"result\":{\"tools\":[],\"TOOLS\":[{\"name\":\"drop\"}]}}", "", false},
    {"{\"result\":{\"tool\xc5\xbf\":[{\"name\":\"drop\"}]}}", "", false},
    {"{\"result\":{\"tools\":[]},\"Result\":{\"tools\":[{\"name\":\"drop\"}]}}", "", false},
    {"{\"result\":{\"tools\":[],\"NextCursor\":\"x\"}}", "", false},
    {"{\"result\":{\"tools\":[{\"name\":\"get_a\",\"Name\":\"drop\"}]}}",
     "{\"result\":{\"tools\":[]}}", false},
    {"\xef\xbb\xbf{\"result\":{\"tools\":[{\"name\":\"drop\"}]}}", "", false},
};

static void a_list_lacks_what_may_not_be_called(void **state)
{
    const char *allow[] = {"get_*"};
    const struct tool_policy p = {.has_allow = true, .allow = {allow, 1}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) out = BUF_INIT(4096);
        struct err e = {0};
        int r =
            mcp_list_filter(&p, NULL, rows[i].modern, rows[i].text, strlen(rows[i].text), &out, &e);
        const char *want = rows[i].want;
        int want_r = !want ? 0 : want[0] ? 1 : -E_PARSE;
        if (r != want_r || (r == 1 && strcmp(buf_str(&out), want) != 0))
            fail_msg("%s\n%d %s%s", rows[i].text, r, buf_str(&out), e.msg);
    }
}

static void a_list_is_looked_for_in_any_case(void **state)
{
    (void)state;
    assert_true(mcp_list_possible("TooLS", 5));
    assert_false(mcp_list_possible("TooL", 4));
    assert_false(mcp_list_possible("tool\xc5", 5));
}

/* Keeps what has an even place. */
static void look(void *arg, const json_t *message, const json_t *tools, bool *keep)
{
    int *seen = arg;
    *seen += (int)json_get_int(message, "id", 0);
    for (size_t i = 0; i < json_array_size(tools); i++)
        keep[i] = keep[i] && i % 2 == 0;
}

static void a_sieve_decides_beside_the_names(void **state)
{
    const char *deny[] = {"a"};
    const struct tool_policy p = {.deny = {deny, 1}}, none = {.has_allow = false};
    static const char text[] =
        "[{\"id\":3,\"result\":{\"tools\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]}},"
        "{\"id\":4,\"result\":{\"tools\":[]}}]";
    int seen = 0;
    const struct list_sieve sieve = {.look = look, .arg = &seen};
    AUTO(buf) out = BUF_INIT(4096), other = BUF_INIT(4096);
    struct err e = {0};
    (void)state;
    assert_int_equal(mcp_list_filter(&p, &sieve, false, text, strlen(text), &out, &e), 1);
    assert_string_equal(buf_str(&out), "[{\"id\":3,\"result\":{\"tools\":[{\"name\":\"c\"}]}},"
                                       "{\"id\":4,\"result\":{\"tools\":[]}}]");
    assert_int_equal(seen, 7);
    assert_int_equal(mcp_list_filter(&none, &sieve, false, text, strlen(text), &other, &e), 1);
    assert_string_equal(buf_str(&other),
                        "[{\"id\":3,\"result\":{\"tools\":[{\"name\":\"a\"},{\"name\":\"c\"}]}},"
                        "{\"id\":4,\"result\":{\"tools\":[]}}]");
}

/* Counts lists, and takes nothing out. */
static void only_look(void *arg, const json_t *message, const json_t *tools, bool *keep)
{
    int *seen = arg;
    (void)message;
    assert_true(json_is_array(tools));
    assert_null(keep);
    ++*seen;
}

/* Where no name is hidden nothing depends on it that a list has one reading. */
static void a_sieve_that_only_looks_changes_nothing(void **state)
{
    const struct tool_policy none = {.has_allow = false};
    int seen = 0;
    const struct list_sieve sieve = {.look = only_look, .arg = &seen, .only_looks = true};
    struct err e = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) out = BUF_INIT(4096);
        assert_int_equal(mcp_list_filter(&none, &sieve, rows[i].modern, rows[i].text,
                                         strlen(rows[i].text), &out, &e),
                         0);
        assert_int_equal(out.len, 0);
    }
    assert_true(seen > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_list_lacks_what_may_not_be_called),
                                       cmocka_unit_test(a_list_is_looked_for_in_any_case),
                                       cmocka_unit_test(a_sieve_decides_beside_the_names),
                                       cmocka_unit_test(a_sieve_that_only_looks_changes_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
