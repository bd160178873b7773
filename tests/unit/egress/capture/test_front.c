/* test_front.c - which host a connection is for, who is refused, and how many there may be. */
#include "unit/egress/capture/inside.h"
#include "base/time.h"

#include <sys/resource.h>

static const struct front_options quick = {.detect = {.first_ms = 200, .silent_ms = 30}};
static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"; /* 27 bytes */

static void expect_line(const char *address, const void *p, size_t n, const char *line)
{
    char got[1024];
    ssize_t r = inside_say(address, p, n, got, sizeof(got));
    if (r < 0)
        fail_msg("%s: %s, not %s", address, err_name((int)r), line);
    assert_string_equal(got, line);
}

static int the_local_address_says_which_name_was_resolved(void *arg)
{
    static struct inside in;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    for (int v6 = 0; v6 < 2; v6++) {
        expect_line(inside_address(&in, "api.github.com", v6, 80), get, sizeof(get) - 1,
                    "HTTP/1 api.github.com:80 resolved=api.github.com target=- sni=- each=0 "
                    "disagree=0 read=27\n");
        expect_line(inside_address(&in, "other.example", v6, 443), get, sizeof(get) - 1,
                    "HTTP/1 other.example:443 resolved=other.example target=- sni=- each=0 "
                    "disagree=0 read=27\n");
    }
    expect_line("198.18.0.10:5432", "\0\0\0\10\4\322\26\57", 8,
                "other db.internal:5432 resolved=db.internal target=- sni=- each=0 disagree=0 "
                "read=8\n");
    assert_int_equal(in.n_notes, 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(the_local_address_says_which_name_was_resolved)

static int an_address_that_nobody_asked_for_is_reset(void *arg)
{
    static const char *const rows[] = {"198.18.77.77:443", "[fd73:616c:6c79::4d4d]:443",
                                       "127.0.0.1:443", "[::1]:80", "[fd73:616c:6c79::1:2:3]:80"};
    static struct inside in;
    char got[100];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ssize_t r = inside_say(rows[i], "", 0, got, sizeof(got));
        if (r != -ECONNRESET)
            fail_msg("%s: %zd", rows[i], r);
        assert_int_equal(in.n_notes, i + 1);
        assert_int_equal(in.notes[i].why, FRONT_NO_NAME);
    }
    assert_int_equal(in.served, 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(an_address_that_nobody_asked_for_is_reset)

static int a_server_name_has_to_be_the_resolved_one(void *arg)
{
    static struct inside in;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    struct hello h = hello_of("api.github.com", NULL);
    expect_line(inside_address(&in, "api.github.com", false, 443), h.p, h.n,
                "TLS api.github.com:443 resolved=api.github.com target=- sni=api.github.com each=0 "
                "disagree=0 read=75\n");
    h = hello_of(NULL, NULL);
    expect_line(inside_address(&in, "api.github.com", true, 443), h.p, h.n,
                "TLS api.github.com:443 resolved=api.github.com target=- sni=- each=0 disagree=0 "
                "read=52\n");
    assert_int_equal(in.n_notes, 0);
    h = hello_of("evil.example", NULL);
    char want[300];
    (void)snprintf(
        want, sizeof(want),
        "TLS api.github.com:443 resolved=api.github.com target=- sni=evil.example each=0 "
        "disagree=%d read=73\n",
        -E_DENIED);
    expect_line(inside_address(&in, "api.github.com", false, 443), h.p, h.n, want);
    assert_int_equal(in.n_notes, 1);
    assert_int_equal(in.notes[0].why, FRONT_DISAGREE);
    assert_string_equal(in.notes[0].host, "api.github.com");
    assert_non_null(strstr(in.notes[0].words, "evil.example"));
    inside_end(&in);
    return 0;
}
ON_LOOP(a_server_name_has_to_be_the_resolved_one)

static int what_is_not_of_the_web_is_reset_on_its_ports(void *arg)
{
    static const struct {
        unsigned port;
        const char *p;
        size_t n;
        enum front_why why;
    } rows[] = {
        {443, "SSH-2.0-x\r\n", 11, FRONT_WRONG_PROTOCOL},
        {80, "SSH-2.0-x\r\n", 11, FRONT_WRONG_PROTOCOL},
        {443, "\0\0\0\10\4\322\26\57", 8, FRONT_WRONG_PROTOCOL},
        {80, "\1\2\3", 3, FRONT_WRONG_PROTOCOL},
        {443, "\x16\x03\x01\x00\x05\x02\x00\x00\x01x", 10, FRONT_BAD_TLS},
        {8022, "\x16\x03\x01\x00\x05\x02\x00\x00\x01x", 10, FRONT_BAD_TLS},
        {443, "", 0, FRONT_NOT_TOLD},
        {80, "GE", 2, FRONT_NOT_TOLD},
    };
    static struct inside in;
    char got[100];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ssize_t r = inside_say(inside_address(&in, "api.github.com", false, rows[i].port),
                               rows[i].p, rows[i].n, got, sizeof(got));
        if (r != -ECONNRESET || in.n_notes != i + 1 || in.notes[i].why != rows[i].why ||
            in.notes[i].port != rows[i].port || strcmp(in.notes[i].host, "api.github.com") != 0)
            fail_msg("row %zu: %zd, %zu notes", i, r, in.n_notes);
    }
    assert_int_equal(in.served, 0);
    /* On a port of its own it is the policy's question. */
    expect_line(inside_address(&in, "git.internal", false, 8022), "SSH-2.0-x\r\n", 11,
                "SSH git.internal:8022 resolved=git.internal target=- sni=- each=0 disagree=0 "
                "read=11\n");
    expect_line(inside_address(&in, "git.internal", false, 8022), "", 0,
                "silent git.internal:8022 resolved=git.internal target=- sni=- each=0 disagree=0 "
                "read=0\n");
    inside_end(&in);
    return 0;
}
ON_LOOP(what_is_not_of_the_web_is_reset_on_its_ports)

static int a_slow_client_is_waited_for_where_it_has_to_be_seen(void *arg)
{
    static struct inside in;
    struct io_fd io;
    char got[1024];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, (struct front_options){.detect = {.silent_ms = 5}});
    inside_connect(inside_address(&in, "api.internal", false, 8022), &io);
    assert_int_equal(fiber_sleep_ms(50), 0); /* ten times as long as the other one below waits */
    assert_int_equal(io_write_all(&io, get, sizeof(get) - 1), 0);
    assert_true(inside_read_all(&io, got, sizeof(got)) > 0);
    assert_memory_equal(got, "HTTP/1 api.internal:8022 ", 25);
    io_fd_close(&io);
    expect_line(inside_address(&in, "git.internal", false, 8022), "", 0,
                "silent git.internal:8022 resolved=git.internal target=- sni=- each=0 disagree=0 "
                "read=0\n");
    inside_end(&in);
    inside_begin(&in, INSIDE_POLICY, quick);
    assert_int_equal(inside_say(inside_address(&in, "api.internal", false, 8022), "", 0, got,
                                sizeof(got)),
                     -ECONNRESET);
    assert_int_equal(in.notes[0].why, FRONT_NOT_TOLD);
    inside_end(&in);
    return 0;
}
ON_LOOP(a_slow_client_is_waited_for_where_it_has_to_be_seen)

static int a_client_that_leaves_at_once_is_nothing_to_note(void *arg)
{
    static struct inside in;
    struct io_fd io;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    inside_connect(inside_address(&in, "api.github.com", false, 443), &io);
    io_fd_close(&io);
    while (front_connections(in.front) == 0)
        assert_int_equal(fiber_yield(), 0);
    while (front_connections(in.front) > 0)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(in.served + in.n_notes, 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(a_client_that_leaves_at_once_is_nothing_to_note)

static int egress_itself_gives_its_certificate(void *arg)
{
    static struct inside in;
    char got[1024];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    static const char ca[] = "GET /ca.pem HTTP/1.1\r\nHost: egress.sallyport\r\n\r\n";
    assert_true(inside_say(inside_address(&in, "egress.sallyport", false, 80), ca, sizeof(ca) - 1,
                           got, sizeof(got)) > 0);
    assert_memory_equal(got, "HTTP/1.1 200 ", 13);
    assert_non_null(strstr(got, "\r\n\r\n-----BEGIN CERTIFICATE-----\n"));
    assert_true(inside_say(inside_address(&in, "egress.sallyport", true, 80), get, sizeof(get) - 1,
                           got, sizeof(got)) > 0);
    assert_memory_equal(got, "HTTP/1.1 404 ", 13);
    assert_non_null(strstr(got, "/ca.pem"));
    struct hello h = hello_of("egress.sallyport", NULL);
    assert_int_equal(inside_say(inside_address(&in, "egress.sallyport", false, 443), h.p, h.n, got,
                                sizeof(got)),
                     -ECONNRESET);
    assert_int_equal(in.n_notes, 1);
    assert_int_equal(in.notes[0].why, FRONT_WRONG_PROTOCOL);
    assert_int_equal(in.served, 0);
    inside_end(&in);
    return 0;
}
ON_LOOP(egress_itself_gives_its_certificate)

/* Opens a connection that stays, and waits until the handler has it. */
static void stay(struct inside *in, const char *address, struct io_fd *ret)
{
    unsigned before = in->served;
    inside_connect(address, ret);
    assert_int_equal(io_write_all(ret, get, sizeof(get) - 1), 0);
    while (in->served == before)
        assert_int_equal(fiber_sleep_ms(1), 0);
}

static int a_sandbox_may_have_half_of_what_there_is(void *arg)
{
    static struct inside in;
    struct io_fd io[4];
    struct front_options o = quick;
    (void)arg;
    o.connections_max = 6;
    inside_begin(&in, INSIDE_POLICY, o);
    in.keep = true;
    const char *to = inside_address(&in, "api.github.com", false, 80);
    for (int i = 0; i < 3; i++)
        stay(&in, to, &io[i]);
    /* The fourth waits ... */
    inside_connect(to, &io[3]);
    assert_int_equal(io_write_all(&io[3], get, sizeof(get) - 1), 0);
    while (in.n_notes == 0)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(in.notes[0].why, FRONT_CONNECTIONS);
    assert_int_equal(front_binding_connections(in.binding), 3);
    assert_int_equal(in.served, 3);
    /* ... until one has ended. */
    io_fd_close(&io[0]);
    while (in.served == 3)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(front_binding_connections(in.binding), 3);
    assert_int_equal(in.n_notes, 1);
    for (int i = 1; i < 4; i++)
        io_fd_close(&io[i]);
    inside_end(&in);
    return 0;
}
ON_LOOP(a_sandbox_may_have_half_of_what_there_is)

static int run_other(void *arg)
{
    return front_binding_run(arg);
}

static int a_greedy_sandbox_leaves_room_for_the_next(void *arg)
{
    static struct inside in;
    struct io_fd io[6], other_io;
    struct front_options o = quick;
    (void)arg;
    o.connections_max = 8;
    inside_begin(&in, INSIDE_POLICY, o);
    in.keep = true;
    const char *to = inside_address(&in, "api.github.com", false, 80);
    for (int i = 0; i < 4; i++)
        stay(&in, to, &io[i]);
    for (int i = 4; i < 6; i++)
        inside_connect(to, &io[i]);
    while (in.n_notes == 0)
        assert_int_equal(fiber_sleep_ms(1), 0);
    /* The next sandbox has a network of its own. */
    assert_true(inside_network());
    struct front_binding *other = inside_bind(&in, "sbx_2"), *first = in.binding;
    assert_int_equal(fiber_spawn(&in.scope, "other", run_other, other, NULL), 0);
    in.binding = other;
    to = inside_address(&in, "api.github.com", false, 80);
    stay(&in, to, &other_io);
    assert_int_equal(front_binding_connections(other), 1);
    assert_int_equal(front_binding_connections(first), 4);
    io_fd_close(&other_io);
    for (int i = 0; i < 6; i++)
        io_fd_close(&io[i]);
    front_binding_stop(other);
    front_binding_stop(first);
    assert_int_equal(scope_join(&in.scope), 0);
    front_binding_free(other);
    in.binding = first;
    inside_end(&in);
    return 0;
}
ON_LOOP(a_greedy_sandbox_leaves_room_for_the_next)

static int a_stop_ends_what_is_open(void *arg)
{
    static struct inside in;
    struct io_fd served, waiting;
    char got[1024];
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, (struct front_options){0});
    in.keep = true;
    stay(&in, inside_address(&in, "api.github.com", false, 80), &served);
    inside_connect(inside_address(&in, "api.github.com", false, 443), &waiting);
    while (front_connections(in.front) < 2)
        assert_int_equal(fiber_sleep_ms(1), 0);
    inside_end(&in);
    assert_true(inside_read_all(&served, got, sizeof(got)) > 0);
    assert_true(inside_read_all(&waiting, got, sizeof(got)) <= 0);
    io_fd_close(&served);
    io_fd_close(&waiting);
    return 0;
}
ON_LOOP(a_stop_ends_what_is_open)

static int accepting_goes_on_after_descriptors_ran_out(void *arg)
{
    static struct inside in;
    struct io_fd io;
    struct rlimit old, none;
    (void)arg;
    inside_begin(&in, INSIDE_POLICY, quick);
    const char *to = inside_address(&in, "api.github.com", false, 80);
    assert_int_equal(fiber_yield(), 0); /* the doors wait */
    inside_connect(to, &io);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(front_connections(in.front), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(io_write_all(&io, get, sizeof(get) - 1), 0);
    char got[1024];
    assert_true(inside_read_all(&io, got, sizeof(got)) > 0);
    assert_memory_equal(got, "HTTP/1 api.github.com:80", 24);
    io_fd_close(&io);
    inside_end(&in);
    return 0;
}
ON_LOOP(accepting_goes_on_after_descriptors_ran_out)

static void every_reason_has_a_name(void **state)
{
    (void)state;
    for (int w = 0; w < FRONT_WHYS; w++)
        assert_non_null(front_why_text((enum front_why)w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_local_address_says_which_name_was_resolved),
        CASE(an_address_that_nobody_asked_for_is_reset),
        CASE(a_server_name_has_to_be_the_resolved_one),
        CASE(what_is_not_of_the_web_is_reset_on_its_ports),
        CASE(a_slow_client_is_waited_for_where_it_has_to_be_seen),
        CASE(a_client_that_leaves_at_once_is_nothing_to_note),
        CASE(egress_itself_gives_its_certificate),
        CASE(a_sandbox_may_have_half_of_what_there_is),
        CASE(a_greedy_sandbox_leaves_room_for_the_next),
        CASE(a_stop_ends_what_is_open),
        CASE(accepting_goes_on_after_descriptors_ran_out),
        cmocka_unit_test(every_reason_has_a_name),
    };
    if (!inside_network())
        return 77; /* an ordinary user gets no network here: skipped */
    return cmocka_run_group_tests_name("egress/capture/front", tests, NULL, NULL);
}
