/* test_decide.c - which rule decides, what has to be seen, which credential fits, which address. */
#include "unit/egress/policy/load.h"
#include "egress/policy/explain.h"

static const char mixed[] = "allow:\n"
                            "  - host: api.github.com\n"
                            "    methods: [GET, POST]\n"
                            "    paths: ['/repos/acme/**']\n"
                            "  - host: '*.pypi.example'\n"
                            "  - {host: db.internal, port: 5432, addresses: [10.0.0.0/8]}\n"
                            "  - {host: deploy.internal, ask: true}\n"
                            "  - plain.example\n"
                            "  - {host: tls.example, plaintext: false}\n"
                            "deny:\n"
                            "  - bad.pypi.example\n"
                            "  - {host: api.github.com, paths: ['/repos/acme/secret/**']}\n";

static void a_table_of_questions_has_its_answers(void **state)
{
    static const struct {
        const char *host, *method, *path;
        unsigned port;
        enum policy_transport t;
        enum policy_verdict verdict;
        enum policy_why why;
        bool intercept;
    } rows[] = {
        {"other.example", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_DENY, POLICY_WHY_NO_RULE, false},
        {"plain.example", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_ALLOW, POLICY_WHY_RULE, false},
        {"plain.example", NULL, NULL, 80, POLICY_PLAIN, POLICY_ALLOW, POLICY_WHY_RULE, false},
        {"plain.example", NULL, NULL, 8080, POLICY_UNKNOWN, POLICY_DENY, POLICY_WHY_PORT, false},
        {"x.plain.example", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_DENY, POLICY_WHY_NO_RULE,
         false},
        {"tls.example", NULL, NULL, 80, POLICY_PLAIN, POLICY_DENY, POLICY_WHY_PLAINTEXT, false},
        {"tls.example", NULL, NULL, 443, POLICY_TLS, POLICY_ALLOW, POLICY_WHY_RULE, false},
        {"api.github.com", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_ALLOW, POLICY_WHY_RULE, true},
        {"api.github.com", "GET", "/repos/acme/web", 443, POLICY_TLS, POLICY_ALLOW, POLICY_WHY_RULE,
         false},
        {"api.github.com", "HEAD", "/repos/acme/web?q=1", 443, POLICY_TLS, POLICY_ALLOW,
         POLICY_WHY_RULE, false},
        {"api.github.com", "DELETE", "/repos/acme/web", 443, POLICY_TLS, POLICY_DENY,
         POLICY_WHY_METHOD, false},
        {"api.github.com", "get", "/repos/acme/web", 443, POLICY_TLS, POLICY_DENY,
         POLICY_WHY_METHOD, false},
        {"api.github.com", "GET", "/user", 443, POLICY_TLS, POLICY_DENY, POLICY_WHY_PATH, false},
        {"api.github.com", "GET", "/repos/acme/../evil", 443, POLICY_TLS, POLICY_DENY,
         POLICY_WHY_PATH_AMBIGUOUS, false},
        {"api.github.com", "GET", "/repos/acme%2Fweb", 443, POLICY_TLS, POLICY_DENY,
         POLICY_WHY_PATH, false},
        {"api.github.com", "GET", "/repos/acme/secret/x", 443, POLICY_TLS, POLICY_DENY,
         POLICY_WHY_DENIED, false},
        {"api.github.com", "GET", "/repos/acme/secret%2Fx", 443, POLICY_TLS, POLICY_DENY,
         POLICY_WHY_DENIED, false},
        {"a.pypi.example", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_ALLOW, POLICY_WHY_RULE, false},
        {"c.b.a.pypi.example", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_ALLOW, POLICY_WHY_RULE,
         false},
        {"e.d.c.b.a.pypi.example", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_DENY, POLICY_WHY_NAME,
         false},
        {"pypi.example", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_DENY, POLICY_WHY_NO_RULE, false},
        {"bad.pypi.example", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_DENY, POLICY_WHY_DENIED,
         false},
        {"db.internal", NULL, NULL, 5432, POLICY_PLAIN, POLICY_ALLOW, POLICY_WHY_RULE, false},
        {"db.internal", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_DENY, POLICY_WHY_PORT, false},
        {"deploy.internal", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_ASK, POLICY_WHY_RULE, false},
        {"10.0.0.1", NULL, NULL, 443, POLICY_UNKNOWN, POLICY_DENY, POLICY_WHY_NO_RULE, false},
    };
    struct policy *p = load(mixed);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_decision d =
            ask(p, rows[i].host, rows[i].port, rows[i].t, rows[i].method, rows[i].path);
        if (d.verdict != rows[i].verdict || d.why != rows[i].why ||
            (!rows[i].method && d.intercept != rows[i].intercept))
            fail_msg("row %zu (%s): %s, why %d, intercept %d", i, rows[i].host,
                     explain_verdict(d.verdict), d.why, d.intercept);
        assert_int_equal(d.rule != NULL, rows[i].verdict != POLICY_DENY ||
                                             d.why == POLICY_WHY_DENIED ||
                                             d.why == POLICY_WHY_PATH_AMBIGUOUS);
    }
    policy_unref(p);
}

