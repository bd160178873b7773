/* turnstile: networks, rates and shares of callers, and that nothing is remembered for longer than it matters. */
#include "base/err.h"
#include "base/time.h"
#include "tunnel/edge/turnstile.h"

#include <stdio.h>
#include <string.h>

#include "unit/unit.h"

static struct turnstile *made(const struct turnstile_limits *l, size_t most)
{
    struct turnstile *a = NULL;
    struct err e = {0};
    if (turnstile_new(l, most, &a, &e) < 0)
        fail_msg("%s", e.msg);
    return a;
}

static struct address at(const char *text)
{
    struct address r;
    assert_int_equal(address_parse(text, strlen(text), &r, NULL), 0);
    return r;
}

static enum turnstile_verdict come(struct turnstile *a, const char *from, int64_t now_ns,
                                   struct turnstile_pass *ret)
{
    struct address address = at(from);
    return turnstile_peer(a, &address, now_ns, ret);
}

/* Whether one from there may come; it leaves again. */
static enum turnstile_verdict try_once(struct turnstile *a, const char *from, const char *tunnel,
                                       int64_t now_ns)
{
    struct turnstile_pass p;
    enum turnstile_verdict v = come(a, from, now_ns, &p);
    if (v == TURNSTILE_GRANTED && tunnel)
        v = turnstile_tunnel(a, &p, tunnel, now_ns);
    turnstile_leave(a, &p);
    return v;
}

static void only_networks_that_are_named_may_come(void **state)
{
    (void)state;
    static const char *const rules[] = {"10.0.0.0/8", "2001:db8::/32", "tnl_a=10.1.0.0/16",
                                        "tnl_a=10.2.3.4"};
    const struct turnstile_limits l = {.allow_from = rules, .n_allow_from = ARRAY_LEN(rules)};
    struct turnstile *a = made(&l, 10);
    static const struct {
        const char *from, *tunnel;
        enum turnstile_verdict is;
    } cases[] = {
        {"10.9.9.9", NULL, TURNSTILE_GRANTED},         {"11.0.0.1", NULL, TURNSTILE_FORBIDDEN},
        {"2001:db8::1", NULL, TURNSTILE_GRANTED},      {"2001:db9::1", NULL, TURNSTILE_FORBIDDEN},
        {"10.9.9.9", "tnl_a", TURNSTILE_FORBIDDEN},    {"10.1.9.9", "tnl_a", TURNSTILE_GRANTED},
        {"10.2.3.4", "tnl_a", TURNSTILE_GRANTED},      {"10.2.3.5", "tnl_a", TURNSTILE_FORBIDDEN},
        {"2001:db8::1", "tnl_a", TURNSTILE_FORBIDDEN}, {"10.9.9.9", "tnl_b", TURNSTILE_GRANTED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (try_once(a, cases[i].from, cases[i].tunnel, NS_PER_S) != cases[i].is)
            fail_msg("%s to %s", cases[i].from, cases[i].tunnel ? cases[i].tunnel : "-");
    struct turnstile_pass p;
    assert_int_equal(turnstile_peer(a, NULL, NS_PER_S, &p),
                     TURNSTILE_FORBIDDEN); /* has no address */
    turnstile_free(a);
}

static void a_tunnels_networks_bind_nobody_else(void **state)
{
    (void)state;
    static const char *const rules[] = {"tnl_a=10.1.0.0/16"};
    struct turnstile *a =
        made(&(struct turnstile_limits){.allow_from = rules, .n_allow_from = 1}, 10);
    struct turnstile_pass p;
    assert_int_equal(try_once(a, "8.8.8.8", "tnl_b", NS_PER_S), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "8.8.8.8", "tnl_a", NS_PER_S), TURNSTILE_FORBIDDEN);
    assert_int_equal(turnstile_peer(a, NULL, NS_PER_S, &p), TURNSTILE_GRANTED);
    assert_int_equal(turnstile_tunnel(a, &p, "tnl_a", NS_PER_S), TURNSTILE_FORBIDDEN);
    turnstile_leave(a, &p);
    turnstile_free(a);
}

static void rules_that_are_none_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *says;
    } cases[] = {
        {"10.0.0.1/8", "\"10.0.0.1/8\""},
        {"everywhere", "\"everywhere\""},
        {"", "\"\""},
        {"tnl_a=", "\"tnl_a=\""},
        {"=10.0.0.0/8", "tunnel's id"},
        {"sesn_a=10.0.0.0/8", "tunnel's id"},
        {"tnl_=10.0.0.0/8", "tunnel's id"},
        {"tnl_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=10."
         "0.0.0/8",
         "tunnel's id"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct turnstile *a;
        struct err e = {0};
        const struct turnstile_limits l = {.allow_from = &cases[i].rule, .n_allow_from = 1};
        assert_true(turnstile_new(&l, 10, &a, &e) < 0);
        if (!strstr(e.msg, cases[i].says))
            fail_msg("%s: %s", cases[i].rule, e.msg);
    }
}

