/* test_config.c - what the configuration of a source may not say, and in which words. */
#include "unit/secret/secret_world.h"

static int what_is_wrong_is_named(void *arg)
{
    (void)arg;
    static const struct {
        const char *config, *words;
    } rows[] = {
        {"'text'", "a source is an object"},
        {"[]", "a source is an object"},
        {"null", "a source is an object"},
        {"{}", "needs one of env, file, exec, systemd, hashicorp"},
        {"{'ttl':'5m'}", "needs one of"},
        {"{'file':'/a','env':'B'}", "file: a source has one kind, and this one has env"},
        {"{'file':'/a','tll':'5m'}", "tll: a source of the kind file has no such member"},
        {"{'file':'/a','tll':'5m'}", "file, ttl, failure_ttl, stale_ttl, json_key"},
        {"{'file':'/a','timeout':'5s'}", "timeout: a source of the kind file has no such member"},
        {"{'file':'/a','ttl':'soon'}", "ttl: is not a duration"},
        {"{'file':'/a','ttl':'-5s'}", "ttl: is not a duration"},
        {"{'file':'/a','ttl':1.5}", "ttl: is not a duration"},
        {"{'file':'/a','ttl':-1}", "ttl: must be between 0 ms"},
        {"{'file':'/a','ttl':'400d'}", "ttl: must be between"},
        {"{'file':'/a','failure_ttl':'2d'}", "failure_ttl: must be between"},
        {"{'file':'/a','stale_ttl':'31d'}", "stale_ttl: must be between"},
        {"{'exec':['a'],'timeout':'50ms'}", "timeout: must be between 100 ms and 300 s"},
        {"{'exec':['a'],'timeout':'301s'}", "timeout: must be between"},
        {"{'file':'/a','json_key':''}", "json_key: must be a text"},
        {"{'file':'/a','json_key':['a']}", "json_key: must be a text"},
        {"{'file':'/a','json_key':'a..b'}", "json_key: a name is empty"},
        {"{'file':'a/b'}", "file: must be an absolute path"},
        {"{'file':''}", "file: must be a text"},
        {"{'file':null}", "file: must be a text"},
        {"{'file':'/a\\nb'}", "without control characters"},
        {"{'vault':''}", "vault: must be a text"},
        {"{'systemd':'../x'}", "systemd: the name of a credential, without a path"},
        {"{'systemd':'..'}", "systemd: the name of a credential"},
        {"{'exec':[]}", "exec: a list of a program"},
        {"{'exec':''}", "exec: a list of a program"},
        {"{'exec':{}}", "exec: a list of a program"},
        {"{'exec':['']}", "exec: every argument is a text"},
        {"{'exec':['a',7]}", "exec: every argument is a text"},
        {"{'exec':['a'],'environment':[]}", "environment: an object"},
        {"{'exec':['a'],'environment':{'A-B':'x'}}", "environment: A-B is no name"},
        {"{'exec':['a'],'environment':{'A':7}}",
         "environment: A (a text or a source): a source is"},
        {"{'exec':['a'],'environment':{'A':{'file':'rel'}}}",
         "environment: A (a text or a source)"},
        {"{'exec':['a'],'environment':{'A':{'exec':['b'],'environment':{'B':{'exec':['c'],"
         "'environment':{'C':{'exec':['d'],'environment':{'D':{'file':'/e'}}}}}}}}}",
         "nested more than 3 deep"},
    };
    struct secret_world w;
    world_begin(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        world_refuses(&w, rows[i].config, rows[i].words);
    world_end(&w);
    return 0;
}
ON_LOOP(what_is_wrong_is_named)

/* Somebody may write the secret itself where its place belongs. */
static int a_complaint_does_not_repeat_what_was_written(void *arg)
{
    (void)arg;
    static const char *const configs[] = {
        "{'file':'hunter2'}",
        "{'file':'/a','ttl':'hunter2'}",
        "{'file':'/a','json_key':'hunter2..'}",
        "{'env':'A=hunter2'}",
        "{'systemd':'x/hunter2'}",
        "{'exec':['a'],'environment':{'A':['hunter2']}}",
        "{'hashicorp':{'address':'https://me:hunter2@v','auth':{'token':{'file':'/"
        "t'}},'path':'p'}}",
        "{'hashicorp':{'address':'https://v?token=hunter2','path':'p'}}",
        "'hunter2'",
    };
    struct secret_world w;
    world_begin(&w);
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        AUTO_JSON json_t *j = js(configs[i]);
        struct secret_source *s = NULL;
        struct err e = {0};
        assert_int_equal(secret_source_new(w.all, j, 0, &s, &e), -EINVAL);
        assert_null(strstr(e.msg, "hunter2"));
    }
    world_end(&w);
    return 0;
}
ON_LOOP(a_complaint_does_not_repeat_what_was_written)