static void a_rule_that_limits_requests_has_them_counted(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        bool counted;
    } rows[] = {
        {"allow: [{host: a.example, limits: {requests: 2/m}}]", true},
        {"allow: [{host: a.example, limits: {per_session: 1}}]", true},
        {"allow: [{host: a.example, methods: [GET], limits: {per_session: 1}}]", true},
        {"allow: [{host: '*.example', limits: {names: 5/m}}]", false},
        {"allow: [a.example]", false},
        {"allow: [a.example, {host: '*.example', limits: {per_session: 1}}]", false},
        {"mode: observe", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy *p = load(rows[i].policy);
        if (ask(p, "a.example", 443, 0, NULL, NULL).counted != rows[i].counted)
            fail_msg("%s", rows[i].policy);
        policy_unref(p);
    }
}

static void a_long_name_under_a_wildcard_is_refused(void **state)
{
    struct policy *p =
        load("allow: [{host: '*.a.example', limits: {bytes: 10, labels: 2, names: 5/m}}]");
    (void)state;
    struct policy_decision d = ask(p, "0123456789.a.example", 443, 0, NULL, NULL);
    assert_int_equal(d.verdict, POLICY_ALLOW);
    assert_true(d.under_wildcard);
    assert_int_equal(d.rule->limits.names.count, 5);
    assert_int_equal(d.rule->limits.names.window_ms, 60000);
    assert_int_equal(ask(p, "01234567890.a.example", 443, 0, NULL, NULL).why, POLICY_WHY_NAME);
    assert_int_equal(ask(p, "a.b.a.example", 443, 0, NULL, NULL).verdict, POLICY_ALLOW);
    assert_int_equal(ask(p, "a.b.c.a.example", 443, 0, NULL, NULL).why, POLICY_WHY_NAME);
    policy_unref(p);
}

static void the_most_exact_rule_decides_and_every_rule_adds(void **state)
{
    struct policy *p = load("allow:\n"
                            "  - '*'\n"
                            "  - '*.example'\n"
                            "  - {host: '*.a.example', ask: true}\n"
                            "  - {host: x.a.example, methods: [GET], inspect: true}\n"
                            "  - {host: x.a.example, inspect: true, port: 8080}\n");
    (void)state;
    struct policy_decision d = ask(p, "x.a.example", 443, 0, NULL, NULL);
    assert_int_equal(d.rule->position, 3);
    assert_true(d.intercept);
    assert_int_equal(d.verdict, POLICY_ALLOW);
    assert_int_equal(ask(p, "x.a.example", 443, 0, "GET", "/").rule->position, 3);
    d = ask(p, "x.a.example", 443, 0, "POST", "/");
    assert_int_equal(d.rule->position, 2);
    assert_int_equal(d.verdict, POLICY_ASK);
    d = ask(p, "x.a.example", 8080, 0, NULL, NULL);
    assert_int_equal(d.rule->position, 4);
    assert_true(d.intercept);
    assert_int_equal(ask(p, "y.a.example", 443, 0, NULL, NULL).rule->position, 2);
    assert_int_equal(ask(p, "y.b.example", 443, 0, NULL, NULL).rule->position, 1);
    assert_int_equal(ask(p, "a.example", 443, 0, NULL, NULL).rule->position, 1);
    assert_int_equal(ask(p, "other.test", 443, 0, NULL, NULL).rule->position, 0);
    assert_int_equal(ask(p, "93.184.216.34", 443, 0, NULL, NULL).verdict, POLICY_DENY);
    policy_unref(p);
}

