/* test_config.c - both forms of a gateway's file, every field, and files that are none. */
#include "unit/tunnel/gateway/config_load.h"
#include "base/limits.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every field of the published form. */
static const char published[] = "listen_addr: \":8080\"\n"
                                "log_level: debug\n"
                                "shutdown_timeout: 1m30s\n"
                                "tunnel_domain: t-1234.tunnel.example\n"
                                "tls:\n"
                                "  cert_file: /etc/mcp-gateway/tls/tls.crt\n"
                                "  key_file: /etc/mcp-gateway/tls/tls.key\n"
                                "routes:\n"
                                "  wiki: http://wiki.internal:9000\n"
                                "  Tickets.Example: https://10.0.3.7:8443\n"
                                "upstream:\n"
                                "  allowed_ips: [10.0.0.0/8, 192.168.7.1]\n"
                                "  disable_ip_validation: false\n"
                                "  tls:\n"
                                "    ca_file: /etc/mcp-gateway/ca.pem\n"
                                "    include_system_cas: true\n";

static void the_published_form_is_read(void **state)
{
    struct gateway_config *c = load(published);
    (void)state;
    assert_true(c->listen.every);
    assert_int_equal(c->listen.port, 8080);
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_int_equal(c->shutdown_timeout_ms, 90000);
    assert_string_equal(c->tunnel_domain.text, "t-1234.tunnel.example");
    assert_string_equal(c->cert_file, "/etc/mcp-gateway/tls/tls.crt");
    assert_string_equal(c->key_file, "/etc/mcp-gateway/tls/tls.key");
    assert_int_equal(c->n_routes, 2);
    assert_string_equal(c->routes[0].host.text, "wiki");
    assert_int_equal(c->routes[0].line, 9);
    assert_int_equal(c->routes[0].upstream.scheme, GATEWAY_HTTP);
    assert_string_equal(c->routes[0].upstream.host.text, "wiki.internal");
    assert_int_equal(c->routes[0].upstream.port, 9000);
    assert_null(c->routes[0].upstream.path);
    assert_string_equal(c->routes[1].host.text, "tickets.example");
    assert_int_equal(c->routes[1].upstream.scheme, GATEWAY_HTTPS);
    assert_int_equal(c->routes[1].upstream.host.kind, HOST_IPV4);
    assert_string_equal(c->upstream_ca_file, "/etc/mcp-gateway/ca.pem");
    assert_true(c->upstream_system_cas);
    assert_int_equal(c->edge.host.kind, HOST_NONE);
    assert_int_equal(c->admin.port, 0);
    gateway_config_unref(c);
}

static void our_form_is_read(void **state)
{
    struct gateway_config *c = load("edge: https://Platform.Example:8443\n"
                                    "token_file: /run/secrets/token\n"
                                    "connections: 4\n"
                                    "proxy: http://corp%5cjo%40x@proxy.corp:3128\n"
                                    "proxy_password_file: /run/secrets/proxy\n"
                                    "no_proxy: [other.example, 10.0.0.0/8]\n"
                                    "ca_file: ca.pem\n"
                                    "admin: '[::1]:9090'\n"
                                    "tunnel_domain: t.example.\n" TLS "routes:\n"
                                    "  wiki: http://10.0.3.7:9000\n"
                                    "  notes:\n"
                                    "    upstream: unix:/run/notes.sock\n"
                                    "  tickets:\n"
                                    "    upstream: https://[fd00::7]:8443\n"
                                    "  files: unix:/run/files.sock\n");
    (void)state;
    assert_int_equal(c->listen.port, 0);
    assert_string_equal(c->edge.host.text, "platform.example");
    assert_int_equal(c->edge.port, 8443);
    assert_int_equal(c->edge.connections, 4);
    assert_string_equal(c->edge.token_file, "/run/secrets/token");
    assert_string_equal(c->edge.ca_file, "ca.pem");
    assert_string_equal(c->edge.proxy.host.text, "proxy.corp");
    assert_int_equal(c->edge.proxy.port, 3128);
    assert_false(c->edge.proxy.tls);
    assert_string_equal(c->edge.proxy.user, "corp\\jo@x");
    assert_string_equal(c->edge.proxy.password_file, "/run/secrets/proxy");
    assert_int_equal(c->admin.port, 9090);
    struct address one = address("::1");
    assert_memory_equal(&c->admin.address, &one, sizeof(one));
    assert_string_equal(c->tunnel_domain.text, "t.example");
    assert_int_equal(c->n_routes, 4);
    assert_int_equal(c->routes[1].upstream.scheme, GATEWAY_UNIX);
    assert_string_equal(c->routes[1].upstream.path, "/run/notes.sock");
    assert_int_equal(c->routes[1].upstream.host.kind, HOST_NONE);
    assert_int_equal(c->routes[2].upstream.host.kind, HOST_IPV6);
    assert_string_equal(c->routes[3].upstream.path, "/run/files.sock");
    gateway_config_unref(c);
}

