/* test_setup_config.c - the first configuration: what flags say, read by the gateway's own reader. */
#include "unit/unit.h"
#include "base/buf.h"
#include "base/err.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/setup_config.h"

#include <string.h>

static struct setup_draft draft(const char *const *routes, size_t n)
{
    struct setup_draft d = {.edge = "https://edge.example",
                            .domain = "t-1.tunnel.example",
                            .token_file = "/d/tunnel.token",
                            .cert_file = "/d/gateway.pem"};
    struct err e = {0};
    for (size_t i = 0; i < n; i++)
        if (setup_route(&d, routes[i], &e) < 0)
            fail_msg("%s", e.msg);
    return d;
}

static struct gateway_config *written(const struct setup_draft *d, struct buf *text)
{
    struct gateway_config *c = NULL;
    struct err e = {0};
    if (setup_config_text(d, text, &e) < 0)
        fail_msg("%s", e.msg);
    if (gateway_config_parse("gateway.yaml", buf_str(text), text->len, &c, &e) < 0)
        fail_msg("%s\n%s", e.msg, buf_str(text));
    return c;
}

static void what_flags_say_is_what_is_read(void **state)
{
    static const char *const routes[] = {"wiki=http://10.0.0.7:9000", "on=https://a.example:8443",
                                         "1a=unix:/run/a \"b\": #c",
                                         "full.example=http://[fd00::1]:80"};
    (void)state;
    struct setup_draft d = draft(routes, ARRAY_LEN(routes));
    AUTO(buf) text = BUF_INIT(65536);
    d.edge_ca = "/etc/a b.pem";
    struct gateway_config *c = written(&d, &text);
    assert_string_equal(c->edge.host.text, "edge.example");
    assert_int_equal(c->edge.port, 443);
    assert_string_equal(c->edge.token_file, "/d/tunnel.token");
    assert_string_equal(c->edge.ca_file, "/etc/a b.pem");
    assert_string_equal(c->tunnel_domain.text, "t-1.tunnel.example");
    assert_string_equal(c->cert_file, "/d/gateway.pem");
    assert_string_equal(c->key_file, "/d/gateway.pem");
    assert_int_equal(c->n_routes, 4);
    assert_string_equal(c->routes[0].host.text, "wiki");
    assert_int_equal(c->routes[0].upstream.port, 9000);
    assert_string_equal(c->routes[1].host.text, "on"); /* a word of YAML's own, so quoted */
    assert_string_equal(c->routes[2].upstream.path, "/run/a \"b\": #c");
    assert_string_equal(c->routes[3].host.text, "full.example");
    gateway_config_unref(c);
}

