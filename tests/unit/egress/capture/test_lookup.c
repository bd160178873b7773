/* test_lookup.c - which names there are, under which policy, and how many. */
#include "unit/egress/policy/load.h"
#include "base/time.h"
#include "egress/capture/lookup.h"

#include <stdio.h>

struct world {
    struct policy *p;
    struct names *n;
    struct lookup_counts counts;
};

static struct world world(const char *policy, size_t max)
{
    struct world w = {.p = load(policy), .n = names_new(max)};
    lookup_counts_init(&w.counts);
    return w;
}

static void end(struct world *w)
{
    lookup_counts_done(&w->counts);
    names_free(w->n);
    policy_unref(w->p);
}

static enum lookup look_up(struct world *w, const char *text, struct name **ret)
{
    struct host h;
    struct name *name = NULL;
    assert_int_equal(host_parse(text, strlen(text), HOST_LITERALS, &h, NULL), 0);
    enum lookup l = lookup_name(w->p, w->n, &w->counts, &h, 0, &name, NULL);
    assert_int_equal(l == LOOKUP_ADDRESS, name != NULL);
    if (ret)
        *ret = name;
    return l;
}

#define RULES                                                                                      \
    "allow:\n"                                                                                     \
    "  - api.github.com\n"                                                                         \
    "  - '*.pypi.example'\n"                                                                       \
    "  - {host: db.internal, port: 5432, addresses: [10.0.0.0/8]}\n"                               \
    "  - {host: printer.local}\n"                                                                  \
    "  - intranet\n"                                                                               \
    "deny:\n"                                                                                      \
    "  - bad.pypi.example\n"

static void which_names_there_are(void **state)
{
    static const struct {
        const char *name;
        enum lookup friendly, strict;
    } rows[] = {
        {"api.github.com", LOOKUP_ADDRESS, LOOKUP_ADDRESS},
        {"other.example", LOOKUP_ADDRESS, LOOKUP_NONE},
        {"x.api.github.com", LOOKUP_ADDRESS, LOOKUP_NONE},
        {"a.pypi.example", LOOKUP_ADDRESS, LOOKUP_ADDRESS},
        {"bad.pypi.example", LOOKUP_ADDRESS, LOOKUP_NONE},
        {"pypi.example", LOOKUP_ADDRESS, LOOKUP_NONE},
        {"db.internal", LOOKUP_ADDRESS, LOOKUP_ADDRESS}, /* on a port of its own */
        {"a.b.c.d.e.pypi.example", LOOKUP_TOO_LONG, LOOKUP_TOO_LONG},
        {"localhost", LOOKUP_LOCALHOST, LOOKUP_LOCALHOST},
        {"www.localhost", LOOKUP_LOCALHOST, LOOKUP_LOCALHOST},
        {"xlocalhost", LOOKUP_NONE, LOOKUP_NONE},
        {"localhost.localdomain", LOOKUP_ADDRESS, LOOKUP_NONE},
        {"egress.sallyport", LOOKUP_ADDRESS, LOOKUP_ADDRESS},
        {"x.egress.sallyport", LOOKUP_ADDRESS, LOOKUP_NONE},
        {"intranet", LOOKUP_ADDRESS, LOOKUP_ADDRESS},
        {"wpad", LOOKUP_NONE, LOOKUP_NONE},
        {"printer.local", LOOKUP_ADDRESS, LOOKUP_ADDRESS},
        {"other.local", LOOKUP_NONE, LOOKUP_NONE},
        {"x.invalid", LOOKUP_NONE, LOOKUP_NONE},
        {"x.onion", LOOKUP_NONE, LOOKUP_NONE},
        {"ipv4only.arpa", LOOKUP_NONE, LOOKUP_NONE},
        {"use-application-dns.net", LOOKUP_NONE, LOOKUP_NONE},
    };
    (void)state;
    struct world friendly = world(RULES, 0), strict = world(RULES "dns: strict\n", 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum lookup f = look_up(&friendly, rows[i].name, NULL),
                    s = look_up(&strict, rows[i].name, NULL);
        if (f != rows[i].friendly || s != rows[i].strict)
            fail_msg("%s: friendly %d, strict %d", rows[i].name, f, s);
    }
    end(&friendly);
    end(&strict);
}