static void what_is_left_out_has_a_default(void **state)
{
    struct gateway_config *c = load(EDGE TLS ROUTES);
    (void)state;
    assert_int_equal(c->edge.port, 443);
    assert_int_equal(c->edge.connections, 4);
    assert_int_equal(c->edge.proxy.host.kind, HOST_NONE);
    assert_null(c->edge.proxy.user);
    assert_null(c->edge.ca_file);
    assert_int_equal(c->log_level, LOG_INFO);
    assert_int_equal(c->shutdown_timeout_ms, 30000);
    assert_int_equal(c->tunnel_domain.kind, HOST_NONE);
    assert_null(c->upstream_ca_file);
    assert_true(c->upstream_system_cas);
    gateway_config_unref(c);
    c = load(LISTEN TLS ROUTES "tunnel_domain: ''\nupstream: {tls: {ca_file: ca}}\n");
    assert_int_equal(c->tunnel_domain.kind, HOST_NONE);
    assert_false(c->upstream_system_cas);
    gateway_config_unref(c);
}

static void addresses_to_listen_on(void **state)
{
    static const struct {
        const char *text, *address;
    } rows[] = {
        {"127.0.0.1:8080", "127.0.0.1"}, {"localhost:8080", "127.0.0.1"},
        {"0.0.0.0:8080", "0.0.0.0"},     {"[::]:8080", "::"},
        {"[::1]:8080", "::1"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *yaml = mem_printf("listen_addr: '%s'\n" TLS ROUTES, rows[i].text);
        struct gateway_config *c = load(yaml);
        struct address want = address(rows[i].address);
        assert_false(c->listen.every);
        assert_int_equal(c->listen.port, 8080);
        assert_memory_equal(&c->listen.address, &want, sizeof(want));
        gateway_config_unref(c);
    }
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"30s", 30000},  {"1m30s", 90000}, {"500ms", 500},      {"0s", 0},      {"1h", 3600000},
        {"1.5m", 90000}, {"0.25s", 250},   {"59m60s", 3600000}, {"1s1s", 2000}, {"1.000s", 1000},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *yaml = mem_printf(LISTEN TLS ROUTES "shutdown_timeout: %s\n", rows[i].text);
        struct gateway_config *c = load(yaml);
        if (c->shutdown_timeout_ms != rows[i].ms)
            fail_msg("%s: %lld ms", rows[i].text, (long long)c->shutdown_timeout_ms);
        gateway_config_unref(c);
    }
    static const char *const wrong[] = {"30",        "''",           "s",         "'30 s'",
                                        "1d",        "-1s",          "+1s",       "1.s",
                                        ".5s",       "1us",          "1s30",      "1e3s",
                                        "[1s]",      "1m-30s",       "1,5s",      "0.0005s",
                                        "0.000001h", "99999999999s", "1.0000000s"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        AUTO_FREE char *yaml = mem_printf(LISTEN TLS ROUTES "shutdown_timeout: %s\n", wrong[i]);
        refuse(yaml,
               "gateway.yaml:4: shutdown_timeout: a duration is expected: h, m, s or ms, as in "
               "\"30s\", \"1m30s\" or \"500ms\"");
    }
    refuse(LISTEN TLS ROUTES "shutdown_timeout: 1h1ms\n",
           "gateway.yaml:4: shutdown_timeout: at most 3600s are allowed");
}

