/* test_public_url.c - which URLs become the tunnel's, which stay, and where they are looked for. */
#include "unit/tunnel/gateway/config_load.h"

#include "base/buf.h"
#include "tunnel/gateway/public_url.h"

static const char yaml[] = EDGE TLS "tunnel_domain: t-1.example\n"
                                    "routes:\n"
                                    "  wiki: 'http://10.0.0.1:9000'\n"
                                    "  twin: 'http://10.0.0.1:9000'\n"
                                    "  login: 'https://login.corp:443'\n"
                                    "  six: 'http://[fd00::7]:81'\n"
                                    "  box: 'unix:/run/mcp.sock'\n"
                                    "  full.example: 'http://10.0.0.2:80'\n";

static struct gateway_config *config;

static int open_config(void **state)
{
    (void)state;
    config = load(yaml);
    return 0;
}

static int close_config(void **state)
{
    (void)state;
    gateway_config_unref(config);
    return 0;
}

static struct public_url at(const char *route, const char *authority)
{
    for (size_t i = 0; i < config->n_routes; i++)
        if (strcmp(config->routes[i].host.text, route) == 0)
            return (struct public_url){.config = config,
                                       .route = &config->routes[i],
                                       .authority = http_text_of(authority)};
    fail_msg("no route %s", route);
    return (struct public_url){.config = NULL};
}

static void one_url(void **state)
{
    static const struct {
        const char *route, *authority, *url, *want; /* NULL: stays */
    } rows[] = {
        {"wiki", "wiki.t-1.example:8443", "http://10.0.0.1:9000/mcp",
         "https://wiki.t-1.example:8443/mcp"},
        {"wiki", "wiki.t-1.example", "HTTP://10.0.0.1:9000", "https://wiki.t-1.example"},
        {"wiki", "wiki.t-1.example", "http://10.0.0.1:9000?a=http://10.0.0.1:9000",
         "https://wiki.t-1.example?a=http://10.0.0.1:9000"},
        /* Two routes of one server: each speaks of itself. */
        {"twin", "twin.t-1.example", "http://10.0.0.1:9000/x", "https://twin.t-1.example/x"},
        /* Another route, at the port that the caller came to. */
        {"wiki", "wiki.t-1.example:8443", "https://login.corp/authorize",
         "https://login.t-1.example:8443/authorize"},
        {"wiki", "wiki.t-1.example", "https://LOGIN.corp:443/authorize",
         "https://login.t-1.example/authorize"},
        {"wiki", "wiki.t-1.example:8443", "http://10.0.0.2/", "https://full.example:8443/"},
        {"wiki", "wiki.t-1.example", "http://[FD00::7]:81/a", "https://six.t-1.example/a"},
        {"box", "box.t-1.example", "http://localhost/mcp", "https://box.t-1.example/mcp"},
        /* Another scheme, port or host is another server. */
        {"wiki", "wiki.t-1.example", "https://10.0.0.1:9000/mcp", NULL},
        {"wiki", "wiki.t-1.example", "http://10.0.0.1/mcp", NULL},
        {"wiki", "wiki.t-1.example", "http://login.corp/", NULL},
        {"wiki", "wiki.t-1.example", "https://login.corp.evil.example/", NULL},
        {"wiki", "wiki.t-1.example", "http://localhost/mcp", NULL},
        {"box", "box.t-1.example", "https://localhost/mcp", NULL},
        /* No two readings. */
        {"wiki", "wiki.t-1.example", "http://10.0.0.1:9000@evil.example/", NULL},
        {"wiki", "wiki.t-1.example", "http://user@10.0.0.1:9000/", NULL},
        {"wiki", "wiki.t-1.example", "http:/10.0.0.1:9000/", NULL},
        {"wiki", "wiki.t-1.example", "//10.0.0.1:9000/", NULL},
        {"wiki", "wiki.t-1.example", " http://10.0.0.1:9000/", NULL},
        {"wiki", "wiki.t-1.example", "http://", NULL},
        {"wiki", "wiki.t-1.example", "", NULL},
        {"wiki", "wiki.t-1.example", "read http://10.0.0.1:9000/", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) out = BUF_INIT(1024);
        const struct public_url p = at(rows[i].route, rows[i].authority);
        assert_int_equal(buf_adds(&out, "before "), 0);
        bool is = public_url_of(&p, rows[i].url, strlen(rows[i].url), &out);
        AUTO_FREE char *want = mem_printf("before %s", is && rows[i].want ? rows[i].want : "");
        if (is != (rows[i].want != NULL) || strcmp(buf_str(&out), want) != 0)
            fail_msg("%s: %s", rows[i].url, buf_str(&out));
    }
}

static void a_url_that_is_too_long_stays(void **state)
{
    AUTO(buf) url = BUF_INIT(2u * PUBLIC_URL_MAX), out = BUF_INIT(2u * PUBLIC_URL_MAX);
    const struct public_url p = at("wiki", "wiki.t-1.example");
    (void)state;
    assert_int_equal(buf_adds(&url, "http://10.0.0.1:9000/"), 0);
    while (url.len < PUBLIC_URL_MAX)
        assert_int_equal(buf_addc(&url, 'x'), 0);
    assert_true(public_url_of(&p, url.data, url.len, &out));
    buf_reset(&out);
    assert_int_equal(buf_addc(&url, 'x'), 0);
    assert_false(public_url_of(&p, url.data, url.len, &out));
    assert_int_equal(out.len, 0);
}

