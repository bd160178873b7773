/* test_host.c - the canonical form of a host, and who agrees with whom. */
#include "unit/unit.h"
#include "base/err.h"
#include "base/host.h"

#include <string.h>

static int parse(const char *s, unsigned flags, struct host *h, struct err *e)
{
    *h = (struct host){0};
    return host_parse(s, strlen(s), flags, h, e);
}

static void spellings_of_one_name_are_one(void **state)
{
    static const struct {
        const char *in, *out;
        unsigned flags, labels;
    } rows[] = {
        {"api.github.com", "api.github.com", 0, 3},
        {"API.GitHub.COM", "api.github.com", 0, 3},
        {"api.github.com.", "api.github.com", 0, 3},
        {"localhost", "localhost", 0, 1},
        {"_dmarc.example.com", "_dmarc.example.com", 0, 3},
        {"r3---sn-4g5e6nz7.googlevideo.com", "r3---sn-4g5e6nz7.googlevideo.com", 0, 3},
        {"1.example", "1.example", 0, 2},
        {"0x7f.example", "0x7f.example", 0, 2},
        {"bücher.example", "xn--bcher-kva.example", HOST_UNICODE, 2},
        {"BÜCHER.example", "xn--bcher-kva.example", HOST_UNICODE, 2},
        {"xn--bcher-kva.example", "xn--bcher-kva.example", 0, 2},
        {"XN--BCHER-KVA.example", "xn--bcher-kva.example", 0, 2},
        {"faß.example", "xn--fa-hia.example", HOST_UNICODE, 2},
        {"ex\xe3\x80\x82"
         "ample",
         "ex.ample", HOST_UNICODE, 2}, /* the ideographic full stop */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct host h;
        struct err e = {0};
        if (parse(rows[i].in, rows[i].flags, &h, &e) < 0)
            fail_msg("%s: %s", rows[i].in, e.msg);
        assert_string_equal(h.text, rows[i].out);
        assert_int_equal(h.n, strlen(rows[i].out));
        assert_int_equal(h.labels, rows[i].labels);
        assert_int_equal(h.kind, HOST_NAME);
    }
}

static void what_has_two_readings_is_no_host(void **state)
{
    static const char *const rows[] = {
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a..",
        " a",
        "a ",
        "a b",
        "a\tb",
        "a\n",
        "a:80",
        "u@a",
        "a/b",
        "http://a",
        "a%2eb",
        "%61",
        "a%",
        "fe80::1%eth0",
        "-a.b",
        "a-.b",
        "a,b",
        "a;b",
        "a?b",
        "a#b",
        "a\\b",
        "*",
        "*.a",
        "a.*.b",
        "[",
        "]",
        "[]",
        "::1",
        "a[b]",
        /* addresses in disguise */
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "010.0.0.1",
        "00.0.0.0",
        "127.0.0.1.",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.0x4",
        "example.1",
        "example.0x",
        "example.0x1f",
        "0",
        "0x",
        "1.2.3.4.",
        "１２７.０.０.１",
        "１２７．０．０．１",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "example.１",
        /* international names that are none */
        "xn--",
        "xn--a",
        "xn--zzzzzzzz-.example",
        "xn--ls8h.example",
        "xn--fa-hia-.x",
        "xn--localhost-.x",
        "a\xffz.example",
        "a\xc0\xaez.example",
        "a\xe2\x80\x8b.example\x01",
        /* literals that are not canonical, or not whole */
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:80",
        "[0:0:0:0:0:0:0:1]",
        "[::01]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "[127.0.0.1]",
        "[1::2::3]",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct host h;
        struct err e = {0};
        if (parse(rows[i], HOST_LITERALS | HOST_UNICODE, &h, &e) != -E_PARSE)
            fail_msg("\"%s\" is a host: %s", rows[i], h.text);
        assert_int_equal(h.kind, HOST_NONE);
        assert_non_null(strstr(e.msg, "is not a host"));
        for (const char *p = e.msg; *p; p++)
            assert_true(*p >= ' ' && *p < 0x7f);
    }
    struct host h = {0};
    assert_int_equal(host_parse("a\0b", 3, HOST_UNICODE, &h, NULL), -E_PARSE);
    assert_int_equal(host_parse("1.2.3.4\0", 8, HOST_LITERALS, &h, NULL), -E_PARSE);
    assert_int_equal(parse("bücher.example", 0, &h, NULL), -E_PARSE); /* not on the wire */
}

static void lengths_end_at_63_and_253(void **state)
{
    char name[300], label[65];
    struct host h;
    (void)state;
    memset(label, 'a', sizeof(label));
    label[63] = '\0';
    assert_int_equal(parse(label, 0, &h, NULL), 0);
    label[63] = 'a';
    label[64] = '\0';
    assert_int_equal(parse(label, 0, &h, NULL), -E_PARSE);
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 2 ? '.' : 'a';
    assert_int_equal(host_parse(name, 253, 0, &h, NULL), 0);
    assert_int_equal(h.labels, 127);
    assert_int_equal(host_parse(name, 254, 0, &h, NULL), 0); /* 253 and the root's dot */
    name[253] = 'a';
    assert_int_equal(host_parse(name, 254, 0, &h, NULL), -E_PARSE);
    assert_int_equal(host_parse(name, 255, 0, &h, NULL), -E_PARSE);
}

