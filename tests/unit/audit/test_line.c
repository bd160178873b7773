/* test_line.c - what can be a line of a log, and what cannot. */
#include "unit/unit.h"
#include "audit/line.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define HEAD  "{\"seq\":3,\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"note\",\"by\":\"x\""

static void a_line_with_a_head_is_read(void **state)
{
    (void)state;
    static const char text[] = HEAD ",\"session\":\"s_1\",\"id\":\"a:1\",\"later\":{\"x\":[1]}}";
    struct audit_line l;
    assert_int_equal(audit_line_parse(text, sizeof(text) - 1, &l, NULL), 0);
    assert_int_equal(l.seq, 3);
    assert_int_equal(l.kind, AUDIT_NOTE);
    assert_string_equal(l.session, "s_1");
    assert_string_equal(l.id, "a:1");
    audit_line_done(&l);
    audit_line_done(NULL);
}

static void what_has_no_head_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "{}",
        "[1]",
        HEAD,
        HEAD "}x",
        "{\"seq\":-1,\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"note\",\"by\":\"x\"}",
        "{\"seq\":1.0,\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"note\",\"by\":\"x\"}",
        "{\"seq\":99999999999999999999,\"prev\":\"" ZEROS
        "\",\"time\":\"t\",\"kind\":\"note\",\"by\":\"x\"}",
        "{\"seq\":\"1\",\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"note\",\"by\":\"x\"}",
        "{\"seq\":1,\"prev\":\"00\",\"time\":\"t\",\"kind\":\"note\",\"by\":\"x\"}",
        "{\"seq\":1,\"time\":\"t\",\"kind\":\"note\",\"by\":\"x\"}",
        "{\"seq\":1,\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"other\",\"by\":\"x\"}",
        "{\"seq\":1,\"prev\":\"" ZEROS "\",\"kind\":\"note\",\"by\":\"x\"}",
        "{\"seq\":1,\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"note\"}",
        HEAD ",\"session\":1}",
        HEAD ",\"session\":\"a b\"}",
        HEAD ",\"seq\":4}", /* twice */
        "{\"seq\":1,\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"checkpoint\",\"by\":\"x\"}",
        "{\"seq\":1,\"prev\":\"" ZEROS "\",\"time\":\"t\",\"kind\":\"start\",\"by\":\"x\","
        "\"log\":\"l\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct audit_line l;
        struct err e = {0};
        if (audit_line_parse(rows[i], strlen(rows[i]), &l, &e) != -E_PARSE)
            fail_msg("taken: %s", rows[i]);
        assert_true(e.msg[0] != '\0');
    }
}

static void upper_case_hex_is_another_text(void **state)
{
    (void)state;
    char text[] = HEAD "}";
    struct audit_line l;
    *strchr(text, '0') = 'a';
    assert_int_equal(audit_line_parse(text, strlen(text), &l, NULL), 0);
    audit_line_done(&l);
    *strstr(text, "a000") = 'A';
    assert_int_equal(audit_line_parse(text, strlen(text), &l, NULL), -E_PARSE);
}

static void a_line_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static char text[AUDIT_LINE_MAX + 2];
    struct audit_line l;
    for (int more = 0; more < 2; more++) {
        size_t n = AUDIT_LINE_MAX + (size_t)more;
        int head = snprintf(text, sizeof(text), HEAD ",\"note\":\"");
        memset(text + head, 'x', n - (size_t)head);
        memcpy(text + n - 2, "\"}", 2);
        int r = audit_line_parse(text, n, &l, NULL);
        assert_int_equal(r, more ? -E_PARSE : 0);
        if (r == 0)
            audit_line_done(&l);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(a_line_with_a_head_is_read),
                                              cmocka_unit_test(what_has_no_head_is_refused),
                                              cmocka_unit_test(upper_case_hex_is_another_text),
                                              cmocka_unit_test(a_line_that_is_too_long_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
