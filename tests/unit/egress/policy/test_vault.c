/* test_vault.c - a vault's environment_variable, as the API has it. */
#include "unit/egress/policy/load.h"
#include "unit/json.h"

static int vault(const char *item, struct policy **ret, struct err *e)
{
    struct policy *p = load("");
    AUTO_JSON json_t *one = js(item);
    AUTO_JSON json_t *list = json_pack("[O]", one);
    int r = policy_with_vault(p, list, ret, e);
    policy_unref(p);
    return r;
}

static void its_schema_is_taken_as_it_is(void **state)
{
    static const struct {
        const char *item;
        size_t places, hosts;
        enum host_pattern_kind first;
    } rows[] = {
        {"{'type':'environment_variable','secret_name':'A','networking':{'type':'limited','allowed_"
         "hosts':['api.example.com','192.0.2.1','*.example.com']},"
         "'injection_location':{'header':true,'body':false}}",
         5, 3, HOST_EXACT},
        {"{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
         "injection_location':{'header':true,'body':true}}",
         8, 1, HOST_ANY},
        {"{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
         "injection_location':{'body':true}}",
         3, 1, HOST_ANY},
        {"{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
         "injection_location':{'body':false}}",
         5, 1, HOST_ANY},
        {"{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
         "injection_location':null}",
         5, 1, HOST_ANY},
        {"{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
         "source':{'env':'X'}}",
         5, 1, HOST_ANY},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy *p = NULL;
        struct err e = {0};
        const struct policy_credential *const *c;
        if (vault(rows[i].item, &p, &e) < 0)
            fail_msg("%s", e.msg);
        assert_int_equal(policy_credentials(p, &c), 1);
        assert_int_equal(c[0]->n_places, rows[i].places);
        assert_int_equal(c[0]->n_hosts, rows[i].hosts);
        assert_int_equal(c[0]->hosts[0].host.kind, rows[i].first);
        policy_unref(p);
    }
}

static void what_the_api_refuses_is_refused(void **state)
{
    static const char *const rows[] = {
        "{'type':'static_bearer','token':'x'}",
        "{'type':'environment_variable','networking':{'type':'unrestricted'}}",
        "{'type':'environment_variable','secret_name':'A'}",
        "{'type':'environment_variable','secret_name':'A','networking':{}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'limited'}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'limited','allowed_"
        "hosts':[]}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'limited','allowed_"
        "hosts':['*']}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'limited','allowed_"
        "hosts':['a.b:443']}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'limited','allowed_"
        "hosts':['https://a.b']}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'limited','allowed_"
        "hosts':['[::1]']}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'limited','allowed_"
        "hosts':"
        "['a','b','c','d','e','f','g','h','i','j','k','l','m','n','o','p','q']}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted','"
        "allowed_hosts':['a']}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
        "injection_location':{'header':false,'body':false}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
        "injection_location':{'query':true}}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
        "secret_value':'x'}",
        "{'type':'environment_variable','secret_name':'A','networking':{'type':'unrestricted'},'"
        "hosts':['a']}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy *p = NULL;
        if (vault(rows[i], &p, NULL) != -E_PARSE)
            fail_msg("%s", rows[i]);
        assert_null(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_schema_is_taken_as_it_is),
        cmocka_unit_test(what_the_api_refuses_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
