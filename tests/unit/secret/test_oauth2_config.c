/* test_oauth2_config.c - what the configuration of a token from an authorization server may not say. */
#include "unit/secret/secret_world.h"

#define AT     "{'oauth2':{'token_url':'https://as/token',"
#define SECRET "'client_secret':{'file':'/s'}"
#define CLIENT "'client_id':'us'," SECRET

static int what_is_wrong_is_named(void *arg)
{
    (void)arg;
    static const struct {
        const char *config, *words;
    } rows[] = {
        {"{'oauth2':'x'}", "oauth2: must be an object"},
        {"{'oauth2':{" CLIENT "}}", "oauth2: token_url: must be a text"},
        {"{'oauth2':{'token_url':'as/token'," CLIENT "}}", "token_url: write https://"},
        {"{'oauth2':{'token_url':'https://'," CLIENT "}}", "token_url: write https://"},
        {"{'oauth2':{'token_url':'https://u:p@as/'," CLIENT "}}", "without a user"},
        {"{'oauth2':{'token_url':'https://as/#a'," CLIENT "}}", "a fragment"},
        {"{'oauth2':{'token_url':'http://as/'," CLIENT "}}", "in the clear; use https://"},
        {"{'oauth2':{'token_url':'http://127.0.0.1.evil.example/'," CLIENT "}}", "in the clear"},
        {"{'oauth2':{'token_url':'http://169.254.169.254/'," CLIENT "}}", "in the clear"},
        {AT "'grant':'password'," CLIENT "}}", "grant: is one of client_credentials"},
        {AT "'grant':7," CLIENT "}}", "grant: is one of"},
        {AT CLIENT ",'verify':false}}",
         "verify: oauth2 with the grant client_credentials has no such"},
        {AT CLIENT ",'sub':'a'}}", "sub: oauth2 with the grant client_credentials has no such"},
        {AT CLIENT ",'subject':'caller'}}", "subject: oauth2 with the grant"},
        {AT "'client_id':'us'}}", "client_secret: is missing; this grant wants one"},
        {AT SECRET "}}", "client_id: is missing"},
        {AT "'client_id':'us','client_secret':'hunter2-hunter2'}}",
         "client_secret: a source is an object"},
        {AT CLIENT ",'client_key':{'file':'/k'}}}", "client_key: goes without client_secret"},
        {AT CLIENT ",'key_id':'k'}}", "key_id: goes with client_key"},
        {AT CLIENT ",'jwt_audience':'k'}}", "jwt_audience: goes with client_key"},
        {AT CLIENT ",'auth':'jwt'}}", "auth: is basic or post"},
        {AT "'client_id':'us','client_key':{'file':'/k'},'auth':'post'}}",
         "auth: goes with client_secret"},
        {AT CLIENT ",'scope':'a\\\"b'}}", "scope: is names"},
        {AT CLIENT ",'resource':'x'}}", "resource: is a URI"},
        {AT CLIENT ",'resource':'https://x/#y'}}", "resource: is a URI"},
        {AT CLIENT ",'resource':['https://x',7]}}", "resource: is a URI"},
        {AT CLIENT ",'resource':['a:','a:','a:','a:','a:','a:','a:','a:','a:']}}", "at most 8"},
        {AT CLIENT ",'ca_file':'ca.pem'}}", "ca_file: must be an absolute path"},
        {AT CLIENT "},'json_key':'access_token'}", "json_key: the token is picked out by itself"},
        {AT "'grant':'refresh_token','client_id':'us'}}", "refresh_token: is missing; a source"},
        {AT "'grant':'refresh_token','client_id':'us','refresh_token':{'file':'/r'},"
            "'keep_in':'kept'}}",
         "keep_in: must be an absolute path"},
        {AT "'client_id':'us','client_secret':{'file':'/s'},'keep_in':'/kept'}}", "keep_in"},
        {AT "'grant':'jwt_bearer'}}", "assertion: is missing; a source, or client_key"},
        {AT "'grant':'jwt_bearer','assertion':{'file':'/a'},'sub':'b'}}",
         "sub: the assertion says it itself"},
        {AT "'grant':'token_exchange'}}", "subject: is a source, or \"caller\""},
        {AT "'grant':'token_exchange','subject':'a-token-itself'}}", "subject: is a source"},
        {AT "'grant':'token_exchange','subject':'caller'}}", "there are no callers here"},
        {AT "'grant':'token_exchange','subject':{'file':'/a'},'subject_type':'saml'}}",
         "subject_type: is one of access_token"},
        {AT "'grant':'token_exchange','subject':{'file':'/a'},'actor_type':'jwt'}}",
         "actor_type: goes with actor"},
        {AT CLIENT "},'timeout':'1ms'}", "timeout: must be between"},
    };
    struct secret_world w;
    world_begin(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        world_refuses(&w, rows[i].config, rows[i].words);
    world_end(&w);
    return 0;
}
ON_LOOP(what_is_wrong_is_named)

static int what_is_right_is_taken_and_named_without_its_query(void *arg)
{
    (void)arg;
    static const char *const rows[] = {
        AT CLIENT ",'scope':'a b','auth':'post','ca_file':'/ca'},'ttl':'1h','timeout':'5s'}",
        AT "'client_id':'us','client_key':{'file':'/k'},'key_id':'1','jwt_audience':'https://as'}}",
        AT "'grant':'refresh_token','client_id':'us','refresh_token':{'file':'/r'}}}",
        AT "'grant':'jwt_bearer','assertion':{'exec':['/bin/cat','/a']}}}",
        AT "'grant':'jwt_bearer','client_id':'us','client_key':{'file':'/k'},'sub':'ann'}}",
        AT "'grant':'token_exchange','subject':{'file':'/a'},'actor':{'file':'/b'}," CLIENT "}}",
        "{'oauth2':{'token_url':'http://localhost:1/'," CLIENT "}}",
    };
    struct secret_world w;
    world_begin(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        secret_source_unref(world_source(&w, rows[i]));
    struct secret_source *s =
        world_source(&w, "{'oauth2':{'token_url':'https://as/token?key=1'," CLIENT "}}");
    assert_string_equal(secret_source_place(s), "token by client_credentials of https://as/token");
    struct secret_source *same =
        world_source(&w, "{'oauth2':{'token_url':'https://as/token?key=1'," CLIENT "}}");
    assert_ptr_equal(s, same);
    secret_source_unref(same);
    secret_source_unref(s);
    world_end(&w);
    return 0;
}
ON_LOOP(what_is_right_is_taken_and_named_without_its_query)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_wrong_is_named),
        CASE(what_is_right_is_taken_and_named_without_its_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
