/* test_policy.c - loading: the specification's example, settings, hash, references, files, a vault. */
#include "unit/egress/policy/load.h"
#include "unit/json.h"

#include <stdio.h>
#include <unistd.h>

/* boundary: "Policy", as it stands there. */
static const char example[] = "egress:\n"
                              "  allow:\n"
                              "    - host: api.github.com\n"
                              "      methods: [GET, POST]\n"
                              "      paths: [\"/repos/acme/**\"]\n"
                              "    - host: \"*.pypi.example\"\n"
                              "    - host: db.internal\n"
                              "      port: 5432\n"
                              "      addresses: [10.0.0.0/8]\n"
                              "    - host: deploy.internal\n"
                              "      ask: true\n"
                              "  credentials:\n"
                              "    - name: GITHUB_TOKEN\n"
                              "      source: { file: /run/secrets/github }\n"
                              "      hosts: [api.github.com, \"uploads.github.com:443\"]\n"
                              "      inject: { header: [authorization] }\n"
                              "      limits: { requests: 100/m, per_session: 1000 }\n"
                              "  upstream_proxy: http://proxy.corp:3128\n"
                              "  audit: { file: /var/log/sallyport/audit.jsonl }\n"
                              "  private_networks: deny\n"
                              "  dns: friendly\n";

static void more_ports_than_a_sandbox_has_sockets_for_are_refused(void **state)
{
    (void)state;
    for (unsigned n = 59; n <= 60; n++) { /* and 80 and 443 */
        AUTO_JSON json_t *ports = json_array(), *rule = json_object(), *section = json_object();
        for (unsigned i = 0; i < n; i++)
            json_array_append_new(ports, json_integer(1000 + i));
        json_put_str(rule, "host", "a.example");
        json_put(rule, "ports", json_incref(ports));
        AUTO_JSON json_t *allow = json_array();
        json_array_append(allow, rule);
        json_put(section, "allow", json_incref(allow));
        struct policy *p = NULL;
        struct err e = {.code = 0};
        int r = policy_new(section, "egress", NULL, &p, &e);
        if (n == 59) {
            const uint16_t *all;
            assert_int_equal(r, 0);
            assert_int_equal(policy_ports(p, &all), POLICY_PORTS_MAX);
        } else {
            assert_int_equal(r, -EINVAL);
            assert_non_null(strstr(e.msg, "name 62 ports, 80 and 443 included"));
        }
        policy_unref(p);
    }
}

static void ports_of_the_sandboxs_own_are_refused(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"{\"allow\":[{\"host\":\"a.example\",\"port\":53}]}", "port 53 cannot be reached"},
        {"{\"allow\":[{\"host\":\"a.example\",\"ports\":[443,3128]}]}", "port 3128 cannot be"},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO_JSON json_t *section = json_loads(texts[i][0], 0, NULL);
        struct policy *p = NULL;
        struct err e = {.code = 0};
        assert_int_equal(policy_new(section, "egress", NULL, &p, &e), -EINVAL);
        assert_non_null(strstr(e.msg, texts[i][1]));
    }
}

static void the_example_of_the_specification_loads(void **state)
{
    struct policy *p = load(example);
    const struct policy_credential *const *c;
    const uint16_t *ports;
    (void)state;
    assert_int_equal(policy_credentials(p, &c), 1);
    assert_string_equal(c[0]->name, "GITHUB_TOKEN");
    assert_int_equal(c[0]->line, 13);
    assert_int_equal(c[0]->n_hosts, 2);
    assert_int_equal(c[0]->hosts[1].port, 443);
    assert_int_equal(c[0]->n_places, 1);
    assert_string_equal(c[0]->places[0].name, "authorization");
    assert_int_equal(c[0]->limits.requests.count, 100);
    assert_int_equal(c[0]->limits.per_session, 1000);
    expect_json(c[0]->source, "{'file': '/run/secrets/github'}");
    const struct policy_settings *s = policy_settings(p);
    assert_string_equal(s->proxy->host.text, "proxy.corp");
    assert_int_equal(s->proxy->port, 3128);
    assert_string_equal(s->audit_file, "/var/log/sallyport/audit.jsonl");
    assert_false(s->observe || s->inspect || s->dns_strict);
    assert_int_equal(s->ask_timeout_ms, 300000);
    assert_int_equal(policy_ports(p, &ports), 3);
    assert_int_equal(ports[0], 80);
    assert_int_equal(ports[2], 5432);
    struct policy_decision d = ask(p, "api.github.com", 443, POLICY_TLS, "GET", "/repos/acme/x");
    assert_int_equal(d.rule->line, 3);
    policy_unref(p);
}