/* Which addresses are open. */
static void named_addresses_are_open_and_no_others(void **state)
{
    static const struct {
        const char *route, *address;
        bool open;
    } rows[] = {
        {"a=http://127.0.0.1:80", "127.0.0.1", true},
        {"a=http://127.0.0.1:80", "127.0.0.2", false},
        {"a=http://127.0.0.1:80", "::1", false},
        {"a=http://127.0.0.1:80", "192.168.1.1", true},
        {"a=http://localhost:80", "127.0.0.1", true},
        {"a=http://localhost:80", "::1", true},
        {"a=http://localhost.example:80", "127.0.0.1", false},
        {"a=http://[::1]:80", "::1", true},
        {"a=https://203.0.113.9:443", "203.0.113.9", true},
        {"a=https://203.0.113.9:443", "203.0.113.10", false},
        {"a=http://169.254.169.254:80", "169.254.169.254", true},
        {"a=unix:/run/x", "127.0.0.1", false},
        {"a=unix:/run/x", "10.9.9.9", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct setup_draft d = draft(&rows[i].route, 1);
        AUTO(buf) text = BUF_INIT(65536);
        struct gateway_config *c = written(&d, &text);
        struct address a;
        assert_int_equal(address_parse(rows[i].address, strlen(rows[i].address), &a, NULL), 0);
        if ((gateway_config_may_connect(c, &a, NULL, NULL) == 0) != rows[i].open)
            fail_msg("%s: %s", rows[i].route, rows[i].address);
        gateway_config_unref(c);
    }
}

static void only_written_addresses_make_a_list(void **state)
{
    static const char *const none[] = {"http://wiki.internal:80", "unix:/run/x", "", "no URL"};
    static const char *const some[] = {"http://127.0.0.1:80", "http://127.0.0.1:81",
                                       "https://[::1]:80"};
    (void)state;
    assert_null(setup_allowed_ips(none, ARRAY_LEN(none)));
    assert_null(setup_allowed_ips(none, 0));
    AUTO_JSON json_t *list = setup_allowed_ips(some, ARRAY_LEN(some));
    AUTO_FREE char *text = json_text(list, NULL);
    assert_string_equal(text, "[\"10.0.0.0/8\",\"172.16.0.0/12\",\"192.168.0.0/16\",\"fc00::/7\","
                              "\"127.0.0.1\",\"::1\"]");
}

static void what_makes_no_configuration_is_refused(void **state)
{
    static const struct {
        const char *route, *edge, *words;
    } rows[] = {
        {"a=http://10.0.0.1", "https://e.example", "a port is expected"},
        {"a=ftp://10.0.0.1:1", "https://e.example", "routes.a"},
        {"a=http://10.0.0.1:80/x", "https://e.example", "routes.a"},
        {"a b=http://10.0.0.1:80", "https://e.example", "routes"},
        {"a=http://0.0.0.0:80", "https://e.example", "routes.a"},
        {"a=http://10.0.0.1:80", "http://e.example", "edge"},
        {"a=http://10.0.0.1:80", "https://e.example/x", "edge"},
        {"a\nedge=http://10.0.0.1:80", "https://e.example", "routes"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct setup_draft d = draft(&rows[i].route, 1);
        AUTO(buf) text = BUF_INIT(65536);
        struct err e = {0};
        d.edge = rows[i].edge;
        assert_int_equal(setup_config_text(&d, &text, &e), -EINVAL);
        if (!strstr(e.msg, rows[i].words))
            fail_msg("%s: %s", rows[i].words, e.msg);
    }
    struct setup_draft d = draft(NULL, 0);
    assert_int_equal(setup_route(&d, "wiki", NULL), -EINVAL);
    assert_int_equal(setup_route(&d, "=http://a:1", NULL), -EINVAL);
    assert_int_equal(setup_route(&d, "a=", NULL), -EINVAL);
    for (size_t i = 0; i < SETUP_ROUTES_MAX; i++)
        assert_int_equal(setup_route(&d, "a=http://10.0.0.1:80", NULL), 0);
    assert_int_equal(setup_route(&d, "a=http://10.0.0.1:80", NULL), -EINVAL);
}

static void the_edge_is_where_the_api_is(void **state)
{
    static const struct {
        const char *base_url, *edge;
    } rows[] = {
        {"https://platform.example", "https://platform.example"},
        {"https://platform.example:8443", "https://platform.example:8443"},
        {"http://127.0.0.1:8400", "http://127.0.0.1:8400"},
        {"http://localhost:8400", "http://127.0.0.1:8400"},
        {"http://localhost", "http://127.0.0.1"},
        {"http://localhost.example:80", "http://localhost.example:80"},
        {"https://localhost:8400", "https://localhost:8400"},
        {"https://platform.example/behind", NULL},
        {"platform.example", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *edge = setup_edge(rows[i].base_url);
        if (rows[i].edge ? !edge || strcmp(edge, rows[i].edge) != 0 : edge != NULL)
            fail_msg("%s: %s", rows[i].base_url, edge ? edge : "(none)");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_flags_say_is_what_is_read),
        cmocka_unit_test(named_addresses_are_open_and_no_others),
        cmocka_unit_test(only_written_addresses_make_a_list),
        cmocka_unit_test(what_makes_no_configuration_is_refused),
        cmocka_unit_test(the_edge_is_where_the_api_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
