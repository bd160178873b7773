/* What is asked, of whom and how often; what comes out of every kind of answer; the two files; the
 * memory of answers; and that nobody waits longer than allowed. A name server of the test answers. */
#include "unit/loop.h"
#include "base/err.h"
#include "base/time.h"
#include "io/resolve.h"
#include "io/sock.h"
#include "unit/io/dns_peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], hosts[80], resolv_conf[80];

static void write_file(const char *path, const char *text)
{
    /* Another file each time, as an editor does it: no change is too fast to be seen. */
    char fresh[90];
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
}

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sallyport-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(hosts, sizeof(hosts), "%s/hosts", dir);
    (void)snprintf(resolv_conf, sizeof(resolv_conf), "%s/resolv.conf", dir);
    write_file(hosts, "");
    write_file(resolv_conf, "");
    return 0;
}
static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(hosts);
    (void)unlink(resolv_conf);
    return rmdir(dir);
}

static struct resolver *resolver_of(const struct dns_peer *p, struct resolver_options o)
{
    struct resolver *r;
    struct err e = {0};
    o.servers = p ? p->text : o.servers;
    o.hosts = hosts;
    o.resolv_conf = resolv_conf;
    if (resolver_new(&o, &r, &e) < 0)
        fail_msg("%s", e.msg);
    return r;
}

/* "2001:db8::1 10.0.0.1" of what was found. */
static const char *found_text(const struct resolved *f)
{
    static char text[1024];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < f->n; i++) {
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
        char one[INET6_ADDRSTRLEN];
        bool v4 = memcmp(f->address[i], mapped, 12) == 0;
        assert_non_null(
            inet_ntop(v4 ? AF_INET : AF_INET6, f->address[i] + (v4 ? 12 : 0), one, sizeof(one)));
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "", one);
    }
    return text;
}

static void expect(struct resolver *r, const char *name, const char *addresses)
{
    struct resolved f;
    struct err e = {0};
    if (resolver_lookup(r, name, &f, NULL, &e) < 0)
        fail_msg("%s: %s", name, e.msg);
    assert_string_equal(found_text(&f), addresses);
}

static void expect_no(struct resolver *r, const char *name, int code, enum resolve_why why)
{
    struct resolved f;
    struct err e = {0};
    enum resolve_why said = RESOLVE_OK;
    if (resolver_lookup(r, name, &f, &said, &e) != code || said != why)
        fail_msg("%s: %s (%d, %d)", name, e.msg, e.code, said);
    assert_true(strlen(e.msg) > 10);
}

/* ---- answers ---- */

static void zoo(struct dns_peer *p, const char *name, int type, struct dns_reply *r)
{
    (void)p;
    bool a = type == 1;
    if (strcmp(name, "both.test") == 0) {
        if (a) {
            dns_a(r, NULL, 60, "192.0.2.1");
            dns_a(r, NULL, 60, "192.0.2.2");
        } else {
            dns_aaaa(r, NULL, 60, "2001:db8::1");
        }
    } else if (strcmp(name, "four.test") == 0) {
        if (a)
            dns_a(r, NULL, 60, "127.0.0.1");
    } else if (strcmp(name, "six.test") == 0) {
        if (!a)
            dns_aaaa(r, NULL, 60, "64:ff9b::a9fe:a9fe");
    } else if (strcmp(name, "mapped.test") == 0) {
        if (!a)
            dns_aaaa(r, NULL, 60, "::ffff:169.254.169.254");
    } else if (strcmp(name, "chain.test") == 0) {
        dns_cname(r, NULL, 60, "one.chain.test");
        dns_cname(r, "one.chain.test", 60, "two.chain.test");
        if (a)
            dns_a(r, "two.chain.test", 60, "192.0.2.3");
    } else if (strcmp(name, "dangling.test") == 0) {
        dns_cname(r, NULL, 60, "nowhere.test");
    } else if (strcmp(name, "circle.test") == 0) {
        dns_cname(r, NULL, 60, "elcric.test");
        dns_cname(r, "elcric.test", 60, "circle.test");
    } else if (strcmp(name, "many.test") == 0) {
        char text[20];
        for (int i = 0; a && i < 1000; i++) {
            (void)snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
            dns_a(r, NULL, 60, text);
        }
        r->cut_short = true;
    } else if (strcmp(name, "cut.test") == 0) {
        r->cut_short = true;
        if (a)
            dns_a(r, NULL, 60, "192.0.2.9");
        else
            dns_aaaa(r, NULL, 60, "2001:db8::9");
    } else if (strcmp(name, "servfail.test") == 0) {
        r->rcode = 2;
    } else if (strcmp(name, "refused.test") == 0) {
        r->rcode = 5;
    } else if (strcmp(name, "garbage.test") == 0) {
        r->garbage = true;
    } else if (strcmp(name, "half.test") == 0) {
        if (a)
            dns_a(r, NULL, 60, "192.0.2.4");
        else
            r->silent = true;
    } else if (strcmp(name, "lame6.test") == 0) {
        if (a)
            dns_a(r, NULL, 60, "192.0.2.5");
        else
            r->rcode = 2;
    } else if (strcmp(name, "silent.test") == 0) {
        r->silent = true;
    } else if (strcmp(name, "empty.test") != 0) {
        r->rcode = 3;
    }
}

