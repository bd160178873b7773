/* pages: tokens are positions, bound to a list and an order. */

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"

#include "unit/unit.h"
#include "platform/api/pages.h"

#include <string.h>

static void a_token_is_bound_to_its_list_and_order(void **state)
{
    static const struct {
        bool ascending, backwards;
        int64_t time;
        const char *id;
    } cases[] = {
        {true, false, 0, "sesn_01abc"},
        {false, false, 1700000000000000, "sesn_01abc"},
        {false, true, INT64_MAX, "x"},
        {true, true, INT64_MIN, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct page p = {.ascending = cases[i].ascending};
        AUTO_FREE char *token =
            page_token("sessions", &p, cases[i].backwards, cases[i].time, cases[i].id);
        assert_memory_equal(token, "page_", 5);
        struct page back = {.ascending = cases[i].ascending};
        assert_int_equal(page_token_parse("sessions", token, &back), 0);
        assert_true(back.has_cursor);
        assert_int_equal(back.backwards, cases[i].backwards);
        assert_int_equal(back.cursor_time, cases[i].time);
        assert_string_equal(back.cursor_id, cases[i].id);

        struct page other = {.ascending = !cases[i].ascending};
        assert_int_equal(page_token_parse("sessions", token, &other), -E_CONFLICT);
        assert_false(other.has_cursor);
        assert_int_equal(page_token_parse("agents", token, &back), -E_PARSE);
    }
}

static void made_up_tokens_are_refused(void **state)
{
    static const char *const plain[] = {
        "",
        "1",
        "1|agents",
        "2|agents|a|f|1|x",
        "1|agents|up|f|1|x",
        "1|agents|a|sideways|1|x",
        "1|agents|a|f||x",
        "1|agents|a|f|1x|x",
        "1|agents|a|f|+1|x",
        "1|agents|a|f|99999999999999999999|x",
        "1|agents|a|f|1",
        "1|agents|a|f|1|x y",
        "1|agents|a|f|1|\n",
        "1|agents|a|f|1|0123456789012345678901234567890123456789012345678901234567890123456789",
    };
    static const char *const raw[] = {"",        "page", "page_",     "page_!",    "page_zzz",
                                      "PAGE_MQ", "x",    "page_====", "page_MQ MQ"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        AUTO(buf) b = BUF_INIT(1024);
        buf_adds(&b, "page_");
        enc_base64url(&b, plain[i], strlen(plain[i]));
        struct page p = {.ascending = true};
        if (page_token_parse("agents", buf_str(&b), &p) != -E_PARSE || p.has_cursor)
            fail_msg("accepted: %s", plain[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(raw); i++) {
        struct page p = {.ascending = true};
        if (page_token_parse("agents", raw[i], &p) != -E_PARSE)
            fail_msg("accepted: %s", raw[i]);
    }
    /* NUL inside */
    AUTO(buf) b = BUF_INIT(1024);
    buf_adds(&b, "page_");
    enc_base64url(&b, "1|agents|a|f|1|x\0y", 18);
    struct page p = {.ascending = true};
    assert_int_equal(page_token_parse("agents", buf_str(&b), &p), -E_PARSE);
}

static void the_last_page_has_no_next(void **state)
{
    (void)state;
    AUTO_JSON json_t *last = page_json(json_array(), NULL);
    assert_true(json_is_null(json_object_get(last, "next_page")));
    AUTO_JSON json_t *more = page_json(json_array(), mem_strdup("page_x"));
    assert_string_equal(json_get_str(more, "next_page"), "page_x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_bound_to_its_list_and_order),
        cmocka_unit_test(made_up_tokens_are_refused),
        cmocka_unit_test(the_last_page_has_no_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
