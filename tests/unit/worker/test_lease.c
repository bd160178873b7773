/* test_lease.c - heartbeats against a scripted platform on loopback, in the same loop. */
#include "unit/loop.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "io/sock.h"
#include "worker/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEATS_MAX 8

/* One answer of the platform. Status 0: the connection is closed instead; -1: no answer at all. */
struct answer {
    int status;
    const char *body;
};

struct platform {
    const struct answer *script; /* the last one is repeated */
    size_t n, asked;
    char target[BEATS_MAX][256]; /* of the first requests */
    bool bearer_seen;
    char address[SOCK_ADDR_MAX];
    struct io_fd listener;
};

/* Reads one request head; false when the connection ends. */
static bool read_request(struct platform *p, struct stream *s)
{
    char head[2048];
    size_t len = 0;
    while (!memmem(head, len, "\r\n\r\n", 4)) {
        ssize_t n = len < sizeof(head) ? stream_read(s, head + len, sizeof(head) - len) : -1;
        if (n <= 0)
            return false;
        len += (size_t)n;
    }
    if (p->asked < BEATS_MAX)
        snprintf(p->target[p->asked], sizeof(p->target[0]), "%.*s", (int)strcspn(head, "\r"), head);
    p->bearer_seen = memmem(head, len, "Bearer sk-token\r\n", 17) != NULL;
    return true;
}

static void serve_connection(struct platform *p, int fd)
{
    struct stream s = {0};
    assert_int_equal(stream_from_fd(&s, fd), 0);
    while (read_request(p, &s)) {
        size_t i = p->asked < p->n ? p->asked : p->n - 1;
        p->asked++;
        const struct answer *a = &p->script[i];
        if (a->status == 0)
            break;
        if (a->status < 0)
            continue;
        char text[1024];
        int n = snprintf(text, sizeof(text),
                         "HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\n"
                         "Content-Length: %zu\r\n\r\n%s",
                         a->status, strlen(a->body), a->body);
        if (stream_write(&s, text, (size_t)n) < 0)
            break;
    }
    stream_done(&s);
}

static int platform_run(void *arg)
{
    struct platform *p = arg;
    for (;;) {
        int fd = sock_accept(&p->listener, NULL);
        if (fd < 0)
            return fd == -ECANCELED ? 0 : fd;
        serve_connection(p, fd);
    }
}

#define BEAT(stamp, ttl)                                                                           \
    "{\"type\":\"work_heartbeat\",\"last_heartbeat\":\"" stamp                                     \
    "\",\"lease_extended\":true,\"state\":\"active\",\"ttl_seconds\":" ttl "}"
#define ENDED(state)                                                                               \
    "{\"type\":\"work_heartbeat\",\"last_heartbeat\":\"\",\"lease_extended\":false,"               \
    "\"state\":\"" state "\",\"ttl_seconds\":90}"
#define TAKEN                                                                                      \
    "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Heartbeat "   \
    "precondition failed\"}}"
#define ECHO(stamp) "?expected_last_heartbeat=" stamp
#define ACTIVE(stamp, ttl)                                                                         \
    "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"x\","         \
    "\"details\":{\"current_state\":{\"state\":\"active\",\"last_heartbeat\":\"" stamp             \
    "\",\"lease_extended\":false,\"ttl_seconds\":" ttl "}}}}"
#define LONG64 "0123456789012345678901234567890123456789012345678901234567890123"

