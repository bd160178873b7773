/* What an environment may be made of, and how it may change. */
#include "unit/json.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "platform/environments/environment_fields.h"
#include "session/refusal.h"

#define NO_PACKAGES                                                                                \
    "'packages':{'type':'packages','apt':[],'cargo':[],'gem':[],'go':[],'npm':[],'pip':[]}"

static void a_config_is_stored_in_full(void **state)
{
    (void)state;
    const struct {
        const char *in, *out;
    } t[] = {
        {"{'name':'n'}", "{'type':'cloud','networking':{'type':'unrestricted'}," NO_PACKAGES "}"},
        {"{'name':'n','config':null}",
         "{'type':'cloud','networking':{'type':'unrestricted'}," NO_PACKAGES "}"},
        {"{'name':'n','config':{'type':'self_hosted'}}", "{'type':'self_hosted'}"},
        {"{'name':'n','config':{'type':'cloud','networking':{'type':'limited','allowed_hosts':['*."
         "a.example','b']}}}",
         "{'type':'cloud','networking':{'type':'limited','allow_mcp_servers':false,'allow_package_"
         "managers':false,"
         "'allowed_hosts':['*.a.example','b']}," NO_PACKAGES "}"},
        {"{'name':'n','config':{'type':'cloud','packages':{'pip':['x==1'],'npm':null}}}",
         "{'type':'cloud','networking':{'type':'unrestricted'},'packages':{'type':'packages','apt':"
         "[],'cargo':[],'gem':[],"
         "'go':[],'npm':[],'pip':['x==1']}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct refusal r = {0};
        AUTO_JSON json_t *in = js(t[i].in);
        AUTO_JSON json_t *out = environment_fields_create(in, &r);
        if (!out)
            fail_msg("%s refused: %s", t[i].in, r.message);
        expect_json(json_object_get(out, "config"), t[i].out);
        assert_string_equal(json_get_str(out, "description"), "");
        assert_string_equal(json_get_str(out, "scope"), "organization");
    }
}

static void a_bad_environment_is_refused_with_the_field(void **state)
{
    (void)state;
    const char *const t[][2] = {
        {"{}", "name: field is required"},
        {"{'name':'n','config':{}}", "config.type: field is required"},
        {"{'name':'n','config':{'type':'lunar'}}", "config.type: \"lunar\" is not a valid value"},
        {"{'name':'n','config':{'type':'self_hosted','networking':{}}}",
         "config.networking: is for cloud"},
        {"{'name':'n','config':{'type':'self_hosted','x':1}}", "config.x: unknown field"},
        {"{'name':'n','config':{'type':'cloud','networking':{'type':'open'}}}",
         "config.networking.type: \"open\""},
        {"{'name':'n','config':{'type':'cloud','networking':{'type':'unrestricted','allowed_hosts':"
         "[]}}}",
         "config.networking.allowed_hosts: unknown field"},
        {"{'name':'n','config':{'type':'cloud','networking':{'type':'limited','allowed_hosts':['"
         "https://x']}}}",
         "allowed_hosts: \"https://x\" is not a host name"},
        {"{'name':'n','config':{'type':'cloud','networking':{'type':'limited','allowed_hosts':['']}"
         "}}",
         "allowed_hosts: entry 0 must be a string"},
        {"{'name':'n','config':{'type':'cloud','networking':{'type':'limited'},'packages':{'apt':['"
         "gcc']}}}",
         "config.packages: needs networking.allow_package_managers"},
        {"{'name':'n','config':{'type':'cloud','packages':{'conda':[]}}}",
         "config.packages.conda: unknown field"},
        {"{'name':'n','scope':'account'}", "scope: this server has one organization"},
        {"{'name':'n','metadata':{'a':{}}}", "metadata: the value of \"a\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct refusal r = {0};
        AUTO_JSON json_t *in = js(t[i][0]);
        assert_null(environment_fields_create(in, &r));
        if (!strstr(r.message, t[i][1]))
            fail_msg("%s\n  says \"%s\"\n  not \"%s\"", t[i][0], r.message, t[i][1]);
        json_decref(r.details);
    }
}

static void an_update_changes_only_what_it_names(void **state)
{
    (void)state;
    AUTO_JSON json_t *body =
        js("{'name':'n','description':'d','metadata':{'a':'1','b':'2'},'config':{'type':'cloud',"
           "'networking':{'type':'limited','allow_mcp_servers':true,'allowed_hosts':['x']},"
           "'packages':{'apt':[],'pip':[]}}}");
    struct refusal r = {0};
    AUTO_JSON json_t *env = environment_fields_create(body, &r);
    assert_non_null(env);
    const struct {
        const char *patch, *key, *out;
    } t[] = {
        {"{}", "name", "['n']"},
        {"{'name':null}", "name", "['n']"},
        {"{'description':null}", "description", "[null]"},
        {"{'description':''}", "description", "['']"},
        {"{'metadata':{'a':'','b':null,'c':'3'}}", "metadata", "[{'c':'3'}]"},
        /* Omitted parts of a config are kept. */
        {"{'config':{'type':'cloud','networking':{'type':'limited','allowed_hosts':['y']}}}",
         "config",
         "[{'type':'cloud','networking':{'type':'limited','allow_mcp_servers':true,'allow_package_"
         "managers':false,"
         "'allowed_hosts':['y']}," NO_PACKAGES "}]"},
        {"{'config':{'type':'cloud','networking':{'type':'unrestricted'}}}", "config",
         "[{'type':'cloud','networking':{'type':'unrestricted'}," NO_PACKAGES "}]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        AUTO_JSON json_t *patch = js(t[i].patch);
        AUTO_JSON json_t *next = environment_fields_update(env, patch, &r);
        if (!next)
            fail_msg("%s refused: %s", t[i].patch, r.message);
        AUTO_JSON json_t *boxed = json_array();
        json_array_append(boxed, json_object_get(next, t[i].key));
        expect_json(boxed, t[i].out);
    }
    AUTO_JSON json_t *change = js("{'config':{'type':'self_hosted'}}");
    assert_null(environment_fields_update(env, change, &r));
    assert_int_equal(r.status, 400);
    assert_string_equal(json_get_str(r.details, "error_code"), "invalid_config_type_change");
    json_decref(r.details);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_is_stored_in_full),
        cmocka_unit_test(a_bad_environment_is_refused_with_the_field),
        cmocka_unit_test(an_update_changes_only_what_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
