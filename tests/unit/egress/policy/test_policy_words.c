/* test_policy_words.c - what is wrong is said with its field, its line and what to do. */
#include "unit/egress/policy/load.h"

static void every_error_names_the_field_and_the_line(void **state)
{
    static const struct {
        const char *yaml, *words;
    } rows[] = {
        {"allows: []", "egress.allows (line 1): there is no such field; did you mean \"allow\"?"},
        {"zzzzzz: []", "egress.zzzzzz (line 1): there is no such field of egress"},
        {"allow: a.example", "egress.allow (line 1): a list is expected"},
        {"allow:\n  - a.example\n  - hosts: b\n",
         "egress.allow[1].hosts (line 3): there is no such field; did you mean \"host\"?"},
        {"allow:\n  - {port: 80}\n", "egress.allow[0].host (line 2): is missing"},
        {"allow:\n  - 17\n", "egress.allow[0] (line 2): an object is expected"},
        {"allow:\n  - {host: 1.2}\n",
         "egress.allow[0].host (line 2): a text is expected (quote it)"},
        {"allow:\n  - {host: '127.1'}\n", "egress.allow[0].host (line 2): \"127.1\" is not a host: "
                                          "it ends in a number, so some would read an address"},
        {"allow:\n  - {host: 'a:80'}\n", "egress.allow[0].host (line 2): \"a:80\" is not a host: a "
                                         "scheme, user, port or path has no place in a host"},
        {"allow:\n  - host: a\n    port: 0\n",
         "egress.allow[0].port (line 3): a number from 1 to 65535 is expected"},
        {"allow:\n  - host: a\n    port: 1\n    ports: [2]\n",
         "egress.allow[0].port (line 3): give \"port\" or \"ports\", not both"},
        {"allow:\n  - host: a\n    ports: []\n",
         "egress.allow[0].ports (line 3): is empty; leave it out for the default"},
        {"allow:\n  - host: a\n    methods: [get]\n",
         "egress.allow[0].methods[0] (line 3): a method is expected, in upper case: GET, POST, "
         "..."},
        {"allow:\n  - host: a\n    paths: [x]\n",
         "egress.allow[0].paths[0] (line 3): the pattern does not begin with a slash"},
        {"allow:\n  - host: a\n    ask: yes\n",
         "egress.allow[0].ask (line 3): true or false is expected"},
        {"allow:\n  - host: a\n    addresses: [10.0.0.1/8]\n",
         "egress.allow[0].addresses[0] (line 3): the network begins at 10.0.0.0/8"},
        {"allow:\n  - host: '*.a'\n    addresses: [169.254.169.254]\n",
         "egress.allow[0].addresses[0] (line 3): a wildcard cannot open a metadata address; name "
         "the host"},
        {"allow:\n  - host: a\n    limits: {requests: 0/m}\n",
         "egress.allow[0].limits.requests (line 3): a rate is expected: a number and /s, /m, /h or "
         "/d, as in \"100/m\""},
        {"allow:\n  - host: a\n    limits: {per_second: 1}\n",
         "egress.allow[0].limits.per_second (line 3): there is no such field of allow[].limits"},
        {"deny:\n  - host: a\n    ask: true\n",
         "egress.deny[0].ask (line 3): there is no such field of deny[]"},
        {"mode: learn", "egress.mode (line 1): one of enforce, observe is expected"},
        {"dns: 1", "egress.dns (line 1): one of friendly, strict is expected"},
        {"ask_timeout: 5", "egress.ask_timeout (line 1): a duration is expected: 1 to 366 and s, "
                           "m, h or d, as in \"5m\""},
        {"upstream_proxy: socks5://p:1",
         "egress.upstream_proxy (line 1): http://host:port or https://host:port is expected"},
        {"upstream_proxy: 'http://u:p@h:1'", "egress.upstream_proxy (line 1): a URL names no user; "
                                             "give \"user\" and a source for \"password\""},
        {"upstream_proxy: http://h",
         "egress.upstream_proxy (line 1): a port is expected: proxies have no usual one"},
        {"upstream_proxy: {url: 'http://h:1', user: u}",
         "egress.upstream_proxy (line 1): \"user\" and \"password\" come together"},
        {"upstream_proxy: {url: 'http://h:1', names: yes}",
         "egress.upstream_proxy.names (line 1): one of never, unresolved, always is expected"},
        {"no_proxy: ['a b']", "egress.no_proxy[0] (line 1): \"a b\" is not a host: a name has "
                              "letters, digits, '-' and '_' only"},
        {"audit: {}", "egress.audit.file (line 1): is missing"},
        {"audit: {file: a, otlp: b}", "egress.audit.otlp (line 1): an object is expected"},
        {"audit: {file: a, otlp: {}}", "egress.audit.otlp.endpoint (line 1): is missing"},
        {"audit: {file: a, otlp: {endpoint: 'https://o', headers: [x]}}",
         "egress.audit.otlp.headers (line 1): at most 8 headers are expected, as {authorization: "
         "{file: PATH}}"},
        {"audit: {file: a, otlp: {endpoint: 'https://o', headers: {x: y}}}",
         "egress.audit.otlp.headers.x (line 1): the source of a secret is expected, as {file: "
         "PATH}"},
        {"audit: {file: a, otlp: {endpoint: 'https://o', token: y}}",
         "egress.audit.otlp.token (line 1): there is no such field of "
         "audit.otlp"},
        {"nameservers: [dns.example]",
         "egress.nameservers[0] (line 1): an address is expected: names need a name server"},
        {"nameservers: []", "egress.nameservers (line 1): at least one is expected"},
        {"ca_file: corp.pem", "egress.ca_file (line 1): must be an absolute path"},
        {"audit: {file: a, otlp: {endpoint: 'https://o', ca_file: corp.pem}}",
         "egress.audit.otlp.ca_file (line 1): must be an absolute path"},
        {"ca_file: ''", "egress.ca_file (line 1): a text of 1 to 4095 bytes is expected"},
        {"credentials:\n  - name: A\n",
         "egress.credentials[0].source (line 2): is missing: where is the secret?"},
        {"credentials:\n  - name: 1A\n    source: {env: A}\n    hosts: [a]\n",
         "egress.credentials[0].name (line 2): the name of an environment variable is expected"},
        {"credentials:\n  - {name: PATH, source: {env: A}, hosts: [a]}\n",
         "egress.credentials[0].name (line 2): PATH means something to programs in the sandbox; "
         "give the credential another name"},
        {"credentials:\n  - {name: LD_PRELOAD, source: {env: A}, hosts: [a]}\n",
         "egress.credentials[0].name (line 2): LD_PRELOAD means something to programs in the "
         "sandbox; give the credential another name"},
        {"credentials:\n  - {name: SSL_CERT_FILE, source: {env: A}, hosts: [a]}\n",
         "egress.credentials[0].name (line 2): SSL_CERT_FILE means something to programs in the "
         "sandbox; give the credential another name"},
        {"credentials:\n  - name: A\n    source: {env: A}\n    hosts: ['*']\n",
         "egress.credentials[0].hosts[0] (line 4): a credential belongs to hosts; \"*\" would send "
         "it to any"},
        {"credentials:\n  - name: A\n    source: {env: A}\n    hosts: [a]\n    inject: {aws_sigv4: "
         "{}}\n",
         "egress.credentials[0].inject.aws_sigv4 (line 5): is not built yet"},
        {"credentials:\n  - name: A\n    source: {env: A}\n    hosts: [a]\n    inject: {cookie: "
         "x}\n",
         "egress.credentials[0].inject.cookie (line 5): there is no such field of "
         "credentials[].inject"},
        {"credentials:\n  - name: A\n    source: {env: A}\n    hosts: [a]\n    inject: {header: "
         "[host]}\n",
         "egress.credentials[0].inject.header[0] (line 5): this header cannot hold a credential"},
        {"credentials:\n  - name: A\n    source: {env: A}\n    hosts: [a]\n    inject: {add: "
         "{authorization: Bearer}}\n",
         "egress.credentials[0].inject.add.authorization (line 5): the text has \"{secret}\" "
         "exactly once, as in \"Bearer {secret}\""},
        {"egress: {}\ndeny: [a.example]\n",
         "\"deny\" stands beside \"egress\", and belongs into it"},
        {"{\"allow\": [{\"host\": \"a\", \"prot\": 1}]}",
         "egress.allow[0].prot: there is no such field; did you mean \"port\"?"},
        {"a: &x 1", "line 1 column 4: anchors are not supported; write the value itself"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        refuse(rows[i].yaml, rows[i].words);
}

static void an_error_does_not_show_what_was_pasted(void **state)
{
    struct policy *p = NULL;
    struct err e = {0};
    static const char text[] =
        "credentials:\n  - name: A\n    source: ghp_sEcReT\n    hosts: [a]\n";
    (void)state;
    assert_int_equal(policy_parse(text, strlen(text), &p, &e), -E_PARSE);
    assert_null(strstr(e.msg, "sEcReT"));
    static const char vault[] =
        "credentials:\n  - type: environment_variable\n    secret_value: sEcReT\n";
    assert_int_equal(policy_parse(vault, strlen(vault), &p, &e), -E_PARSE);
    assert_null(strstr(e.msg, "sEcReT"));
    assert_non_null(strstr(e.msg, "secret_value (line 3): a secret has no place in a policy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_names_the_field_and_the_line),
        cmocka_unit_test(an_error_does_not_show_what_was_pasted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