static const struct row {
    const char *name;
    struct answer script[5];
    size_t n;
    int64_t ttl_ms; /* before the platform says one; 0: the default */
    enum lease_state end;
    bool was_held;       /* the lease was ours at some time */
    size_t beats;        /* exactly so many; 0: at least one */
    const char *words;   /* in lease.words */
    const char *echo[4]; /* the query of the first beats */
} table[] = {
    {"the stamp is echoed to the byte, from beat to beat",
     {{200, BEAT("2026-01-02T03:04:05.123+00:00", "2")}, {200, BEAT("b c&d", "2")}, {412, TAKEN}},
     3,
     0,
     LEASE_LOST,
     true,
     3,
     "another worker",
     {ECHO("NO_HEARTBEAT"), ECHO("2026-01-02T03%3A04%3A05.123%2B00%3A00"), ECHO("b%20c%26d")}},
    {"somebody else was first", {{412, TAKEN}}, 1, 0, LEASE_LOST, false, 1, "another worker", {0}},
    {"stopping", {{200, ENDED("stopping")}}, 1, 0, LEASE_STOPPING, false, 1, "stops the item", {0}},
    {"stopped", {{200, ENDED("stopped")}}, 1, 0, LEASE_REFUSED, false, 1, "has stopped", {0}},
    {"stopping after a while",
     {{200, BEAT("a", "2")}, {200, ENDED("stopping")}},
     2,
     0,
     LEASE_STOPPING,
     true,
     2,
     "stops the item",
     {0}},
    {"not extended", {{200, ENDED("active")}}, 1, 0, LEASE_REFUSED, false, 1, "not extend", {0}},
    {"extended is what says so",
     {{200, "{\"last_heartbeat\":\"x\",\"state\":\"active\"}"}},
     1,
     0,
     LEASE_REFUSED,
     false,
     1,
     "not extend",
     {0}},
    {"refused for good, words of the platform",
     {{404, "{\"error\":{\"message\":\"no such\\nitem\"}}"}},
     1,
     0,
     LEASE_REFUSED,
     false,
     1,
     "no such\\x0aitem",
     {0}},
    {"token not accepted", {{401, "{}"}}, 1, 0, LEASE_REFUSED, false, 1, "401", {0}},
    {"conflict and rate limit are no refusal",
     {{409, "{}"}, {429, "{}"}, {412, TAKEN}},
     3,
     0,
     LEASE_LOST,
     false,
     3,
     "another worker",
     {ECHO("NO_HEARTBEAT"), ECHO("NO_HEARTBEAT"), ECHO("NO_HEARTBEAT")}},
    {"5xx, a closed connection and answers that are none",
     {{503, "busy"}, {0, NULL}, {200, "[]"}, {200, "<html>"}, {412, TAKEN}},
     5,
     0,
     LEASE_LOST,
     false,
     5,
     "another worker",
     {ECHO("NO_HEARTBEAT"), ECHO("NO_HEARTBEAT"), ECHO("NO_HEARTBEAT"), ECHO("NO_HEARTBEAT")}},
    {"no success for a whole time to live",
     {{503, "{}"}},
     1,
     1000,
     LEASE_LOST,
     false,
     0,
     "no heartbeat was accepted",
     {0}},
    {"no answer for a whole time to live",
     {{-1, NULL}},
     1,
     1000,
     LEASE_LOST,
     false,
     1,
     "no heartbeat was accepted",
     {0}},
    {"held, then silence: it cannot be said whose it is",
     {{200, BEAT("s", "2")}, {503, "{}"}},
     2,
     0,
     LEASE_LAPSED,
     true,
     0,
     "no heartbeat was accepted",
     {ECHO("NO_HEARTBEAT"), ECHO("s"), ECHO("s")}},
    {"an empty stamp is echoed, a long one too, and none is none",
     {{200, BEAT("", "2")},
      {200, BEAT(LONG64 LONG64, "2.5")},
      {200, "{\"last_heartbeat\":null,\"lease_extended\":true,\"state\":\"active\"}"},
      {412, TAKEN}},
     4,
     0,
     LEASE_LOST,
     true,
     4,
     "another worker",
     {ECHO("NO_HEARTBEAT"), ECHO(""), ECHO(LONG64 LONG64), ""}},
    {"held, then silence, and no stamp to ask with",
     {{200, BEAT("", "2")}, {503, "{}"}},
     2,
     0,
     LEASE_LOST,
     true,
     0,
     "no heartbeat was accepted",
     {ECHO("NO_HEARTBEAT"), ECHO("")}},
    {"an answer was lost: the stamp that is named is ours",
     {{200, BEAT("a", "2")},
      {0, NULL},
      {412, ACTIVE("b", "2")},
      {200, BEAT("c", "2")},
      {412, TAKEN}},
     5,
     0,
     LEASE_LOST,
     true,
     5,
     "another worker",
     {ECHO("NO_HEARTBEAT"), ECHO("a"), ECHO("a"), ECHO("b")}},
    {"the first answer was lost",
     {{0, NULL}, {412, ACTIVE("b", "60")}, {200, BEAT("c", "2")}, {412, TAKEN}},
     4,
     0,
     LEASE_LOST,
     true,
     4,
     "another worker",
     {ECHO("NO_HEARTBEAT"), ECHO("NO_HEARTBEAT"), ECHO("b"), ECHO("c")}},
    {"no answer was lost: it is another worker's stamp",
     {{200, BEAT("a", "2")}, {412, ACTIVE("b", "2")}},
     2,
     0,
     LEASE_LOST,
     true,
     2,
     "another worker",
     {ECHO("NO_HEARTBEAT"), ECHO("a")}},
    {"an answer that says no is an answer",
     {{429, "{}"}, {412, ACTIVE("b", "60")}},
     2,
     0,
     LEASE_LOST,
     false,
     2,
     "another worker",
     {ECHO("NO_HEARTBEAT"), ECHO("NO_HEARTBEAT")}},
    {"it is not active",
     {{0, NULL},
      {412, "{\"error\":{\"details\":{\"current_state\":{\"state\":\"starting\","
            "\"last_heartbeat\":\"b\",\"ttl_seconds\":60}}}}"}},
     2,
     0,
     LEASE_LOST,
     false,
     2,
     "another worker",
     {0}},
    {"a time to live that is none changes nothing",
     {{200, BEAT("a", "-5")}, {412, TAKEN}},
     2,
     2000,
     LEASE_LOST,
     true,
     2,
     "another worker",
     {0}},
    {"a stamp too long",
     {{200, BEAT(LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64, "2")}},
     1,
     0,
     LEASE_LOST,
     false,
     1,
     "too long",
     {0}},
};

