/* Which addresses are connected to, and which are not, whatever a name server says; and how failures
 * are told. Names, addresses and origins are the test's own, on the loopback. */
#include "unit/egress/proxy/dial_world.h"
#include "base/time.h"

#include <arpa/inet.h>

static unsigned turn;

/* Names say what they resolve to. */
static void names(struct dns_peer *p, const char *name, int type, struct dns_reply *r)
{
    (void)p;
    char text[64];
    if (strncmp(name, "v4-", 3) == 0) { /* v4-10-0-0-1.test */
        size_t n = strcspn(name + 3, ".");
        memcpy(text, name + 3, n);
        text[n] = '\0';
        for (char *c = text; *c; c++)
            *c = *c == '-' ? '.' : *c;
        if (type == 1)
            dns_a(r, NULL, 60, text);
    } else if (strncmp(name, "v6-", 3) == 0) { /* v6-fd00xx1.test */
        size_t n = strcspn(name + 3, ".");
        memcpy(text, name + 3, n);
        text[n] = '\0';
        for (char *c = text; *c; c++)
            *c = *c == 'x' ? ':' : *c;
        if (type == 28)
            dns_aaaa(r, NULL, 60, text);
    } else if (strcmp(name, "mapped.test") == 0) {
        if (type == 28)
            dns_aaaa(r, NULL, 60, "::ffff:127.0.0.1");
    } else if (strcmp(name, "metadata64.test") == 0) {
        if (type == 28)
            dns_aaaa(r, NULL, 60, "64:ff9b::169.254.169.254");
    } else if (strcmp(name, "loop64.test") == 0) {
        if (type == 28)
            dns_aaaa(r, NULL, 60, "64:ff9b:1::127.0.0.1");
    } else if (strcmp(name, "mixed.test") == 0) {
        if (type == 1) {
            dns_a(r, NULL, 60, "169.254.169.254");
            dns_a(r, NULL, 60, "10.0.0.1");
            dns_a(r, NULL, 60, "127.0.0.1");
        } else {
            dns_aaaa(r, NULL, 60, "fd00:ec2::254");
        }
    } else if (strcmp(name, "second.test") == 0) {
        if (type == 1) {
            dns_a(r, NULL, 60, "127.0.0.77");
            dns_a(r, NULL, 60, "127.0.0.1");
        }
    } else if (strcmp(name, "slow.test") == 0) {
        if (type == 1) {
            dns_a(r, NULL, 60, "127.0.0.5");
            dns_a(r, NULL, 60, "127.0.0.1");
        }
    } else if (strcmp(name, "turning.test") == 0) { /* rebinding: another answer each time */
        if (type == 1)
            dns_a(r, NULL, 0, turn++ % 2 ? "169.254.169.254" : "127.0.0.1");
    } else if (strcmp(name, "alias.test") == 0) {
        dns_cname(r, NULL, 60, "inside.test");
        if (type == 1)
            dns_a(r, "inside.test", 60, "127.0.0.1");
    } else if (strcmp(name, "servfail.test") == 0) {
        r->rcode = 2;
    } else if (strcmp(name, "silent.test") == 0) {
        r->silent = true;
    } else {
        r->rcode = 3;
    }
}

#define OPEN_LOOPBACK                                                                              \
    "allow: [{host: mapped.test, port: PORT, addresses: [127.0.0.0/8]},"                           \
    " {host: '*.test', port: PORT, addresses: [127.0.0.0/8, '::1']}]"
#define CLOSED "allow: [{host: '*', port: PORT}]"

static void expect_address(const struct dialled *r, const char *text)
{
    char got[ADDRESS_TEXT_MAX];
    assert_true(r->info.has_address);
    assert_string_equal(address_text(&r->info.address, got), text);
}