static void literals_are_hosts_only_where_asked_for(void **state)
{
    struct host h;
    (void)state;
    assert_int_equal(parse("10.1.2.3", 0, &h, NULL), -E_PARSE);
    assert_int_equal(parse("[2001:db8::1]", 0, &h, NULL), -E_PARSE);
    assert_int_equal(parse("10.1.2.3", HOST_LITERALS, &h, NULL), 0);
    assert_int_equal(h.kind, HOST_IPV4);
    assert_int_equal(parse("[2001:DB8::1]", HOST_LITERALS, &h, NULL), 0);
    assert_int_equal(h.kind, HOST_IPV6);
    assert_string_equal(h.text, "[2001:db8::1]");
}

static void an_authority_has_a_whole_port_or_none(void **state)
{
    static const struct {
        const char *in;
        int r;
        unsigned port;
    } rows[] = {
        {"a.b", 0, 0},
        {"a.b:443", 0, 443},
        {"a.b:65535", 0, 65535},
        {"[::1]", 0, 0},
        {"[::1]:8080", 0, 8080},
        {"1.2.3.4:1", 0, 1},
        {"a.b:", -E_PARSE, 0},
        {"a.b:0", -E_PARSE, 0},
        {"a.b:080", -E_PARSE, 0},
        {"a.b:65536", -E_PARSE, 0},
        {"a.b:+80", -E_PARSE, 0},
        {"a.b: 80", -E_PARSE, 0},
        {"a.b:80:80", -E_PARSE, 0},
        {":80", -E_PARSE, 0},
        {"u:p@a.b:80", -E_PARSE, 0},
        {"::1:80", -E_PARSE, 0},
        {"a.b:80/", -E_PARSE, 0},
        {"", -E_PARSE, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct host h = {0};
        uint16_t port = 0;
        int r =
            host_parse_authority(rows[i].in, strlen(rows[i].in), HOST_LITERALS, &h, &port, NULL);
        if (r != rows[i].r || port != rows[i].port)
            fail_msg("%s: %d, port %u", rows[i].in, r, port);
    }
}

static void all_who_name_a_host_must_agree(void **state)
{
    struct host a, b, none = {0};
    struct err e = {0};
    (void)state;
    assert_int_equal(parse("a.example", 0, &a, NULL), 0);
    assert_int_equal(parse("b.example", 0, &b, NULL), 0);
    struct host_claim same[] = {{"the name", &a, 0},
                                {"CONNECT", &a, 443},
                                {"SNI", &a, 0},
                                {"Host", &a, 443},
                                {"x", NULL, 0}};
    assert_int_equal(host_claims_agree(same, ARRAY_LEN(same), &e), 0);
    same[2].host = &b;
    assert_int_equal(host_claims_agree(same, ARRAY_LEN(same), &e), -E_DENIED);
    assert_string_equal(e.msg, "the name names a.example, SNI names b.example");
    same[2].host = NULL;
    same[3].port = 444;
    assert_int_equal(host_claims_agree(same, ARRAY_LEN(same), &e), -E_DENIED);
    assert_string_equal(e.msg, "CONNECT names port 443, Host names port 444");
    struct host_claim nothing[] = {{"SNI", NULL, 0}, {"Host", NULL, 80}};
    assert_int_equal(host_claims_agree(nothing, 2, &e), -E_DENIED);
    assert_int_equal(host_claims_agree(nothing, 0, &e), -E_DENIED);
    struct host_claim zeroed[] = {{"SNI", &none, 0}, {"Host", &none, 0}};
    assert_int_equal(host_claims_agree(zeroed, 1, &e), -E_DENIED);
    assert_int_equal(host_claims_agree(zeroed, 2, &e), -E_DENIED);
    assert_false(host_eq(&none, &none));
}

static void a_wildcard_is_of_whole_labels_below(void **state)
{
    static const struct {
        const char *pattern, *host;
        unsigned below;
        bool matches;
    } rows[] = {
        {"a.example", "a.example", 0, true},
        {"a.example", "b.a.example", 0, false},
        {"*.a.example", "a.example", 0, false},
        {"*.a.example", "b.a.example", 1, true},
        {"*.a.example", "c.b.a.example", 2, true},
        {"*.a.example", "ba.example", 0, false},
        {"*.a.example", "b.xa.example", 0, false},
        {"*.a.example", "a.example.evil", 0, false},
        {"*", "a.example", 2, true},
        {"*", "1.2.3.4", 0, false},
        {"*.example", "[::1]", 0, false},
        {"1.2.3.4", "1.2.3.4", 0, true},
        {"*.Bücher.example", "x.xn--bcher-kva.example", 1, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct host_pattern p;
        struct host h;
        assert_int_equal(host_pattern_parse(rows[i].pattern, strlen(rows[i].pattern), &p, NULL), 0);
        assert_int_equal(parse(rows[i].host, HOST_LITERALS, &h, NULL), 0);
        if (host_pattern_matches(&p, &h) != rows[i].matches ||
            host_pattern_labels_below(&p, &h) != rows[i].below)
            fail_msg("%s and %s", rows[i].pattern, rows[i].host);
    }
    static const char *const wrong[] = {"*.",        "**",      "*a.b", "a.*", "*.*.a",
                                        "*.1.2.3.4", "*.[::1]", ".a",   "a*",  ""};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct host_pattern p;
        if (host_pattern_parse(wrong[i], strlen(wrong[i]), &p, NULL) != -E_PARSE)
            fail_msg("%s is a pattern", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings_of_one_name_are_one),
        cmocka_unit_test(what_has_two_readings_is_no_host),
        cmocka_unit_test(lengths_end_at_63_and_253),
        cmocka_unit_test(literals_are_hosts_only_where_asked_for),
        cmocka_unit_test(an_authority_has_a_whole_port_or_none),
        cmocka_unit_test(all_who_name_a_host_must_agree),
        cmocka_unit_test(a_wildcard_is_of_whole_labels_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