static int sources_that_say_the_same_are_one(void *arg)
{
    (void)arg;
    struct secret_world w;
    world_begin(&w);
    struct secret_source *a = world_source(&w, "{'file':'/a','ttl':'5m'}");
    struct secret_source *b = world_source(&w, "{'ttl':'5m','file':'/a'}");
    struct secret_source *c = world_source(&w, "{'file':'/a','ttl':300}");
    struct secret_source *v1 = world_source(&w, "{'vault':'K'}");
    struct secret_source *v2 = world_source(&w, "{'vault':'K'}"); /* of two sessions, perhaps */
    AUTO_JSON json_t *j = js("{'file':'/a','ttl':'5m'}");
    struct secret_source *lines = NULL;
    assert_int_equal(secret_source_new(w.all, j, SECRET_LINES, &lines, NULL), 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(a, lines);
    assert_ptr_not_equal(v1, v2);
    assert_string_equal(secret_source_place(a), "file /a");
    assert_string_equal(secret_source_place(v1), "credential K of the session's vault");
    struct secret_source *all[] = {a, b, c, v1, v2, lines};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        secret_source_unref(all[i]);
    secret_source_unref(NULL);
    world_end(&w);
    return 0;
}
ON_LOOP(sources_that_say_the_same_are_one)

static int a_service_without_credentials_is_told_how(void *arg)
{
    (void)arg;
    struct secret_sources *all = secret_sources_new(&(struct secret_options){0});
    AUTO_JSON json_t *j = js("{'systemd':'github'}");
    struct secret_source *s = NULL;
    struct err e = {0};
    assert_int_equal(secret_source_new(all, j, 0, &s, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "LoadCredential=github:"));
    secret_sources_free(all);
    secret_sources_free(NULL);
    return 0;
}
ON_LOOP(a_service_without_credentials_is_told_how)

static int a_vault_that_nobody_fills_is_refused(void *arg)
{
    (void)arg;
    static const char *const configs[] = {
        "{'vault':'K'}",
        "{'exec':['a'],'environment':{'A':{'vault':'K'}}}",
    };
    struct secret_sources *all = secret_sources_new(&(struct secret_options){0});
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        AUTO_JSON json_t *j = js(configs[i]);
        struct secret_source *s = NULL;
        struct err e = {0};
        assert_int_equal(secret_source_new(all, j, 0, &s, &e), -EINVAL);
        assert_non_null(strstr(e.msg, "vault: the session's vault is not built yet"));
    }
    secret_sources_free(all);
    return 0;
}
ON_LOOP(a_vault_that_nobody_fills_is_refused)

/* What is right is right elsewhere, too; and nothing is taken away from whoever only asks. */
static int a_check_needs_nothing_and_takes_nothing(void *arg)
{
    (void)arg;
    static const char *const fine[] = {
        "{'env':'SALLYPORT_TEST_KEPT'}",
        "{'file':'/a'}",
        "{'exec':['a']}",
        "{'systemd':'x'}",
        "{'hashicorp':{'address':'https://v:8200','auth':{'token':{'env':'SALLYPORT_TEST_KEPT'}},"
        "'path':'p'},'json_key':'k'}",
    };
    struct secret_sources *all = secret_sources_new(&(struct secret_options){.only_check = true});
    assert_int_equal(setenv("SALLYPORT_TEST_KEPT", "value", 1), 0);
    for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
        AUTO_JSON json_t *j = js(fine[i]);
        struct secret_source *s = NULL;
        struct err e = {0};
        if (secret_source_new(all, j, 0, &s, &e) < 0)
            fail_msg("%s: %s", fine[i], e.msg);
        secret_source_unref(s);
    }
    AUTO_JSON json_t *wrong = js("{'file':'rel'}");
    struct secret_source *s = NULL;
    assert_int_equal(secret_source_new(all, wrong, 0, &s, NULL), -EINVAL);
    assert_string_equal(getenv("SALLYPORT_TEST_KEPT"), "value");
    assert_int_equal(unsetenv("SALLYPORT_TEST_KEPT"), 0);
    secret_sources_free(all);
    return 0;
}
ON_LOOP(a_check_needs_nothing_and_takes_nothing)

static char named[64];

static void put_name(const char *name)
{
    size_t n = strlen(named);
    (void)snprintf(named + n, sizeof(named) - n, "%s ", name);
}

/* Whoever starts the process that reads them must not keep one. */
static void variables_are_found_inside_of_sources(void **state)
{
    (void)state;
    static const struct {
        const char *config, *names;
    } rows[] = {
        {"{'env':'A','ttl':'1s'}", "A "},
        {"{'file':'/a'}", ""},
        {"{'env':7}", ""},
        {"{'hashicorp':{'address':'https://v','path':'p','auth':{'token':{'env':'B'}}}}", "B "},
        {"{'hashicorp':{'auth':{'approle':{'role_id':'env','secret_id':{'env':'C'}}}}}", "C "},
        {"{'exec':['op'],'environment':{'env':'plain','X':{'env':'D'},'environment':{'env':'E'}}}",
         "D E "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *j = js(rows[i].config);
        named[0] = '\0';
        secret_config_variables(j, put_name);
        assert_string_equal(named, rows[i].names);
    }
    secret_config_variables(NULL, put_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_found_inside_of_sources),
        CASE(what_is_wrong_is_named),
        CASE(a_complaint_does_not_repeat_what_was_written),
        CASE(sources_that_say_the_same_are_one),
        CASE(a_service_without_credentials_is_told_how),
        CASE(a_vault_that_nobody_fills_is_refused),
        CASE(a_check_needs_nothing_and_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
