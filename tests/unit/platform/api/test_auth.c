/* auth: which token a request carries, what kind it is, what its caller may see. */
#include "platform/api/auth.h"

#include "unit/unit.h"

#include <string.h>

static void one_token_or_none_is_taken_from_the_headers(void **state)
{
    static const char long_token[] =
        "sk-sp-api-0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890123456789";
    static const struct {
        const char *key, *authorization, *token;
    } cases[] = {
        {NULL, NULL, NULL},
        {"sk-sp-api-x", NULL, "sk-sp-api-x"},
        {NULL, "Bearer sk-sp-api-x", "sk-sp-api-x"},
        {NULL, "bearer sk-sp-api-x", "sk-sp-api-x"},
        {NULL, "Bearer   sk-sp-api-x", "sk-sp-api-x"},
        {NULL, "Basic c2stc3A=", NULL},
        {NULL, "Bearer", NULL},
        {NULL, "Bearer ", NULL},
        {NULL, "Bearersk-sp-api-x", NULL},
        {NULL, "Bearer a b", NULL},
        {NULL, "Bearer a\xc3\xa9", NULL},
        {"", NULL, NULL},
        {"same", "Bearer same", "same"},
        {"one", "Bearer two", NULL},     /* which is meant is not ours to guess */
        {"one", "Basic c2stc3A=", NULL}, /* likewise */
        {long_token, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *token = auth_token(cases[i].key, cases[i].authorization);
        if ((token == NULL) != (cases[i].token == NULL) || (token && strcmp(token, cases[i].token)))
            fail_msg("case %zu: %s", i, token ? token : "none");
    }
}

static void the_prefix_of_a_token_tells_its_kind(void **state)
{
    (void)state;
    assert_int_equal(auth_kind("sk-sp-api-abc"), CALLER_API_KEY);
    assert_int_equal(auth_kind("sk-sp-env-abc"), CALLER_ENV_KEY);
    assert_int_equal(auth_kind("sk-sp-req-abc"), CALLER_SESSION_TOKEN);
    assert_int_equal(auth_kind("sk-ant-api03-abc"), CALLER_NONE);
    assert_int_equal(auth_kind("sk-sp-"), CALLER_NONE);
    assert_int_equal(auth_kind(""), CALLER_NONE);
}

static void a_caller_sees_only_what_is_its_own(void **state)
{
    static const struct {
        struct caller who;
        bool may;
    } cases[] = {
        {{.kind = CALLER_NONE}, false},
        {{.kind = CALLER_API_KEY}, true},
        {{.kind = CALLER_ENV_KEY, .environment_id = "env_1"}, true},
        {{.kind = CALLER_ENV_KEY, .environment_id = "env_2"}, false},
        {{.kind = CALLER_ENV_KEY}, false},
        {{.kind = CALLER_SESSION_TOKEN, .session_id = "sesn_1", .environment_id = "env_1"}, true},
        {{.kind = CALLER_SESSION_TOKEN, .session_id = "sesn_2", .environment_id = "env_1"}, false},
        {{.kind = CALLER_SESSION_TOKEN, .environment_id = "env_1"}, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (auth_may_see(&cases[i].who, "sesn_1", "env_1") != cases[i].may)
            fail_msg("case %zu", i);
    /* A half-built record must not match another half-built one. */
    assert_false(auth_may_see(&cases[4].who, "sesn_1", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_token_or_none_is_taken_from_the_headers),
        cmocka_unit_test(the_prefix_of_a_token_tells_its_kind),
        cmocka_unit_test(a_caller_sees_only_what_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