static void denial_wins_over_everything(void **state)
{
    struct policy *p = load("mode: observe\n"
                            "allow: [a.example, {host: b.example}]\n"
                            "deny:\n"
                            "  - '*.example'\n"
                            "  - {host: a.example, methods: [DELETE]}\n"
                            "  - {host: a.example, port: 80}\n"
                            "  - {host: c.test, paths: ['/admin/**']}\n");
    (void)state;
    struct policy_decision d = ask(p, "b.example", 443, 0, NULL, NULL);
    assert_int_equal(d.verdict, POLICY_DENY);
    assert_int_equal(d.why, POLICY_WHY_DENIED);
    assert_int_equal(d.rule->position, 0);
    assert_int_equal(ask(p, "z.example", 443, 0, NULL, NULL).verdict, POLICY_DENY);
    d = ask(p, "c.test", 443, 0, NULL, NULL);
    assert_int_equal(d.verdict, POLICY_OBSERVE);
    assert_true(d.intercept);
    assert_int_equal(ask(p, "c.test", 443, 0, "GET", "/admin/x").verdict, POLICY_DENY);
    assert_int_equal(ask(p, "c.test", 443, 0, "GET", "/a/../admin/x").verdict, POLICY_DENY);
    assert_int_equal(ask(p, "c.test", 443, 0, "GET", "/x").verdict, POLICY_OBSERVE);
    policy_unref(p);
}

static const char keyed[] = "allow: [api.example, up.example, '*.up.example', free.example]\n"
                            "credentials:\n"
                            "  - name: TOKEN\n"
                            "    source: {env: T}\n"
                            "    hosts: [api.example, 'up.example:8443', '*.up.example']\n"
                            "  - name: WRITE\n"
                            "    source: {env: W}\n"
                            "    hosts: [api.example]\n"
                            "    methods: [POST]\n"
                            "    paths: ['/w/**']\n"
                            "    inject: {query: [key]}\n"
                            "  - name: PLAIN\n"
                            "    source: {env: P}\n"
                            "    plaintext: true\n"
                            "    hosts: [up.example]\n";

static void credentials_are_told_with_how_they_fit(void **state)
{
    struct policy *p = load(keyed);
    (void)state;
    struct policy_decision d = ask(p, "api.example", 443, POLICY_TLS, NULL, NULL);
    assert_true(d.intercept);
    assert_int_equal(d.n_candidates, 2);
    assert_string_equal(d.candidates[0].credential->name, "TOKEN");
    assert_int_equal(d.candidates[0].fit, POLICY_FIT);
    assert_int_equal(d.candidates[1].fit, POLICY_FIT_LATER);
    d = ask(p, "api.example", 443, POLICY_TLS, "POST", "/w/x");
    assert_int_equal(d.candidates[1].fit, POLICY_FIT);
    d = ask(p, "api.example", 443, POLICY_TLS, "GET", "/w/x");
    assert_int_equal(d.candidates[1].fit, POLICY_FIT_METHOD);
    d = ask(p, "api.example", 443, POLICY_TLS, "POST", "/w/../x");
    assert_int_equal(d.verdict, POLICY_ALLOW); /* no rule of the host is about paths */
    assert_int_equal(d.candidates[1].fit, POLICY_FIT_PATH);
    d = ask(p, "api.example", 80, POLICY_PLAIN, "GET", "/");
    assert_int_equal(d.candidates[0].fit, POLICY_FIT_PORT);
    assert_true(d.intercept);
    d = ask(p, "api.example", 443, POLICY_PLAIN, "GET", "/");
    assert_int_equal(d.candidates[0].fit, POLICY_FIT_PLAINTEXT);
    d = ask(p, "up.example", 80, POLICY_PLAIN, "GET", "/");
    assert_int_equal(d.n_candidates, 2);
    assert_int_equal(d.candidates[0].fit, POLICY_FIT_PORT);
    assert_string_equal(d.candidates[1].credential->name, "PLAIN");
    assert_int_equal(d.candidates[1].fit, POLICY_FIT);
    d = ask(p, "up.example", 8443, POLICY_TLS, "GET", "/");
    assert_int_equal(d.verdict, POLICY_DENY); /* no rule names the port */
    assert_int_equal(d.candidates[0].fit, POLICY_FIT_VERDICT);
    d = ask(p, "free.example", 443, POLICY_TLS, NULL, NULL);
    assert_false(d.intercept);
    assert_int_equal(d.n_candidates, 0);
    d = ask(p, "x.up.example", 443, POLICY_TLS, NULL, NULL);
    assert_int_equal(d.n_candidates, 1);
    policy_unref(p);
}

