/* test_asks.c - what a server asks of its client, however it is written. */
#include "unit/unit.h"
#include "base/json.h"
#include "mcp/policy/asks.h"

#include <string.h>

static const struct row {
    const char *text;
    unsigned kinds;
} rows[] = {
    {"{\"id\":1,\"method\":\"sampling/createMessage\",\"params\":{}}", ASK_SAMPLING},
    {"{\"id\":1,\"method\":\"sampling\\/createMessage\"}", ASK_SAMPLING},
    {"{\"id\":1,\"method\":\"s\\u0061mpling/cre\\u0061teMess\\u0061ge\"}", ASK_SAMPLING},
    {"{\"id\":1,\"Method\":\"elicitation/create\"}", ASK_ELICITATION},
    {"{\"method\":\"ping\",\"METHOD\":\"roots/list\"}", ASK_ROOTS},
    {"{\"id\":1,\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{"
     "\"a\":{\"method\":\"roots/list\"},\"b\":{\"method\":\"sampling/createMessage\"}}}}",
     ASK_ROOTS | ASK_SAMPLING},
    {"{\"id\":1,\"Result\":{\"inputReque\xc5\xbfts\":{\"a\":{\"Method\":\"roots/list\"}}}}",
     ASK_ROOTS},
    {"{\"method\":\"notifications/tasks\",\"params\":{\"inputRequests\":{"
     "\"a\":{\"method\":\"elicitation/create\"}}}}",
     ASK_ELICITATION},
    {"{\"id\":1,\"result\":{\"content\":[{\"text\":\"sampling/createMessage\"}]}}", 0},
    {"{\"id\":1,\"method\":\"Sampling/CreateMessage\"}", 0},
    {"{\"id\":1,\"result\":{\"inputRequests\":[\"roots/list\"]}}", 0},
    {"{\"id\":1,\"method\":7,\"result\":\"roots/list\"}", 0},
    {"[]", 0},
    {"{}", 0},
};

static void each_kind_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        assert_int_equal(json_parse(rows[i].text, strlen(rows[i].text), &j, NULL), 0);
        if (asks_of(j) != rows[i].kinds)
            fail_msg("%s: %u", rows[i].text, asks_of(j));
        if (rows[i].kinds && !asks_possible(rows[i].text, strlen(rows[i].text)))
            fail_msg("not looked at: %s", rows[i].text);
    }
}

static void most_texts_are_not_looked_at(void **state)
{
    static const char *const texts[] = {"", "{\"result\":{}}", "\\u00e4 \\u003c \\u00"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_false(asks_possible(texts[i], strlen(texts[i])));
}

static void kinds_have_words(void **state)
{
    (void)state;
    assert_string_equal(asks_word(ASK_SAMPLING | ASK_ROOTS), "sampling");
    assert_string_equal(asks_word(ASK_ELICITATION), "elicitation");
    assert_string_equal(asks_word(ASK_ROOTS), "roots");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_found),
        cmocka_unit_test(most_texts_are_not_looked_at),
        cmocka_unit_test(kinds_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