static void the_edge_may_be_reached_directly(void **state)
{
    static const struct {
        const char *more, *address;
        bool direct;
    } rows[] = {
        {"", NULL, true},
        {"proxy: http://p:1\n", NULL, false},
        {"proxy: https://p:1\nno_proxy: [edge.example]\n", NULL, true},
        {"proxy: https://p:1\nno_proxy: ['*.example']\n", NULL, true},
        {"proxy: https://p:1\nno_proxy: [other.example]\n", "10.0.0.1", false},
        {"proxy: https://p:1\nno_proxy: [10.0.0.0/8]\n", NULL, false},
        {"proxy: https://p:1\nno_proxy: [10.0.0.0/8]\n", "10.0.0.1", true},
        {"proxy: https://p:1\nno_proxy: [10.0.0.0/8]\n", "11.0.0.1", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *yaml = mem_printf(EDGE TLS ROUTES "%s", rows[i].more);
        struct gateway_config *c = load(yaml);
        struct address a = address(rows[i].address ? rows[i].address : "::");
        if (gateway_config_goes_direct(c, rows[i].address ? &a : NULL) != rows[i].direct)
            fail_msg("row %zu", i);
        gateway_config_unref(c);
    }
}

static void who_keeps_a_reference_keeps_it(void **state)
{
    struct gateway_config *c = load(published), *kept = gateway_config_ref(c);
    (void)state;
    gateway_config_unref(c);
    assert_string_equal(kept->cert_file, "/etc/mcp-gateway/tls/tls.crt");
    gateway_config_unref(kept);
    gateway_config_unref(NULL);
}

/* ---- files ---- */

static char folder[] = "/tmp/test_config.XXXXXX";

static char *write_file(const char *name, const char *text, size_t n)
{
    char *path = mem_printf("%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* One that is made, not read: fields are named, lines are not. */
static void a_document_is_taken(void **state)
{
    static const char good[] =
        "{\"listen_addr\":\":1\",\"tunnel_domain\":\"t.example\",\"tls\":{\"cert_file\":\"c\","
        "\"key_file\":\"k\"},\"routes\":{\"a\":\"http://10.0.0.1:1\"}}";
    json_t *j;
    struct gateway_config *c = NULL;
    struct err e = {0};
    (void)state;
    assert_int_equal(json_parse(good, strlen(good), &j, NULL), 0);
    assert_int_equal(gateway_config_take("up.yaml", json_incref(j), &c, &e), 0);
    assert_string_equal(c->routes[0].host.text, "a");
    gateway_config_unref(c);
    json_put_str(json_object_get(j, "routes"), "a", "http://10.0.0.1");
    assert_int_equal(gateway_config_take("up.yaml", json_incref(j), &c, &e), -E_PARSE);
    assert_ptr_equal(strstr(e.msg, "up.yaml: routes.a: a port is expected"), e.msg);
    assert_int_equal(j->refcount, 1); /* also of one that was refused */
    json_decref(j);
}

static void expect_file(const char *path, int want, const char *words)
{
    struct gateway_config *c = NULL;
    struct err e = {0};
    int r = gateway_config_read(path, &c, &e);
    if (r != want || strcmp(e.msg, words) != 0)
        fail_msg("%s: %d, %s", path, r, e.msg);
    assert_true((c != NULL) == (r == 0));
    gateway_config_unref(c);
}

static void a_file_is_read_through_links(void **state)
{
    AUTO_FREE char *path = write_file("good", published, strlen(published));
    AUTO_FREE char *link = mem_printf("%s/link", folder);
    (void)state;
    expect_file(path, 0, "");
    assert_int_equal(symlink(path, link), 0);
    expect_file(link, 0, "");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(path), 0);
}

static void what_is_no_file_is_refused(void **state)
{
    AUTO_FREE char *pipe = mem_printf("%s/pipe", folder);
    AUTO_FREE char *none = mem_printf("%s/none", folder);
    AUTO_FREE char *large = mem_zalloc(LIMIT_YAML_BYTES + 1);
    (void)state;
    assert_int_equal(mkfifo(pipe, 0600), 0);
    AUTO_FREE char *no_file = mem_printf("%s is no regular file", pipe);
    expect_file(pipe, -EINVAL, no_file); /* and nobody waits for a writer */
    assert_int_equal(unlink(pipe), 0);
    AUTO_FREE char *missing = mem_printf("%s cannot be read: %s", none, err_text(-ENOENT));
    expect_file(none, -ENOENT, missing);
    memset(large, '#', LIMIT_YAML_BYTES + 1);
    AUTO_FREE char *path = write_file("large", large, LIMIT_YAML_BYTES + 1);
    AUTO_FREE char *too_large =
        mem_printf("%s is too large: at most %u bytes are allowed", path, LIMIT_YAML_BYTES);
    expect_file(path, -EMSGSIZE, too_large);
    AUTO_FREE char *same = write_file("large", large, LIMIT_YAML_BYTES); /* all of it a comment */
    AUTO_FREE char *empty = mem_printf("%s: an object is expected", same);
    expect_file(same, -E_PARSE, empty);
    AUTO_FREE char *bad = write_file("large", "tls: {}\ntls: {}\n", 16);
    AUTO_FREE char *twice = mem_printf("%s: line 2 column 1: the key \"tls\" is given twice", bad);
    expect_file(bad, -E_PARSE, twice);
    assert_int_equal(unlink(bad), 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* What a person has a say in. */
static void pins_and_approvals_are_read(void **state)
{
    static const struct {
        const char *route;
        enum pin_mode pins;
        size_t confirm;
        int64_t within_ms;
        bool keeps, reads;
    } rows[] = {
        {"{upstream: 'http://10.0.0.1:1'}", PIN_OFF, 0, 0, false, false},
        {"{upstream: 'http://10.0.0.1:1', pin_tools: false}", PIN_OFF, 0, 0, false, false},
        {"{upstream: 'http://10.0.0.1:1', pin_tools: true}", PIN_FIRST, 0, 0, true, true},
        {"{upstream: 'http://10.0.0.1:1', pin_tools: ask}", PIN_ASK, 0, 0, true, true},
        {"{upstream: 'http://10.0.0.1:1', tools: {allow: [a]}}", PIN_OFF, 0, 300000, false, true},
        {"{upstream: 'http://10.0.0.1:1', tools: {confirm: [a, 'b*']}}", PIN_OFF, 2, 300000, true,
         true},
        {"{upstream: 'http://10.0.0.1:1', tools: {confirm: [a], confirm_within: 1m30s}}", PIN_OFF,
         1, 90000, true, true},
        {"{upstream: 'http://10.0.0.1:1', tools: {confirm: []}}", PIN_OFF, 0, 300000, false, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text =
            mem_printf(LISTEN TLS "state_dir: /var/lib/x\nroutes: {a.b: %s}\n", rows[i].route);
        struct gateway_config *c = load(text);
        const struct gateway_route *r = &c->routes[0];
        assert_string_equal(c->state_dir, "/var/lib/x");
        assert_int_equal(r->pins, rows[i].pins);
        assert_int_equal(r->tools != NULL, rows[i].reads);
        assert_int_equal(r->tools ? r->tools->confirm.n : 0, rows[i].confirm);
        assert_int_equal(r->tools ? r->tools->confirm_within_ms : 0, rows[i].within_ms);
        assert_int_equal(c->keeps_state, rows[i].keeps);
        gateway_config_unref(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_form_is_read),
        cmocka_unit_test(our_form_is_read),
        cmocka_unit_test(what_is_left_out_has_a_default),
        cmocka_unit_test(addresses_to_listen_on),
        cmocka_unit_test(durations),
        cmocka_unit_test(pins_and_approvals_are_read),
        cmocka_unit_test(the_edge_may_be_reached_directly),
        cmocka_unit_test(who_keeps_a_reference_keeps_it),
        cmocka_unit_test(a_document_is_taken),
        cmocka_unit_test(a_file_is_read_through_links),
        cmocka_unit_test(what_is_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
