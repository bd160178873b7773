/* test_selector.c - ports beyond the few, methods of our own, deny in every reading. */
#include "unit/egress/policy/load.h"
#include "egress/policy/selector.h"

static void ports_are_found_among_few_and_many(void **state)
{
    struct policy *p = load("allow:\n"
                            "  - {host: few, ports: [9, 7, 8, 6]}\n"
                            "  - {host: many, ports: [9, 7, 8, 6, 5, 65535, 1]}\n"
                            "deny:\n"
                            "  - {host: many, ports: [1]}\n");
    static const struct {
        const char *host;
        unsigned port;
        bool allowed;
    } rows[] = {{"few", 6, true},    {"few", 9, true},   {"few", 5, false},
                {"few", 443, false}, {"many", 5, true},  {"many", 65535, true},
                {"many", 9, true},   {"many", 1, false}, {"many", 2, false}};
    const uint16_t *ports;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((ask(p, rows[i].host, rows[i].port, POLICY_UNKNOWN, NULL, NULL).verdict ==
             POLICY_ALLOW) != rows[i].allowed)
            fail_msg("%s:%u", rows[i].host, rows[i].port);
    assert_int_equal(policy_ports(p, &ports), 9);
    for (size_t i = 1; i < 9; i++)
        assert_true(ports[i - 1] < ports[i]);
    policy_unref(p);
}

static void a_method_without_a_bit_is_compared_whole(void **state)
{
    struct policy *p = load("allow: [{host: a, methods: [PROPFIND, POST, PURGE]}]");
    (void)state;
    assert_int_equal(ask(p, "a", 443, POLICY_TLS, "PROPFIND", "/").verdict, POLICY_ALLOW);
    assert_int_equal(ask(p, "a", 443, POLICY_TLS, "PURGE", "/").verdict, POLICY_ALLOW);
    assert_int_equal(ask(p, "a", 443, POLICY_TLS, "PURG", "/").verdict, POLICY_DENY);
    assert_int_equal(ask(p, "a", 443, POLICY_TLS, "PURGES", "/").verdict, POLICY_DENY);
    assert_int_equal(ask(p, "a", 443, POLICY_TLS, "", "/").verdict, POLICY_DENY);
    assert_int_equal(ask(p, "a", 443, POLICY_TLS, "HEAD", "/").verdict, POLICY_DENY);
    policy_unref(p);
}

static void a_denied_path_is_denied_with_its_slashes_encoded(void **state)
{
    struct policy *p =
        load("allow: [a]\ndeny: [{host: a, paths: ['/admin/**', '/x/y', '/enc%2fx']}]");
    static const struct {
        const char *path;
        bool allowed;
    } rows[] = {{"/admin/x", false},    {"/admin%2fx", false}, {"/admin%2f", false},
                {"/admin", true},       {"/x%2Fy", false},     {"/x/y/z", true},
                {"/x%2f%2fy", false},   {"/enc%2Fx", false},   {"/enc/x", true},
                {"/%2fadmin/x", false}, {"/%61dmin/x", false}, {"/b//c", false},
                {"/b/%2e/c", false},    {"/ok?/../x", true}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((ask(p, "a", 443, POLICY_TLS, "GET", rows[i].path).verdict == POLICY_ALLOW) !=
            rows[i].allowed)
            fail_msg("%s", rows[i].path);
    policy_unref(p);
}

/* To most origins an encoded slash is part of its segment: what '*' stands for in a deny rule. */
static void a_star_of_a_deny_rule_takes_encoded_slashes_in(void **state)
{
    struct policy *p =
        load("allow: [a]\ndeny:\n"
             "  - {host: a, methods: [DELETE], paths: ['/v4/projects/*']}\n"
             "  - {host: a, paths: ['/v4/*/hooks', '/acme%2Fweb/**', '/deep/**/x']}\n");
    static const struct {
        const char *method, *path;
        bool allowed;
    } rows[] = {
        {"DELETE", "/v4/projects/7", false},
        {"DELETE", "/v4/projects/acme%2Fweb", false},
        {"GET", "/v4/projects/acme%2Fweb", true},
        {"GET", "/v4/acme%2fweb/hooks", false},
        {"GET", "/v4/acme%2fweb/hook", true},
        {"GET", "/acme%2Fweb/files", false},
        {"GET", "/acme%2Fweb/files/src%2Fa.c", false},
        {"GET", "/acme%2Fweb", true},
        {"GET", "/deep/a%2Fb/c/x", false},
        {"GET", "/deep/a%2Fb/c/y", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((ask(p, "a", 443, POLICY_TLS, rows[i].method, rows[i].path).verdict == POLICY_ALLOW) !=
            rows[i].allowed)
            fail_msg("%s %s", rows[i].method, rows[i].path);
    policy_unref(p);
}

/* Hosts of code, file servers, most routers: to them these are the same. */
static void a_denied_path_is_denied_in_any_case_and_with_a_slash_behind(void **state)
{
    struct policy *p =
        load("allow: [a, {host: b, paths: ['/Repos/x']}]\n"
             "deny: [{host: a, paths: ['/repos/acme/Secret/**', '/admin', '/r*t']}]");
    static const struct {
        const char *path;
        bool allowed;
    } rows[] = {{"/repos/acme/Secret/x", false},
                {"/repos/ACME/secret/x", false},
                {"/repos/acme%2fsecret/X", false},
                {"/repos/acme/secrets/x", true},
                {"/admin/", false},
                {"/Admin", false},
                {"/admin%2F", false},
                {"/admin/x", true},
                {"/ROOT", false},
                {"/", true}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((ask(p, "a", 443, POLICY_TLS, "GET", rows[i].path).verdict == POLICY_ALLOW) !=
            rows[i].allowed)
            fail_msg("%s", rows[i].path);
    assert_int_equal(ask(p, "b", 443, POLICY_TLS, "GET", "/Repos/x").verdict, POLICY_ALLOW);
    assert_int_equal(ask(p, "b", 443, POLICY_TLS, "GET", "/repos/x").verdict, POLICY_DENY);
    assert_int_equal(ask(p, "b", 443, POLICY_TLS, "GET", "/Repos/x/").verdict, POLICY_DENY);
    policy_unref(p);
}

/* Some origins make a method upper case before they look at it. */
static void a_denied_method_is_denied_in_any_case(void **state)
{
    struct policy *p = load("allow: [a]\ndeny: [{host: a, methods: [DELETE, PURGE, GET]}]");
    static const struct {
        const char *method;
        bool allowed;
    } rows[] = {{"DELETE", false}, {"delete", false}, {"Delete", false}, {"purge", false},
                {"head", false},   {"POST", true},    {"post", true},    {"delet", true}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((ask(p, "a", 443, POLICY_TLS, rows[i].method, "/").verdict == POLICY_ALLOW) !=
            rows[i].allowed)
            fail_msg("%s", rows[i].method);
    policy_unref(p);
    p = load("allow: [{host: a, methods: [POST]}]");
    assert_int_equal(ask(p, "a", 443, POLICY_TLS, "post", "/").verdict, POLICY_DENY);
    policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_are_found_among_few_and_many),
        cmocka_unit_test(a_method_without_a_bit_is_compared_whole),
        cmocka_unit_test(a_denied_path_is_denied_with_its_slashes_encoded),
        cmocka_unit_test(a_star_of_a_deny_rule_takes_encoded_slashes_in),
        cmocka_unit_test(a_denied_path_is_denied_in_any_case_and_with_a_slash_behind),
        cmocka_unit_test(a_denied_method_is_denied_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
