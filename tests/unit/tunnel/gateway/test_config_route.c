/* test_config_route.c - exact host first, then the name under the tunnel's domain, and nothing else. */
#include "unit/tunnel/gateway/config_load.h"
#include "base/buf.h"

static unsigned port_of(const struct gateway_config *c, const char *text)
{
    struct host h;
    struct err e = {0};
    if (host_parse(text, strlen(text), HOST_LITERALS | HOST_UNICODE, &h, &e) < 0)
        fail_msg("%s", e.msg);
    const struct gateway_route *r = gateway_config_route(c, &h);
    return r ? r->upstream.port : 0;
}

static void a_host_leads_to_its_route(void **state)
{
    static const struct {
        const char *host;
        unsigned port;
    } rows[] = {
        {"wiki.t.example", 1},
        {"WIKI.T.Example.", 1},
        {"a.b.t.example", 2}, /* several labels under the domain */
        {"a.b", 2},           /* the same route, as it is */
        {"full.t.example", 3},
        {"full", 0}, /* it has the domain in its name */
        {"tickets.internal", 4},
        {"tickets.internal.t.example", 4},
        {"t.example", 5}, /* the domain itself is a host as any other */
        {"xn--bcher-kva.t.example", 6},
        {"b\xc3\xbc"
         "cher.t.example",
         6},
        {"other.t.example", 0},
        {"x.wiki.t.example", 0}, /* a route is not a suffix */
        {"wiki.t.example.org", 0},
        {"wikit.example", 0},
        {"wiki.xt.example", 0},
        {"b.t.example", 0},
        {"example", 0},
        {"wiki.t.example.t.example", 0}, /* the domain is taken off once */
        {"10.0.0.1", 0},
        {"[fd00::1]", 0},
    };
    struct gateway_config *c = load(LISTEN TLS "tunnel_domain: T.example\n"
                                               "routes:\n"
                                               "  Wiki: http://10.0.0.1:1\n"
                                               "  a.b: http://10.0.0.1:2\n"
                                               "  full.t.example: http://10.0.0.1:3\n"
                                               "  tickets.internal: http://10.0.0.1:4\n"
                                               "  t.example: http://10.0.0.1:5\n"
                                               "  'b\xc3\xbc"
                                               "cher': http://10.0.0.1:6\n");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (port_of(c, rows[i].host) != rows[i].port)
            fail_msg("%s: %u", rows[i].host, port_of(c, rows[i].host));
    struct host none = {0};
    assert_null(gateway_config_route(c, &none));
    gateway_config_unref(c);
}

static void without_a_domain_hosts_are_full(void **state)
{
    struct gateway_config *c = load(LISTEN TLS "routes: {a.b: 'http://10.0.0.1:2'}\n");
    (void)state;
    assert_int_equal(port_of(c, "a.b"), 2);
    assert_int_equal(port_of(c, "a.b.c"), 0);
    assert_int_equal(port_of(c, "b"), 0);
    gateway_config_unref(c);
}

static void as_many_as_there_may_be_are_all_found(void **state)
{
    AUTO(buf) text = BUF_INIT(1 << 20);
    (void)state;
    (void)buf_adds(&text, LISTEN TLS "tunnel_domain: t.example\nroutes:\n");
    for (unsigned i = 1; i <= GATEWAY_ROUTES_MAX; i++)
        (void)buf_addf(&text, "  r%u: http://10.0.0.1:%u\n", i, i);
    struct gateway_config *c = load(buf_str(&text));
    assert_int_equal(c->n_routes, GATEWAY_ROUTES_MAX);
    for (unsigned i = 1; i <= GATEWAY_ROUTES_MAX; i++) {
        AUTO_FREE char *host = mem_printf("r%u.t.example", i);
        assert_int_equal(port_of(c, host), i);
    }
    gateway_config_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_leads_to_its_route),
        cmocka_unit_test(without_a_domain_hosts_are_full),
        cmocka_unit_test(as_many_as_there_may_be_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
