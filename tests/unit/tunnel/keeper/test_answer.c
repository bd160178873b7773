/* test_answer.c - what a gateway gets from its keeper, and what one that was taken over does not get. */
#include "unit/tunnel/keeper/pair.h"
#include "base/err.h"
#include "base/json.h"
#include "fiber/fiber.h"
#include "io/sock.h"
#include "secret/source.h"
#include "tunnel/gateway/supply.h"
#include "tunnel/keeper/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static json_t *source_of(const struct pair *p, const char *name)
{
    json_t *o = json_new_object();
    AUTO_FREE char *path = mem_printf("%s/%s", p->dir, name);
    json_put_str(o, "file", path);
    return o;
}

static int ask(struct pair *p, const json_t *source, struct secret *ret, struct err *e)
{
    /* What it says beside is of no use with such a source. */
    const struct secret_question q = {.config = source, .subject = "x", .refused = "y"};
    return supply_secret(p->gateway, &q, ret, e);
}

static void expect_secret(struct pair *p, const char *name, const char *want)
{
    AUTO_JSON json_t *source = source_of(p, name);
    struct secret got = {0};
    struct err e = {0};
    int r = ask(p, source, &got, &e);
    if (want) {
        assert_int_equal(r, 0);
        assert_true(secret_eq(&got, want, strlen(want)));
    } else {
        assert_int_equal(r, -ENOENT);
        assert_string_equal(e.msg, "the configuration has no such credential any more");
        assert_null(got.data);
    }
    secret_done(&got);
}

static int what_it_needs_it_gets(void *arg)
{
    struct pair p;
    struct err e = {0};
    struct secret got = {0};
    uint64_t mark = 0, later = 0;
    (void)arg;
    begin(&p);
    (void)serve_files(&p);
    expect_secret(&p, "one", "secret-one");
    assert_int_equal(supply_line(p.gateway, "token_file", &got, &e), 0);
    assert_true(secret_eq(&got, "the-token", 9));
    secret_done(&got);
    assert_int_equal(supply_mark(p.gateway, &mark, &e), 0);
    write_file(&p, "cert", "another certificate");
    assert_int_equal(supply_mark(p.gateway, &later, &e), 0);
    assert_true(mark != later);
    int fd = supply_resolver(p.gateway, "/etc/hosts");
    assert_true(fd >= 0);
    close(fd);
    end(&p);
    return 0;
}
ON_LOOP(what_it_needs_it_gets)

static int other_files_and_secrets_it_does_not_get(void *arg)
{
    struct pair p;
    struct err e = {0};
    struct secret got = {0};
    (void)arg;
    begin(&p);
    expect_secret(&p, "one", NULL); /* nothing is in use yet */
    assert_true(supply_line(p.gateway, "token_file", &got, &e) < 0);
    (void)serve_files(&p);
    expect_secret(&p, "two", NULL);
    AUTO_JSON json_t *command = json_new_object();
    json_put_str(command, "exec", "/bin/cat /etc/shadow");
    assert_int_equal(ask(&p, command, &got, &e), -ENOENT);
    AUTO_JSON json_t *shorter = source_of(&p, "one");
    json_put_str(shorter, "ttl", "0s"); /* its own, and yet another one */
    assert_int_equal(ask(&p, shorter, &got, &e), -ENOENT);
    static const char *const fields[] = {"key_file", "proxy_password_file", "", "../token"};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        assert_int_equal(supply_line(p.gateway, fields[i], &got, &e), -ENOENT);
        assert_string_equal(e.msg, "the configuration has no such file");
    }
    assert_null(got.data);
    static const char *const sockets[] = {"/run/docker.sock", "", "socket"};
    for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
        assert_int_equal(supply_connect(p.gateway, sockets[i], &e), -E_DENIED);
        assert_string_equal(e.msg, "no route leads to this socket any more");
    }
    assert_int_equal(supply_audit(p.gateway, &e), -ENOENT); /* nothing is recorded */
    static const char *const others[] = {"open", "start", "export", ""};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        AUTO_JSON json_t *o = json_new_object(), *a = NULL;
        json_put_str(o, "op", others[i]);
        json_put_str(o, "path", "/etc/shadow");
        assert_int_equal(ctl_ask(p.gateway, o, NULL, 0, &a, NULL, NULL, &e), -E_PROTO);
    }
    end(&p);
    return 0;
}
ON_LOOP(other_files_and_secrets_it_does_not_get)