static void more_credentials_than_can_be_told_deny(void **state)
{
    (void)state;
    for (int n = POLICY_CANDIDATES_MAX; n <= POLICY_CANDIDATES_MAX + 1; n++) {
        AUTO(buf) text = BUF_INIT(1 << 16);
        (void)buf_adds(&text, "allow: [a.example]\ncredentials:\n");
        for (int i = 0; i < n; i++)
            (void)buf_addf(
                &text, "  - {name: A%d, source: {env: A}, hosts: [%s], inject: {header: [x-%d]}}\n",
                i, i % 2 ? "a.example" : "'*.example'", i);
        struct policy *p = load(buf_str(&text));
        struct policy_decision d = ask(p, "a.example", 443, POLICY_TLS, "GET", "/");
        bool fits = n == POLICY_CANDIDATES_MAX;
        assert_int_equal(d.verdict, fits ? POLICY_ALLOW : POLICY_DENY);
        assert_int_equal(d.why, fits ? POLICY_WHY_RULE : POLICY_WHY_CREDENTIALS);
        assert_int_equal(d.n_candidates, POLICY_CANDIDATES_MAX);
        for (size_t i = 0; i < d.n_candidates; i++)
            assert_int_equal(d.candidates[i].fit, fits ? POLICY_FIT : POLICY_FIT_VERDICT);
        assert_string_equal(d.candidates[0].credential->name,
                            "A1"); /* the exact host comes first */
        policy_unref(p);
    }
}

static void observed_hosts_pass_without_a_credential(void **state)
{
    struct policy *p =
        load("mode: observe\ncredentials: [{name: A, source: {env: A}, hosts: [a.example]}]");
    (void)state;
    struct policy_decision d = ask(p, "a.example", 443, POLICY_TLS, "GET", "/");
    assert_int_equal(d.verdict, POLICY_OBSERVE);
    assert_int_equal(d.candidates[0].fit, POLICY_FIT_VERDICT);
    assert_null(d.rule);
    policy_unref(p);
}

static struct err said; /* by the last one that was refused */

static int at_address(const struct policy *p, const char *host, const char *address,
                      const struct cidr_list *own)
{
    struct host h;
    struct address a;
    struct err e = {0};
    said = e;
    assert_int_equal(host_parse(host, strlen(host), HOST_LITERALS, &h, NULL), 0);
    if (address_parse(address, strlen(address), &a, &e) < 0)
        fail_msg("%s: %s", address, e.msg);
    struct policy_decision d = ask(p, host, 443, POLICY_TLS, NULL, NULL);
    return policy_check_address(p, &d, &h, &a, own, &said);
}

static const char addressed[] =
    "allow:\n"
    "  - pub.example\n"
    "  - {host: db.example, addresses: [10.0.0.0/8, '127.0.0.1', 'fd00::/8']}\n"
    "  - {host: meta.example, addresses: [169.254.169.254]}\n"
    "  - {host: wide.example, addresses: [169.254.0.0/16, 0.0.0.0/0, '::/0']}\n"
    "  - {host: '*.w.example', addresses: [10.0.0.0/8, 0.0.0.0/0]}\n"
    "  - 10.1.2.3\n"
    "  - 169.254.169.254\n"
    "  - 127.0.0.1\n"
    "  - '*'\n";

