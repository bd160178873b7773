/* test_dns.c - queries on the wire and their answers. */
#include "unit/unit.h"
#include "base/str.h"
#include "egress/capture/dns.h"

#include <string.h>

/* ---- a zone ---- */

static unsigned asked, asked_address;

static enum dns_found address(void *arg, const struct host *h, bool ask_address, uint32_t *ret)
{
    (void)arg;
    asked++;
    asked_address += ask_address;
    if (str_eq(h->text, "localhost"))
        return DNS_LOCALHOST;
    if (str_eq(h->text, "gone.example"))
        return DNS_NO_NAME;
    if (str_eq(h->text, "many.example"))
        return DNS_REFUSED;
    *ret = 1034;
    return DNS_FOUND;
}

static const struct host *name_of(void *arg, uint32_t index)
{
    static struct host h;
    (void)arg;
    if (index != 1034)
        return NULL;
    assert_int_equal(host_parse("api.github.com", 14, 0, &h, NULL), 0);
    return &h;
}

static const struct dns_zone zone = {.address = address, .name = name_of};

/* ---- queries ---- */

struct wire {
    unsigned char p[320];
    size_t n;
};

static void add(struct wire *w, const void *p, size_t n)
{
    memcpy(w->p + w->n, p, n);
    w->n += n;
}

static void add16(struct wire *w, unsigned v)
{
    add(w, (unsigned char[]){(unsigned char)(v >> 8), (unsigned char)v}, 2);
}

static void add_name(struct wire *w, const char *name)
{
    while (*name) {
        size_t n = strcspn(name, ".");
        add(w, &(unsigned char){(unsigned char)n}, 1);
        add(w, name, n);
        name += n + (name[n] == '.');
    }
    add(w, "", 1);
}

static struct wire header(unsigned flags, unsigned qd, unsigned an, unsigned ns, unsigned ar)
{
    struct wire w = {.n = 0};
    add16(&w, 0x1234);
    add16(&w, flags);
    add16(&w, qd);
    add16(&w, an);
    add16(&w, ns);
    add16(&w, ar);
    return w;
}

static void add_question(struct wire *w, const char *name, unsigned type, unsigned class)
{
    add_name(w, name);
    add16(w, type);
    add16(w, class);
}

static void add_opt(struct wire *w, unsigned size, unsigned version, unsigned flags)
{
    add(w, "", 1);
    add16(w, 41);
    add16(w, size);
    add16(w, version);
    add16(w, flags);
    add16(w, 0);
}

static struct wire query(const char *name, unsigned type)
{
    struct wire w = header(0x0100, 1, 0, 0, 0);
    add_question(&w, name, type, 1);
    return w;
}

/* ---- answers ---- */

struct seen {
    unsigned char p[DNS_UDP_PLAIN_MAX];
    size_t n;
    unsigned flags, rcode, qd, an, ns, ar;
    bool tc;
};

static unsigned get16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static struct seen ask(const struct wire *w, bool tcp)
{
    struct seen s = {.n = 0};
    static unsigned char answer[DNS_ANSWER_MAX];
    s.n = dns_answer(w->p, w->n, tcp, &zone, answer);
    if (s.n == 0)
        return s;
    assert_true(s.n >= 12 && s.n <= sizeof(s.p));
    memcpy(s.p, answer, s.n);
    assert_int_equal(get16(s.p), 0x1234);
    s.flags = get16(s.p + 2);
    s.rcode = s.flags & 15;
    s.tc = s.flags & 0x0200;
    s.qd = get16(s.p + 4);
    s.an = get16(s.p + 6);
    s.ns = get16(s.p + 8);
    s.ar = get16(s.p + 10);
    assert_true(s.flags & 0x8000);
    assert_false(s.flags & 0x0030); /* AD, CD */
    return s;
}