static int its_own_socket_is_connected_to(void *arg)
{
    struct pair p;
    struct err e = {0};
    char at[SOCK_ADDR_MAX];
    (void)arg;
    begin(&p);
    AUTO_FREE char *path = mem_printf("%s/socket", p.dir), *address = mem_printf("unix:%s", path);
    int listener = sock_listen(address, 4, at, &e);
    assert_true(listener >= 0);
    (void)serve_files(&p);
    int fd = supply_connect(p.gateway, path, &e),
        peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char got[2] = "";
    assert_true(fd >= 0 && peer >= 0);
    assert_int_equal(send(fd, "x", 1, 0), 1);
    assert_int_equal(read(peer, got, 1), 1);
    close(fd);
    close(peer);
    close(listener);
    assert_true(supply_connect(p.gateway, path, &e) < 0);
    assert_true(e.code == -ECONNREFUSED || e.code == -ENOENT);
    end(&p);
    return 0;
}
ON_LOOP(its_own_socket_is_connected_to)

/* What is under way may ask for what was used before; what it never took it may not keep. */
static int three_sets_are_kept(void *arg)
{
    struct pair p;
    (void)arg;
    begin(&p);
    (void)serve_files(&p);
    write_config(&p, "two");
    expect_secret(&p, "two", NULL);
    struct supply_files f = SUPPLY_FILES_NONE;
    struct err e = {0};
    assert_int_equal(supply_files(p.gateway, &f, &e), 0); /* offered, not taken */
    supply_files_done(&f);
    expect_secret(&p, "two", "secret-two");
    write_config(&p, "three");
    for (size_t i = 0; i < 5; i++) { /* nor are these: what is in use stays */
        assert_int_equal(supply_files(p.gateway, &f, &e), 0);
        supply_files_done(&f);
    }
    expect_secret(&p, "two", NULL);
    expect_secret(&p, "one", "secret-one");
    write_config(&p, "two");
    (void)serve_files(&p);
    expect_secret(&p, "one", "secret-one");
    expect_secret(&p, "two", "secret-two");
    (void)serve_files(&p);
    expect_secret(&p, "one", NULL);
    expect_secret(&p, "two", "secret-two");
    end(&p);
    return 0;
}
ON_LOOP(three_sets_are_kept)

static void tell(struct pair *p, const char *op, const char *line, int64_t number)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", op);
    json_put_int(o, "number", number);
    if (line)
        json_put_str(o, "line", line);
    assert_int_equal(ctl_tell(p->gateway, o, NULL, 0), 0);
}