static bool is_final(const struct lease *l)
{
    return l->state != LEASE_NEW && l->state != LEASE_HELD;
}

static void play(const struct row *row)
{
    static struct platform p; /* too large for a fiber's frame */
    struct err e = {0};
    p = (struct platform){.script = row->script, .n = row->n, .listener = IO_FD_NONE};
    int fd = sock_listen("127.0.0.1:0", 8, p.address, &e);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&p.listener, fd), 0);
    struct secret token = {0};
    assert_int_equal(secret_set(&token, "sk-token", 8), 0);
    AUTO_FREE char *url = mem_printf("http://%s/", p.address);
    struct remote remote;
    assert_int_equal(remote_init(&remote, url, &token, NULL, &e), 0);

    struct waitq changed;
    waitq_init(&changed);
    struct lease l;
    lease_init(&l, &remote, "env_1", "work_1", &changed);
    if (row->ttl_ms) {
        l.ttl_ms = row->ttl_ms;
        l.good_until_ns = time_mono_ns() + row->ttl_ms * NS_PER_MS;
    }
    assert_false(lease_ours(&l));
    struct scope scope;
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "platform", platform_run, &p, NULL), 0);
    assert_int_equal(fiber_spawn(&scope, "lease", lease_run, &l, NULL), 0);
    bool was_held = false;
    struct fiber_deadline d = fiber_deadline_push_ms(30000);
    while (!is_final(&l)) {
        assert_int_equal(waitq_wait(&changed), 0);
        if (l.state == LEASE_HELD) {
            was_held = true;
            assert_true(lease_ours(&l));
        }
    }
    fiber_deadline_pop(&d);
    scope_done(&scope);

    if (l.state != row->end || was_held != row->was_held || !strstr(l.words, row->words) ||
        (row->beats ? p.asked != row->beats : p.asked == 0))
        fail_msg("%s: state %d, held %d, %zu beats, \"%s\"", row->name, l.state, was_held, p.asked,
                 l.words);
    assert_int_equal(lease_ours(&l), row->end == LEASE_STOPPING);
    assert_true(p.bearer_seen);
    for (size_t i = 0; i < ARRAY_LEN(row->echo) && row->echo[i] && i < p.asked; i++) {
        AUTO_FREE char *line = mem_printf("POST /v1/environments/env_1/work/work_1/heartbeat"
                                          "%s HTTP/1.1",
                                          row->echo[i]);
        assert_string_equal(p.target[i], line);
    }
    remote_done(&remote);
    secret_done(&token);
    io_fd_close(&p.listener);
}

static int every_answer_to_a_heartbeat(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        play(&table[i]);
    return 0;
}

/* A client that was made under a deadline goes on working when it has passed. */
static int a_client_outlives_the_deadline_it_was_made_under(void *arg)
{
    (void)arg;
    static const struct answer gone[] = {{404, "{}"}};
    static struct platform p;
    struct err e = {0};
    p = (struct platform){.script = gone, .n = 1, .listener = IO_FD_NONE};
    int fd = sock_listen("127.0.0.1:0", 8, p.address, &e);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&p.listener, fd), 0);
    struct secret token = {0};
    assert_int_equal(secret_set(&token, "sk-token", 8), 0);
    AUTO_FREE char *url = mem_printf("http://%s", p.address);
    struct remote remote;
    struct fiber_deadline d = fiber_deadline_push_ms(20);
    assert_int_equal(remote_init(&remote, url, &token, NULL, &e), 0);
    int r = 0;
    while (r == 0)
        r = fiber_yield(); /* until it has passed */
    assert_int_equal(r, -ETIMEDOUT);
    fiber_deadline_pop(&d);

    /* A proxy that the environment names is not asked for what is on this host. */
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    struct scope scope;
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "platform", platform_run, &p, NULL), 0);
    struct remote_answer a;
    assert_int_equal(remote_session(&remote, "sesn_1", &a), 0);
    assert_int_equal(a.status, 404);
    remote_answer_done(&a);
    unsetenv("http_proxy");
    scope_done(&scope);
    remote_done(&remote);
    secret_done(&token);
    io_fd_close(&p.listener);
    return 0;
}

ON_LOOP(every_answer_to_a_heartbeat)

ON_LOOP(a_client_outlives_the_deadline_it_was_made_under)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_answer_to_a_heartbeat),
        CASE(a_client_outlives_the_deadline_it_was_made_under),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