static int every_kind_of_answer_is_understood(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    struct resolver *r = resolver_of(&p, (struct resolver_options){0});
    expect(r, "both.test", "2001:db8::1 192.0.2.1 192.0.2.2");
    expect(r, "four.test", "127.0.0.1");
    expect(r, "six.test", "64:ff9b::a9fe:a9fe");
    expect(r, "mapped.test", "169.254.169.254"); /* one address, one value */
    expect(r, "chain.test", "192.0.2.3");
    assert_int_equal(p.by_tcp, 0);
    expect(r, "cut.test", "2001:db8::9 192.0.2.9");
    assert_int_equal(p.by_tcp, 2);
    expect_no(r, "none.test", -ENOENT, RESOLVE_NO_NAME);
    expect_no(r, "empty.test", -ENOENT, RESOLVE_NO_DATA);
    expect_no(r, "dangling.test", -ENOENT, RESOLVE_NO_DATA);
    expect_no(r, "circle.test", -ENOENT, RESOLVE_NO_DATA);
    expect_no(r, "servfail.test", -E_PROTO, RESOLVE_SERVFAIL);
    expect_no(r, "refused.test", -E_PROTO, RESOLVE_REFUSED);
    expect_no(r, "garbage.test", -E_PROTO, RESOLVE_FAILED);
    expect(r, "lame6.test", "192.0.2.5");
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(every_kind_of_answer_is_understood)

static int a_long_answer_is_cut_to_the_ceiling(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    struct resolver *r = resolver_of(&p, (struct resolver_options){0});
    struct resolved f;
    assert_int_equal(resolver_lookup(r, "many.test", &f, NULL, NULL), 0);
    assert_int_equal(f.n, RESOLVE_ADDRESSES_MAX);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(a_long_answer_is_cut_to_the_ceiling)

static int a_family_without_an_answer_holds_up_nobody(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    struct resolver *r = resolver_of(&p, (struct resolver_options){.try_ms = 20000});
    int64_t before = time_mono_ns();
    expect(r, "half.test", "192.0.2.4");
    int64_t ms = (time_mono_ns() - before) / NS_PER_MS;
    assert_true(ms >= 190 && ms < 5000);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(a_family_without_an_answer_holds_up_nobody)

/* ---- servers ---- */

static int the_next_server_is_asked_when_one_is_silent_or_fails(void *arg)
{
    (void)arg;
    struct dns_peer silent, broken, good;
    dns_peer_start(&silent, zoo);
    dns_peer_start(&broken, zoo);
    dns_peer_start(&good, zoo);
    char list[3 * SOCK_ADDR_MAX];
    /* For names that two of them treat badly, all three are one function: tell them apart by what
     * they were asked. */
    (void)snprintf(list, sizeof(list), "%s,%s,127.0.0.1:1", silent.text, broken.text);
    struct resolver *r =
        resolver_of(NULL,
                    (struct resolver_options){.servers = list, .try_ms = 60, .timeout_ms = 9000});
    expect_no(r, "silent.test", -ETIMEDOUT, RESOLVE_TIMEOUT);
    assert_int_equal(silent.asked_a, 3); /* rounds */
    assert_int_equal(broken.asked_a, 3);
    expect_no(r, "refused.test", -E_PROTO, RESOLVE_REFUSED);
    resolver_free(r);

    (void)snprintf(list, sizeof(list), "127.0.0.1:1,%s", good.text);
    r = resolver_of(NULL, (struct resolver_options){.servers = list});
    expect(r, "four.test", "127.0.0.1");
    expect_no(r, "none.test", -ENOENT, RESOLVE_NO_NAME);
    resolver_free(r);
    dns_peer_stop(&silent);
    dns_peer_stop(&broken);
    dns_peer_stop(&good);
    return 0;
}

ON_LOOP(the_next_server_is_asked_when_one_is_silent_or_fails)

static int each_question_has_a_port_of_its_own(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    struct resolver *r = resolver_of(&p, (struct resolver_options){0});
    uint16_t ports[8];
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        char name[20];
        (void)snprintf(name, sizeof(name), "n%zu.test", i);
        expect_no(r, name, -ENOENT, RESOLVE_NO_NAME);
        ports[i] = p.last_port;
    }
    bool differ = false;
    for (size_t i = 1; i < ARRAY_LEN(ports); i++)
        differ = differ || ports[i] != ports[0];
    assert_true(differ);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(each_question_has_a_port_of_its_own)

static void lists_of_servers_are_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     "dns.example",  "1.2.3.4:",      "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4,",
        "[::1", "[1.2.3.4x]:1", "1.2.3.4:53:53", ",1.2.3.4",  "fe80::1%eth0",  "1.2.3.4 1.2.3.5",
    };
    assert_int_equal(loop_init(), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct resolver *r = NULL;
        struct err e = {0};
        struct resolver_options o = {.servers = bad[i]};
        if (resolver_new(&o, &r, &e) != -EINVAL)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_non_null(strstr(e.msg, "ADDRESS:PORT"));
    }
    loop_done();
}

/* ---- names ---- */

static int only_the_exact_name_is_asked_for(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    write_file(resolv_conf, "search evil.test\ndomain evil.test\noptions ndots:9\n");
    struct resolver *r = resolver_of(&p, (struct resolver_options){0});
    expect_no(r, "single", -ENOENT, RESOLVE_NO_NAME);
    assert_string_equal(p.last_name, "single");
    expect_no(r, "a.b", -ENOENT, RESOLVE_NO_NAME);
    assert_string_equal(p.last_name, "a.b");
    assert_int_equal(p.asked_a, 2);
    /* What is no name is not asked for. */
    static const char *const bad[] = {
        "",
        ".",
        "a..b",
        "a.",
        ".a",
        "A.test",
        "a b",
        "a\\046b",
        "10.0.0.1",
        "1",
        "a.1",
        "\xc3\xa4",
        "1234567890123456789012345678901234567890123456789012345678901234.test",
        "::1",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect_no(r, bad[i], -EINVAL, RESOLVE_LOCAL);
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    for (size_t i = 63; i < sizeof(longest); i += 64)
        longest[i] = '.';
    longest[254] = '\0';
    expect_no(r, longest, -EINVAL, RESOLVE_LOCAL);
    longest[253] = '\0';
    expect_no(r, longest, -ENOENT, RESOLVE_NO_NAME);
    assert_int_equal(p.asked_a, 3);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(only_the_exact_name_is_asked_for)

static int the_hosts_file_decides_first(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    write_file(hosts, "# comment\n"
                      "10.1.1.1  Both.Test. second.test # third.test\r\n"
                      "\n"
                      "fd00::1\tsecond.test\n"
                      "fe80::1%eth0 zone.test\n"
                      "no.address four.test\n"
                      "10.1.1.2 second.test");
    struct resolver *r = resolver_of(&p, (struct resolver_options){0});
    expect(r, "both.test", "10.1.1.1"); /* not mixed with what a server says */
    expect(r, "second.test", "fd00::1 10.1.1.1 10.1.1.2");
    expect(r, "localhost", "::1 127.0.0.1");
    expect(r, "any.localhost", "::1 127.0.0.1");
    assert_int_equal(p.asked_a + p.asked_aaaa, 0);
    expect_no(r, "third.test", -ENOENT, RESOLVE_NO_NAME);
    expect_no(r, "zone.test", -ENOENT, RESOLVE_NO_NAME);
    expect(r, "four.test", "127.0.0.1");
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(the_hosts_file_decides_first)

static int changed_files_are_followed(void *arg)
{
    (void)arg;
    struct dns_peer one, two;
    dns_peer_start(&one, zoo);
    dns_peer_start(&two, zoo);
    time_test_set(time_mono_ns(), time_real_us());
    write_file(hosts, "10.0.0.1 moving.test\n");
    struct resolver *r = resolver_of(&one, (struct resolver_options){0});
    expect(r, "moving.test", "10.0.0.1");
    write_file(hosts, "10.0.0.2 moving.test\n");
    expect(r, "moving.test", "10.0.0.1"); /* it was looked at less than a second ago */
    time_test_advance(NS_PER_S);
    expect(r, "moving.test", "10.0.0.2");
    /* Gone for a moment, or for good: what was read holds. */
    assert_int_equal(unlink(hosts), 0);
    time_test_advance(NS_PER_S);
    expect(r, "moving.test", "10.0.0.2");
    write_file(hosts, "");
    time_test_advance(NS_PER_S);
    expect_no(r, "moving.test", -ENOENT, RESOLVE_NO_NAME);
    time_test_reset();
    char a[100], b[100];
    resolver_folders(r, a, b, sizeof(a));
    assert_string_equal(a, "");
    assert_string_equal(b, dir);
    resolver_free(r);
    dns_peer_stop(&one);
    dns_peer_stop(&two);
    return 0;
}

ON_LOOP(changed_files_are_followed)

static int opened;

static int open_for_it(void *arg, const char *path)
{
    assert_string_equal(path, arg);
    opened++;
    if (fiber_sleep_ms(0) < 0)
        return -ECANCELED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int who_may_open_nothing_has_it_opened(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    time_test_set(time_mono_ns(), time_real_us());
    opened = 0;
    write_file(hosts, "10.0.0.1 moving.test\n");
    struct resolver *r =
        resolver_of(&p, (struct resolver_options){.open = open_for_it, .open_arg = hosts});
    expect(r, "moving.test", "10.0.0.1");
    assert_int_equal(opened, 0); /* at the start it may */
    write_file(hosts, "10.0.0.22 moving.test\n");
    time_test_advance(NS_PER_S);
    expect(r, "moving.test", "10.0.0.22");
    assert_int_equal(opened, 1);
    time_test_advance(NS_PER_S); /* what is as it was is not opened */
    expect(r, "moving.test", "10.0.0.22");
    assert_int_equal(opened, 1);
    time_test_reset();
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(who_may_open_nothing_has_it_opened)

/* ---- memory ---- */

static unsigned turn;
static void changing(struct dns_peer *p, const char *name, int type, struct dns_reply *r)
{
    (void)p;
    if (strncmp(name, "gone", 4) == 0)
        r->rcode = 3;
    else if (strncmp(name, "broken", 6) == 0)
        r->rcode = 2;
    else if (type == 1)
        dns_a(r, NULL,
              strncmp(name, "brief", 5) == 0  ? 0
              : strncmp(name, "long", 4) == 0 ? 86400
                                              : 10,
              turn++ % 2 ? "127.0.0.1" : "192.0.2.1");
}

static int answers_are_kept_as_long_as_they_say_and_no_longer(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, changing);
    turn = 0;
    struct resolver *r = resolver_of(&p, (struct resolver_options){0});
    int64_t now = time_mono_ns(), real = time_real_us();
    expect(r, "ten.test", "192.0.2.1");
    expect(r, "long.test", "127.0.0.1");
    time_test_set(now + 9 * NS_PER_S, real);
    expect(r, "ten.test", "192.0.2.1");
    time_test_reset();
    /* The clock stands when something must wait, so time is moved in between. */
    time_test_set(now + 21 * NS_PER_S, real);
    expect(r, "ten.test", "192.0.2.1"); /* asked for anew: the third */
    expect(r, "long.test", "127.0.0.1");
    time_test_set(now + 61 * NS_PER_S, real);
    expect(r, "long.test",
           "127.0.0.1"); /* asked for anew, in spite of a TTL of a day: the fourth */
    assert_int_equal(p.asked_a, 4);
    time_test_reset();
    expect(r, "brief.test", "192.0.2.1");
    expect(r, "brief.test", "127.0.0.1");
    assert_int_equal(p.asked_a, 6);
    resolver_free(r);
    /* No memory at all. */
    r = resolver_of(&p, (struct resolver_options){.ttl_max_ms = -1});
    expect(r, "long.test", "192.0.2.1");
    expect(r, "long.test", "127.0.0.1");
    expect_no(r, "gone.test", -ENOENT, RESOLVE_NO_NAME);
    expect_no(r, "gone.test", -ENOENT, RESOLVE_NO_NAME);
    assert_int_equal(p.asked_a, 10);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(answers_are_kept_as_long_as_they_say_and_no_longer)

static int failures_are_kept_briefly(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, changing);
    struct resolver *r = resolver_of(&p, (struct resolver_options){0});
    for (int i = 0; i < 3; i++) {
        expect_no(r, "gone.test", -ENOENT, RESOLVE_NO_NAME);
        assert_int_equal(p.asked_a, 1);
    }
    expect_no(r, "broken.test", -E_PROTO, RESOLVE_SERVFAIL);
    expect_no(r, "broken.test", -E_PROTO, RESOLVE_SERVFAIL);
    assert_int_equal(p.asked_a, 2);
    resolver_forget(r);
    expect_no(r, "gone.test", -ENOENT, RESOLVE_NO_NAME);
    assert_int_equal(p.asked_a, 3);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(failures_are_kept_briefly)

static int memory_has_a_ceiling(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, changing);
    struct resolver *r = resolver_of(&p, (struct resolver_options){.cache_max = 2});
    expect_no(r, "gone1", -ENOENT, RESOLVE_NO_NAME);
    expect_no(r, "gone2", -ENOENT, RESOLVE_NO_NAME);
    expect_no(r, "gone1", -ENOENT, RESOLVE_NO_NAME); /* used lately */
    expect_no(r, "gone3", -ENOENT, RESOLVE_NO_NAME);
    assert_int_equal(p.asked_a, 3);
    expect_no(r, "gone1", -ENOENT, RESOLVE_NO_NAME);
    assert_int_equal(p.asked_a, 3);
    expect_no(r, "gone2", -ENOENT, RESOLVE_NO_NAME);
    assert_int_equal(p.asked_a, 4);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(memory_has_a_ceiling)

/* ---- many at once ---- */

struct asker {
    struct resolver *r;
    const char *name;
    int64_t within_ms;
    int code;
    enum resolve_why why;
};
static int ask(void *arg)
{
    struct asker *a = arg;
    struct resolved f;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(a->within_ms ? a->within_ms : 60000);
    a->code = resolver_lookup(a->r, a->name, &f, &a->why, NULL);
    return 0;
}

static int those_who_ask_for_the_same_share_one_question(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    struct resolver *r = resolver_of(&p, (struct resolver_options){.ttl_max_ms = -1});
    struct asker askers[20];
    AUTO(scope) s;
    scope_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        askers[i] = (struct asker){.r = r, .name = i % 2 ? "both.test" : "four.test"};
        assert_int_equal(fiber_spawn(&s, "asker", ask, &askers[i], NULL), 0);
    }
    assert_int_equal(scope_join(&s), 0);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        assert_int_equal(askers[i].code, 0);
    assert_int_equal(p.asked_a, 2);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(those_who_ask_for_the_same_share_one_question)

static int each_waits_as_long_as_it_may(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    struct resolver *r = resolver_of(&p, (struct resolver_options){.timeout_ms = 300});
    struct asker brief = {.r = r, .name = "silent.test", .within_ms = 20}, patient = brief,
                 gone = brief;
    patient.within_ms = gone.within_ms = 0;
    struct fiber *f;
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "brief", ask, &brief, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "patient", ask, &patient, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "gone", ask, &gone, &f), 0);
    while (p.asked_a == 0)
        assert_int_equal(fiber_sleep_ms(1), 0);
    fiber_cancel(f);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(brief.code, -ETIMEDOUT);
    assert_int_equal(gone.code, -ECANCELED);
    assert_int_equal(patient.code, -ETIMEDOUT); /* the look-up's own time */
    assert_int_equal(patient.why, RESOLVE_TIMEOUT);
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(each_waits_as_long_as_it_may)

static int a_question_that_nobody_waits_for_ends(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    struct resolver *r = resolver_of(&p, (struct resolver_options){.asks_max = 1});
    /* One place: the second name is looked up only when the first one has been given up. */
    struct asker first = {.r = r, .name = "silent.test", .within_ms = 30};
    struct asker second = {.r = r, .name = "four.test"};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "first", ask, &first, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "second", ask, &second, NULL), 0);
    int64_t before = time_mono_ns();
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(first.code, -ETIMEDOUT);
    assert_int_equal(second.code, 0);
    assert_true(time_mono_ns() - before < 2 * NS_PER_S); /* a try is that long */
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(a_question_that_nobody_waits_for_ends)

static int too_many_questions_are_refused(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    struct resolver *r =
        resolver_of(&p, (struct resolver_options){.asks_max = 1, .timeout_ms = 100});
    struct asker askers[12];
    char names[12][20];
    AUTO(scope) s;
    scope_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        (void)snprintf(names[i], sizeof(names[i]), i ? "n%zu.test" : "silent.test", i);
        askers[i] = (struct asker){.r = r, .name = names[i]};
        assert_int_equal(fiber_spawn(&s, "asker", ask, &askers[i], NULL), 0);
    }
    assert_int_equal(scope_join(&s), 0);
    size_t refused = 0;
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        refused += askers[i].code == -E_LIMIT;
    assert_int_equal(refused, 3); /* one runs, eight wait */
    resolver_free(r);
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(too_many_questions_are_refused)

static int no_descriptor_is_left_behind(void *arg)
{
    (void)arg;
    struct dns_peer p;
    dns_peer_start(&p, zoo);
    int before = dup(STDERR_FILENO);
    (void)close(before);
    struct resolver *r = resolver_of(&p, (struct resolver_options){.try_ms = 20, .ttl_max_ms = -1});
    expect(r, "both.test", "2001:db8::1 192.0.2.1 192.0.2.2");
    expect(r, "cut.test", "2001:db8::9 192.0.2.9");
    expect_no(r, "silent.test", -ETIMEDOUT, RESOLVE_TIMEOUT);
    struct asker brief = {.r = r, .name = "silent.test", .within_ms = 5};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "brief", ask, &brief, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    resolver_free(r);
    /* The server's end of the TCP connection closes when it has seen ours. */
    for (int after = -1; after != before;) {
        after = dup(STDERR_FILENO);
        (void)close(after);
        assert_int_equal(fiber_sleep_ms(1), 0);
    }
    dns_peer_stop(&p);
    return 0;
}

ON_LOOP(no_descriptor_is_left_behind)

/* ---- behind a lock ---- */

/* Nothing of the file system is left to this process. 0, or 77 where the kernel has no Landlock. */
static int lock_all_files(void)
{
    struct landlock_ruleset_attr a = {
        .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                             LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a), 0);
    if (fd < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return 77;
    return open("/dev/urandom", O_RDONLY | O_CLOEXEC) < 0 ? 0 : 77;
}

static int look_up_locked(void *arg)
{
    (void)arg;
    struct dns_peer p;
    struct resolved f;
    dns_peer_start(&p, zoo);
    write_file(hosts, "10.0.0.1 known.test\n");
    struct resolver *r = resolver_of(&p, (struct resolver_options){0});
    int code = lock_all_files();
    if (code == 0 && (resolver_lookup(r, "cut.test", &f, NULL, NULL) < 0 || f.n != 2))
        code = 1;
    if (code == 0 && (resolver_lookup(r, "both.test", &f, NULL, NULL) < 0 || f.n != 3))
        code = 2;
    if (code == 0 && fiber_sleep_ms(1100) < 0) /* so that the files are looked at again */
        code = 3;
    if (code == 0 && (resolver_lookup(r, "known.test", &f, NULL, NULL) < 0 || f.n != 1))
        code = 4;
    resolver_free(r);
    dns_peer_stop(&p);
    return code;
}

static void a_process_without_files_still_resolves(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int code = loop_init() < 0 ? 9 : loop_run(look_up_locked, NULL);
        _exit(code);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define CASE_IN_DIR(f)                                                                             \
    {                                                                                              \
#f, case_##f, make_dir, remove_dir, NULL                                                   \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_IN_DIR(every_kind_of_answer_is_understood),
        CASE_IN_DIR(a_long_answer_is_cut_to_the_ceiling),
        CASE_IN_DIR(a_family_without_an_answer_holds_up_nobody),
        CASE_IN_DIR(the_next_server_is_asked_when_one_is_silent_or_fails),
        CASE_IN_DIR(each_question_has_a_port_of_its_own),
        cmocka_unit_test(lists_of_servers_are_strict),
        CASE_IN_DIR(only_the_exact_name_is_asked_for),
        CASE_IN_DIR(the_hosts_file_decides_first),
        CASE_IN_DIR(changed_files_are_followed),
        CASE_IN_DIR(who_may_open_nothing_has_it_opened),
        CASE_IN_DIR(answers_are_kept_as_long_as_they_say_and_no_longer),
        CASE_IN_DIR(failures_are_kept_briefly),
        CASE_IN_DIR(memory_has_a_ceiling),
        CASE_IN_DIR(those_who_ask_for_the_same_share_one_question),
        CASE_IN_DIR(each_waits_as_long_as_it_may),
        CASE_IN_DIR(a_question_that_nobody_waits_for_ends),
        CASE_IN_DIR(too_many_questions_are_refused),
        CASE_IN_DIR(no_descriptor_is_left_behind),
        {"a_process_without_files_still_resolves", a_process_without_files_still_resolves, make_dir,
         remove_dir, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
