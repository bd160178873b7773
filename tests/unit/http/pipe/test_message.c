/* The head of a message: its fields, their order, their ceiling, and memory that is wiped. */
#include "unit/unit.h"
#include "base/err.h"
#include "http/pipe/message.h"

static void fields_are_found_in_order_and_removed(void **state)
{
    (void)state;
    struct http_head h;
    http_head_init(&h);
    assert_int_equal(http_head_add(&h, HTTP_TEXT("cookie"), HTTP_TEXT("a")), 0);
    assert_int_equal(http_head_add(&h, HTTP_TEXT("accept"), HTTP_TEXT("*/*")), 0);
    assert_int_equal(http_head_add(&h, HTTP_TEXT("cookie"), HTTP_TEXT("b")), 0);
    const struct http_field *first = http_fields_get(&h.fields, "cookie", NULL);
    const struct http_field *second = http_fields_get(&h.fields, "cookie", first);
    assert_true(http_text_eq(first->value, "a"));
    assert_true(http_text_eq(second->value, "b"));
    assert_null(http_fields_get(&h.fields, "cookie", second));
    assert_null(http_fields_get(&h.fields, "cooki", NULL));
    assert_int_equal(http_fields_remove(&h.fields, "cookie"), 2);
    assert_int_equal(h.fields.n, 1);
    assert_true(http_text_eq(h.fields.items[0].name, "accept"));
    http_head_done(&h);
}

static void a_head_takes_so_many_fields_and_no_more(void **state)
{
    (void)state;
    struct http_head h;
    http_head_init(&h);
    for (size_t i = 0; i < HTTP_FIELDS_MAX; i++)
        assert_int_equal(http_head_add(&h, HTTP_TEXT("x"), http_head_copy(&h, &i, sizeof(i))), 0);
    assert_int_equal(http_head_add(&h, HTTP_TEXT("x"), HTTP_TEXT("y")), -E_LIMIT);
    for (size_t i = 0; i < HTTP_FIELDS_MAX; i++)
        assert_memory_equal(h.fields.items[i].value.p, &i, sizeof(i));
    http_head_done(&h);
    assert_int_equal(h.fields.n, 0);
}

static void copies_end_in_a_nul_that_is_not_counted(void **state)
{
    (void)state;
    struct http_head h;
    http_head_init(&h);
    struct http_text t = http_head_copy(&h, "abc", 2);
    assert_int_equal(t.n, 2);
    assert_string_equal(t.p, "ab");
    assert_string_equal(http_head_copy(&h, NULL, 0).p, "");
    http_head_done(&h);
}

static void names_that_frame_a_message_are_known(void **state)
{
    (void)state;
    static const char *const framing[] = {
        "content-length", "transfer-encoding", "connection", "host", "te", "expect"};
    for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++)
        assert_true(http_field_is_framing(http_text_of(framing[i])));
    assert_false(http_field_is_framing(HTTP_TEXT("content-type")));
    assert_false(http_field_is_framing(HTTP_TEXT("hos")));
    assert_false(http_field_is_framing(HTTP_TEXT("hosts")));
}

static void texts_that_are_not_there_equal_nothing(void **state)
{
    (void)state;
    assert_false(http_text_eq((struct http_text){NULL, 0}, ""));
    assert_true(http_text_eq(HTTP_TEXT(""), ""));
    assert_true(http_text_ieq(HTTP_TEXT("WebSocket"), "websocket"));
    assert_null(http_text_of(NULL).p);
}

static void a_name_is_written_as_it_was_sent_when_it_is_that_name(void **state)
{
    (void)state;
    const struct http_field sent = {.name = HTTP_TEXT("x-key"), .as_sent = "X-KeY"},
                            unknown = {.name = HTTP_TEXT("x-key")},
                            renamed = {.name = HTTP_TEXT("x-new"), .as_sent = "X-KeY"};
    assert_true(http_text_eq(http_field_spelled(&sent), "X-KeY"));
    assert_true(http_text_eq(http_field_spelled(&unknown), "x-key"));
    assert_true(http_text_eq(http_field_spelled(&renamed), "x-new"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found_in_order_and_removed),
        cmocka_unit_test(a_head_takes_so_many_fields_and_no_more),
        cmocka_unit_test(copies_end_in_a_nul_that_is_not_counted),
        cmocka_unit_test(names_that_frame_a_message_are_known),
        cmocka_unit_test(texts_that_are_not_there_equal_nothing),
        cmocka_unit_test(a_name_is_written_as_it_was_sent_when_it_is_that_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
