/* test_place.c - where authorization is described, and which addresses are never asked. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/auth/place.h"

#include <string.h>

static void expect(const struct auth_places *p, const char *const *want, size_t n)
{
    assert_int_equal(p->n, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(p->url[i], want[i]);
}

static void the_resource_s_places_in_order(void **state)
{
    (void)state;
    static const char root[] = "https://a.example/.well-known/oauth-protected-resource";
    static const char below[] = "https://a.example/.well-known/oauth-protected-resource/x/mcp";
    AUTO(auth_places) p;
    auth_places_of_resource("https://a.example/x/mcp/?q=1", &p);
    expect(&p, (const char *const[]){below, root}, 2);
    auth_places_done(&p);
    auth_places_of_resource("https://a.example/", &p);
    expect(&p, (const char *const[]){root}, 1);
    auth_places_done(&p);
    auth_places_of_resource("nonsense", &p);
    assert_int_equal(p.n, 0);
}

static void the_issuer_s_places_in_order(void **state)
{
    (void)state;
    AUTO(auth_places) p;
    auth_places_of_issuer("https://as.example/tenant", &p);
    expect(&p,
           (const char *const[]){"https://as.example/.well-known/oauth-authorization-server/tenant",
                                 "https://as.example/.well-known/openid-configuration/tenant",
                                 "https://as.example/tenant/.well-known/openid-configuration"},
           3);
    auth_places_done(&p);
    auth_places_of_issuer("https://as.example/", &p);
    expect(&p,
           (const char *const[]){"https://as.example/.well-known/oauth-authorization-server",
                                 "https://as.example/.well-known/openid-configuration"},
           2);
}

static void a_resource_is_the_server_or_above_it(void **state)
{
    (void)state;
    static const struct {
        const char *resource, *server;
        bool covers;
    } rows[] = {
        {"https://a/mcp", "https://a/mcp", true},
        {"https://a/mcp/", "https://a/mcp", true},
        {"https://A:443/mcp", "https://a/mcp?x=1", true},
        {"https://a", "https://a/mcp", true},
        {"https://a/", "https://a/mcp", true},
        {"https://a/x", "https://a/x/mcp", true},
        {"https://a/mc", "https://a/mcp", false},
        {"https://a/mcp/more", "https://a/mcp", false},
        {"https://a/MCP", "https://a/mcp", false},
        {"https://a/x", "https://a/x/../mcp", false},
        {"http://a/mcp", "https://a/mcp", false},
        {"https://b/mcp", "https://a/mcp", false},
        {"https://a:444/mcp", "https://a/mcp", false},
        {"https://a/mcp#f", "https://a/mcp", false},
        {"https://a/mcp?x", "https://a/mcp", false},
        {"https://u@a/mcp", "https://a/mcp", false},
        {"", "https://a/mcp", false},
        {NULL, "https://a/mcp", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (auth_resource_covers(rows[i].resource, rows[i].server) != rows[i].covers)
            fail_msg("%s for %s", rows[i].resource, rows[i].server);
}

static void addresses_that_are_never_asked(void **state)
{
    (void)state;
    static const struct {
        const char *url, *server, *words; /* words NULL: taken */
    } rows[] = {
        {"https://as.example/x", "https://a.example/", NULL},
        {"http://127.0.0.1:9/x", "http://localhost:8/mcp", NULL},
        {"https://10.1.2.3/x", "https://10.1.2.3:8443/mcp", NULL},
        {"https://as.example/x", "http://localhost/mcp", NULL},
        {"https://93.184.216.34/", "https://a.example/", NULL},
        {"http://as.example/x", "https://a.example/", "https://"},
        {"http://as.example/x", "http://localhost/", "https://"},
        {"https://localhost/x", "https://a.example/", "on this host"},
        {"http://127.0.0.1/x", "https://a.example/", "on this host"},
        {"http://[::1]/x", "https://a.example/", "on this host"},
        {"https://169.254.169.254/x", "https://a.example/", "private network"},
        {"https://192.168.0.1/x", "https://a.example/", "private network"},
        {"https://[fd00::1]/x", "https://a.example/", "private network"},
        {"https://[::ffff:10.0.0.1]/x", "https://a.example/", "not a host"},
        {"https://10.1.2.4/x", "https://10.1.2.3/", "private network"},
        {"https://0x7f.1/", "https://a.example/", "address"},
        {"https://a/#f", "https://a/", "no address"},
        {"https://a/ b", "https://a/", "no address"},
        {"javascript:alert(1)", "https://a/", "http://"},
        {"file:///etc/passwd", "https://a/", "http://"},
        {"https://u:p@a/", "https://a/", "user name"},
        {"", "https://a/", "no address"},
        {NULL, "https://a/", "no address"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        int r = auth_url_check("that place", rows[i].url, rows[i].server, &e);
        if (rows[i].words ? r != -E_PROTO || !strstr(e.msg, rows[i].words) : r != 0)
            fail_msg("%s for %s: %s", rows[i].url, rows[i].server, e.msg);
        assert_true(!rows[i].words || str_starts(e.msg, "that place"));
    }
    AUTO_FREE char *long_one = mem_zalloc(AUTH_URL_MAX + 2);
    memset(long_one, 'a', AUTH_URL_MAX + 1);
    memcpy(long_one, "https://a/", 10);
    assert_int_equal(auth_url_check("x", long_one, "https://a/", NULL), -E_PROTO);
}

static void a_server_goes_by_one_name(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"https://a.example/mcp", "https://a.example/mcp"},
        {"https://a.example/mcp/", "https://a.example/mcp"},
        {"https://a.example/mcp//", "https://a.example/mcp"},
        {"https://A.Example:8443/MCP/", "https://a.example:8443/MCP"},
        {"HTTPS://a.example/", NULL}, /* as the client has it */
        {"https://a.example/", "https://a.example"},
        {"https://a.example", "https://a.example"},
        {"https://a.example/mcp/?b=/", "https://a.example/mcp?b=/"},
        {"https://a.example/mcp#f", NULL},
        {"https://u:p@a.example/mcp", NULL},
        {"https://a.example/m cp", NULL},
        {"ftp://a.example/", NULL},
        {"notaurl", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *name = auth_server_name(rows[i][0]);
        if (!str_eq(name, rows[i][1]) && (name || rows[i][1]))
            fail_msg("%s: %s", rows[i][0], name ? name : "NULL");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_resource_s_places_in_order),
        cmocka_unit_test(the_issuer_s_places_in_order),
        cmocka_unit_test(a_resource_is_the_server_or_above_it),
        cmocka_unit_test(a_server_goes_by_one_name),
        cmocka_unit_test(addresses_that_are_never_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
