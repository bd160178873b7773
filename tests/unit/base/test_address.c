/* test_address.c - classes of addresses, through every way of writing one. */
#include "unit/unit.h"
#include "base/address.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <string.h>

static struct address of(const char *text)
{
    unsigned char b[16];
    if (inet_pton(AF_INET, text, b) == 1)
        return address_of_ipv4(b);
    if (inet_pton(AF_INET6, text, b) != 1)
        fail_msg("%s", text);
    return address_of_ipv6(b);
}

static void each_address_has_its_class(void **state)
{
    static const struct {
        const char *text;
        enum address_class class;
    } rows[] = {
        {"93.184.216.34", ADDRESS_PUBLIC},
        {"2606:2800:220:1::1", ADDRESS_PUBLIC},
        {"9.255.255.255", ADDRESS_PUBLIC},
        {"10.0.0.0", ADDRESS_PRIVATE},
        {"10.255.255.255", ADDRESS_PRIVATE},
        {"11.0.0.0", ADDRESS_PUBLIC},
        {"172.15.255.255", ADDRESS_PUBLIC},
        {"172.16.0.0", ADDRESS_PRIVATE},
        {"172.31.255.255", ADDRESS_PRIVATE},
        {"172.32.0.0", ADDRESS_PUBLIC},
        {"192.168.1.1", ADDRESS_PRIVATE},
        {"100.63.255.255", ADDRESS_PUBLIC},
        {"100.64.0.1", ADDRESS_CGNAT},
        {"100.127.255.255", ADDRESS_CGNAT},
        {"100.128.0.0", ADDRESS_PUBLIC},
        {"127.0.0.1", ADDRESS_LOOPBACK},
        {"127.255.255.254", ADDRESS_LOOPBACK},
        {"0.0.0.0", ADDRESS_UNSPECIFIED},
        {"0.1.2.3", ADDRESS_UNSPECIFIED},
        {"169.254.1.1", ADDRESS_LINK_LOCAL},
        {"192.0.0.1", ADDRESS_RESERVED},
        {"192.0.2.1", ADDRESS_RESERVED},
        {"198.18.0.1", ADDRESS_RESERVED},
        {"198.19.255.255", ADDRESS_RESERVED},
        {"198.20.0.0", ADDRESS_PUBLIC},
        {"203.0.113.9", ADDRESS_RESERVED},
        {"224.0.0.1", ADDRESS_MULTICAST},
        {"239.255.255.255", ADDRESS_MULTICAST},
        {"240.0.0.1", ADDRESS_RESERVED},
        {"255.255.255.255", ADDRESS_MULTICAST},
        {"::", ADDRESS_UNSPECIFIED},
        {"::1", ADDRESS_LOOPBACK},
        {"fc00::1", ADDRESS_PRIVATE},
        {"fdff::1", ADDRESS_PRIVATE},
        {"fe80::1", ADDRESS_LINK_LOCAL},
        {"febf::1", ADDRESS_LINK_LOCAL},
        {"fec0::1", ADDRESS_PRIVATE},
        {"ff02::1", ADDRESS_MULTICAST},
        {"2001:db8::1", ADDRESS_RESERVED},
        {"3fff::1", ADDRESS_RESERVED},
        {"100::1", ADDRESS_RESERVED},
        {"4000::1", ADDRESS_RESERVED},
        {"5f00::1", ADDRESS_RESERVED},
        {"2001:2::1", ADDRESS_RESERVED},
        /* metadata */
        {"169.254.169.254", ADDRESS_METADATA},
        {"169.254.170.2", ADDRESS_METADATA},
        {"100.100.100.200", ADDRESS_METADATA},
        {"168.63.129.16", ADDRESS_METADATA},
        {"192.0.0.192", ADDRESS_METADATA},
        {"fd00:ec2::254", ADDRESS_METADATA},
        {"fd00:ec2::23", ADDRESS_METADATA},
        {"fd20:ce::254", ADDRESS_METADATA},
        {"fe80::a9fe:a9fe", ADDRESS_METADATA},
        {"fd00:42::42", ADDRESS_METADATA},
        /* one inside the other */
        {"::ffff:127.0.0.1", ADDRESS_LOOPBACK},
        {"::ffff:169.254.169.254", ADDRESS_METADATA},
        {"::ffff:8.8.8.8", ADDRESS_PUBLIC},
        {"::127.0.0.1", ADDRESS_LOOPBACK},
        {"::8.8.8.8", ADDRESS_RESERVED},
        {"64:ff9b::8.8.8.8", ADDRESS_PUBLIC},
        {"64:ff9b::10.0.0.1", ADDRESS_PRIVATE},
        {"64:ff9b::169.254.169.254", ADDRESS_METADATA},
        {"64:ff9b:1::10.0.0.1", ADDRESS_PRIVATE},
        {"64:ff9b:1::8.8.8.8", ADDRESS_RESERVED},
        {"64:ff9b:1:a9fe:a9:fe00::", ADDRESS_METADATA},
        {"64:ff9b:2::1", ADDRESS_RESERVED},
        {"2002:7f00:1::1", ADDRESS_LOOPBACK},
        {"2002:a9fe:a9fe::1", ADDRESS_METADATA},
        {"2002:808:808::1", ADDRESS_RESERVED},
        {"2001:0:808:808:0:0:80ff:fffe", ADDRESS_LOOPBACK},
        {"2001:0:a00:1:0:0:f7f7:f7f7", ADDRESS_PRIVATE},
        {"2001:0:808:808:0:0:f7f7:f7f7", ADDRESS_RESERVED},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct address a = of(rows[i].text);
        enum address_class c = address_classify(&a, NULL);
        if (c != rows[i].class)
            fail_msg("%s is %s", rows[i].text, address_class_text(c));
    }
}