static int a_notice_that_makes_no_sense_ends_it(void *arg)
{
    AUTO_FREE char *long_line = mem_array(800, 1);
    (void)arg;
    memset(long_line, 'x', 799);
    const struct {
        const char *op, *line;
        int64_t number;
    } rows[] = {{"taken", NULL, 7},      {"taken", NULL, 0},   {"ready", NULL, 0},
                {"ready", "", 0},        {"ready", "a\nb", 0}, {"ready", "\x1b[2J", 0},
                {"ready", long_line, 0}, {"secret", "x", 0},   {"reload", NULL, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair p;
        begin(&p);
        tell(&p, rows[i].op, rows[i].line, rows[i].number);
        assert_int_equal(ctl_await_end(p.k->ctl), 0);
        assert_string_equal(p.line, "");
        end(&p);
    }
    return 0;
}
ON_LOOP(a_notice_that_makes_no_sense_ends_it)

static int it_is_ready_once(void *arg)
{
    struct pair p;
    struct err e = {0};
    uint64_t mark;
    (void)arg;
    begin(&p);
    (void)serve_files(&p);
    tell(&p, "ready", "ready edge=127.0.0.1:1 routes=2", 0);
    assert_int_equal(supply_mark(p.gateway, &mark, &e), 0); /* presence: the channel goes on */
    assert_string_equal(p.line, "ready edge=127.0.0.1:1 routes=2");
    tell(&p, "ready", "ready again", 0);
    assert_int_equal(ctl_await_end(p.k->ctl), 0);
    assert_string_equal(p.line, "ready edge=127.0.0.1:1 routes=2");
    end(&p);
    return 0;
}
ON_LOOP(it_is_ready_once)

/* ---- what is kept ---- */

static void keeps(struct pair *p)
{
    AUTO_FREE char *text =
        mem_printf("edge: http://127.0.0.1:1\ntoken_file: %s/token\ntunnel_domain: t.localhost\n"
                   "tls: {cert_file: %s/cert, key_file: %s/key}\n"
                   "upstream: {allowed_ips: [127.0.0.0/8]}\nroutes:\n"
                   "  a: {upstream: 'http://127.0.0.1:2', pin_tools: true}\n",
                   p->dir, p->dir, p->dir);
    write_file(p, "gateway.yaml", text);
    (void)serve_files(p);
}

static bool is_there(const struct pair *p, const char *name)
{
    char path[128];
    struct stat st;
    (void)snprintf(path, sizeof(path), "%s/%s", p->dir, name);
    return lstat(path, &st) == 0;
}

static void expect_refusal(int r, const struct err *e, const char *words)
{
    assert_true(r < 0);
    if (!strstr(e->msg, words))
        fail_msg("%s\nwant %s", e->msg, words);
}

static int what_is_kept_comes_back(void *arg)
{
    static const char one[] = "{\"type\":\"gateway_pins\",\"version\":1,\"routes\":{}}\n";
    struct pair p;
    struct err e = {0};
    struct supply_state s;
    (void)arg;
    begin(&p);
    (void)serve_files(&p);
    expect_refusal(supply_state(p.gateway, &s, &e), &e, "the configuration keeps nothing");
    expect_refusal(supply_keep(p.gateway, one, sizeof(one) - 1, &e), &e, "nothing is kept");
    keeps(&p);
    assert_int_equal(supply_state(p.gateway, &s, &e), 0);
    assert_null(s.text);
    assert_true(s.uid == geteuid() && s.control_fd >= 0 && is_there(&p, "gateway.sock"));
    supply_state_done(&s);
    assert_int_equal(supply_keep(p.gateway, one, sizeof(one) - 1, &e), 0);
    /* One that takes its place gets what was kept, and the same socket. */
    assert_int_equal(supply_state(p.gateway, &s, &e), 0);
    assert_string_equal(s.text, one);
    assert_true(strstr(s.path, "/pins.json") && is_there(&p, "gateway.sock"));
    supply_state_done(&s);
    end(&p); /* and nothing else is left in the directory, the socket neither */
    return 0;
}
ON_LOOP(what_is_kept_comes_back)

static int what_is_no_pins_is_not_kept(void *arg)
{
    static const char good[] = "{\"type\":\"gateway_pins\",\"version\":1,\"routes\":{}}\n";
    static const char *const bad[] = {"", "{}", "root::0:0::/:/bin/sh\n",
                                      "{\"type\":\"gateway_pins\"}"};
    struct pair p;
    struct err e = {0};
    struct supply_state s;
    AUTO_JSON json_t *keep = json_new_object(), *answer = NULL;
    (void)arg;
    begin(&p);
    keeps(&p);
    assert_int_equal(supply_state(p.gateway, &s, &e), 0);
    supply_state_done(&s);
    assert_int_equal(supply_keep(p.gateway, good, sizeof(good) - 1, &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(supply_keep(p.gateway, bad[i], strlen(bad[i]), &e) < 0);
    json_put_str(keep, "op", "keep");
    assert_true(ctl_ask(p.gateway, keep, NULL, 0, &answer, NULL, NULL, &e) < 0); /* no sheet */
    assert_int_equal(supply_state(p.gateway, &s, &e), 0);
    assert_string_equal(s.text, good);
    supply_state_done(&s);
    end(&p);
    return 0;
}
ON_LOOP(what_is_no_pins_is_not_kept)

struct keeping {
    struct pair *p;
    int r;
    struct err e;
};

static int keep_now(void *arg)
{
    struct keeping *x = arg;
    AUTO_JSON json_t *keep = json_new_object(), *answer = NULL;
    json_put_str(keep, "op", "keep");
    x->r = ctl_ask(x->p->gateway, keep, NULL, 0, &answer, NULL, NULL, &x->e);
    return 0;
}

/* One that was taken over asks for the state again, of another directory, while its file is being written. */
static int what_is_being_written_stays(void *arg)
{
    static const char text[] = "{\"type\":\"gateway_pins\",\"version\":1,\"routes\":{}}\n";
    enum { PAD = 8 << 20 };
    struct pair p;
    struct err e = {0};
    struct supply_state s = SUPPLY_STATE_NONE;
    struct ctl_fds fds = {.n = 0};
    AUTO_JSON json_t *sheet = json_new_object(), *answer = NULL;
    (void)arg;
    begin(&p);
    keeps(&p);
    assert_int_equal(supply_state(p.gateway, &s, &e), 0);
    supply_state_done(&s);
    AUTO_FREE char *other = mem_printf("%s/other", p.dir);
    assert_int_equal(mkdir(other, 0700), 0);
    AUTO_FREE char *config =
        mem_printf("edge: http://127.0.0.1:1\ntoken_file: %s/token\ntunnel_domain: t.localhost\n"
                   "tls: {cert_file: %s/cert, key_file: %s/key}\nstate_dir: %s\n"
                   "upstream: {allowed_ips: [127.0.0.0/8]}\nroutes:\n"
                   "  a: {upstream: 'http://127.0.0.1:2', pin_tools: true}\n",
                   p.dir, p.dir, p.dir, other);
    write_file(&p, "gateway.yaml", config);
    (void)serve_files(&p);
    json_put_str(sheet, "op", "sheet");
    assert_int_equal(ctl_ask(p.gateway, sheet, NULL, 0, &answer, &fds, NULL, &e), 0);
    AUTO_FREE char *pad = mem_array(PAD, 1);
    memset(pad, ' ', PAD);
    assert_true(write(fds.fd[0], pad, PAD) == PAD);
    assert_true(write(fds.fd[0], text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
    ctl_fds_done(&fds);
    struct keeping x = {.p = &p};
    {
        AUTO(scope) beside;
        scope_init(&beside);
        assert_int_equal(fiber_spawn(&beside, "keep", keep_now, &x, NULL), 0);
        assert_int_equal(fiber_sleep_ms(5), 0);
        (void)!supply_state(p.gateway, &s, &e); /* refused, or after the other: as it comes */
        supply_state_done(&s);
        (void)!scope_join(&beside);
    }
    assert_int_equal(x.r, 0);
    assert_true(is_there(&p, "pins.json")); /* where it was to be kept, and whole */
    assert_int_equal(supply_state(p.gateway, &s, &e), 0);
    assert_true(strstr(s.path, "/other/") && !s.text);
    supply_state_done(&s);
    AUTO_FREE char *socket = mem_printf("%s/gateway.sock", other);
    keeper_state_close(p.k);
    assert_true(access(socket, F_OK) < 0);
    assert_int_equal(rmdir(other), 0);
    end(&p);
    return 0;
}
ON_LOOP(what_is_being_written_stays)

static int a_directory_of_others_keeps_nothing(void *arg)
{
    struct pair p;
    struct err e = {0};
    struct supply_state s;
    (void)arg;
    begin(&p);
    keeps(&p);
    assert_int_equal(chmod(p.dir, 0777), 0);
    expect_refusal(supply_state(p.gateway, &s, &e), &e, "has to belong to the gateway's user");
    assert_false(is_there(&p, "gateway.sock"));
    assert_int_equal(chmod(p.dir, 0700), 0);
    write_file(&p, "pins.json", "{}");
    AUTO_FREE char *path = mem_printf("%s/pins.json", p.dir);
    assert_int_equal(chmod(path, 0666), 0);
    expect_refusal(supply_state(p.gateway, &s, &e), &e, "was written by somebody else, or may be");
    end(&p);
    return 0;
}
ON_LOOP(a_directory_of_others_keeps_nothing)

struct asking {
    struct pair *p;
    bool state;
    int r;
};

static int ask_now(void *arg)
{
    struct asking *x = arg;
    struct err e = {0};
    if (x->state) {
        struct supply_state s = SUPPLY_STATE_NONE;
        x->r = supply_state(x->p->gateway, &s, &e);
        supply_state_done(&s);
    } else {
        struct supply_files f = SUPPLY_FILES_NONE;
        x->r = supply_files(x->p->gateway, &f, &e);
        supply_files_done(&f);
    }
    return 0;
}

/* Before it has taken any set: what is offered replaces what was, while the state waits for its turn. */
static int a_set_may_go_while_its_state_waits(void *arg)
{
    struct pair p;
    struct supply_files f = SUPPLY_FILES_NONE;
    struct err e = {0};
    uint64_t mark;
    (void)arg;
    begin(&p);
    keeps(&p);
    assert_int_equal(supply_mark(p.gateway, &mark, &e),
                     0); /* presence: it has heard of the set taken */
    keeper_sets_done(p.k);
    assert_int_equal(supply_files(p.gateway, &f, &e), 0);
    supply_files_done(&f);
    struct asking all[] = {{.p = &p}, {.p = &p, .state = true}, {.p = &p}, {.p = &p}};
    {
        AUTO(scope) beside;
        scope_init(&beside);
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
            assert_int_equal(fiber_spawn(&beside, "ask", ask_now, &all[i], NULL), 0);
        assert_int_equal(scope_join(&beside), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        assert_int_equal(all[i].r, 0);
    end(&p);
    return 0;
}
ON_LOOP(a_set_may_go_while_its_state_waits)

static int keys_are_asked_for_where_the_configuration_says(void *arg)
{
    static const char *const others[] = {"http://127.0.0.1:1/other", "http://127.0.0.1:1/keys?x",
                                         "", "file:///etc/shadow"};
    struct pair p;
    struct err e = {0};
    char *text = NULL;
    size_t n = 0;
    int64_t age = 0;
    (void)arg;
    begin(&p);
    AUTO_FREE char *more = mem_printf(
        "edge: http://127.0.0.1:1\ntoken_file: %s/token\ntunnel_domain: t.localhost\n"
        "tls: {cert_file: %s/cert, key_file: %s/key}\nroutes: {a: 'http://10.0.0.1:2'}\n"
        "callers: {jwt: {issuer: i, audience: a, jwks_url: 'http://127.0.0.1:1/keys'}}\n",
        p.dir, p.dir, p.dir);
    write_file(&p, "gateway.yaml", more);
    assert_int_equal(supply_keys(p.gateway, "http://127.0.0.1:1/keys", &text, &n, &age, &e),
                     -ENOENT); /* not in use yet */
    (void)serve_files(&p);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        e = (struct err){0};
        assert_int_equal(supply_keys(p.gateway, others[i], &text, &n, &age, &e), -ENOENT);
        assert_string_equal(e.msg, "the configuration has no such callers.jwt.jwks_url any more");
    }
    e = (struct err){0};
    assert_int_equal(supply_keys(p.gateway, "http://127.0.0.1:1/keys", &text, &n, &age, &e),
                     -ECONNREFUSED);
    assert_true(e.msg[0]);
    assert_null(text);
    end(&p);
    return 0;
}
ON_LOOP(keys_are_asked_for_where_the_configuration_says)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_it_needs_it_gets),
        CASE(other_files_and_secrets_it_does_not_get),
        CASE(its_own_socket_is_connected_to),
        CASE(keys_are_asked_for_where_the_configuration_says),
        CASE(three_sets_are_kept),
        CASE(a_notice_that_makes_no_sense_ends_it),
        CASE(it_is_ready_once),
        CASE(what_is_kept_comes_back),
        CASE(what_is_no_pins_is_not_kept),
        CASE(what_is_being_written_stays),
        CASE(a_directory_of_others_keeps_nothing),
        CASE(a_set_may_go_while_its_state_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
