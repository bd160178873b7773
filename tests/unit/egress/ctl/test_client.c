/* test_client.c - what a keeper that takes another's place is told: this program is the keeper, too, and
 * writes down what it hears. */
#include "unit/unit.h"
#include "unit/loop.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "egress/ctl/client.h"
#include "io/ctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEARD "TEST_CLIENT_HEARD" /* the file it writes into */

/* ---- the keeper ---- */

static void write_down(const char *op, const json_t *o, size_t n_fds)
{
    const char *binding = json_get_str(o, "binding"), *session = json_get_str(o, "session");
    char line[256];
    int n = snprintf(line, sizeof(line), "%s %s %s %zu\n", op, binding ? binding : "-",
                     session ? session : "-", n_fds);
    AUTO_CLOSE int fd = open(getenv(HEARD), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(fd_write_all(fd, line, (size_t)n), 0);
}

static int hear(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                struct ctl_answer *answer, struct err *e)
{
    static unsigned granted;
    (void)arg;
    (void)e;
    write_down(op, o, fds->n);
    if (str_eq(json_get_str(o, "session"), "die"))
        _exit(1);
    if (str_eq(op, "start")) {
        json_put_str(answer->o, "ca", "PEM");
        answer->fds.fd[answer->fds.n++] = ctl_text_fd("state", 5);
    } else if (str_eq(op, "grant")) {
        char binding[32];
        json_t *doors = json_array(), *door = json_new_object();
        (void)snprintf(binding, sizeof(binding), "bind_%u", ++granted);
        json_put_str(door, "address", "*");
        json_put_int(door, "port", 443);
        json_array_append_new(doors, door);
        json_put_str(answer->o, "binding", binding);
        json_put(answer->o, "env", json_new_object());
        json_put(answer->o, "doors", doors);
    } else if (str_eq(op, "adopt")) {
        return fiber_sleep_ms(150);
    }
    return 0;
}

static int serve(void *arg)
{
    (void)arg;
    struct ctl *c = ctl_new(3, hear, NULL);
    int r = ctl_await_end(c);
    ctl_free(c);
    return r;
}

/* ---- the client ---- */

static char *heard(void)
{
    static char text[16384];
    AUTO_CLOSE int fd = open(getenv(HEARD), O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

static void await_heard(const char *what, unsigned n)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(10000);
    while (count(heard(), what) < n)
        assert_int_equal(fiber_sleep_ms(5), 0);
}

static void bind_one(struct egress *eg, const char *binding)
{
    struct err e = {.code = 0};
    int fd = ctl_text_fd("socket", 6);
    if (egress_bind(eg, binding, &fd, 1, &e) < 0)
        fail_msg("%s: %s", binding, e.msg);
}

static void quiet(const char *sentence)
{
    (void)sentence;
}

/* What happens while the sandboxes are given back one after the other, which takes a while for each. */
static int replaced(void *arg)
{
    (void)arg;
    AUTO_JSON json_t *policy = json_new_object();
    const struct egress_options o = {.policy = policy, .at = "egress", .tell = quiet};
    struct egress *eg;
    struct egress_grant g[4];
    struct err e = {.code = 0};
    if (egress_start(&o, &eg, &e) < 0)
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < ARRAY_LEN(g); i++)
        assert_int_equal(egress_grant(eg, &g[i], &e), 0);
    for (size_t i = 0; i < 2; i++) {
        bind_one(eg, g[i].binding);
        egress_set_session(eg, g[i].binding, "before");
    }
    egress_set_session(eg, g[2].binding, "die");
    egress_set_session(eg, g[2].binding, "before");
    await_heard("adopt ", 2); /* one has been given back */
    assert_false(egress_serves(eg));
    for (size_t i = 0; i < 3; i++)
        egress_set_session(eg, g[i].binding, "after");
    egress_release(eg, g[3].binding);
    bind_one(eg, g[2].binding);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(10000);
    while (!egress_serves(eg))
        assert_int_equal(fiber_sleep_ms(5), 0);
    await_heard("call ", 3);
    for (size_t i = 0; i < 3; i++) {
        AUTO_FREE char *session = mem_printf("session %s after", g[i].binding);
        await_heard(session, 1);
    }
    const char *second = strstr(strstr(heard(), "start ") + 1, "start ");
    for (size_t i = 0; i < 3; i++) {
        AUTO_FREE char *session = mem_printf("session %s after", g[i].binding),
                       *sockets = mem_printf("bind %s - 1", g[i].binding),
                       *none = mem_printf("bind %s - 0", g[i].binding);
        assert_non_null(strstr(second, session));
        assert_int_equal(count(second, sockets), 1);
        assert_int_equal(count(second, none), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(g); i++)
        egress_grant_done(&g[i]);
    egress_stop(eg);
    return 0;
}

static void a_keeper_that_is_new_learns_what_happens_meanwhile(void **state)
{
    (void)state;
    run_on_loop(replaced, NULL);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keeper_that_is_new_learns_what_happens_meanwhile),
    };
    if (argc > 2 && str_eq(argv[1], "egress") && str_eq(argv[2], "keeper")) {
        run_on_loop(serve, NULL);
        return 0;
    }
    char path[] = "/tmp/test_client.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) < 0 || setenv(HEARD, path, 1) < 0)
        return 1;
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return r;
}
