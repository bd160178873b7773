/* test_warnings.c - what is loud about a policy. */
#include "unit/egress/policy/load.h"

static void expect(const char *yaml, const char *words)
{
    struct policy *p = load(yaml);
    AUTO(buf) b = BUF_INIT(1 << 16);
    policy_warnings(p, &b);
    assert_string_equal(buf_str(&b), words);
    policy_unref(p);
}

static void a_plain_policy_is_quiet(void **state)
{
    (void)state;
    expect("", "");
    expect("allow: [a.example, '*.b.example']\n"
           "credentials: [{name: A, source: {env: A}, hosts: [a.example, x.b.example, "
           "'*.b.example', '*.c.b.example']}]",
           "");
}

static void each_open_door_is_named(void **state)
{
    (void)state;
    expect("mode: observe\nprivate_networks: allow\n"
           "allow:\n  - '*'\n  - '*.com'\n  - {host: m, addresses: [169.254.169.254]}\n  - {host: "
           "n, addresses: [0.0.0.0/0]}\n",
           "mode is observe: hosts that no rule names are let through\n"
           "private_networks is allow: names may lead into private networks\n"
           "egress.allow[0] (line 4): *, ports 80 and 443: every name is allowed; a name itself "
           "can carry data out\n"
           "egress.allow[1] (line 5): *.com, ports 80 and 443: the wildcard is of a whole "
           "top-level domain\n"
           "egress.allow[2] (line 6): m, ports 80 and 443: opens a cloud's metadata service\n"
           "egress.allow[3] (line 7): n, ports 80 and 443: opens every address, loopback and "
           "link-local ones, too\n");
}

static void a_credential_without_a_rule_is_named(void **state)
{
    (void)state;
    expect("allow: [a.example]\ncredentials: [{name: A, source: {env: A}, hosts: [b.example, "
           "'*.c.example', '*.example'], plaintext: true}]",
           "credential A: no rule allows b.example\n"
           "credential A: no rule allows *.c.example\n"
           "credential A: is sent over unencrypted connections, too\n");
}

static void there_are_not_too_many(void **state)
{
    AUTO(buf) text = BUF_INIT(1 << 16);
    AUTO(buf) b = BUF_INIT(1 << 16);
    (void)state;
    (void)buf_adds(&text, "allow:\n");
    for (int i = 0; i < 60; i++)
        (void)buf_addf(&text, "  - '*.t%dx'\n", i);
    struct policy *p = load(buf_str(&text));
    policy_warnings(p, &b);
    size_t lines = 0;
    for (size_t i = 0; i < b.len; i++)
        lines += b.data[i] == '\n';
    assert_int_equal(lines, 51);
    policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_policy_is_quiet),
        cmocka_unit_test(each_open_door_is_named),
        cmocka_unit_test(a_credential_without_a_rule_is_named),
        cmocka_unit_test(there_are_not_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
