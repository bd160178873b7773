/* test_err.c - codes, names, wrapping, and the visible cut of long messages. */
#include "unit/unit.h"
#include "base/err.h"

#include <string.h>

static void every_code_has_a_name(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *name;
    } rows[] = {
        {-EINVAL, "EINVAL"},
        {-ECANCELED, "ECANCELED"},
        {-E_PARSE, "E_PARSE"},
        {-E_PROTO, "E_PROTO"},
        {-E_DENIED, "E_DENIED"},
        {-E_CLOSED, "E_CLOSED"},
        {-E_CORRUPT, "E_CORRUPT"},
        {-E_SCHEMA, "E_SCHEMA"},
        {-E_CONFLICT, "E_CONFLICT"},
        {-E_TLS, "E_TLS"},
        {-E_LIMIT, "E_LIMIT"},
        {-999, "E?"},
        {-5000, "E?"},
        {0, "E?"},
        {7, "E?"},
        {INT32_MIN + 1, "E?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(err_name(rows[i].code), rows[i].name);
        assert_true(strlen(err_text(rows[i].code)) > 3);
    }
    assert_string_equal(err_text(-ENOENT), "No such file or directory");
    assert_string_equal(err_text(-5000), "unknown error");
}

static void a_wrapped_error_keeps_its_code(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, -E_DENIED, "host %s is not allowed", "db"), -E_DENIED);
    assert_int_equal(err_wrap(&e, -EIO, "route %d", 3), -E_DENIED);
    assert_int_equal(e.code, -E_DENIED);
    assert_string_equal(e.msg, "route 3: host db is not allowed");
    struct err fresh = {0};
    assert_int_equal(err_wrap(&fresh, -ENOENT, "config.yaml"), -ENOENT);
    assert_string_equal(fresh.msg, "config.yaml: No such file or directory");
    assert_int_equal(err_set(NULL, -EIO, "nobody listens"), -EIO);
    assert_int_equal(err_wrap(NULL, -EIO, "nobody listens"), -EIO);
}

static void a_long_message_is_cut_with_dots(void **state)
{
    (void)state;
    char text[600];
    for (size_t n = 500; n < sizeof(text); n++) {
        memset(text, 'x', n);
        text[n] = '\0';
        struct err e = {0};
        (void)err_set(&e, -EIO, "%s", text);
        bool cut = n > 511;
        assert_int_equal(strlen(e.msg), cut ? 511 : n);
        assert_int_equal(strcmp(e.msg + strlen(e.msg) - 3, "...") == 0, cut);
        (void)err_wrap(&e, -EIO, "outer");
        assert_int_equal(strncmp(e.msg, "outer: x", 8), 0);
        assert_true(strlen(e.msg) <= 511);
        (void)err_wrap(&e, -EIO, "%s", text);
        assert_int_equal(strlen(e.msg), 511);
        assert_string_equal(e.msg + 508, "...");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(a_wrapped_error_keeps_its_code),
        cmocka_unit_test(a_long_message_is_cut_with_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
