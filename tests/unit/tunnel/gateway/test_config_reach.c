/* test_config_reach.c - what the gateway connects to: the default, networks, and what must be named. */
#include "unit/tunnel/gateway/config_load.h"

#define OWN_4 "10.0.3.7"
#define OWN_6 "fd00::7"
#define OWN_L "169.254.7.7"

static struct cidr own_items[5];
static const struct cidr_list own = {own_items, ARRAY_LEN(own_items)};

static int make_own(void **state)
{
    static const char *const texts[] = {OWN_4, OWN_6, OWN_L, "127.0.0.1", "::1"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(own_items); i++)
        own_items[i] = (struct cidr){.net = address(texts[i]), .bits = 128};
    return 0;
}

static struct gateway_config *with(const char *upstream)
{
    AUTO_FREE char *yaml =
        mem_printf(LISTEN TLS "routes: {a.b: 'unix:/a'}\nupstream: {%s}\n", upstream);
    return load(yaml);
}

static void what_may_be_connected_to(void **state)
{
#define NETS(list) "allowed_ips: [" list "]"
#define EVERY      NETS("0.0.0.0/0, '::/0'")
#define DISABLED   "disable_ip_validation: true"
    static const struct {
        const char *upstream, *address;
        bool may;
    } rows[] = {
        /* by default: private ones */
        {"", "10.0.0.1", true},
        {"", "172.16.0.1", true},
        {"", "172.31.255.255", true},
        {"", "172.32.0.1", false},
        {"", "192.168.255.255", true},
        {"", "fc00::1", true},
        {"", "fdff::1", true},
        {"", "fec0::1", false}, /* site-local: private once, and in neither document */
        {"", "8.8.8.8", false},
        {"", "2001:4860::1", false},
        {"", "100.64.0.1", false},
        {"", "64:ff9b::a00:1", false}, /* 10.0.0.1 behind NAT64: not in a network of the list */
        {"", "127.0.0.1", false},
        {"", "::1", false},
        {"", "169.254.1.1", false},
        {"", "fe80::1", false},
        {"", "169.254.169.254", false},
        {"", "fd00:ec2::254", false}, /* in fc00::/7, and AWS's metadata */
        {"", OWN_4, false},
        {"", OWN_6, false},
        {"", "0.0.0.0", false},
        /* a list replaces the default */
        {NETS("8.8.8.0/24"), "8.8.8.8", true},
        {NETS("8.8.8.0/24"), "8.8.9.8", false},
        {NETS("8.8.8.0/24"), "10.0.0.1", false},
        {NETS("8.8.8.8"), "8.8.8.8", true},
        {NETS("'2001:4860::/32'"), "2001:4860::1", true},
        {NETS("'::/0'"), "8.8.8.8", false}, /* every IPv6 address, and no IPv4 one */
        {NETS("0.0.0.0/0"), "2001:4860::1", false},
        {EVERY, "8.8.8.8", true},
        {EVERY, "10.0.0.1", true},
        {EVERY, "100.64.0.1", true},
        {EVERY, "64:ff9b::808:808", true},
        {EVERY, "64:ff9b::a00:1", true},
        /* loopback: by a network of loopback addresses */
        {EVERY, "127.0.0.1", false},
        {NETS("64.0.0.0/2"), "127.0.0.1", false},
        {NETS("127.0.0.0/8"), "127.0.0.1", true},
        {NETS("127.0.0.0/8"), "127.9.9.9", true},
        {NETS("127.0.0.1"), "127.0.0.1", true},
        {NETS("127.0.0.1"), "127.0.0.2", false},
        {NETS("127.0.0.1"), "::1", false},
        {NETS("'::/127'"), "::1", false},
        {NETS("'::1'"), "::1", true},
        {NETS("'64:ff9b::/96'"), "64:ff9b::7f00:1", false}, /* 127.0.0.1 inside */
        {NETS("'64:ff9b::7f00:1'"), "64:ff9b::7f00:1", true},
        {NETS("127.0.0.0/8"), "64:ff9b::7f00:1", false},
        /* link-local, likewise */
        {EVERY, "169.254.1.1", false},
        {EVERY, "fe80::1", false},
        {NETS("169.254.0.0/15"), "169.254.1.1", false},
        {NETS("169.254.0.0/16"), "169.254.1.1", true},
        {NETS("169.254.1.1"), "169.254.1.1", true},
        {NETS("'fe80::/9'"), "fe80::1", false},
        {NETS("'fe80::/10'"), "fe80::1", true},
        {NETS("'fe80::/64'"), "fe80::1", true},
        {NETS("'64:ff9b::/96'"), "64:ff9b::a9fe:101", false},
        {NETS("'64:ff9b::a9fe:101'"), "64:ff9b::a9fe:101", true},
        /* metadata: alone */
        {EVERY, "169.254.169.254", false},
        {NETS("169.254.0.0/16"), "169.254.169.254", false},
        {NETS("169.254.169.254/31"), "169.254.169.254", false},
        {NETS("169.254.169.254"), "169.254.169.254", true},
        {NETS("'fd00:ec2::/32'"), "fd00:ec2::254", false},
        {NETS("'fd00:ec2::254'"), "fd00:ec2::254", true},
        {NETS("168.63.129.0/24"), "168.63.129.16", false}, /* Azure's is a public address */
        {EVERY, "64:ff9b::a9fe:a9fe", false},
        {EVERY, "2002:a9fe:a9fe::1", false}, /* 6to4 */
        /* this machine's own: alone */
        {EVERY, OWN_4, false},
        {NETS("10.0.0.0/8"), OWN_4, false},
        {NETS("10.0.3.0/24"), OWN_4, false},
        {NETS("10.0.0.0/8, " OWN_4), OWN_4, true},
        {NETS("10.0.0.0/8, " OWN_4), "10.0.3.8", true},
        {NETS("'fd00::/8'"), OWN_6, false},
        {NETS("'" OWN_6 "'"), OWN_6, true},
        {NETS("169.254.0.0/16"), OWN_L, false},
        {NETS(OWN_L), OWN_L, true},
        {EVERY, "64:ff9b::a00:307", false}, /* OWN_4 inside */
        /* never */
        {EVERY, "0.0.0.0", false},
        {NETS("0.0.0.0"), "0.0.0.0", false},
        {NETS("0.1.2.3"), "0.1.2.3", false},
        {NETS("'::'"), "::", false},
        {NETS("224.0.0.1"), "224.0.0.1", false},
        {NETS("255.255.255.255"), "255.255.255.255", false},
        {NETS("'ff02::1'"), "ff02::1", false},
        /* without validation: as every network */
        {DISABLED, "8.8.8.8", true},
        {DISABLED, "10.0.0.1", true},
        {DISABLED, "2001:4860::1", true},
        {DISABLED, "127.0.0.1", false},
        {DISABLED, "::1", false},
        {DISABLED, "169.254.1.1", false},
        {DISABLED, "169.254.169.254", false},
        {DISABLED, OWN_4, false},
        {DISABLED, "0.0.0.0", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gateway_config *c = with(rows[i].upstream);
        struct address a = address(rows[i].address);
        struct err e = {0};
        int r = gateway_config_may_connect(c, &a, &own, &e);
        if (r != (rows[i].may ? 0 : -E_DENIED))
            fail_msg("{%s}: %s: %d %s", rows[i].upstream, rows[i].address, r, e.msg);
        if (r < 0 && (e.code != r || !strstr(e.msg, rows[i].address)))
            fail_msg("{%s}: %s: %s", rows[i].upstream, rows[i].address, e.msg);
        gateway_config_unref(c);
    }
}

static void the_mapped_spelling_is_the_same_address(void **state)
{
    static const unsigned char loopback[16] = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1};
    static const unsigned char private[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1};
    struct gateway_config *c = with("");
    struct address a = address_of_ipv6(loopback), b = address_of_ipv6(private);
    (void)state;
    assert_int_equal(gateway_config_may_connect(c, &a, NULL, NULL), -E_DENIED);
    assert_int_equal(gateway_config_may_connect(c, &b, NULL, NULL), 0);
    gateway_config_unref(c);
}