static void an_address_is_connected_to_only_if_named(void **state)
{
    static const struct {
        const char *host, *address;
        bool may;
    } rows[] = {
        {"pub.example", "93.184.216.34", true},
        {"pub.example", "2606:2800:220:1::1", true},
        {"pub.example", "10.0.0.1", false},
        {"pub.example", "127.0.0.1", false},
        {"pub.example", "169.254.169.254", false},
        {"pub.example", "::1", false},
        {"pub.example", "0.0.0.0", false},
        {"pub.example", "64:ff9b::a00:1", false},
        {"pub.example", "64:ff9b::808:808", true},
        {"pub.example", "2002:a9fe:a9fe::1", false},
        {"pub.example", "198.18.0.1", false},
        {"pub.example", "224.0.0.1", false},
        {"db.example", "10.9.9.9", true},
        {"db.example", "127.0.0.1", true},
        {"db.example", "127.0.0.2", false},
        {"db.example", "192.168.0.1", false},
        {"db.example", "93.184.216.34", true},
        {"db.example", "64:ff9b::a00:1", false},
        {"db.example", "fd00:ec2::254", false},
        {"db.example", "fd00::1", true},
        {"meta.example", "169.254.169.254", true},
        {"meta.example", "169.254.170.2", false},
        {"wide.example", "169.254.169.254", false},
        {"wide.example", "169.254.1.1", true},
        {"wide.example", "100.100.100.200", false},
        {"wide.example", "224.0.0.1", false},
        {"wide.example", "0.0.0.0", false},
        {"wide.example", "127.0.0.1", true},
        {"x.w.example", "10.0.0.1", true},
        {"x.w.example", "169.254.169.254", false},
        {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.3", "10.1.2.4", false},
        {"169.254.169.254", "169.254.169.254", false},
        {"127.0.0.1", "127.0.0.1", false},
        {"any.test", "10.0.0.1", false},
        {"any.test", "93.184.216.34", true},
    };
    struct policy *p = load(addressed);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if ((at_address(p, rows[i].host, rows[i].address, NULL) == 0) != rows[i].may)
            fail_msg("%s at %s", rows[i].host, rows[i].address);
    struct cidr mine[] = {{.bits = 128}, {.bits = 128}};
    struct cidr_list own = {mine, 2};
    assert_int_equal(address_parse("10.0.0.7", 8, &mine[0].net, NULL), 0);
    assert_int_equal(address_parse("93.184.216.34", 13, &mine[1].net, NULL), 0);
    assert_int_equal(at_address(p, "pub.example", "93.184.216.34", &own), -E_DENIED);
    assert_int_equal(at_address(p, "x.w.example", "10.0.0.7", &own), -E_DENIED);
    assert_non_null(strstr(said.msg, "a rule that names the host without a wildcard opens it"));
    assert_int_equal(at_address(p, "pub.example", "10.1.1.1", NULL), -E_DENIED);
    assert_non_null(strstr(said.msg, "a rule opens it with \"addresses\""));
    assert_int_equal(at_address(p, "db.example", "10.0.0.7", &own), 0);
    policy_unref(p);

    p = load("private_networks: allow\nallow: [a.example, '*.b.example']");
    assert_int_equal(at_address(p, "a.example", "10.0.0.1", NULL), 0);
    assert_int_equal(at_address(p, "a.example", "100.64.0.1", NULL), 0);
    assert_int_equal(at_address(p, "a.example", "127.0.0.1", NULL), -E_DENIED);
    assert_int_equal(at_address(p, "a.example", "169.254.169.254", NULL), -E_DENIED);
    assert_int_equal(at_address(p, "x.b.example", "10.0.0.1", NULL), -E_DENIED);
    assert_int_equal(at_address(p, "none.example", "93.184.216.34", NULL), -E_DENIED);
    policy_unref(p);
}

static void a_policy_that_says_nothing_denies(void **state)
{
    static const char *const texts[] = {"", "{}", "egress:\n", "egress: {}",
                                        "{\"egress\": {\"allow\": []}}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct policy *p = load(texts[i]);
        assert_int_equal(ask(p, "a.example", 443, POLICY_TLS, "GET", "/").verdict, POLICY_DENY);
        struct host none = {0};
        struct policy_decision d;
        policy_decide(p, &(struct policy_query){.host = &none, .port = 443}, &d);
        assert_int_equal(d.verdict, POLICY_DENY);
        policy_unref(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_of_questions_has_its_answers),
        cmocka_unit_test(a_rule_that_limits_requests_has_them_counted),
        cmocka_unit_test(a_long_name_under_a_wildcard_is_refused),
        cmocka_unit_test(the_most_exact_rule_decides_and_every_rule_adds),
        cmocka_unit_test(denial_wins_over_everything),
        cmocka_unit_test(credentials_are_told_with_how_they_fit),
        cmocka_unit_test(more_credentials_than_can_be_told_deny),
        cmocka_unit_test(observed_hosts_pass_without_a_credential),
        cmocka_unit_test(an_address_is_connected_to_only_if_named),
        cmocka_unit_test(a_policy_that_says_nothing_denies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
