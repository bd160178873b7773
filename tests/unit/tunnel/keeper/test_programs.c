/* test_programs.c - which programs a gateway gets from its keeper, and how many; what is started is this test. */
#include "unit/tunnel/keeper/pair.h"
#include "io/stream.h"

static int be_program(char **argv)
{
    char text[100];
    ssize_t n = snprintf(text, sizeof(text), "%s %s\n", argv[2], argv[3]);
    while (n > 0 && write(STDOUT_FILENO, text, (size_t)n) == n)
        n = read(STDIN_FILENO, text, sizeof(text));
    return 0;
}

static void expect_text(struct stream *s, const char *want)
{
    char got[100] = "";
    size_t n = 0;
    while (n < strlen(want)) {
        ssize_t k = stream_read(s, got + n, sizeof(got) - 1 - n);
        assert_true(k > 0);
        n += (size_t)k;
    }
    assert_string_equal(got, want);
}

static int refused_program(struct pair *p, const char *route)
{
    const struct gateway_stdio s = {.route = route};
    struct err e = {0};
    int fd = -1, leash = -1;
    int r = supply_stdio(p->gateway, &s, &fd, &leash, &e);
    if (r >= 0 || fd != -1 || leash != -1 || !e.msg[0])
        fail_msg("%s: %d %d %d %s", route, r, fd, leash, e.msg);
    return r;
}

/* The route's is started, as the configuration has it; no other one is, and nothing that the question says beside. */
static int a_routes_program_is_started(void *arg)
{
    struct pair p;
    struct err e = {0};
    struct ctl_fds fds = {.n = 0};
    (void)arg;
    begin(&p);
    assert_int_equal(refused_program(&p, "c"), -E_DENIED); /* no set is in use */
    (void)serve_files(&p);
    static const char *const others[] = {"a", "b", "C", "", "/bin/sh"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(refused_program(&p, others[i]), -E_DENIED);
    assert_int_equal(programs_count(p.k->programs), 0);

    AUTO_JSON json_t *o = json_new_object(), *a = NULL, *command = json_array();
    json_array_append_new(command, json_string("/bin/sh"));
    json_put_str(o, "op", "stdio");
    json_put_str(o, "route", "c");
    json_put(o, "command", command);
    assert_int_equal(ctl_ask(p.gateway, o, NULL, 0, &a, &fds, NULL, &e), 0);
    assert_int_equal(fds.n, 2);
    assert_int_equal(programs_count(p.k->programs), 1);
    AUTO(stream) s = {.ops = NULL};
    assert_int_equal(stream_from_fd(&s, TAKE_FD(fds.fd[0])), 0);
    expect_text(&s, "c server 0\n");
    assert_int_equal(stream_write(&s, "ping", 4), 0);
    expect_text(&s, "ping");

    /* Another one of the route has another slot. */
    const struct gateway_stdio again = {.route = "c"};
    int fd = -1, leash = -1;
    assert_int_equal(supply_stdio(p.gateway, &again, &fd, &leash, &e), 0);
    AUTO(stream) second = {.ops = NULL};
    assert_int_equal(stream_from_fd(&second, TAKE_FD(fd)), 0);
    expect_text(&second, "c server 1\n");
    assert_int_equal(shutdown(second.io.fd, SHUT_WR), 0);
    close(leash);

    /* The end of its input and of the leash is its own. */
    assert_int_equal(shutdown(s.io.fd, SHUT_WR), 0);
    ctl_fds_done(&fds);
    for (int i = 0; i < 500 && programs_count(p.k->programs) > 0; i++)
        assert_int_equal(fiber_sleep_ms(10), 0);
    assert_int_equal(programs_count(p.k->programs), 0);
    end(&p);
    return 0;
}
ON_LOOP(a_routes_program_is_started)

/* One that was taken over may ask as often as it likes. */
static int programs_have_a_ceiling(void *arg)
{
    struct pair p;
    struct err e = {0};
    static int fd[PROGRAMS_MAX], leash[PROGRAMS_MAX];
    const struct gateway_stdio s = {.route = "c"};
    (void)arg;
    begin(&p);
    (void)serve_files(&p);
    for (size_t i = 0; i < PROGRAMS_MAX; i++)
        assert_int_equal(supply_stdio(p.gateway, &s, &fd[i], &leash[i], &e), 0);
    assert_int_equal(refused_program(&p, s.route), -EBUSY);
    for (size_t i = 0; i < PROGRAMS_MAX; i++) {
        close(fd[i]);
        close(leash[i]);
    }
    for (int i = 0; i < 1000 && programs_count(p.k->programs) > 0; i++)
        assert_int_equal(fiber_sleep_ms(10), 0);
    assert_int_equal(programs_count(p.k->programs), 0);
    end(&p);
    return 0;
}
ON_LOOP(programs_have_a_ceiling)

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], AS_PROGRAM) == 0)
        return be_program(argv);
    const struct CMUnitTest tests[] = {
        CASE(a_routes_program_is_started),
        CASE(programs_have_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
