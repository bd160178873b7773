/* test_router.c - paths to routes, and query strings to values. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/str.h"
#include "http/server/internal.h"
#include "http/server/router.h"

#include <stdio.h>
#include <string.h>

static const struct route table[] = {
    {"GET", "/", NULL, 0},
    {"GET", "/v1/things", NULL, 1},
    {"POST", "/v1/things", NULL, 2},
    {"GET", "/v1/things/{id}", NULL, 3},
    {"GET", "/v1/things/special", NULL, 4},
    {"DELETE", "/v1/things/{id}", NULL, 5},
    {"POST", "/v1/things/{id}/parts/{part}", NULL, 6},
    {"GET", "/v1/{kind}/special", NULL, 7},
    {"HEAD", "/v1/probe", NULL, 8},
    {"GET", "/v1/probe", NULL, 9},
    {"GET", "/a/{b}/c/{d}/e/{f}", NULL, 10},
};

static const struct {
    const char *method, *path;
    int want; /* >= 0: flags of the route */
    const char *params, *allow;
} rows[] = {
    {"GET", "/", 0, "", ""},
    {"GET", "/v1/things", 1, "", ""},
    {"POST", "/v1/things", 2, "", ""},
    {"GET", "/v1/things/x", 3, "x|", ""},
    {"GET", "/v1/things/special", 4, "", ""},
    {"DELETE", "/v1/things/special", 5, "special|", ""},
    {"POST", "/v1/things/x/parts/y", 6, "x|y|", ""},
    {"GET", "/v1/stuff/special", 7, "stuff|", ""},
    {"HEAD", "/v1/things", 1, "", ""},
    {"HEAD", "/v1/probe", 8, "", ""},
    {"GET", "/v1/probe", 9, "", ""},
    {"GET", "/a/1/c/2/e/3", 10, "1|2|3|", ""},
    /* decoding: after cutting */
    {"GET", "/v1/thing%73", 1, "", ""},
    {"GET", "/v1/things/a%2Fb", 3, "a/b|", ""},
    {"GET", "/v1%2Fthings", -ENOENT, "", ""},
    {"GET", "/v1/things/a+b", 3, "a+b|", ""},
    {"GET", "/v1/things/%C3%A4", 3, "\xc3\xa4|", ""},
    {"GET", "/v1/things/%ff", -ENOENT, "", ""},
    {"GET", "/v1/things/..", 3, "..|", ""},
    /* no match */
    {"GET", "/v1", -ENOENT, "", ""},
    {"GET", "/v1/things/", -ENOENT, "", ""},
    {"GET", "//v1/things", -ENOENT, "", ""},
    {"GET", "/v1//things", -ENOENT, "", ""},
    {"GET", "/v1/thing", -ENOENT, "", ""},
    {"GET", "/v1/thingss", -ENOENT, "", ""},
    {"GET", "/v1/Things", -ENOENT, "", ""},
    {"GET", "*", -ENOENT, "", ""},
    {"GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18", -ENOENT, "", ""},
    {"PUT", "/nothing", -ENOENT, "", ""},
    /* another method */
    {"PUT", "/v1/things", -EOPNOTSUPP, "", "GET, POST"},
    {"PUT", "/v1/things/x", -EOPNOTSUPP, "", "GET, DELETE"},
    {"get", "/v1/things", -EOPNOTSUPP, "", "GET, POST"},
};

static void a_path_finds_its_route_in_any_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_exchange x = {.req = {.method = rows[i].method, .path = rows[i].path}};
        const struct route *found = NULL;
        struct route_params p = {0};
        char allow[64];
        int r = router_find(&x, table, ARRAY_LEN(table), &found, &p, allow);
        char params[128] = "";
        for (size_t k = 0; r == 0 && k < p.n; k++)
            snprintf(params + strlen(params), sizeof(params) - strlen(params), "%s|", p.value[k]);
        int got = r == 0 ? (int)found->flags : r;
        if (got != rows[i].want || !str_eq(params, rows[i].params) ||
            (r == -EOPNOTSUPP && !str_eq(allow, rows[i].allow)))
            fail_msg("%s %s: got %d params '%s' allow '%s'", rows[i].method, rows[i].path, got,
                     params, allow);
        /* The table's order must not matter. */
        struct route turned[ARRAY_LEN(table)];
        for (size_t k = 0; k < ARRAY_LEN(table); k++)
            turned[k] = table[ARRAY_LEN(table) - 1 - k];
        r = router_find(&x, turned, ARRAY_LEN(turned), &found, &p, NULL);
        if ((r == 0 ? (int)found->flags : r) != rows[i].want)
            fail_msg("%s %s: depends on the order", rows[i].method, rows[i].path);
        arena_done(&x.arena, NULL);
    }
}