static void documents(void **state)
{
    static const struct {
        const char *text, *want; /* NULL: stays */
    } rows[] = {
        {"{\"resource\":\"http://10.0.0.1:9000/mcp\",\"authorization_servers\":[\"https://"
         "login.corp\",\"https://idp.example/x\"],\"n\":1.5,\"signed_metadata\":\"e.y.J\"}",
         "{\"resource\":\"https://wiki.t-1.example/mcp\",\"authorization_servers\":[\"https://"
         "login.t-1.example\",\"https://idp.example/x\"],\"n\":1.5}"},
        {"{\"issuer\":\"https://login.corp\",\"mtls_endpoint_aliases\":{\"token_endpoint\":"
         "\"https://login.corp/t\"},\"claims\":[[\"https://login.corp/\"]]}",
         "{\"issuer\":\"https://login.t-1.example\",\"mtls_endpoint_aliases\":{\"token_endpoint\":"
         "\"https://login.t-1.example/t\"},\"claims\":[[\"https://login.t-1.example/\"]]}"},
        /* What has nothing of ours keeps each byte, and what was signed. */
        {" {\"resource\": \"https://wiki.t-1.example/mcp\", \"signed_metadata\": \"e.y.J\"}", NULL},
        {"[\"http://10.0.0.1:9000/\"]", NULL},
        {"{\"http://10.0.0.1:9000/\":true}", NULL},
        {"{\"resource\":\"http://10.0.0.1:9000/\"", NULL},
        {"<html>", NULL},
        {"", NULL},
    };
    const struct public_url p = at("wiki", "wiki.t-1.example");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) out = BUF_INIT(1024);
        int r = public_url_metadata(&p, rows[i].text, strlen(rows[i].text), &out);
        assert_int_equal(r, rows[i].want != NULL);
        assert_string_equal(buf_str(&out), rows[i].want ? rows[i].want : "");
    }
    AUTO(buf) small = BUF_INIT(40);
    assert_int_equal(public_url_metadata(&p, rows[0].text, strlen(rows[0].text), &small),
                     -EMSGSIZE);
}

static void challenges(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"Bearer resource_metadata=\"http://10.0.0.1:9000/.well-known/oauth-protected-resource\"",
         "Bearer "
         "resource_metadata=\"https://wiki.t-1.example/.well-known/oauth-protected-resource\""},
        {"Bearer scope=\"a b\",\tResource_Metadata = \"http://10.0.0.1:9000/m\", error=\"x\"",
         "Bearer scope=\"a b\",\tResource_Metadata = \"https://wiki.t-1.example/m\", error=\"x\""},
        {"Bearer resource_metadata=http://10.0.0.1:9000/m,realm=x",
         "Bearer resource_metadata=https://wiki.t-1.example/m,realm=x"},
        {"DPoP resource_metadata=\"http://10.0.0.1:9000/a\", Bearer "
         "resource_metadata=\"https://login.corp/b\"",
         "DPoP resource_metadata=\"https://wiki.t-1.example/a\", Bearer "
         "resource_metadata=\"https://login.t-1.example/b\""},
        {"Bearer resource_metadata=\"https://idp.example/a\", Bearer "
         "resource_metadata=\"http://10.0.0.1:9000/b\"",
         "Bearer resource_metadata=\"https://idp.example/a\", Bearer "
         "resource_metadata=\"https://wiki.t-1.example/b\""},
        /* What only looks like one. */
        {"Bearer realm=\"x, resource_metadata=http://10.0.0.1:9000/\"", NULL},
        {"Bearer realm=\"\\\", resource_metadata=http://10.0.0.1:9000/\"", NULL},
        {"Bearer x_resource_metadata=\"http://10.0.0.1:9000/\"", NULL},
        {"Bearer resource_metadata_x=\"http://10.0.0.1:9000/\"", NULL},
        {"Bearer resource_metadata", NULL},
        {"Bearer resource_metadata=", NULL},
        {"Bearer resource_metadata=\"", NULL},
        {"Bearer realm=\"http://10.0.0.1:9000/\"", NULL},
        {"Bearer realm=\"x\\", NULL},
        {"", NULL},
    };
    const struct public_url p = at("wiki", "wiki.t-1.example");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) out = BUF_INIT(1024);
        int r = public_url_challenge(&p, http_text_of(rows[i].text), &out);
        if (r != (rows[i].want != NULL) ||
            strcmp(buf_str(&out), rows[i].want ? rows[i].want : "") != 0)
            fail_msg("%d: %s\n%s", r, rows[i].text, buf_str(&out));
    }
}

static void places(void **state)
{
    static const struct {
        const char *path;
        bool is;
    } rows[] = {
        {"/.well-known/oauth-protected-resource", true},
        {"/.well-known/oauth-protected-resource/mcp", true},
        {"/.well-known/oauth-protected-resource?x=/", true},
        {"/.well-known/oauth-authorization-server/tenant", true},
        {"/.well-known/openid-configuration", true},
        {"/tenant/.well-known/openid-configuration", true},
        {"/.well-known/oauth-protected-resources", false},
        {"/x?/.well-known/openid-configuration", false},
        {"/.well-known/jwks.json", false},
        {"/.WELL-KNOWN/openid-configuration", false},
        {"/", false},
        {"*", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (public_url_is_metadata(http_text_of(rows[i].path)) != rows[i].is)
            fail_msg("%s", rows[i].path);
    assert_false(public_url_is_metadata((struct http_text){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_url),   cmocka_unit_test(a_url_that_is_too_long_stays),
        cmocka_unit_test(documents), cmocka_unit_test(challenges),
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, open_config, close_config);
}