static void the_hash_is_of_what_is_said_not_how(void **state)
{
    struct policy *a = load("allow:\n  - {host: a, port: 1}\nmode: enforce\n");
    struct policy *b = load("# a comment\nmode: enforce\nallow: [{port: 1, host: a}]\n");
    struct policy *c =
        load("{\"egress\": {\"mode\": \"enforce\", \"allow\": [{\"port\":1,\"host\":\"a\"}]}}");
    struct policy *d = load("allow:\n  - {host: a, port: 2}\nmode: enforce\n");
    (void)state;
    assert_int_equal(strlen(policy_hash(a)), 64);
    assert_string_equal(policy_hash(a), policy_hash(b));
    assert_string_equal(policy_hash(a), policy_hash(c));
    assert_string_not_equal(policy_hash(a), policy_hash(d));
    struct policy *empty = load("");
    /* sha256 of "{}" */
    assert_string_equal(policy_hash(empty),
                        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    policy_unref(a);
    policy_unref(b);
    policy_unref(c);
    policy_unref(d);
    policy_unref(empty);
}

static void a_connection_keeps_the_policy_it_was_decided_by(void **state)
{
    struct policy *p = load("allow: [a.example]");
    struct policy *kept = policy_ref(p);
    (void)state;
    policy_unref(p);
    assert_int_equal(ask(kept, "a.example", 443, 0, NULL, NULL).verdict, POLICY_ALLOW);
    policy_unref(kept);
    policy_unref(NULL);
}

static void a_vaults_credentials_come_on_top(void **state)
{
    struct policy *p = load("allow: [a.example, b.example]\ncredentials: [{name: A, source: {env: "
                            "A}, hosts: [a.example]}]");
    struct policy *with = NULL, *twice = NULL, *none = NULL;
    struct err e = {0};
    AUTO_JSON json_t *list = js("[{'type':'environment_variable','secret_name':'B','networking':{'"
                                "type':'limited','allowed_hosts':['b.example']}}]");
    AUTO_JSON json_t *more = js("[{'type':'environment_variable','secret_name':'C','networking':{'"
                                "type':'limited','allowed_hosts':['c.example']}}]");
    AUTO_JSON json_t *clash = js("[{'type':'environment_variable','secret_name':'C','networking':{'"
                                 "type':'limited','allowed_hosts':['a.example']}}]");
    (void)state;
    assert_int_equal(policy_with_vault(p, list, &with, &e), 0);
    assert_int_equal(policy_with_vault(with, more, &twice, &e), 0);
    assert_int_equal(policy_with_vault(p, clash, &none, &e), -E_PARSE);
    assert_null(none);
    assert_int_equal(ask(p, "b.example", 443, POLICY_TLS, NULL, NULL).n_candidates, 0);
    policy_unref(p);
    assert_string_not_equal(policy_hash(with), policy_hash(twice));
    policy_unref(with);
    assert_int_equal(ask(twice, "a.example", 443, POLICY_TLS, NULL, NULL).n_candidates, 1);
    struct policy_decision d = ask(twice, "b.example", 443, POLICY_TLS, NULL, NULL);
    assert_int_equal(d.verdict, POLICY_ALLOW);
    assert_string_equal(d.candidates[0].credential->name, "B");
    expect_json(d.candidates[0].credential->source, "{'vault': 'B'}");
    assert_int_equal(ask(twice, "c.example", 443, POLICY_TLS, NULL, NULL).verdict, POLICY_DENY);
    policy_unref(twice);
}

static void no_proxy_says_what_goes_direct(void **state)
{
    struct policy *p =
        load("upstream_proxy: {url: 'https://p.example:8443/', user: u, password: {env: PW}}\n"
             "no_proxy: ['*.corp', a.example, 10.0.0.0/8]");
    struct policy *bare = load("allow: [a.example]");
    struct host h;
    struct address a;
    (void)state;
    assert_true(policy_settings(p)->proxy->tls);
    assert_string_equal(policy_settings(p)->proxy->user, "u");
    assert_int_equal(address_parse("10.1.1.1", 8, &a, NULL), 0);
    assert_int_equal(host_parse("x.corp", 6, 0, &h, NULL), 0);
    assert_true(policy_goes_direct(p, &h, NULL));
    assert_int_equal(host_parse("b.example", 9, 0, &h, NULL), 0);
    assert_false(policy_goes_direct(p, &h, NULL));
    assert_true(policy_goes_direct(p, &h, &a));
    assert_true(policy_goes_direct(bare, &h, NULL));
    assert_int_equal(policy_settings(p)->proxy->names, POLICY_PROXY_NAMES_NEVER);
    policy_unref(p);
    p = load("upstream_proxy: {url: 'http://p.example:1', names: unresolved}");
    assert_int_equal(policy_settings(p)->proxy->names, POLICY_PROXY_NAMES_UNRESOLVED);
    policy_unref(p);
    p = load("upstream_proxy: {url: 'http://p.example:1', names: always}");
    assert_int_equal(policy_settings(p)->proxy->names, POLICY_PROXY_NAMES_ALWAYS);
    policy_unref(p);
    policy_unref(bare);
}

static void a_file_is_read_whole_or_refused_by_its_name(void **state)
{
    char path[] = "/tmp/policy-test-XXXXXX";
    int fd = mkstemp(path);
    struct policy *p = NULL;
    struct err e = {0};
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, example, strlen(example)), strlen(example));
    assert_int_equal(policy_read_file(path, &p, &e), 0);
    policy_unref(p);
    p = NULL;
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, "mode: x\n", 8, 0), 8);
    assert_int_equal(policy_read_file(path, &p, &e), -E_PARSE);
    assert_non_null(strstr(e.msg, path));
    assert_non_null(strstr(e.msg, "egress.mode"));
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(policy_read_file(path, &p, &e), -ENOENT);
    assert_int_equal(policy_read_file("/tmp", &p, &e), -EINVAL);
    assert_null(p);
}