/* Behind header and question. */
static const unsigned char *records(const struct seen *s, const struct wire *w)
{
    size_t q = 12;
    while (w->p[q] != 0)
        q += 1u + w->p[q];
    q += 5;
    assert_memory_equal(s->p + 12, w->p + 12, q - 12);
    return s->p + q;
}

/* ---- cases ---- */

static void a_and_aaaa_have_addresses_with_the_same_index(void **state)
{
    (void)state;
    struct wire w = query("api.github.com", 1);
    struct seen s = ask(&w, false);
    static const unsigned char a[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 198, 18, 4, 10};
    assert_int_equal(s.flags, 0x8180);
    assert_int_equal(s.qd * 1000 + s.an * 100 + s.ns * 10 + s.ar, 1100);
    assert_memory_equal(records(&s, &w), a, sizeof(a));
    assert_int_equal(s.n, w.n + sizeof(a));
    w = query("api.github.com", 28);
    s = ask(&w, false);
    static const unsigned char aaaa[] = {0xc0, 0x0c, 0,    28,   0,    1,    0,    0,    0, 30,
                                         0,    16,   0xfd, 0x73, 0x61, 0x6c, 0x6c, 0x79, 0, 0,
                                         0,    0,    0,    0,    0,    0,    4,    10};
    assert_memory_equal(records(&s, &w), aaaa, sizeof(aaaa));
    assert_int_equal(s.n, w.n + sizeof(aaaa));
}

static void the_case_of_a_question_is_kept(void **state)
{
    (void)state;
    struct wire w = query("aPi.GitHub.cOM", 1);
    struct seen s = ask(&w, false);
    assert_int_equal(s.an, 1);
    (void)records(&s, &w);
}

static void other_types_have_no_data_and_no_address_is_given(void **state)
{
    /* NS, CNAME, SOA, MX, TXT, SRV, NAPTR, DS, SSHFP, DNSKEY, SVCB, HTTPS, ANY, CAA, unknown */
    static const unsigned types[] = {2, 5, 6, 15, 16, 33, 35, 43, 44, 48, 64, 65, 255, 257, 65280};
    (void)state;
    asked = asked_address = 0;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct wire w = query("api.github.com", types[i]);
        struct seen s = ask(&w, false);
        assert_int_equal(s.rcode, 0);
        assert_int_equal(s.an, 0);
        assert_int_equal(s.ns, 1);
        const unsigned char *soa = records(&s, &w);
        assert_int_equal(soa[0], 0); /* of the root */
        assert_int_equal(get16(soa + 1), 6);
        assert_int_equal(soa[8], DNS_NEGATIVE_TTL_S);
        assert_int_equal(s.p[s.n - 1], DNS_NEGATIVE_TTL_S); /* its minimum */
        assert_int_equal(get16(soa + 9), s.p + s.n - (soa + 11));
    }
    assert_int_equal(asked, ARRAY_LEN(types));
    assert_int_equal(asked_address, 0);
}

