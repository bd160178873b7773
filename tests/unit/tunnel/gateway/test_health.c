/* test_health.c - what is known of routes: across changes of the configuration, and in bounds. */
#include "unit/tunnel/gateway/config_load.h"
#include "base/buf.h"
#include "base/time.h"
#include "tunnel/gateway/health.h"

#include <stdio.h>

static struct gateway_config *with(const char *routes)
{
    AUTO_FREE char *yaml = mem_printf(LISTEN TLS "routes: {%s}\n", routes);
    return load(yaml);
}

static struct health *of(const char *routes)
{
    struct health *h = health_new();
    struct gateway_config *c = with(routes);
    health_take(h, c);
    gateway_config_unref(c);
    return h;
}

static void take(struct health *h, const char *routes)
{
    struct gateway_config *c = with(routes);
    health_take(h, c);
    gateway_config_unref(c);
}

static void assert_counts(const struct health *h, size_t routes, size_t unprobed, size_t up,
                          size_t down)
{
    struct health_counts n;
    health_count(h, &n);
    if (n.routes != routes || n.unprobed != unprobed || n.up != up || n.down != down)
        fail_msg("%zu routes, %zu unprobed, %zu up, %zu down", n.routes, n.unprobed, n.up, n.down);
}

static char *series(const struct health *h)
{
    AUTO(buf) b = BUF_INIT(4u << 20);
    assert_int_equal(health_series(h, &b), 0);
    return buf_take(&b, NULL);
}

#define A "a.b: 'http://10.0.0.1:80'"
#define B "c.d: 'https://x.example:443'"

static void what_is_found_and_what_it_was_before(void **state)
{
    (void)state;
    struct health *h = of(A ", " B);
    assert_counts(h, 2, 2, 0, 0);
    assert_int_equal(health_probed(h, "a.b", true, NULL, NULL, 5), HEALTH_UNPROBED);
    assert_int_equal(health_probed(h, "a.b", true, NULL, NULL, 5), HEALTH_UP);
    assert_int_equal(health_probed(h, "c.d", false, "tls", "expired", 5), HEALTH_UNPROBED);
    assert_int_equal(health_probed(h, "c.d", false, "dns", "no such name", 5), HEALTH_DOWN);
    assert_int_equal(health_probed(h, "gone.example", false, "dns", "no", 5), HEALTH_DOWN);
    assert_counts(h, 2, 0, 1, 1);
    AUTO_JSON json_t *down = health_routes_json(h, true), *all = health_routes_json(h, false);
    assert_int_equal(json_array_size(down), 1);
    assert_string_equal(json_get_str(json_array_get(down, 0), "route"), "c.d");
    assert_string_equal(json_get_str(json_array_get(down, 0), "source"), "dns");
    assert_int_equal(json_array_size(all), 2);
    assert_string_equal(json_get_str(json_array_get(all, 0), "upstream"), "http://10.0.0.1:80");
    assert_int_equal(health_probed(h, "c.d", true, NULL, NULL, 5), HEALTH_DOWN);
    assert_counts(h, 2, 0, 2, 0);
    health_free(h);
}

static void what_stays_is_kept_and_what_leads_elsewhere_is_not(void **state)
{
    (void)state;
    struct health *h = of(A ", " B);
    (void)health_probed(h, "a.b", true, NULL, NULL, 5);
    (void)health_probed(h, "c.d", false, "tls", "no", 5);
    health_request(h, "a.b", HEALTH_ANSWERED, 1500000);
    take(h, B ", " A ", e.f: 'unix:/run/x'");
    assert_counts(h, 3, 1, 1, 1);
    take(h, "a.b: 'http://10.0.0.2:80'");
    assert_counts(h, 1, 1, 0, 0);
    AUTO_FREE char *text = series(h);
    assert_non_null(strstr(text, "route_requests_total{route=\"a.b\",outcome=\"answered\"} 1\n"));
    assert_non_null(strstr(text, "route_duration_seconds_sum{route=\"a.b\"} 1.500000\n"));
    assert_null(strstr(text, "c.d"));
    assert_null(strstr(text, "route_up{"));
    health_free(h);
}

static void failures_are_remembered_the_latest_first_and_not_for_ever(void **state)
{
    (void)state;
    struct health *h = of(A);
    char host[32];
    for (int i = 0; i < HEALTH_FAILURES_MAX + 8; i++) {
        (void)snprintf(host, sizeof(host), "h%d.example", i);
        const struct health_failure f = {.host = host,
                                         .route = i % 2 ? "a.b" : NULL,
                                         .source = "connect",
                                         .words = "refused",
                                         .status = 502};
        health_failed(h, &f);
    }
    AUTO_JSON json_t *list = health_failures_json(h);
    assert_int_equal(json_array_size(list), HEALTH_FAILURES_MAX);
    assert_string_equal(json_get_str(json_array_get(list, 0), "host"), "h39.example");
    assert_string_equal(json_get_str(json_array_get(list, 0), "route"), "a.b");
    assert_null(json_get_str(json_array_get(list, 1), "route"));
    assert_string_equal(json_get_str(json_array_get(list, HEALTH_FAILURES_MAX - 1), "host"),
                        "h8.example");
    AUTO_FREE char *text = series(h);
    assert_non_null(strstr(text, "route_failures_total{route=\"a.b\",source=\"connect\"} 20\n"));
    health_failed(h, &(struct health_failure){.host = "x",
                                              .route = "a.b",
                                              .source = "of another version",
                                              .words = "",
                                              .status = 500});
    AUTO_FREE char *more = series(h);
    assert_non_null(strstr(more, "route_failures_total{route=\"a.b\",source=\"other\"} 1\n"));
    health_free(h);
}

static void routes_beyond_the_ceiling_share_a_series(void **state)
{
    (void)state;
    AUTO(buf) routes = BUF_INIT(1u << 20);
    for (int i = 0; i < HEALTH_SERIES_MAX + 3; i++)
        assert_int_equal(buf_addf(&routes, "%sr%d.example: 'http://10.0.0.1:80'", i ? ", " : "", i),
                         0);
    struct health *h = of(buf_str(&routes));
    char name[32];
    for (int i = 0; i < HEALTH_SERIES_MAX + 3; i++) {
        (void)snprintf(name, sizeof(name), "r%d.example", i);
        health_request(h, name, HEALTH_FAILED, 10);
        (void)health_probed(h, name, true, NULL, NULL, 1);
    }
    AUTO_FREE char *text = series(h);
    assert_non_null(
        strstr(text, "route_requests_total{route=\"r127.example\",outcome=\"failed\"} 1\n"));
    assert_null(strstr(text, "r128.example"));
    assert_non_null(strstr(text, "route_requests_total{route=\"*\",outcome=\"failed\"} 3\n"));
    assert_non_null(strstr(text, "sallyport_gateway_routes{state=\"up\"} 131\n"));
    health_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_and_what_it_was_before),
        cmocka_unit_test(what_stays_is_kept_and_what_leads_elsewhere_is_not),
        cmocka_unit_test(failures_are_remembered_the_latest_first_and_not_for_ever),
        cmocka_unit_test(routes_beyond_the_ceiling_share_a_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
