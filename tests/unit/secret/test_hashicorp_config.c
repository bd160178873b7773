/* test_hashicorp_config.c - what the configuration of a vault may not say, and who shares a login. */
#include "unit/secret/secret_world.h"

#define AUTH "'auth':{'token':{'file':'/t'}}"
#define REST AUTH ",'path':'app'},'json_key':'k'}"
#define AT   "{'hashicorp':{'address':'https://v:8200',"

static int what_is_wrong_is_named(void *arg)
{
    (void)arg;
    static const struct {
        const char *config, *words;
    } rows[] = {
        {"{'hashicorp':'x','json_key':'k'}", "hashicorp: must be an object"},
        {"{'hashicorp':{" REST, "hashicorp: address: must be a text"},
        {"{'hashicorp':{'address':'v:8200'," REST, "write https://HOST:PORT"},
        {"{'hashicorp':{'address':'https://'," REST, "write https://HOST:PORT"},
        {"{'hashicorp':{'address':'https://v/v1'," REST, "without a path"},
        {"{'hashicorp':{'address':'https://u:p@v'," REST, "without a path"},
        {"{'hashicorp':{'address':'https://v?x'," REST, "without a path"},
        {"{'hashicorp':{'address':'http://v:8200'," REST, "would send the token in the clear"},
        {"{'hashicorp':{'address':'http://127.0.0.1.evil.example'," REST, "in the clear"},
        {AT "'plaintext':'yes'," REST, "plaintext: must be true or false"},
        {AT "'peers':'https://w'," REST, "peers: must be a list"},
        {AT "'peers':['http://w']," REST, "peers: w: http:// would send"},
        {AT "'peers':[7]," REST, "peers: write https://"},
        {AT "'peers':['https://a','https://a','https://a','https://a','https://a','https://a',"
            "'https://a','https://a','https://a']," REST,
         "peers: must be a list of at most 8"},
        {AT "'ca_file':'ca.pem'," REST, "ca_file: must be an absolute path"},
        {AT "'namespace':''," REST, "namespace: must be a text"},
        {AT "'verify':false," REST, "verify: hashicorp has no such member"},
        {AT "'kv':3," REST, "kv: must be 1 or 2"},
        {AT "'kv':'2'," REST, "kv: must be 1 or 2"},
        {AT "'version':0," REST, "version: must be a number from 1"},
        {AT "'version':1,'kv':1," REST, "version: must be a number from 1, with kv: 2"},
        {AT "'mount':'/secret'," REST, "mount and path: must be names between single slashes"},
        {AT AUTH ",'path':'../sys/x'},'json_key':'k'}", "mount and path: must be names"},
        {AT AUTH "},'json_key':'k'}", "path: must be a text"},
        {AT AUTH ",'path':'app'}}", "json_key: is missing"},
        {AT "'path':'app'},'json_key':'k'}", "auth: must be an object with one member"},
        {AT "'auth':{'token':{'file':'/t'},'approle':{}},'path':'app'},'json_key':'k'}",
         "auth: must be an object with one member"},
        {AT "'auth':{'ldap':{}},'path':'app'},'json_key':'k'}", "auth: ldap: auth has no such"},
        {AT "'auth':{'token':'hvs.1'},'path':'app'},'json_key':'k'}",
         "auth: token: a source is an"},
        {AT "'auth':{'approle':{'role_id':'r'}},'path':'app'},'json_key':'k'}",
         "auth: approle: secret_id: is missing"},
        {AT "'auth':{'approle':{'secret_id':{'file':'/s'}}},'path':'app'},'json_key':'k'}",
         "role_id: is missing"},
        {AT "'auth':{'approle':{'role':'r'}},'path':'app'},'json_key':'k'}",
         "role: approle has no such member"},
        {AT "'auth':{'approle':{'role_id':'r','mount':'a//b','secret_id':{'file':'/s'}}},"
            "'path':'app'},'json_key':'k'}",
         "approle: mount: must be names"},
        {AT "'auth':{'approle':{'role_id':'r','secret_id':'s3cret'}},'path':'app'},'json_key':'k'}",
         "secret_id: a source is an object"},
    };
    struct secret_world w;
    world_begin(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        world_refuses(&w, rows[i].config, rows[i].words);
    world_refuses(&w, AT "'timeout':'1s'," REST, "timeout: hashicorp has no such member");
    world_end(&w);
    return 0;
}
ON_LOOP(what_is_wrong_is_named)

static int a_source_says_its_place(void *arg)
{
    (void)arg;
    static const struct {
        const char *config, *place;
    } rows[] = {
        {AT REST, "secret secret/data/app of https://v:8200"},
        {AT "'version':3," REST, "secret secret/data/app?version=3 of https://v:8200"},
        {AT "'kv':1,'mount':'team a/kv'," REST, "secret team%20a/kv/app of https://v:8200"},
        {"{'hashicorp':{'address':'HTTPS://Vault.Corp/'," REST, NULL},
        {"{'hashicorp':{'address':'https://Vault.Corp/'," REST,
         "secret secret/data/app of https://vault.corp"},
        {"{'hashicorp':{'address':'http://127.0.0.1:8100'," REST,
         "secret secret/data/app of http://127.0.0.1:8100"},
        {"{'hashicorp':{'address':'http://v:8200','plaintext':true," REST,
         "secret secret/data/app of http://v:8200"},
    };
    struct secret_world w;
    world_begin(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!rows[i].place) {
            world_refuses(&w, rows[i].config, "write https://HOST:PORT");
            continue;
        }
        struct secret_source *s = world_source(&w, rows[i].config);
        assert_string_equal(secret_source_place(s), rows[i].place);
        secret_source_unref(s);
    }
    world_end(&w);
    return 0;
}
ON_LOOP(a_source_says_its_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_wrong_is_named),
        CASE(a_source_says_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