static int the_checked_address_is_connected_to(void *arg)
{
    (void)arg;
    struct dial_world w;
    world_start(&w, "127.0.0.2:0", names, (struct dialer_options){0});
    struct dialled r = world_dial(&w, OPEN_LOOPBACK, "v4-127-0-0-2.test", w.port, NULL);
    if (r.code < 0)
        fail_msg("%s", r.e.msg);
    struct sockaddr_in peer;
    socklen_t n = sizeof(peer);
    assert_int_equal(getpeername(r.fd, (struct sockaddr *)&peer, &n), 0);
    assert_int_equal(ntohl(peer.sin_addr.s_addr), 0x7f000002);
    assert_int_equal(ntohs(peer.sin_port), w.port);
    expect_address(&r, "127.0.0.2");
    assert_int_equal(r.info.class, ADDRESS_LOOPBACK);
    assert_true(r.info.resolved && !r.info.via_proxy && !r.info.by_name);
    assert_int_equal(r.info.n_addresses, 1);
    assert_int_equal(r.info.n_prohibited, 0);
    (void)close(r.fd);
    world_settle(&w, 1);
    world_stop(&w);
    return 0;
}

ON_LOOP(the_checked_address_is_connected_to)

static int no_name_leads_to_a_forbidden_address(void *arg)
{
    (void)arg;
    static const struct {
        const char *name, *class;
    } all[] = {
        {"v4-127-0-0-1.test", "this machine's own"},
        {"v4-127-0-0-2.test", "loopback"},
        {"v4-0-0-0-0.test", "unspecified"},
        {"v4-10-0-0-1.test", "private"},
        {"v4-172-16-0-1.test", "private"},
        {"v4-192-168-1-1.test", "private"},
        {"v4-169-254-1-1.test", "link-local"},
        {"v4-169-254-169-254.test", "cloud metadata"},
        {"v4-100-64-0-1.test", "carrier NAT"},
        {"v4-100-100-100-200.test", "cloud metadata"},
        {"v4-168-63-129-16.test", "cloud metadata"},
        {"v4-198-18-0-1.test", "reserved"},
        {"v4-224-0-0-1.test", "multicast"},
        {"v4-255-255-255-255.test", "multicast"},
        {"v6-xx1.test", ""}, /* ::1: own, or loopback where lo has no IPv6 */
        {"v6-xx.test", "unspecified"},
        {"v6-fd00xx1.test", "private"},
        {"v6-fe80xx1.test", "link-local"},
        {"v6-fd00xec2xx254.test", "cloud metadata"},
        {"v6-ff02xx1.test", "multicast"},
        {"v6-2002x7f00x1xx1.test", ""},
        {"mapped.test", "this machine's own"},
        {"metadata64.test", "cloud metadata"},
        {"loop64.test", ""},
        {"mixed.test", ""},
        {"alias.test", "this machine's own"},
        {"localhost", ""},
    };
    struct dial_world w;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct dialled r = world_dial(&w, CLOSED, all[i].name, w.port, NULL);
        if (r.code != -E_DENIED)
            fail_msg("%s: %d %s", all[i].name, r.code, r.e.msg);
        assert_string_equal(r.info.error, "destination_ip_prohibited");
        assert_int_equal(r.info.n_prohibited, r.info.n_addresses);
        assert_true(r.info.has_address);
        if (!strstr(r.e.msg, all[i].class) || !strstr(r.e.msg, all[i].name))
            fail_msg("%s: %s", all[i].name, r.e.msg);
    }
    /* Nobody came; somebody who may is seen. */
    struct dialled r = world_dial(&w, OPEN_LOOPBACK, "mapped.test", w.port, NULL);
    assert_int_equal(r.code, 0);
    (void)close(r.fd);
    world_settle(&w, 1);
    world_stop(&w);
    return 0;
}

ON_LOOP(no_name_leads_to_a_forbidden_address)

static int forbidden_addresses_among_others_are_skipped(void *arg)
{
    (void)arg;
    struct dial_world w;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    struct dialled r =
        world_dial(&w, "allow: [{host: mixed.test, port: PORT, addresses: [127.0.0.0/8]}]",
                   "mixed.test", w.port, NULL);
    assert_int_equal(r.code, 0);
    expect_address(&r, "127.0.0.1");
    assert_int_equal(r.info.n_addresses, 4);
    assert_int_equal(r.info.n_prohibited, 3);
    (void)close(r.fd);
    world_settle(&w, 1);
    world_stop(&w);
    return 0;
}