static int append(const char *name, const char *value, void *arg)
{
    struct buf *b = arg;
    return buf_addf(b, "%s=%s;", name, value);
}

static void a_query_string_is_decoded_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *query, *all; /* NULL: bad */
    } q[] = {
        {"", ""},
        {"a=1", "a=1;"},
        {"a=1&b=2&a=3", "a=1;b=2;a=3;"},
        {"a", "a=;"},
        {"a=", "a=;"},
        {"=a", "=a;"},
        {"a=b=c", "a=b=c;"},
        {"&&a=1&&", "a=1;"},
        {"a+b=c+d%2B", "a b=c d+;"},
        {"%61%5B%5D=%3d%26", "a[]==&;"},
        {"created_at[gte]=2026-01-01T00%3A00%3A00Z", "created_at[gte]=2026-01-01T00:00:00Z;"},
        {"a=%C3%A4", "a=\xc3\xa4;"},
        {"a=%", NULL},
        {"a=%4", NULL},
        {"a=%4x", NULL},
        {"a=%00", NULL},
        {"a%00b=1", NULL},
        {"a=%ff", NULL},
        {"ok=1&a=%ed%a0%80", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(q); i++) {
        struct http_exchange x = {.req = {.query = q[i].query}};
        AUTO(buf) all = BUF_INIT(1000);
        int r = query_each(&x, append, &all);
        if (r != (q[i].all ? 0 : -E_PARSE) || (q[i].all && !str_eq(buf_str(&all), q[i].all)))
            fail_msg("%s: %d '%s'", q[i].query, r, buf_str(&all));
        if (!q[i].all)
            assert_null(query_get(&x, "ok", 0)); /* half a query is none */
        arena_done(&x.arena, NULL);
    }
}

static int stop_at_b(const char *name, const char *value, void *arg)
{
    (void)value;
    ++*(int *)arg;
    return str_eq(name, "b") ? 7 : 0;
}

static void parameters_are_found_by_name_and_number(void **state)
{
    (void)state;
    struct http_exchange x = {.req = {.query = "types[]=a&b=1&types=c&types%5B%5D=d&c=2"}};
    assert_string_equal(query_get(&x, "types[]", 0), "a");
    assert_string_equal(query_get(&x, "types[]", 1), "c");
    assert_string_equal(query_get(&x, "types[]", 2), "d");
    assert_null(query_get(&x, "types[]", 3));
    assert_string_equal(query_get(&x, "types", 0), "c");
    assert_null(query_get(&x, "types", 1));
    assert_null(query_get(&x, "type", 0));
    assert_null(query_get(&x, "[]", 0));
    int calls = 0;
    assert_int_equal(query_each(&x, stop_at_b, &calls), 7);
    assert_int_equal(calls, 2);
    arena_done(&x.arena, NULL);
}

static void a_query_has_256_parameters_at_most(void **state)
{
    (void)state;
    for (size_t n = 255; n <= 258; n++) {
        AUTO(buf) q = BUF_INIT(10000);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(buf_adds(&q, i ? "&a=1" : "a=1"), 0);
        struct http_exchange x = {.req = {.query = buf_str(&q)}};
        int calls = 0;
        assert_int_equal(query_each(&x, stop_at_b, &calls), n <= 256 ? 0 : -E_PARSE);
        assert_int_equal(calls, n <= 256 ? (int)n : 0);
        arena_done(&x.arena, NULL);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_finds_its_route_in_any_order),
        cmocka_unit_test(a_query_string_is_decoded_or_refused),
        cmocka_unit_test(parameters_are_found_by_name_and_number),
        cmocka_unit_test(a_query_has_256_parameters_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
