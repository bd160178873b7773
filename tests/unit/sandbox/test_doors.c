/* test_doors.c - what a door may be, in which words it is refused, and how it travels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "sandbox/doors.h"
#include "sandbox/spec.h"

static int parse(const char *text, struct sandbox_spec *s, struct err *e)
{
    AUTO_JSON json_t *o = NULL;
    assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
    return sandbox_spec_parse(o, s, e);
}

static void doors_survive_the_wire(void **state)
{
    (void)state;
    struct sandbox_spec s, back;
    struct err e;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_TCP, NULL, 443, &e), 0);
    assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_UDP, "127.0.0.1", 53, &e), 0);
    assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_TCP, "127.0.0.1", 53, &e), 0);
    assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_TCP, "fd73:616c:6c79::7", 5432, &e), 0);
    assert_int_equal(sandbox_spec_check(&s, &e), 0);
    AUTO_JSON json_t *o = sandbox_spec_json(&s);
    assert_int_equal(sandbox_spec_parse(o, &back, &e), 0);
    AUTO_JSON json_t *again = sandbox_spec_json(&back);
    assert_true(json_equal(o, again));
    assert_int_equal(back.n_doors, 4);
    assert_int_equal(sandbox_door_family(&back.doors[0]), AF_UNSPEC);
    assert_int_equal(sandbox_door_family(&back.doors[1]), AF_INET);
    assert_int_equal(sandbox_door_family(&back.doors[3]), AF_INET6);
    assert_int_equal(back.doors[1].kind, SANDBOX_DOOR_UDP);
    assert_int_equal(back.doors[3].port, 5432);
    assert_true(sandbox_doors_resolve(back.doors, back.n_doors));
    assert_false(sandbox_doors_resolve(back.doors, 1));
    sandbox_spec_done(&s);
    sandbox_spec_done(&back);
}

static void a_door_that_cannot_be_is_refused_with_words(void **state)
{
    (void)state;
    static const struct {
        const char *doors, *words;
    } table[] = {
        {"{}", "must be an array"},
        {"[{}]", "doors[0] needs kind"},
        {"[7]", "doors[0] needs kind"},
        {"[{\"kind\":\"tcp\"}]", "doors[0] needs kind"},
        {"[{\"kind\":\"tcp\",\"port\":\"443\"}]", "doors[0] needs kind"},
        {"[{\"kind\":\"tcp\",\"port\":0}]", "1 to 65535"},
        {"[{\"kind\":\"tcp\",\"port\":65536}]", "1 to 65535"},
        {"[{\"kind\":\"tcp\",\"port\":-1}]", "1 to 65535"},
        {"[{\"kind\":\"tcp\",\"port\":1.5}]", "1 to 65535"},
        {"[{\"kind\":\"sctp\",\"port\":443}]", "\"tcp\" or \"udp\""},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"\"}]", "nothing else"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":null}]", "nothing else"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"name\":\"x\"}]", "nothing else"},
        {"[{\"kind\":\"udp\",\"port\":53}]", "needs an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"0.0.0.0\"}]", "\"0.0.0.0\" is not"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"::\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"10.0.0.1\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"198.20.0.0\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"198.17.255.255\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"128.0.0.1\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"127.1\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"127.0.0.01\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"::2\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"0:0::1\"}]", "as inet_ntop spells it"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"FD73:616c:6c79::1\"}]", "spells it"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"fd73:616c:6c79:1::1\"}]", "is not an"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"::ffff:127.0.0.1\"}]", "is not an"},
        {"[{\"kind\":\"tcp\",\"port\":443,\"address\":\"localhost\"}]", "is not an address"},
        {"[{\"kind\":\"tcp\",\"port\":443},{\"kind\":\"tcp\",\"port\":443}]", "two at one place"},
        {"[{\"kind\":\"tcp\",\"port\":443},{\"kind\":\"tcp\",\"port\":443,\"address\":\"::1\"}]",
         "two at one place"},
        {"[{\"kind\":\"tcp\",\"port\":9,\"address\":\"::1\"},{\"kind\":\"tcp\",\"port\":9}]",
         "two at one place"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_spec s;
        struct err e;
        AUTO_FREE char *text = mem_printf("{\"doors\":%s}", table[i].doors);
        if (parse(text, &s, &e) != -EINVAL)
            fail_msg("%s: accepted", text);
        if (!strstr(e.msg, table[i].words))
            fail_msg("%s: \"%s\" does not say \"%s\"", text, e.msg, table[i].words);
    }
}

static void the_edges_of_what_is_allowed_are_allowed(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1",
                                            "127.255.255.255",
                                            "198.18.0.0",
                                            "198.19.255.255",
                                            "::1",
                                            "fd73:616c:6c79::",
                                            "fd73:616c:6c79:0:ffff:ffff:ffff:ffff"};
    struct sandbox_spec s, back;
    struct err e;
    sandbox_spec_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
        assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_TCP, addresses[i], 65535, &e), 0);
    for (size_t i = s.n_doors; i < SANDBOX_DOORS_MAX; i++)
        assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_TCP, NULL, (uint16_t)i, &e), 0);
    assert_int_equal(sandbox_spec_add_door(&s, SANDBOX_DOOR_TCP, NULL, 9999, &e), -EINVAL);
    AUTO_JSON json_t *o = sandbox_spec_json(&s);
    if (sandbox_spec_parse(o, &back, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(back.n_doors, SANDBOX_DOORS_MAX);
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct sockaddr_storage a;
        const int family = sandbox_door_family(&back.doors[i]);
        char text[INET6_ADDRSTRLEN];
        const socklen_t n = sandbox_door_address(&back.doors[i], family, &a);
        assert_int_equal(n, family == AF_INET ? sizeof(struct sockaddr_in)
                                              : sizeof(struct sockaddr_in6));
        const void *at =
            family == AF_INET
                ? (const void *)&((const struct sockaddr_in *)(const void *)&a)->sin_addr
                : &((const struct sockaddr_in6 *)(const void *)&a)->sin6_addr;
        assert_string_equal(inet_ntop(family, at, text, sizeof(text)), addresses[i]);
    }
    sandbox_spec_done(&s);
    sandbox_spec_done(&back);
}

static void a_sandbox_without_a_network_has_no_doors(void **state)
{
    (void)state;
    struct sandbox_spec s;
    struct err e;
    /* Whatever comes first. */
    assert_int_equal(parse("{\"network\":\"none\",\"doors\":[{\"kind\":\"tcp\",\"port\":443}]}", &s,
                           &e),
                     -EINVAL);
    assert_int_equal(parse("{\"doors\":[{\"kind\":\"tcp\",\"port\":443}],\"network\":\"none\"}", &s,
                           &e),
                     -EINVAL);
    assert_non_null(strstr(e.msg, "without a network"));
    assert_int_equal(parse("{\"network\":\"none\",\"doors\":[]}", &s, &e), 0);
    assert_int_equal(s.n_doors, 0);
    sandbox_spec_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doors_survive_the_wire),
        cmocka_unit_test(a_door_that_cannot_be_is_refused_with_words),
        cmocka_unit_test(the_edges_of_what_is_allowed_are_allowed),
        cmocka_unit_test(a_sandbox_without_a_network_has_no_doors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
