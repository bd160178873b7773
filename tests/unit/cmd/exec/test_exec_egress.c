/* test_exec_egress.c - what --allow and --secret mean, as a policy. */
#include "unit/unit.h"
#include "base/err.h"
#include "cmd/exec/exec_egress.h"
#include "egress/policy/policy.h"

#include <string.h>

/* The policy as text; the caller's. Checked by the one who will get it. */
static char *policy_of(const char *allow, const char *secret)
{
    struct flag_list a = {.n = allow != NULL, .value = {allow}};
    struct flag_list s = {.n = secret != NULL, .value = {secret}};
    json_t *policy = NULL;
    struct err e = {.code = 0};
    if (exec_egress_policy(&a, &s, &policy, &e) < 0) {
        json_decref(policy);
        return mem_printf("! %s", e.msg);
    }
    struct policy *p;
    int r = policy_new(policy, "egress", NULL, &p, &e);
    char *text = r < 0 ? mem_printf("policy: %s", e.msg) : json_text(policy, NULL);
    if (r >= 0)
        policy_unref(p);
    json_decref(policy);
    return text;
}

static void hosts_become_rules(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"example.com", "{\"allow\":[{\"host\":\"example.com\"}]}"},
        {"*.example.com:8443", "{\"allow\":[{\"host\":\"*.example.com\",\"port\":8443}]}"},
        {"[2001:db8::1]:443", "{\"allow\":[{\"host\":\"[2001:db8::1]\",\"port\":443}]}"},
        {"a.example/repos/**", "{\"allow\":[{\"host\":\"a.example\",\"paths\":[\"/repos/**\"]}]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text = policy_of(rows[i][0], NULL);
        assert_string_equal(text, rows[i][1]);
    }
}

static void secrets_become_credentials_and_their_hosts_are_allowed(void **state)
{
    (void)state;
    AUTO_FREE char *file = policy_of(NULL, "TOKEN=file:/a=b@c@api.example.com:8443");
    assert_string_equal(file,
                        "{\"credentials\":[{\"name\":\"TOKEN\",\"source\":{\"file\":\"/a=b@c\"},"
                        "\"hosts\":[\"api.example.com:8443\"]}],"
                        "\"allow\":[{\"host\":\"api.example.com\",\"port\":8443}]}");
    AUTO_FREE char *env = policy_of("x.example/only/this", "T=env:PATH@x.example");
    assert_non_null(strstr(env, "{\"host\":\"x.example\",\"paths\":[\"/only/this\"]}"));
    AUTO_FREE char *exec = policy_of("x.example", "T=exec:pass show x | head -1@x.example");
    assert_non_null(strstr(exec, "[\"/bin/sh\",\"-c\",\"pass show x | head -1\"]"));
    assert_null(strstr(strstr(exec, "allow") + 5, "},{"));
}

/* --egress FILE with this list, and --secret: how many rules there are then. */
static size_t rules_with(const char *allow, const char *secret)
{
    const struct flag_list none = {.n = 0}, one = {.n = 1, .value = {secret}};
    AUTO_JSON json_t *policy = json_pack("{s:o}", "allow", json_loads(allow, 0, NULL));
    struct err e = {.code = 0};
    struct policy *p;
    assert_int_equal(exec_egress_policy(&none, &one, &policy, &e), 0);
    assert_int_equal(policy_new(policy, "egress", NULL, &p, &e), 0);
    policy_unref(p);
    return json_array_size(json_object_get(policy, "allow"));
}

static void a_narrow_rule_stays_narrow(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *host;
        size_t n;
    } rows[] = {
        {"[\"a.example\"]", "a.example", 1},
        {"[{\"host\":\"A.example\",\"methods\":[\"GET\"]}]", "a.example", 1},
        {"[{\"host\":\"a.example\",\"port\":443,\"paths\":[\"/v1/**\"]}]", "a.example", 1},
        {"[{\"host\":\"a.example\",\"ports\":[443,8443]}]", "a.example:8443", 1},
        {"[{\"host\":\"a.example\",\"paths\":[\"/v1/**\"]}]", "a.example:8443", 2},
        {"[{\"host\":\"a.example\",\"paths\":[\"/v1/**\"]}]", "a.example:443", 1},
        {"[{\"host\":\"a.example\",\"port\":443}]", "a.example:8443", 2},
        {"[{\"host\":\"a.example\",\"ports\":[443]}]", "a.example:8443", 2},
        {"[{\"host\":\"b.example\"}]", "a.example", 2},
        {"[{\"host\":\"*.w.example\",\"methods\":[\"GET\"],\"paths\":[\"/v1/**\"]}]", "a.w.example",
         1},
        {"[\"*.W.example.\"]", "a.w.example", 1},
        {"[\"*.w.example\"]", "w.example", 2},
        {"[\"*\"]", "a.example", 1},
        {"[\"*\"]", "192.0.2.1", 2},
        {"[\"a.example.\"]", "A.example", 1},
        {"[\"b\u00fccher.example\"]", "xn--bcher-kva.example", 1},
        {"[{\"host\":\"a.w.example\",\"methods\":[\"GET\"]}]", "*.w.example", 1},
        {"[{\"host\":\"*.w.example\",\"methods\":[\"GET\"]}]", "*.a.w.example", 1},
        {"[{\"host\":\"*.a.w.example\",\"methods\":[\"GET\"]}]", "*.w.example", 1},
        {"[\"w.example\"]", "*.w.example", 2},
        {"[\"*.w.example\"]", "*.v.example", 2},
        {"[{\"host\":\"*.w.example\",\"port\":8443}]", "a.w.example:443", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *secret = mem_printf("T=file:/s@%s", rows[i].host);
        if (rules_with(rows[i].allow, secret) != rows[i].n)
            fail_msg("%s and %s", rows[i].allow, rows[i].host);
    }
}

static void what_is_no_host_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "http://example.com",
        "example.com:",
        "a:0",
        "a:65536",
        "a b",
        "-x",
        ".x",
        "[::1",
        "[]",
        "a:443:1",
        "[::1]443",
        "x:4x",
        "127.1",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_FREE char *text = policy_of(bad[i], NULL);
        if (strncmp(text, "! --allow", 9) != 0)
            fail_msg("%s: %s", bad[i], text);
    }
}

/* Somebody may have written the secret itself: it is not repeated. */
static void what_is_no_secret_is_refused_and_not_repeated(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "TOKEN",    "TOKEN=s3cret", "=env:x@h",         "T=@h",
        "T=env:x@", "T=s3cret@h",   "T=vault:s3cret@h", "T=env:X@a b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_FREE char *text = policy_of(NULL, bad[i]);
        if (strncmp(text, "! --secret", 10) != 0 || strstr(text, "s3cret"))
            fail_msg("%s: %s", bad[i], text);
    }
}

static void nothing_given_is_no_policy(void **state)
{
    (void)state;
    const struct flag_list none = {.n = 0};
    json_t *policy = NULL;
    assert_int_equal(exec_egress_policy(&none, &none, &policy, NULL), 0);
    assert_null(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_become_rules),
        cmocka_unit_test(secrets_become_credentials_and_their_hosts_are_allowed),
        cmocka_unit_test(a_narrow_rule_stays_narrow),
        cmocka_unit_test(what_is_no_host_is_refused),
        cmocka_unit_test(what_is_no_secret_is_refused_and_not_repeated),
        cmocka_unit_test(nothing_given_is_no_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
