/* test_hush.c - what of others' words is quoted, and what never is. */
#include "unit/unit.h"
#include "secret/hush.h"

#include <string.h>

static void what_may_be_a_key_is_not_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        bool last_line;
        const char *known, *want;
    } rows[] = {
        {"profile prod could not be found\n", true, NULL, "profile prod could not be found"},
        {"Traceback\n  File x\nError: no such secret\n\n", true, NULL, "Error: no such secret"},
        {"one\ntwo", false, NULL, "one two"},
        {"token ghp_0123456789abcdefghij is bad", false, NULL, "token [...] is bad"},
        {"AKIA0123456789ABCDEF!", false, NULL, "[...]!"},
        {"abcdefghijklmnopqrstuvwxyz", false, NULL, "abcdefghijklmnopqrstuvwxyz"},
        {"a b7 c", false, NULL, "a b7 c"},
        {"bad password hunter2x!", false, "hunter2x!", ""},
        {"bad password unter2x!", false, "hunter2x!", ""},
        {"bad password hunt", false, "hunter2x!", "bad password hunt"},
        {"said pin 1234", false, "pin\t1234", ""},
        {"said pin 123", false, "pin 123", "said pin 123"},
        /* not ASCII: what is shown of it is compared */
        {"bad password p\xc3\xa4ssw\xc3\xb6rd!", false, "p\xc3\xa4ssw\xc3\xb6rd!", ""},
        {"said gr\xc3\xbc\xc3\x9f", false,
         "gr\xc3\xbc\xc3\x9f"
         "e",
         "said gr    "},
        {"no \xe9\x8d\xb5", false, "\xe9\x8d\xb5\xe9\x8d\xb5", "no    "},
        {"key \xc3\xa4"
         "bcdefghijklmn7 is bad",
         false, NULL, "key [...] is bad"},
        {"", false, NULL, ""},
        {"\n\n", true, NULL, ""},
        {"esc \x1b[31mred\x7f", false, NULL, "esc  [31mred "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char got[HUSH_MAX + 8];
        const char *known = rows[i].known;
        (void)hush_quote(rows[i].said, strlen(rows[i].said), rows[i].last_line, known,
                         known ? strlen(known) : 0, got);
        assert_string_equal(got, rows[i].want);
    }
}

static void a_quotation_is_bounded_and_cuts_no_key_in_two(void **state)
{
    (void)state;
    char said[1000], got[HUSH_MAX + 8];
    memset(said, 'x', sizeof(said));
    (void)hush_quote(said, sizeof(said), false, NULL, 0, got);
    assert_int_equal(strlen(got), HUSH_MAX);
    memset(said, '.', sizeof(said));
    memset(said + HUSH_MAX - 5, '7', 400);
    said[HUSH_MAX] = 'a'; /* a key that begins just before the end of the quotation */
    (void)hush_quote(said, sizeof(said), false, NULL, 0, got);
    assert_null(strchr(got, '7'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_be_a_key_is_not_quoted),
        cmocka_unit_test(a_quotation_is_bounded_and_cuts_no_key_in_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