static void one_host_has_a_bounded_number_of_rules(void **state)
{
    AUTO(buf) b = BUF_INIT(1 << 20);
    struct policy *p = NULL;
    struct err e = {0};
    (void)state;
    (void)buf_adds(&b, "{\"allow\":[\"a\"");
    for (unsigned i = 1; i < POLICY_RULES_OF_HOST_MAX; i++)
        (void)buf_adds(&b, ",\"a\"");
    size_t n = b.len;
    (void)buf_adds(&b, "]}");
    assert_int_equal(policy_parse(buf_str(&b), b.len, &p, &e), 0);
    policy_unref(p);
    b.len = n;
    (void)buf_adds(&b, ",\"a\"]}");
    assert_int_equal(policy_parse(buf_str(&b), b.len, &p, &e), -E_PARSE);
    assert_string_equal(e.msg, "egress.allow: a has 1025 rules, at most 1024 are allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_specification_loads),
        cmocka_unit_test(more_ports_than_a_sandbox_has_sockets_for_are_refused),
        cmocka_unit_test(ports_of_the_sandboxs_own_are_refused),
        cmocka_unit_test(the_hash_is_of_what_is_said_not_how),
        cmocka_unit_test(a_connection_keeps_the_policy_it_was_decided_by),
        cmocka_unit_test(a_vaults_credentials_come_on_top),
        cmocka_unit_test(no_proxy_says_what_goes_direct),
        cmocka_unit_test(a_file_is_read_whole_or_refused_by_its_name),
        cmocka_unit_test(one_host_has_a_bounded_number_of_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