ON_LOOP(forbidden_addresses_among_others_are_skipped)

static int a_name_that_changes_its_address_gains_nothing(void *arg)
{
    (void)arg;
    struct dial_world w;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    turn = 0;
    for (unsigned i = 1; i <= 6; i++) {
        struct dialled r =
            world_dial(&w, "allow: [{host: turning.test, port: PORT, addresses: [127.0.0.0/8]}]",
                       "turning.test", w.port, NULL);
        assert_int_equal(w.dns.asked_a, i); /* once for each connection: what was checked */
        if (i % 2) {
            assert_int_equal(r.code, 0);
            expect_address(&r, "127.0.0.1");
            (void)close(r.fd);
        } else {
            assert_int_equal(r.code, -E_DENIED);
            expect_address(&r, "169.254.169.254");
        }
    }
    world_settle(&w, 3);
    world_stop(&w);
    return 0;
}

ON_LOOP(a_name_that_changes_its_address_gains_nothing)

static int literals_are_checked_and_not_looked_up(void *arg)
{
    (void)arg;
    struct dial_world w;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    struct dialled r =
        world_dial(&w, "allow: [{host: 127.0.0.1, port: PORT, addresses: [127.0.0.1]}]",
                   "127.0.0.1", w.port, NULL);
    assert_int_equal(r.code, 0);
    expect_address(&r, "127.0.0.1");
    (void)close(r.fd);
    r = world_dial(&w, "allow: [{host: 127.0.0.1, port: PORT}]", "127.0.0.1", w.port, NULL);
    assert_int_equal(r.code, -E_DENIED);
    r = world_dial(&w, "mode: observe", "[2001:db8::1]", w.port, NULL);
    assert_int_equal(r.code, -E_DENIED);
    expect_address(&r, "2001:db8::1");
    assert_int_equal(w.dns.asked_a + w.dns.asked_aaaa, 0);
    world_settle(&w, 1);
    world_stop(&w);
    return 0;
}

ON_LOOP(literals_are_checked_and_not_looked_up)

static int what_is_denied_is_not_even_looked_up(void *arg)
{
    (void)arg;
    struct dial_world w;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    struct dialled r =
        world_dial(&w, "allow: [{host: other.test, port: PORT}]", "second.test", w.port, NULL);
    assert_int_equal(r.code, -E_DENIED);
    assert_string_equal(r.info.error, "http_request_denied");
    assert_int_equal(w.dns.asked_a + w.dns.asked_aaaa, 0);
    world_stop(&w);
    return 0;
}

ON_LOOP(what_is_denied_is_not_even_looked_up)

/* ---- several addresses ---- */

static int the_next_address_is_tried_when_one_refuses(void *arg)
{
    (void)arg;
    struct dial_world w;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    const char *rule = "allow: [{host: second.test, port: PORT, addresses: [127.0.0.0/8]}]";
    int64_t before = time_mono_ns();
    struct dialled r = world_dial(&w, rule, "second.test", w.port, NULL);
    assert_int_equal(r.code, 0);
    expect_address(&r, "127.0.0.1");
    assert_true(time_mono_ns() - before < 200 * NS_PER_MS); /* at once, not after a step */
    (void)close(r.fd);
    world_settle(&w, 1);
    io_fd_close(&w.listener);
    r = world_dial(&w, rule, "second.test", w.port, NULL);
    assert_int_equal(r.code, -ECONNREFUSED);
    assert_string_equal(r.info.error, "connection_refused");
    assert_non_null(strstr(r.e.msg, "second.test"));
    world_stop(&w);
    return 0;
}

ON_LOOP(the_next_address_is_tried_when_one_refuses)