static void one_peer_gets_an_eighth_of_what_is_free(void **state)
{
    (void)state;
    struct turnstile *a = made(&(struct turnstile_limits){0}, 64);
    static struct turnstile_pass p[64];
    static const char *const peers[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
    static const size_t gets[] = {8, 7, 6};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        size_t had = n;
        do
            assert_int_equal(come(a, peers[i], 0, &p[n]), TURNSTILE_GRANTED);
        while (turnstile_peer_has_room(a, &p[n++]));
        turnstile_leave(a, &p[--n]);
        assert_int_equal(n - had, gets[i]);
        assert_true(turnstile_has_room(a));
    }
    while (n > 0)
        turnstile_leave(a, &p[--n]);
    turnstile_leave(a, &p[0]); /* again */
    turnstile_free(a);
}

static void one_peer_does_not_fill_a_tunnel_and_one_tunnel_not_the_ingress(void **state)
{
    (void)state;
    struct turnstile *a = made(&(struct turnstile_limits){0}, 64);
    static struct turnstile_pass p[64];
    char from[32];
    size_t n = 0, in_a = 0, of_first = 0;
    for (int peer = 1; peer < 12; peer++) {
        (void)snprintf(from, sizeof(from), "10.0.0.%d", peer);
        for (;;) {
            assert_int_equal(come(a, from, 0, &p[n]), TURNSTILE_GRANTED);
            if (!turnstile_peer_has_room(a, &p[n]) ||
                turnstile_tunnel(a, &p[n], "tnl_a", 0) != TURNSTILE_GRANTED)
                break;
            n++;
            in_a++;
        }
        turnstile_leave(a, &p[n]);
        of_first = peer == 1 ? in_a : of_first;
    }
    assert_int_equal(of_first, 8);
    assert_int_equal(in_a, 32);
    assert_int_equal(come(a, "10.0.1.1", 0, &p[n]), TURNSTILE_GRANTED);
    assert_int_equal(turnstile_tunnel(a, &p[n++], "tnl_b", 0), TURNSTILE_GRANTED);
    while (n > 0)
        turnstile_leave(a, &p[--n]);
    turnstile_free(a);
}

static void a_share_with_a_number_is_that_number(void **state)
{
    (void)state;
    struct turnstile *a = made(&(struct turnstile_limits){.peer_most = 3, .tunnel_most = 2}, 4);
    struct turnstile_pass p[5];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(come(a, "10.0.0.1", 0, &p[i]), TURNSTILE_GRANTED);
    assert_false(turnstile_peer_has_room(a, &p[3]));
    assert_true(turnstile_has_room(a));
    assert_int_equal(come(a, "10.0.0.2", 0, &p[4]), TURNSTILE_GRANTED);
    assert_false(turnstile_has_room(a));
    assert_int_equal(turnstile_tunnel(a, &p[0], "tnl_a", 0), TURNSTILE_GRANTED);
    assert_int_equal(turnstile_tunnel(a, &p[1], "tnl_a", 0), TURNSTILE_GRANTED);
    assert_int_equal(turnstile_tunnel(a, &p[2], "tnl_a", 0), TURNSTILE_TOO_MANY);
    assert_int_equal(turnstile_tunnel(a, &p[2], "tnl_b", 0), TURNSTILE_GRANTED);
    turnstile_leave(a, &p[0]);
    assert_int_equal(turnstile_tunnel(a, &p[4], "tnl_a", 0), TURNSTILE_GRANTED);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        turnstile_leave(a, &p[i]);
    turnstile_free(a);
}