static void the_machines_own_addresses_are_known_inside_others(void **state)
{
    struct cidr item = {.net = of("93.184.216.34"), .bits = 128};
    struct cidr_list own = {&item, 1};
    static const char *const rows[] = {"93.184.216.34", "64:ff9b::93.184.216.34",
                                       "2002:5db8:d822::1"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct address a = of(rows[i]);
        assert_int_equal(address_classify(&a, &own), ADDRESS_OWN);
    }
    struct address other = of("93.184.216.35");
    assert_int_equal(address_classify(&other, &own), ADDRESS_PUBLIC);
    item.net = of("169.254.169.254");
    assert_int_equal(address_classify(&item.net, &own), ADDRESS_METADATA);
}

static void a_network_is_written_in_one_way(void **state)
{
    static const char *const good[] = {"10.0.0.0/8", "10.1.2.3", "10.1.2.3/32", "0.0.0.0/0",
                                       "::/0",       "fd00::/8", "2001:db8::1"};
    static const char *const wrong[] = {"",
                                        "/",
                                        "10.0.0.0/",
                                        "10.0.0.0/33",
                                        "10.0.0.0/08",
                                        "10.0.0.0/-1",
                                        "10.0.0.1/8",
                                        "10/8",
                                        "010.0.0.0/8",
                                        "::ffff:10.0.0.0/104",
                                        "FD00::/129",
                                        "fd00:0::/8",
                                        "fd00::1/8",
                                        "a.example",
                                        "[::1]",
                                        "::1%lo"};
    (void)state;
    struct cidr c;
    struct err e = {0};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (cidr_parse(good[i], strlen(good[i]), &c, &e) < 0)
            fail_msg("%s: %s", good[i], e.msg);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (cidr_parse(wrong[i], strlen(wrong[i]), &c, &e) != -E_PARSE)
            fail_msg("%s is a network", wrong[i]);
    assert_int_equal(cidr_parse("10.0.0.1/8", 10, &c, &e), -E_PARSE);
    assert_string_equal(e.msg, "the network begins at 10.0.0.0/8");
}

static void a_network_contains_its_own_family_only(void **state)
{
    static const struct {
        const char *net, *address;
        bool in;
    } rows[] = {
        {"10.0.0.0/8", "10.9.9.9", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "1.2.3.4", false},
        {"::/0", "fd00::1", true},
        {"10.0.0.0/8", "::ffff:10.0.0.1", true},
        {"10.0.0.0/8", "64:ff9b::10.0.0.1", false},
        {"192.168.4.0/23", "192.168.5.255", true},
        {"192.168.4.0/23", "192.168.6.0", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cidr c;
        struct address a = of(rows[i].address);
        assert_int_equal(cidr_parse(rows[i].net, strlen(rows[i].net), &c, NULL), 0);
        if (cidr_contains(&c, &a) != rows[i].in)
            fail_msg("%s in %s", rows[i].address, rows[i].net);
    }
}

static void a_socket_address_is_read(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)};
    struct sockaddr un = {.sa_family = AF_UNIX};
    struct address a;
    char text[ADDRESS_TEXT_MAX];
    (void)state;
    assert_int_equal(address_of_sockaddr((const struct sockaddr *)(const void *)&in, &a), 0);
    assert_string_equal(address_text(&a, text), "10.0.0.1");
    assert_int_equal(address_of_sockaddr(&un, &a), -EAFNOSUPPORT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_has_its_class),
        cmocka_unit_test(the_machines_own_addresses_are_known_inside_others),
        cmocka_unit_test(a_network_is_written_in_one_way),
        cmocka_unit_test(a_network_contains_its_own_family_only),
        cmocka_unit_test(a_socket_address_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
