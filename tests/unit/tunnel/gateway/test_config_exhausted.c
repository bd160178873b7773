/* What the reader of a gateway's file does when memory runs out: an error that says so, or our own last
 * words; never a crash, never a configuration that lacks something. */
#include "unit/tunnel/gateway/config_load.h"

#include "unit/exhaust.h"

static const char text[] = "edge: https://platform.example\n"
                           "token_file: /run/token\n"
                           "proxy: http://u%40x@proxy.corp:3128\n"
                           "proxy_password_file: /run/proxy\n"
                           "no_proxy: [a.example, 10.0.0.0/8]\n"
                           "tunnel_domain: t.example\n" TLS "routes:\n"
                           "  wiki: http://10.0.3.7:9000\n"
                           "  b\xc3\xbc"
                           "cher: http://10.0.3.8:9000\n"
                           "  tickets:\n"
                           "    upstream: https://tickets.internal:8443\n"
                           "upstream: {allowed_ips: [10.0.0.0/8, '::1'], tls: {ca_file: ca}}\n";

static const char wrong[] = EDGE TLS "routes: {a.b: 'http://8.8.8.8:1'}\n";

static void read_good(void)
{
    struct gateway_config *c = NULL;
    struct err e = {0};
    int r = gateway_config_parse("gateway.yaml", text, sizeof(text) - 1, &c, &e);
    const bool failed = exhaust.failed;
    exhaust.armed = false; /* what follows needs memory */
    /* That libidn2 cannot be opened without memory has a code of its own. */
    if (r < 0 && (!failed || c || e.code != r || !e.msg[0] || r == -E_PARSE)) {
        fprintf(stderr, "%d, %s\n", r, e.msg);
        _exit(3);
    }
    if (r == 0 && (c->n_routes != 3 || c->allowed.n != 2 || !c->edge.proxy.user))
        _exit(4);
    gateway_config_unref(c);
}

static void read_wrong(void)
{
    struct gateway_config *c = NULL;
    struct err e = {0};
    int r = gateway_config_parse("gateway.yaml", wrong, sizeof(wrong) - 1, &c, &e);
    const bool failed = exhaust.failed;
    exhaust.armed = false;
    if (r == 0 || c || e.code != r || (!failed && r != -E_PARSE))
        _exit(5);
}

static void a_file_without_memory(void **state)
{
    (void)state;
    exhaust_each("a good file", read_good);
    exhaust_each("a wrong file", read_wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_file_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