static void without_own_addresses_the_class_decides(void **state)
{
    struct gateway_config *c = with("");
    struct address a = address(OWN_4), b = address("127.0.0.1");
    (void)state;
    assert_int_equal(gateway_config_may_connect(c, &a, NULL, NULL), 0);
    assert_int_equal(gateway_config_may_connect(c, &b, NULL, NULL), -E_DENIED);
    gateway_config_unref(c);
}

static void a_refusal_says_what_would_open_it(void **state)
{
    static const struct {
        const char *upstream, *address, *words;
    } rows[] = {
        {"", "8.8.8.8",
         "8.8.8.8 (public) is not in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fc00::/7; "
         "\"upstream.allowed_ips\" names others"},
        {"", "127.0.0.2",
         "127.0.0.2 (loopback) has to be named in \"upstream.allowed_ips\", beside the networks "
         "that "
         "this replaces, as in [10.0.0.0/8, \"127.0.0.2\"]"},
        {"", OWN_4,
         OWN_4 " (this machine's own) has to be named in \"upstream.allowed_ips\", beside the "
               "networks that this replaces, as in [10.0.0.0/8, \"" OWN_4 "\"]"},
        {EVERY, "169.254.169.254",
         "169.254.169.254 (cloud metadata) has to be named in \"upstream.allowed_ips\": a network "
         "that has it among others does not open it"},
        {NETS("10.0.0.0/8"), "192.168.0.1",
         "192.168.0.1 (private) is in no network of \"upstream.allowed_ips\""},
        {EVERY, "0.0.0.0", "0.0.0.0 (unspecified) is never connected to"},
        {DISABLED, "::1",
         "::1 (this machine's own) is not opened by \"upstream.disable_ip_validation\"; give "
         "\"allowed_ips\" instead: [0.0.0.0/0, \"::/0\", \"::1\"]"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gateway_config *c = with(rows[i].upstream);
        struct address a = address(rows[i].address);
        struct err e = {0};
        assert_int_equal(gateway_config_may_connect(c, &a, &own, &e), -E_DENIED);
        assert_string_equal(e.msg, rows[i].words);
        gateway_config_unref(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_be_connected_to),
        cmocka_unit_test(the_mapped_spelling_is_the_same_address),
        cmocka_unit_test(without_own_addresses_the_class_decides),
        cmocka_unit_test(a_refusal_says_what_would_open_it),
    };
    return cmocka_run_group_tests(tests, make_own, NULL);
}