static void names_that_are_not_there_and_limits_say_so(void **state)
{
    static const struct {
        const char *name;
        unsigned type, rcode, an, ns;
    } rows[] = {
        {"gone.example", 1, 3, 0, 1},
        {"gone.example", 28, 3, 0, 1},
        {"gone.example", 65, 3, 0, 1},
        {"many.example", 1, 5, 0, 0},
        {"localhost", 1, 0, 1, 0},
        {"localhost", 28, 0, 1, 0},
        {"localhost", 15, 0, 0, 1},
        {"", 1, 0, 0, 1}, /* the root */
        {"", 2, 0, 0, 1},
        {"-x.example", 1, 3, 0, 1},
        {"127.0.0.1", 1, 3, 0, 1},
        {"1234", 1, 3, 0, 1},
        {"0x7f000001", 1, 3, 0, 1},
        {"a b.example", 1, 3, 0, 1},
        {"b\xc3\xbc.example", 1, 3, 0, 1},
        {"_ldap._tcp.example.com", 33, 0, 0, 1},
        {"api.github.com", 252, 5, 0, 0},
        {"api.github.com", 251, 5, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire w = query(rows[i].name, rows[i].type);
        struct seen s = ask(&w, false);
        if (s.rcode != rows[i].rcode || s.an != rows[i].an || s.ns != rows[i].ns)
            fail_msg("%s %u: rcode %u an %u ns %u", rows[i].name, rows[i].type, s.rcode, s.an,
                     s.ns);
        (void)records(&s, &w);
    }
}

static void localhost_is_the_loopback(void **state)
{
    (void)state;
    struct wire w = query("localhost", 1);
    struct seen s = ask(&w, false);
    assert_memory_equal(records(&s, &w) + 12, ((unsigned char[]){127, 0, 0, 1}), 4);
    w = query("localhost", 28);
    s = ask(&w, false);
    assert_memory_equal(records(&s, &w) + 12,
                        ((unsigned char[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}), 16);
}

#define ULA_1034 "a.0.4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.7.c.6.c.6.1.6.3.7.d.f.ip6.arpa"
#define ULA_1035 "b.0.4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.7.c.6.c.6.1.6.3.7.d.f.ip6.arpa"
#define V6_ONE   "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"

static void addresses_have_their_names_back(void **state)
{
    static const struct {
        const char *name, *ptr; /* NULL: NXDOMAIN */
    } rows[] = {
        {"10.4.18.198.in-addr.arpa", "\3api\6github\3com"},
        {"10.4.18.198.IN-ADDR.ARPA", "\3api\6github\3com"},
        {ULA_1034, "\3api\6github\3com"},
        {"1.0.0.127.in-addr.arpa", "\11localhost"},
        {V6_ONE, "\11localhost"},
        {"11.4.18.198.in-addr.arpa", NULL},
        {ULA_1035, NULL},
        {"010.4.18.198.in-addr.arpa", NULL},
        {"4.18.198.in-addr.arpa", NULL},
        {"1.10.4.18.198.in-addr.arpa", NULL},
        {"8.8.8.8.in-addr.arpa", NULL},
        {"x.in-addr.arpa", NULL},
        {"aa." ULA_1034, NULL},
        {"0.ip6.arpa", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire w = query(rows[i].name, 12);
        struct seen s = ask(&w, false);
        const unsigned char *r = records(&s, &w);
        if (!rows[i].ptr) {
            if (s.rcode != 3 || s.an != 0)
                fail_msg("%s has a name", rows[i].name);
            continue;
        }
        size_t n = strlen(rows[i].ptr) + 1;
        assert_int_equal(s.an, 1);
        assert_int_equal(get16(r + 10), n);
        assert_memory_equal(r + 12, rows[i].ptr, n);
    }
    struct wire w = query("10.4.18.198.in-addr.arpa", 1);
    struct seen s = ask(&w, false);
    assert_int_equal(s.rcode * 100 + s.an * 10 + s.ns, 1); /* there, and no data */
}

static void opt_is_answered_with_opt(void **state)
{
    (void)state;
    struct wire w = header(0x0120, 1, 0, 0, 1); /* RD, AD */
    add_question(&w, "api.github.com", 1, 1);
    add_opt(&w, 4096, 0, 0x8000); /* DO */
    struct seen s = ask(&w, false);
    static const unsigned char opt[] = {0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0, 0, 0, 0};
    assert_int_equal(s.an * 10 + s.ar, 11);
    assert_memory_equal(s.p + s.n - sizeof(opt), opt, sizeof(opt));
    /* Options are read over: a cookie, padding. */
    w.n -= 2;
    add16(&w, 4 + 8 + 4 + 3);
    add16(&w, 10);
    add16(&w, 8);
    add(&w, "12345678", 8);
    add16(&w, 12);
    add16(&w, 3);
    add(&w, "\0\0\0", 3);
    s = ask(&w, false);
    assert_int_equal(s.rcode * 100 + s.an * 10 + s.ar, 11);
}

static void another_version_of_edns_is_badvers(void **state)
{
    (void)state;
    struct wire w = header(0x0100, 1, 0, 0, 1);
    add_question(&w, "api.github.com", 1, 1);
    add_opt(&w, 1232, 1, 0);
    struct seen s = ask(&w, false);
    assert_int_equal(s.rcode, 0);
    assert_int_equal(s.an * 10 + s.ar, 1);
    assert_int_equal(s.p[s.n - 6], 1); /* 16 = 1 << 4 | 0 */
    assert_int_equal(s.p[s.n - 5], 0); /* version 0 is the one there is */
}

static void what_is_no_single_question_is_a_format_error(void **state)
{
    (void)state;
    static struct wire w[16];
    size_t n = 0;
    w[n] = header(0x0100, 0, 0, 0, 0);
    n++;
    w[n] = header(0x0100, 2, 0, 0, 0);
    add_question(&w[n], "a.example", 1, 1);
    add_question(&w[n++], "b.example", 1, 1);
    w[n] = header(0x0100, 1, 1, 0, 0);
    add_question(&w[n++], "a.example", 1, 1);
    w[n] = header(0x0100, 1, 0, 1, 0);
    add_question(&w[n++], "a.example", 1, 1);
    w[n] = header(0x0100, 1, 0, 0, 2);
    add_question(&w[n], "a.example", 1, 1);
    add_opt(&w[n], 1232, 0, 0);
    add_opt(&w[n++], 1232, 0, 0);
    w[n] = query("a.example", 1); /* bytes behind */
    add(&w[n++], "x", 1);
    w[n] = header(0x0100, 1, 0, 0, 1); /* an OPT that is missing */
    add_question(&w[n++], "a.example", 1, 1);
    w[n] = header(0x0100, 1, 0, 0, 1); /* an OPT that is cut */
    add_question(&w[n], "a.example", 1, 1);
    add_opt(&w[n], 1232, 0, 0);
    w[n++].n -= 3;
    w[n] = header(0x0100, 1, 0, 0, 1); /* an option that is cut */
    add_question(&w[n], "a.example", 1, 1);
    add_opt(&w[n], 1232, 0, 0);
    w[n].n -= 2;
    add16(&w[n], 3);
    add(&w[n++], "\0\012\0", 3);
    w[n] = header(0x0100, 1, 0, 0, 1); /* a record that is no OPT */
    add_question(&w[n], "a.example", 1, 1);
    add(&w[n++], "\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4", 15);
    w[n] = header(0x0100, 1, 0, 0, 0); /* a pointer, to itself */
    add(&w[n], "\300\014", 2);
    add(&w[n++], "\0\1\0\1", 4);
    w[n] = header(0x0100, 1, 0, 0, 0); /* a pointer behind a label */
    add(&w[n], "\1a\300\014", 4);
    add(&w[n++], "\0\1\0\1", 4);
    w[n] = header(0x0100, 1, 0, 0, 0); /* a label of 64 bytes' kind */
    add(&w[n], "\100", 1);
    add(&w[n++], "\0\1\0\1", 4);
    w[n] = header(0x0100, 1, 0, 0, 0); /* a label of 64 bytes that are there */
    add(&w[n], "\100", 1);
    for (int i = 0; i < 16; i++)
        add(&w[n], "abcd", 4);
    add(&w[n++], "\0\0\1\0\1", 5);
    w[n] = query("a.example", 41);
    n++;
    w[n] = query("a.example", 0);
    n++;
    assert_true(n <= ARRAY_LEN(w));
    for (size_t i = 0; i < n; i++) {
        struct seen s = ask(&w[i], true);
        if (s.rcode != 1 || s.n != 12 || s.qd || s.an || s.ns || s.ar)
            fail_msg("row %zu: rcode %u, %zu bytes", i, s.rcode, s.n);
    }
}

static void every_prefix_of_a_query_is_a_format_error_or_nothing(void **state)
{
    (void)state;
    struct wire w = header(0x0100, 1, 0, 0, 1);
    add_question(&w, "api.github.com", 1, 1);
    add_opt(&w, 1232, 0, 0);
    for (size_t n = 0; n < w.n; n++) {
        struct wire cut = w;
        cut.n = n;
        struct seen s = ask(&cut, false);
        if (n < 12)
            assert_int_equal(s.n, 0);
        else
            assert_int_equal(s.rcode, 1);
    }
    assert_int_equal(ask(&w, false).an, 1);
}

static void names_end_at_255_bytes(void **state)
{
    char name[300];
    (void)state;
    memset(name, 'a', sizeof(name));
    for (size_t i = 63; i < sizeof(name); i += 64)
        name[i] = '.';
    name[253] = '\0'; /* 63+1+63+1+63+1+61: 255 on the wire */
    struct wire w = query(name, 28);
    struct seen s = ask(&w, false);
    assert_int_equal(s.rcode * 10 + s.an, 1);
    name[253] = 'a';
    name[254] = '\0';
    w = query(name, 28);
    assert_int_equal(ask(&w, false).rcode, 1);
}

static void only_queries_are_answered(void **state)
{
    (void)state;
    struct wire w = query("api.github.com", 1);
    w.p[2] |= 0x80; /* an answer */
    assert_int_equal(ask(&w, false).n, 0);
    for (unsigned opcode = 1; opcode < 16; opcode++) {
        w = query("api.github.com", 1);
        w.p[2] = (unsigned char)(opcode << 3);
        struct seen s = ask(&w, false);
        assert_int_equal(s.rcode, 4);
        assert_int_equal((s.flags >> 11) & 15, opcode);
        assert_int_equal(s.n, 12);
    }
}

static void other_classes_are_refused(void **state)
{
    static const unsigned classes[] = {0, 2, 3, 4, 254, 255};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        struct wire w = header(0, 1, 0, 0, 0);
        add_question(&w, "version.bind", 16, classes[i]);
        struct seen s = ask(&w, false);
        assert_int_equal(s.rcode, 5);
        assert_int_equal(s.flags & 0x0100, 0); /* RD as it came */
    }
}

static void the_longest_answers_fit_a_plain_datagram(void **state)
{
    char name[300];
    (void)state;
    memset(name, 'a', sizeof(name));
    for (size_t i = 63; i < sizeof(name); i += 64)
        name[i] = '.';
    name[253] = '\0';
    for (unsigned edns = 0; edns < 2; edns++) {
        struct wire w = header(0x0100, 1, 0, 0, edns);
        add_question(&w, name, 65, 1);
        if (edns)
            add_opt(&w, 100, 0, 0); /* less than 512 is 512: RFC 6891 6.2.3 */
        struct seen s = ask(&w, false);
        assert_int_equal(s.ns, 1);
        assert_false(s.tc);
        assert_true(s.n <= DNS_UDP_PLAIN_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_and_aaaa_have_addresses_with_the_same_index),
        cmocka_unit_test(the_case_of_a_question_is_kept),
        cmocka_unit_test(other_types_have_no_data_and_no_address_is_given),
        cmocka_unit_test(names_that_are_not_there_and_limits_say_so),
        cmocka_unit_test(localhost_is_the_loopback),
        cmocka_unit_test(addresses_have_their_names_back),
        cmocka_unit_test(opt_is_answered_with_opt),
        cmocka_unit_test(another_version_of_edns_is_badvers),
        cmocka_unit_test(what_is_no_single_question_is_a_format_error),
        cmocka_unit_test(every_prefix_of_a_query_is_a_format_error_or_nothing),
        cmocka_unit_test(names_end_at_255_bytes),
        cmocka_unit_test(only_queries_are_answered),
        cmocka_unit_test(other_classes_are_refused),
        cmocka_unit_test(the_longest_answers_fit_a_plain_datagram),
    };
    return cmocka_run_group_tests_name("egress/capture/dns", tests, NULL, NULL);
}