static void every_name_is_there_when_all_hosts_are_allowed(void **state)
{
    static const char *const rows[] = {"other.example", "wpad", "x.onion", "api.github.com"};
    (void)state;
    struct world w = world("allow: ['*']\ndns: strict\n", 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(look_up(&w, rows[i], NULL), LOOKUP_ADDRESS);
    end(&w);
}

#define COUNTED                                                                                    \
    "allow:\n"                                                                                     \
    "  - {host: '*.pypi.example', limits: {names: 3/m}}\n"                                         \
    "  - files.pypi.example\n"

static void different_names_under_a_wildcard_are_counted(void **state)
{
    (void)state;
    time_test_set(time_mono_ns(), 0);
    struct world w = world(COUNTED, 0);
    char name[40];
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof(name), "n%d.pypi.example", i);
        assert_int_equal(look_up(&w, name, NULL), LOOKUP_ADDRESS);
    }
    struct host h;
    struct name *n = NULL;
    const struct policy_rule *rule = NULL;
    assert_int_equal(host_parse("n3.pypi.example", 15, 0, &h, NULL), 0);
    assert_int_equal(lookup_name(w.p, w.n, &w.counts, &h, 0, &n, &rule), LOOKUP_TOO_MANY);
    assert_non_null(rule);
    assert_int_equal(rule->limits.names.count, 3);
    /* Those that were counted go on, and what is not under the wildcard alone. */
    assert_int_equal(look_up(&w, "n0.pypi.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "files.pypi.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "other.example", NULL), LOOKUP_ADDRESS);
    time_test_advance(60 * NS_PER_S - 1);
    assert_int_equal(look_up(&w, "n3.pypi.example", NULL), LOOKUP_TOO_MANY);
    time_test_advance(1);
    assert_int_equal(look_up(&w, "n3.pypi.example", NULL), LOOKUP_ADDRESS);
    end(&w);
    time_test_reset();
}

static void a_forgotten_name_counts_again(void **state)
{
    (void)state;
    time_test_set(time_mono_ns(), 0);
    struct world w = world(COUNTED, 1);
    assert_int_equal(look_up(&w, "a.pypi.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "b.pypi.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "a.pypi.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "b.pypi.example", NULL), LOOKUP_TOO_MANY);
    end(&w);
    time_test_reset();
}

static void a_reload_does_not_begin_to_count_anew(void **state)
{
    (void)state;
    time_test_set(time_mono_ns(), 0);
    struct world w = world(COUNTED, 0);
    assert_int_equal(look_up(&w, "a.pypi.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "b.pypi.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "c.pypi.example", NULL), LOOKUP_ADDRESS);
    policy_unref(w.p);
    w.p = load("allow: [x.example, {host: '*.pypi.example', limits: {names: 3/m}}]\n");
    assert_int_equal(look_up(&w, "d.pypi.example", NULL), LOOKUP_TOO_MANY);
    end(&w);
    time_test_reset();
}

static void whether_a_name_is_there_costs_nothing(void **state)
{
    (void)state;
    struct world w = world(COUNTED, 0);
    for (int i = 0; i < 10; i++) {
        struct host h;
        char name[40];
        (void)snprintf(name, sizeof(name), "n%d.pypi.example", i);
        assert_int_equal(host_parse(name, strlen(name), 0, &h, NULL), 0);
        assert_int_equal(lookup_name(w.p, w.n, &w.counts, &h, 0, NULL, NULL), LOOKUP_ADDRESS);
    }
    assert_int_equal(names_count(w.n), 0);
    assert_int_equal(look_up(&w, "a.pypi.example", NULL), LOOKUP_ADDRESS);
    end(&w);
}

static void a_port_that_was_said_is_the_one_that_counts(void **state)
{
    (void)state;
    struct world w = world(RULES "dns: strict\n", 0);
    struct host h;
    struct name *n;
    assert_int_equal(host_parse("db.internal", 11, 0, &h, NULL), 0);
    assert_int_equal(lookup_name(w.p, w.n, &w.counts, &h, 443, &n, NULL), LOOKUP_NONE);
    assert_int_equal(lookup_name(w.p, w.n, &w.counts, &h, 5432, &n, NULL), LOOKUP_ADDRESS);
    end(&w);
}

static void a_table_of_names_in_use_is_full(void **state)
{
    (void)state;
    struct world w = world(RULES, 1);
    struct name *n;
    assert_int_equal(look_up(&w, "api.github.com", &n), LOOKUP_ADDRESS);
    names_hold(w.n, n);
    assert_int_equal(look_up(&w, "other.example", NULL), LOOKUP_FULL);
    names_release(w.n, n);
    assert_int_equal(look_up(&w, "other.example", NULL), LOOKUP_ADDRESS);
    end(&w);
}

static void observing_lets_every_name_be(void **state)
{
    (void)state;
    struct world w =
        world("mode: observe\ndns: strict\nallow: [a.example]\ndeny: [b.example]\n", 0);
    assert_int_equal(look_up(&w, "a.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "c.example", NULL), LOOKUP_ADDRESS);
    assert_int_equal(look_up(&w, "b.example", NULL), LOOKUP_NONE);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_names_there_are),
        cmocka_unit_test(every_name_is_there_when_all_hosts_are_allowed),
        cmocka_unit_test(different_names_under_a_wildcard_are_counted),
        cmocka_unit_test(a_forgotten_name_counts_again),
        cmocka_unit_test(a_reload_does_not_begin_to_count_anew),
        cmocka_unit_test(whether_a_name_is_there_costs_nothing),
        cmocka_unit_test(a_port_that_was_said_is_the_one_that_counts),
        cmocka_unit_test(a_table_of_names_in_use_is_full),
        cmocka_unit_test(observing_lets_every_name_be),
    };
    return cmocka_run_group_tests_name("egress/capture/lookup", tests, NULL, NULL);
}
