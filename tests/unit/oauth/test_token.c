/* test_token.c - answers of a token endpoint, and of a browser. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "mcp/auth/auth.h"
#include "oauth/token.h"

#include <string.h>

static int read_text(const char *text, struct auth_token *t, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
    return auth_token_read(j, 1000, t, e);
}

static void tokens_are_read(void **state)
{
    (void)state;
    AUTO(auth_token) t = {0};
    assert_int_equal(
        read_text("{\"access_token\":\"a.b\",\"token_type\":\"bEARER\",\"expires_in\":60,"
                  "\"refresh_token\":\"r\",\"scope\":\"x y\"}",
                  &t, NULL),
        0);
    assert_string_equal(secret_borrow(&t.access), "a.b");
    assert_string_equal(secret_borrow(&t.refresh), "r");
    assert_string_equal(t.scope, "x y");
    assert_int_equal(t.expires_us, 1000 + 60 * US_PER_S);
    assert_false(t.dpop);
    auth_token_done(&t);
    assert_int_equal(read_text("{\"access_token\":\"a\",\"token_type\":\"dpop\"}", &t, NULL), 0);
    assert_true(t.dpop);
    assert_int_equal(t.expires_us, 0);
}

static void a_life_is_read_however_it_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds; /* 0: not said */
    } rows[] = {
        {"3600", 3600},
        {"\"3600\"", 3600},
        {"3600.5", 3600},
        {"null", 0},
        {"\"soon\"", 0},
        {"\"-5\"", 0},
        {"-5", 1},
        {"0", 0},
        {"true", 0},
        {"1e300", 0},
        {"\"99999999999999999999\"", 0},
        {"9999999999", 315360000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text =
            mem_printf("{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":%s}",
                       rows[i].text);
        AUTO(auth_token) t = {0};
        assert_int_equal(read_text(text, &t, NULL), 0);
        int64_t want = rows[i].seconds ? 1000 + rows[i].seconds * US_PER_S : 0;
        if (t.expires_us != want)
            fail_msg("%s: %lld", rows[i].text, (long long)t.expires_us);
    }
}

static void answers_without_a_token_are_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "no token"},
        {"{\"access_token\":\"\",\"token_type\":\"Bearer\"}", "no token"},
        {"{\"access_token\":7,\"token_type\":\"Bearer\"}", "no token"},
        {"{\"access_token\":\"SECRET\\r\\nX: y\",\"token_type\":\"Bearer\"}", "no token"},
        {"{\"access_token\":\"SECRET x\",\"token_type\":\"Bearer\"}", "no token"},
        {"{\"access_token\":\"SECRET\"}", "neither Bearer nor DPoP"},
        {"{\"access_token\":\"SECRET\",\"token_type\":\"mac\"}", "neither Bearer nor DPoP"},
        {"[]", "no token"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(auth_token) t = {0};
        struct err e = {0};
        if (read_text(rows[i][0], &t, &e) != -E_PROTO || !strstr(e.msg, rows[i][1]))
            fail_msg("%s: %s", rows[i][0], e.msg);
        assert_null(strstr(e.msg, "SECRET"));
        assert_int_equal(t.access.len, 0);
    }
}

static void old_tokens_are_known(void **state)
{
    (void)state;
    static const struct {
        int64_t life, renew; /* seconds */
    } rows[] = {{3600, 3570}, {120, 90}, {60, 45}, {4, 3}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text =
            mem_printf("{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":%lld}",
                       (long long)rows[i].life);
        AUTO(auth_token) t = {0};
        assert_int_equal(read_text(text, &t, NULL), 0);
        assert_false(auth_token_is_old(&t, 1000 + rows[i].renew * US_PER_S - 1));
        assert_true(auth_token_is_old(&t, 1000 + rows[i].renew * US_PER_S));
    }
    struct auth_token for_ever = {0};
    assert_false(auth_token_is_old(&for_ever, INT64_MAX));
}

static void error_words_are_words(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"error\":\"invalid_grant\"}", "invalid_grant"},
        {"{\"error\":\"Invalid Grant\"}", ""},
        {"{\"error\":\"\\u001b[2J\"}", ""},
        {"{\"error\":7}", ""},
        {"{}", ""},
        {"[1]", ""},
    };
    char word[AUTH_ERROR_MAX];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = NULL;
        assert_int_equal(json_parse(rows[i][0], strlen(rows[i][0]), &j, NULL), 0);
        assert_string_equal(auth_error_word(j, word), rows[i][1]);
    }
    assert_string_equal(auth_error_word(NULL, word), "");
}

static void what_a_browser_brings_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        bool says_iss;
        const char *words; /* NULL: taken */
    } rows[] = {
        {"code=c&state=s", false, NULL},
        {"code=c&state=s&iss=https%3A%2F%2Fi", true, NULL},
        {"code=c&state=s&iss=https%3A%2F%2Fi", false, NULL},
        {"code=c&state=s&other=1", false, NULL},
        {"code=c&state=s", true, "does not say which"},
        {"code=c&state=s&iss=https%3A%2F%2Fi%2F", true, "another authorization server"},
        {"code=c&state=s&iss=https%3A%2F%2FI", false, "another authorization server"},
        {"code=c&state=s&iss=", false, "another authorization server"},
        {"code=c&state=S", false, "no answer to our question"},
        {"code=c&state=ss", false, "no answer to our question"},
        {"code=c", false, "no answer to our question"},
        {"error=access_denied", false, "no answer to our question"},
        {"error=access_denied&state=s", false, "access_denied"},
        {"error=access_denied&state=s", true, "does not say which"},
        {"error=%1b%5b2J&state=s", false, "does not say why"},
        {"code=c&code=d&state=s", false, "cannot be read"},
        {"code=c&state=s&state=s", false, "cannot be read"},
        {"code=%zz&state=s", false, "cannot be read"},
        {"state=s", false, "has no code"},
        {"code=&state=s", false, "has no code"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *code = NULL;
        struct err e = {0};
        int r = auth_code_of_query(rows[i].query, "s", "https://i", rows[i].says_iss, &code, &e);
        if (rows[i].words ? r != -EACCES || !strstr(e.msg, rows[i].words) : r != 0)
            fail_msg("%s: %s", rows[i].query, e.msg);
        assert_true(rows[i].words ? !code : str_eq(code, "c"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_read),
        cmocka_unit_test(a_life_is_read_however_it_is_written),
        cmocka_unit_test(answers_without_a_token_are_refused),
        cmocka_unit_test(old_tokens_are_known),
        cmocka_unit_test(error_words_are_words),
        cmocka_unit_test(what_a_browser_brings_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
