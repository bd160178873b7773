/* test_form.c - forms: what is written, and what is read back. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "oauth/form.h"

#include <string.h>

static void forms_are_escaped(void **state)
{
    (void)state;
    AUTO(buf) b = BUF_INIT(256);
    assert_int_equal(auth_form_put(&b, "a", "x y&=%+\xc3\xa4~-._"), 0);
    assert_int_equal(auth_form_put(&b, "none", NULL), 0);
    assert_int_equal(auth_form_put(&b, "empty", ""), 0);
    assert_int_equal(auth_form_put(&b, "b", "1"), 0);
    assert_string_equal(buf_str(&b), "a=x%20y%26%3D%25%2B%C3%A4~-._&b=1");
    AUTO_FREE char *got = NULL;
    assert_int_equal(auth_query_get(b.data, b.len, "a", &got), 1);
    assert_string_equal(got, "x y&=%+\xc3\xa4~-._");
    AUTO(buf) small = BUF_INIT(4);
    assert_int_equal(auth_form_put(&small, "name", "value"), -EMSGSIZE);
}

static void queries_have_one_reading(void **state)
{
    (void)state;
    static const struct {
        const char *query, *want; /* NULL: none */
        int r;
    } rows[] = {
        {"code=1&state=2", "2", 1},
        {"state=a+b%2B", "a b+", 1},
        {"xstate=1&state=", "", 1},
        {"statex=1", NULL, 0},
        {"state", NULL, 0},
        {"", NULL, 0},
        {"state=1&state=1", NULL, -E_PARSE},
        {"state=%", NULL, -E_PARSE},
        {"state=%1", NULL, -E_PARSE},
        {"state=%zz", NULL, -E_PARSE},
        {"state=%00", NULL, -E_PARSE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *got = NULL;
        assert_int_equal(auth_query_get(rows[i].query, strlen(rows[i].query), "state", &got),
                         rows[i].r);
        if (rows[i].want)
            assert_string_equal(got, rows[i].want);
        else
            assert_null(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_escaped),
        cmocka_unit_test(queries_have_one_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
