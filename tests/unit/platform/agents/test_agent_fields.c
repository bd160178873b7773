/* What an agent may be made of: requests in, stored form or the sentence of the refusal out. */
#include "unit/json.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "platform/agents/agent_fields.h"
#include "session/refusal.h"

#define ALLOW "'permission_policy':{'type':'always_allow'}"
#define ASK   "'permission_policy':{'type':'always_ask'}"

static void a_new_agent_has_all_its_fields(void **state)
{
    (void)state;
    const struct {
        const char *in, *key, *out;
    } t[] = {
        {"{'name':'n','model':'m'}", "model", "{'id':'m','speed':'standard'}"},
        {"{'name':'n','model':{'id':'m','effort':'high'}}", "model",
         "{'id':'m','speed':'standard','effort':{'type':'high'}}"},
        {"{'name':'n','model':{'id':'m','effort':{'type':'max'},'speed':'fast','inference_geo':"
         "null}}",
         "model", "{'id':'m','speed':'fast','effort':{'type':'max'}}"},
        {"{'name':'n','model':'m'}", "tools", "[]"},
        {"{'name':'n','model':'m'}", "metadata", "{}"},
        {"{'name':'n','model':'m'}", "mcp_servers", "[]"},
        {"{'name':'n','model':'m','skills':[],'mcp_servers':[],'multiagent':null}", "skills", "[]"},
        {"{'name':'n','model':'m','execution_identity':null}", "execution_identity",
         "{'type':'service_account'}"},
        {"{'name':'n','model':'m','metadata':{'a':'1','b':null}}", "metadata", "{'a':'1'}"},
        {"{'name':'n','model':'m','tools':[{'type':'agent_toolset_20260401'}]}", "tools",
         "[{'type':'agent_toolset_20260401','default_config':{'enabled':true," ALLOW
         "},'configs':[]}]"},
        /* Configs inherit what they do not say from default_config. */
        {"{'name':'n','model':'m','tools':[{'type':'agent_toolset_20260401','default_config':{'"
         "enabled':false," ASK "},"
         "'configs':[{'name':'bash','enabled':true},{'name':'read'," ALLOW
         "},{'type':'web_search','name':'web_search'}]}]}",
         "tools",
         "[{'type':'agent_toolset_20260401','default_config':{'enabled':false," ASK "},'configs':["
         "{'type':'bash','name':'bash','enabled':true," ASK
         "},{'type':'read','name':'read','enabled':false," ALLOW "},"
         "{'type':'web_search','name':'web_search','enabled':false," ASK "}]}]"},
        {"{'name':'n','model':'m','tools':[{'type':'custom','name':'a-B_1','description':'','input_"
         "schema':{'type':'object',"
         "'properties':{'x':{'type':'string','enum':['a']}},'required':['x'],'additionalProperties'"
         ":false}}]}",
         "tools",
         "[{'type':'custom','name':'a-B_1','description':'','input_schema':{'type':'object','"
         "properties':{'x':{'type':"
         "'string','enum':['a']}},'required':['x'],'additionalProperties':false}}]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct refusal r = {0};
        AUTO_JSON json_t *in = js(t[i].in);
        AUTO_JSON json_t *out = agent_fields_create(in, &r);
        if (!out)
            fail_msg("%s refused: %s", t[i].in, r.message);
        expect_json(json_object_get(out, t[i].key), t[i].out);
    }
}

#define TOOLS(x)  "{'name':'n','model':'m','tools':[" x "]}"
#define SET(x)    TOOLS("{'type':'agent_toolset_20260401'," x "}")
#define TOOL(x)   TOOLS("{'type':'custom','description':'d','input_schema':{'type':'object'}," x "}")
#define SCHEMA(x) TOOLS("{'type':'custom','name':'c','description':'d','input_schema':" x "}")

static void a_bad_agent_is_refused_with_the_field(void **state)
{
    (void)state;
    const struct {
        const char *in, *message;
    } t[] = {
        {"{'model':'m'}", "name: field is required"},
        {"{'name':'','model':'m'}", "name: must not be empty"},
        {"{'name':null,'model':'m'}", "Failed to parse request: name: must not be null"},
        {"{'name':'n'}", "model: field is required"},
        {"{'name':'n','model':7}",
         "Failed to parse request: model: must be an object, not a number"},
        {"{'name':'n','model':{}}", "model.id: field is required"},
        {"{'name':'n','model':{'id':'m','effort':'huge'}}",
         "Failed to parse request: model.effort: \"huge\" is not a valid value; expected one of "
         "low, medium, high, xhigh, max"},
        {"{'name':'n','model':{'id':'m','x':1}}",
         "Failed to parse request: model.x: unknown field"},
        {"{'name':'n','model':{'id':'m','inference_geo':'eu'}}",
         "model.inference_geo: choosing a region"},
        {"{'name':'n','model':'m','colour':1}", "Failed to parse request: colour: unknown field"},
        {"{'name':'n','model':'m','version':1}", "Failed to parse request: version: unknown field"},
        {"{'name':'n','model':'m','mcp_servers':[{'type':'url'}]}",
         "mcp_servers: MCP servers are not built yet"},
        {"{'name':'n','model':'m','mcp_servers':'x'}",
         "mcp_servers: MCP servers are not built yet"},
        {"{'name':'n','model':'m','skills':[{}]}", "skills: skills are not built yet"},
        {"{'name':'n','model':'m','multiagent':{'type':'coordinator'}}",
         "multiagent: multi-agent orchestration is not built"},
        {"{'name':'n','model':'m','execution_identity':{'type':'aws_role','role_arn':'x'}}",
         "execution_identity.type: running as an AWS role is not built yet"},
        {TOOLS("7"), "Failed to parse request: tools[0]: must be an object, not a number"},
        {TOOLS("{'type':'find'}"),
         "Failed to parse request: tools[0].type: \"find\" is not a valid value"},
        {TOOLS("{'type':'mcp_toolset','mcp_server_name':'w'}"),
         "tools[0].type: MCP servers are not built yet"},
        {SET("'configs':[{'name':'find'}]"),
         "Failed to parse request: tools[0].configs[0].name: \"find\" is not a valid value; "
         "expected one of bash, edit, "
         "glob, grep, read, write, web_fetch, web_search"},
        {SET("'configs':[{'name':'bash','x':1}]"),
         "Failed to parse request: tools[0].configs[0].x: unknown field"},
        {SET("'configs':[{'name':'bash','type':'read'}]"),
         "Failed to parse request: tools[0].configs[0].type: \"read\""},
        {SET("'configs':[{'name':'bash'},{'name':'bash'}]"),
         "tools.0.agent_toolset_20260401.configs.1: duplicate entry for tool "
         "\"AGENT_TOOL_NAME_BASH\""},
        {SET("'configs':[{'name':'web_fetch'}]"),
         "tools[0].configs[0].name: web_fetch is not built yet"},
        {SET("'default_config':{'permission_policy':{'type':'auto'}}"),
         "tools[0].default_config.permission_policy.type: the \"auto\" policy"},
        {SET("'default_config':{'permission_policy':{}}"),
         "tools[0].default_config.permission_policy.type: field is required"},
        {SET("'default_config':{'enabled':'yes'}"),
         "tools[0].default_config.enabled: must be true or false"},
        {TOOLS("{'type':'agent_toolset_20260401'},{'type':'agent_toolset_20260401'}"),
         "tools.1.agent_toolset_20260401: duplicate entry; at most one agent_toolset_20260401 is "
         "allowed"},
        {TOOL("'name':'bash'"), "tools[0].name: \"bash\" is reserved"},
        {TOOL("'name':'mcp__x'"), "tools[0].name: \"mcp__x\" is reserved"},
        {TOOL("'name':'a b'"), "tools[0].name: \"a b\" may only have letters"},
        {TOOL("'name':'\\u00e9'"), "tools[0].name: "},
        {TOOLS("{'type':'custom','name':'a'}"), "tools[0].description: field is required"},
        {SCHEMA("{}"), "tools[0].input_schema.type: field is required"},
        {SCHEMA("{'type':'array'}"), "tools[0].input_schema.type: \"array\""},
        {SCHEMA("{'type':'object','anyOf':[]}"),
         "tools[0].input_schema.anyOf: is not allowed at the top level"},
        {SCHEMA("{'type':'object','properties':{'a':{'items':[{'x':{'$ref':'#'}}]}}}"),
         "tools[0].input_schema: must not contain $ref"},
        {SCHEMA("{'type':'object','required':[1]}"),
         "tools[0].input_schema.required: must be a list"},
        {"{'name':'n','model':'m','metadata':{'a':1}}",
         "metadata: the value of \"a\" must be a string"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct refusal r = {0};
        AUTO_JSON json_t *in = js(t[i].in);
        AUTO_JSON json_t *out = agent_fields_create(in, &r);
        assert_null(out);
        assert_int_equal(r.status, 400);
        if (!strstr(r.message, t[i].message))
            fail_msg("%s\n  says \"%s\"\n  not \"%s\"", t[i].in, r.message, t[i].message);
        json_decref(r.details);
    }
    struct refusal r = {0};
    assert_null(agent_fields_create(NULL, &r)); /* no body at all */
    assert_int_equal(r.status, 400);
}

static void an_update_changes_only_what_it_names(void **state)
{
    (void)state;
    const struct {
        const char *patch, *key, *out; /* applied to the agent below; out NULL: null */
    } t[] = {
        {"{}", "name", "['n']"},
        {"{'name':'x'}", "name", "['x']"},
        {"{'system':null}", "system", "[null]"},
        {"{'system':''}", "system", "[null]"},
        {"{'description':'d'}", "description", "['d']"},
        {"{'name':'x'}", "system", "['s']"},
        {"{'tools':null}", "tools", "[[]]"},
        {"{'tools':[]}", "tools", "[[]]"},
        {"{'metadata':{'a':null,'c':'3'}}", "metadata", "[{'b':'2','c':'3'}]"},
        {"{'metadata':null}", "metadata", "[{'a':'1','b':'2'}]"},
        {"{'model':'m'}", "model", "[{'id':'m','speed':'standard','effort':{'type':'low'}}]"},
        {"{'model':{'id':'m','effort':'max'}}", "model",
         "[{'id':'m','speed':'standard','effort':{'type':'max'}}]"},
        {"{'model':'other'}", "model", "[{'id':'other','speed':'standard'}]"},
        {"{'skills':null,'mcp_servers':[],'multiagent':null}", "skills", "[[]]"},
    };
    AUTO_JSON json_t *in = js(
        "{'name':'n','model':{'id':'m','effort':'low'},'system':'s','metadata':{'a':'1','b':'2'},"
        "'tools':[{'type':'agent_toolset_20260401'}]}");
    struct refusal r = {0};
    AUTO_JSON json_t *agent = agent_fields_create(in, &r);
    assert_non_null(agent);
    AUTO_JSON json_t *untouched = json_deep_copy(agent);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        AUTO_JSON json_t *body = js(t[i].patch);
        int64_t version = -1;
        AUTO_JSON json_t *patch = agent_fields_update(body, &version, &r);
        if (!patch)
            fail_msg("%s refused: %s", t[i].patch, r.message);
        assert_int_equal(version, 0);
        AUTO_JSON json_t *next = agent_fields_apply(agent, patch, &r);
        assert_non_null(next);
        AUTO_JSON json_t *boxed = json_array();
        json_array_append(boxed, json_object_get(next, t[i].key));
        expect_json(boxed, t[i].out);
        assert_true(json_equal(agent, untouched));
    }
    const char *const bad[][2] = {
        {"{'name':null}", "name: must not be null"},
        {"{'name':''}", "name: must not be empty"},
        {"{'model':null}", "model: must not be null"},
        {"{'version':'one'}", "version: must be a whole number"},
        {"{'version':0}", "version: must be from 1"},
        {"{'colour':1}", "colour: unknown field"},
        {"{'tools':[{'type':'nope'}],'name':'ok'}", "tools[0].type"},
        {"{'skills':[1]}", "skills are not built"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct refusal why = {0};
        AUTO_JSON json_t *body = js(bad[i][0]);
        int64_t version;
        assert_null(agent_fields_update(body, &version, &why));
        if (!strstr(why.message, bad[i][1]))
            fail_msg("%s says \"%s\"", bad[i][0], why.message);
    }
}

static void metadata_is_counted_after_the_merge(void **state)
{
    (void)state;
    struct refusal r = {0};
    AUTO_JSON json_t *agent = json_object(), *patch = json_object(), *meta = json_object(),
                     *more = json_object();
    for (int i = 0; i < 16; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        json_put_str(meta, key, "v");
    }
    json_put(agent, "metadata", json_incref(meta));
    json_put_str(more, "one too many", "v");
    json_put(patch, "metadata", json_incref(more));
    assert_null(agent_fields_apply(agent, patch, &r));
    assert_int_equal(r.status, 400);
    assert_non_null(strstr(r.message, "at most 16 pairs"));
    json_decref(r.details);
    r = (struct refusal){0};
    json_put_null(more, "k3"); /* one out, one in */
    AUTO_JSON json_t *next = agent_fields_apply(agent, patch, &r);
    assert_non_null(next);
    assert_int_equal(json_object_size(json_object_get(next, "metadata")), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_agent_has_all_its_fields),
        cmocka_unit_test(a_bad_agent_is_refused_with_the_field),
        cmocka_unit_test(an_update_changes_only_what_it_names),
        cmocka_unit_test(metadata_is_counted_after_the_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