/* A listener on 127.0.0.5 that lets nobody in: its queue is full, so the kernel drops what comes. */
struct hole {
    int listener, fill[4];
};
static void hole_dig(struct hole *h, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(0x7f000005)};
    h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(h->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(h->listener, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(h->fill); i++) {
        h->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(h->fill[i], (struct sockaddr *)&a, sizeof(a));
    }
}
static void hole_fill(struct hole *h)
{
    (void)close(h->listener);
    for (size_t i = 0; i < ARRAY_LEN(h->fill); i++)
        (void)close(h->fill[i]);
}

static int an_address_that_is_silent_does_not_hold_up_the_next(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct hole h;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    hole_dig(&h, w.port);
    int64_t before = time_mono_ns();
    struct dialled r =
        world_dial(&w, "allow: [{host: slow.test, port: PORT, addresses: [127.0.0.0/8]}]",
                   "slow.test", w.port, NULL);
    int64_t ms = (time_mono_ns() - before) / NS_PER_MS;
    assert_int_equal(r.code, 0);
    expect_address(&r, "127.0.0.1");
    assert_true(ms >= 245 && ms < 3000);
    assert_true(r.info.connect_us >= 245000);
    (void)close(r.fd);
    world_settle(&w, 1);
    hole_fill(&h);
    world_stop(&w);
    return 0;
}

ON_LOOP(an_address_that_is_silent_does_not_hold_up_the_next)

static int silence_ends_in_time(void *arg)
{
    (void)arg;
    struct dial_world w;
    struct hole h;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){.connect_timeout_ms = 60});
    hole_dig(&h, w.port);
    int before = dup(STDERR_FILENO);
    (void)close(before);
    struct dialled r = world_dial(&w, OPEN_LOOPBACK, "v4-127-0-0-5.test", w.port, NULL);
    assert_int_equal(r.code, -ETIMEDOUT);
    assert_string_equal(r.info.error, "connection_timeout");
    expect_address(&r, "127.0.0.5");
    {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(20);
        r = world_dial(&w, OPEN_LOOPBACK, "v4-127-0-0-5.test", w.port, NULL);
        assert_int_equal(r.code, -ETIMEDOUT);
    }
    int after = dup(STDERR_FILENO);
    (void)close(after);
    assert_int_equal(after, before);
    hole_fill(&h);
    world_stop(&w);
    return 0;
}

ON_LOOP(silence_ends_in_time)

/* ---- names that do not resolve ---- */

static int failures_of_names_are_told_as_rfc_9209_has_them(void *arg)
{
    (void)arg;
    static const struct {
        const char *name, *error, *rcode;
        int code;
    } all[] = {
        {"nothing.test", "dns_error", "NXDOMAIN", -ENOENT},
        {"servfail.test", "dns_error", "SERVFAIL", -E_PROTO},
        {"silent.test", "dns_timeout", NULL, -ETIMEDOUT},
    };
    struct dial_world w;
    world_start(&w, "127.0.0.1:0", names, (struct dialer_options){0});
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct dialled r = world_dial(&w, CLOSED, all[i].name, w.port, NULL);
        assert_int_equal(r.code, all[i].code);
        assert_string_equal(r.info.error, all[i].error);
        assert_true(all[i].rcode ? strcmp(r.info.rcode, all[i].rcode) == 0 : !r.info.rcode);
        assert_non_null(strstr(r.e.msg, all[i].name));
        assert_false(r.info.resolved);
    }
    world_stop(&w);
    return 0;
}

ON_LOOP(failures_of_names_are_told_as_rfc_9209_has_them)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_checked_address_is_connected_to),
        CASE(no_name_leads_to_a_forbidden_address),
        CASE(forbidden_addresses_among_others_are_skipped),
        CASE(a_name_that_changes_its_address_gains_nothing),
        CASE(literals_are_checked_and_not_looked_up),
        CASE(what_is_denied_is_not_even_looked_up),
        CASE(the_next_address_is_tried_when_one_refuses),
        CASE(an_address_that_is_silent_does_not_hold_up_the_next),
        CASE(silence_ends_in_time),
        CASE(failures_of_names_are_told_as_rfc_9209_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