static void a_rate_allows_two_seconds_at_once_and_then_its_pace(void **state)
{
    (void)state;
    struct turnstile *a = made(&(struct turnstile_limits){.peer_rate = 10, .tunnel_rate = 4}, 100);
    int64_t now = 1000 * NS_PER_S;
    for (int i = 0; i < 20; i++)
        assert_int_equal(try_once(a, "10.0.0.1", NULL, now), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "10.0.0.1", NULL, now), TURNSTILE_TOO_FAST);
    assert_int_equal(try_once(a, "10.0.0.2", NULL, now),
                     TURNSTILE_GRANTED); /* another one's affair */
    now += NS_PER_S / 10;
    assert_int_equal(try_once(a, "10.0.0.1", NULL, now), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "10.0.0.1", NULL, now), TURNSTILE_TOO_FAST);
    now += 10 * NS_PER_S; /* no more is saved up */
    for (int i = 0; i < 8; i++)
        assert_int_equal(try_once(a, "10.0.0.1", "tnl_a", now), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "10.0.0.1", "tnl_a", now), TURNSTILE_TOO_FAST);
    assert_int_equal(try_once(a, "10.0.0.1", "tnl_b", now), TURNSTILE_GRANTED);
    turnstile_free(a);
}

/* Whoever has an address of IPv6 has a network of them. */
static void ipv6_is_counted_by_its_network(void **state)
{
    (void)state;
    struct turnstile *a = made(&(struct turnstile_limits){.peer_rate = 1}, 100);
    assert_int_equal(try_once(a, "2001:db8::1", NULL, NS_PER_S), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "2001:db8::ffff:1", NULL, NS_PER_S), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "2001:db8::2", NULL, NS_PER_S), TURNSTILE_TOO_FAST);
    assert_int_equal(try_once(a, "2001:db8:0:1::1", NULL, NS_PER_S), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "10.0.0.1", NULL, NS_PER_S), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "10.0.0.2", NULL, NS_PER_S), TURNSTILE_GRANTED);
    turnstile_free(a);
}

static void nobody_is_remembered_for_longer_than_it_matters(void **state)
{
    (void)state;
    struct turnstile *a = made(&(struct turnstile_limits){.peer_rate = 1}, 100);
    char from[32];
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(from, sizeof(from), "10.1.%u.%u", i >> 8, i & 255);
        assert_int_equal(try_once(a, from, NULL, NS_PER_S), TURNSTILE_GRANTED);
    }
    assert_in_range(turnstile_remembered(a), 16384, 16386);
    assert_int_equal(try_once(a, "10.0.0.1", NULL, 60 * NS_PER_S), TURNSTILE_GRANTED);
    assert_int_equal(turnstile_remembered(a), 1);
    struct turnstile_pass p;
    assert_int_equal(come(a, "10.0.0.2", 60 * NS_PER_S, &p), TURNSTILE_GRANTED);
    assert_int_equal(try_once(a, "10.0.0.3", NULL, 600 * NS_PER_S), TURNSTILE_GRANTED);
    assert_int_equal(turnstile_remembered(a), 2); /* who is there is not forgotten */
    turnstile_leave(a, &p);
    turnstile_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_networks_that_are_named_may_come),
        cmocka_unit_test(a_tunnels_networks_bind_nobody_else),
        cmocka_unit_test(rules_that_are_none_are_refused_by_name),
        cmocka_unit_test(one_peer_gets_an_eighth_of_what_is_free),
        cmocka_unit_test(one_peer_does_not_fill_a_tunnel_and_one_tunnel_not_the_ingress),
        cmocka_unit_test(a_share_with_a_number_is_that_number),
        cmocka_unit_test(a_rate_allows_two_seconds_at_once_and_then_its_pace),
        cmocka_unit_test(ipv6_is_counted_by_its_network),
        cmocka_unit_test(nobody_is_remembered_for_longer_than_it_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
