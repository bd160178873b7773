/* test_runner.c - one session against a scripted platform on loopback, in the same loop, with real
 * sandboxes. The test program itself plays the part of `sallyport zygote`. */
#include "unit/box/box_harness.h"
#include "unit/loop.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/time.h"
#include "io/sock.h"
#include "box/box.h"
#include "worker/kept.h"
#include "worker/ledger.h"
#include "worker/runner.h"
#include "worker/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POSTS_MAX 64
#define HUGE_PAGE 40000000 /* more than a body may be */

struct platform {
    char address[SOCK_ADDR_MAX];
    struct io_fd listener;
    struct scope connections;
    const char *history; /* JSON array of events */
    const int *posts;    /* statuses of posted results; the last one is repeated */
    size_t n_posts;
    const char *beats[3]; /* bodies; NULL: 412. The last one is repeated */
    size_t n_beats;
    bool huge;

    size_t asked, beaten, posted, stopped, pages_of_1000, pages_of_100;
    bool rests;
    char *post[POSTS_MAX]; /* their bodies */
    struct waitq changed;
};

struct link {
    struct platform *p;
    int fd;
};

static int answer(struct stream *s, int status, const char *body)
{
    AUTO_FREE char *text = mem_printf("HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\n"
                                      "Content-Length: %zu\r\n\r\n%s",
                                      status, strlen(body), body);
    return stream_write(s, text, strlen(text));
}

static int answer_huge(struct stream *s)
{
    AUTO_FREE char *head = mem_printf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", HUGE_PAGE);
    AUTO_FREE char *spaces = mem_zalloc(100000);
    memset(spaces, ' ', 100000);
    int r = stream_write(s, head, strlen(head));
    for (int sent = 0; r == 0 && sent < HUGE_PAGE; sent += 100000)
        r = stream_write(s, spaces, 100000);
    return r;
}

/* The event stream: says that the session rests once a result was taken. */
static int stream_events(struct platform *p, struct stream *s)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Connection: close\r\n\r\n";
    static const char idle[] =
        "event: session.status_idle\ndata: {\"type\":\"session.status_idle\","
        "\"id\":\"i\",\"stop_reason\":{\"type\":\"end_turn\"}}\n\n";
    int r = stream_write(s, head, sizeof(head) - 1);
    while (r == 0 && !p->rests)
        r = waitq_wait(&p->changed);
    if (r == 0)
        r = stream_write(s, idle, sizeof(idle) - 1);
    char end[16];
    return r < 0 || stream_read(s, end, sizeof(end)) <= 0 ? -1 : 0;
}

static int take_post(struct platform *p, struct stream *s, const char *body)
{
    int status = p->posts[p->posted < p->n_posts ? p->posted : p->n_posts - 1];
    if (p->posted < POSTS_MAX)
        p->post[p->posted] = mem_strdup(body);
    p->posted++;
    p->rests = p->rests || status == 200;
    waitq_wake_all(&p->changed);
    return answer(s, status, "{}");
}

static int respond(struct platform *p, struct stream *s, const char *target, const char *body)
{
    p->asked++;
    if (strstr(target, "/heartbeat?")) {
        const char *beat = p->beats[p->beaten < p->n_beats ? p->beaten : p->n_beats - 1];
        p->beaten++;
        return answer(s, beat ? 200 : 412, beat ? beat : "{}");
    }
    if (strstr(target, "/events/stream"))
        return stream_events(p, s);
    if (str_starts(target, "POST") && strstr(target, "/events "))
        return take_post(p, s, body);
    if (strstr(target, "/events?limit=")) {
        p->pages_of_1000 += strstr(target, "limit=1000 ") != NULL;
        p->pages_of_100 += strstr(target, "limit=100 ") != NULL;
        if (p->huge && strstr(target, "limit=1000"))
            return answer_huge(s);
        AUTO_FREE char *text = mem_printf("{\"data\":%s,\"next_page\":null}", p->history);
        return answer(s, 200, text);
    }
    if (strstr(target, "/stop ")) {
        p->stopped++;
        return answer(s, 200, "{}");
    }
    return answer(s, 200, "{\"id\":\"sesn_1\",\"metadata\":{\"k\":\"v $(id)\"}}");
}

static int connection(void *arg)
{
    struct link l = *(struct link *)arg;
    free(arg);
    struct stream s = {0};
    assert_int_equal(stream_from_fd(&s, l.fd), 0);
    struct buf in = BUF_INIT(1 << 20);
    int r = 0;
    while (r == 0) {
        const char *end = memmem(buf_str(&in), in.len, "\r\n\r\n", 4);
        const char *length = end ? strstr(buf_str(&in), "Content-Length: ") : NULL;
        size_t head = end ? (size_t)(end + 4 - in.data) : 0,
               body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
        if (!end || in.len < head + body) {
            char *room = buf_room(&in, 4096);
            ssize_t n = room ? stream_read(&s, room, 4096) : -1;
            r = n > 0 ? 0 : -1;
            buf_commit(&in, n > 0 ? (size_t)n : 0);
            continue;
        }
        AUTO_FREE char *target = mem_strndup(in.data, strcspn(in.data, "\r"));
        AUTO_FREE char *text = mem_strndup(in.data + head, body);
        buf_consume(&in, head + body);
        r = respond(l.p, &s, target, text);
    }
    buf_done(&in);
    stream_done(&s);
    return 0;
}

static int platform_run(void *arg)
{
    struct platform *p = arg;
    scope_init(&p->connections);
    for (;;) {
        int fd = sock_accept(&p->listener, NULL);
        if (fd < 0)
            break;
        struct link *l = mem_new(struct link);
        *l = (struct link){.p = p, .fd = fd};
        assert_int_equal(fiber_spawn(&p->connections, "connection", connection, l, NULL), 0);
    }
    scope_done(&p->connections);
    return 0;
}

#define BEAT(ttl)                                                                                  \
    "{\"type\":\"work_heartbeat\",\"last_heartbeat\":\"s\",\"lease_extended\":true,"               \
    "\"state\":\"active\",\"ttl_seconds\":" ttl "}"
#define CALL(id, command)                                                                          \
    "{\"type\":\"agent.tool_use\",\"id\":\"" id                                                    \
    "\",\"name\":\"bash\",\"input\":{\"command\":\"" command "\"}}"

struct world {
    struct platform p;
    struct worker_config cfg;
    struct runner_env env;
    struct kept kept;
    struct slots slots;
    struct ledger ledger;
    json_t *work;
    bool served;
    int64_t longest_gap_ms;
};

static int serve(void *arg)
{
    struct world *w = arg;
    runner_serve(&w->env, w->work);
    w->served = true;
    waitq_wake_all(&w->p.changed);
    return 0;
}

/* Notices when nobody else gets a turn. */
static int ticker(void *arg)
{
    struct world *w = arg;
    int64_t last_ns = time_mono_ns();
    while (fiber_sleep_ms(5) == 0) {
        int64_t now_ns = time_mono_ns(), gap_ms = (now_ns - last_ns) / NS_PER_MS;
        w->longest_gap_ms = gap_ms > w->longest_gap_ms ? gap_ms : w->longest_gap_ms;
        last_ns = now_ns;
    }
    return 0;
}

/* Serves one session to its end; `during` is called whenever something happened. */
static void play(struct world *w, const char *session_id, void (*during)(struct world *w))
{
    struct platform *p = &w->p;
    struct err e = {0};
    p->listener = IO_FD_NONE;
    int fd = sock_listen("127.0.0.1:0", 8, p->address, &e);
    assert_true(fd >= 0);
    assert_int_equal(io_fd_add(&p->listener, fd), 0);
    waitq_init(&p->changed);
    AUTO_FREE char *url = mem_printf("http://%s", p->address);
    w->cfg.base_url = url;
    w->cfg.environment_id = "env_1";
    w->cfg.max_idle_ms = 1;
    assert_int_equal(secret_set(&w->cfg.environment_key, "sk-key", 6), 0);
    w->env.cfg = &w->cfg;
    runner_env_init(&w->env);
    kept_init(&w->kept, 0, 0); /* nothing is kept */
    w->env.kept = &w->kept;
    slots_init(&w->slots, 1);
    assert_int_equal(slots_take(&w->slots), 0);
    w->env.slots = &w->slots;
    ledger_init(&w->ledger);
    w->env.ledger = &w->ledger;
    w->work =
        json_pack("{s:s,s:{s:s,s:s}}", "id", "work_1", "data", "type", "session", "id", session_id);
    assert_non_null(w->work);
    if (box_host_start(NULL, &w->env.boxes, &e) < 0)
        fail_msg("no sandboxes: %s", e.msg);

    struct scope scope;
    scope_init(&scope);
    assert_int_equal(fiber_spawn(&scope, "platform", platform_run, p, NULL), 0);
    assert_int_equal(fiber_spawn(&scope, "ticker", ticker, w, NULL), 0);
    assert_int_equal(fiber_spawn(&scope, "session", serve, w, NULL), 0);
    struct fiber_deadline d = fiber_deadline_push_ms(40000);
    while (!w->served) {
        assert_int_equal(waitq_wait(&p->changed), 0);
        if (during)
            during(w);
    }
    fiber_deadline_pop(&d);
    scope_done(&scope);
    box_host_stop(w->env.boxes);
    ledger_done(&w->ledger);
    assert_int_equal(w->slots.held, 0);
    json_decref(w->work);
    secret_done(&w->cfg.environment_key);
    io_fd_close(&p->listener);
}

static void forget(struct world *w)
{
    for (size_t i = 0; i < POSTS_MAX; i++)
        free(w->p.post[i]);
}

static const int taken[] = {200}, later[] = {503, 200}, unfit[] = {400, 200}, away[] = {503};

/* Whether the operator's page has this sample. */
static bool counted(const char *sample)
{
    static const char *const pages[] = {"sallyport_worker_", NULL};
    AUTO(buf) b = BUF_INIT(65536);
    assert_int_equal(metrics_render(&b, pages), 0);
    return strstr(buf_str(&b), sample) != NULL;
}

#define RESULTS(outcome, n) "sallyport_worker_results_total{outcome=\"" outcome "\"} " n "\n"

static int a_result_is_sent_until_it_is_taken(void *arg)
{
    (void)arg;
    assert_true(counted(RESULTS("posted", "0")) && counted(RESULTS("posted_again", "0")));
    static struct world w;
    w = (struct world){.p = {.history = "[" CALL("c1", "echo hi") "]",
                             .posts = later,
                             .n_posts = 2,
                             .beats = {BEAT("60")},
                             .n_beats = 1}};
    play(&w, "sesn_1", NULL);
    assert_int_equal(w.p.posted, 2);
    assert_string_equal(w.p.post[0], w.p.post[1]);
    assert_non_null(strstr(w.p.post[0], "\"tool_use_id\":\"c1\""));
    assert_non_null(strstr(w.p.post[0], "hi"));
    assert_non_null(strstr(w.p.post[0], "\"is_error\":false"));
    assert_int_equal(w.p.stopped, 1);
    assert_true(counted(RESULTS("posted", "0")) && counted(RESULTS("posted_again", "1")));
    forget(&w);
    return 0;
}

static int an_unfit_result_is_replaced_by_an_error(void *arg)
{
    (void)arg;
    static struct world w;
    w = (struct world){.p = {.history = "[" CALL("c1", "echo hi") "]",
                             .posts = unfit,
                             .n_posts = 2,
                             .beats = {BEAT("60")},
                             .n_beats = 1}};
    play(&w, "sesn_1", NULL);
    assert_int_equal(w.p.posted, 2);
    assert_true(counted(RESULTS("refused", "1")) && counted(RESULTS("posted", "1")));
    assert_non_null(strstr(w.p.post[1], "did not accept its result (status 400)"));
    assert_non_null(strstr(w.p.post[1], "\"is_error\":true"));
    assert_non_null(strstr(w.p.post[1], "\"tool_use_id\":\"c1\""));
    forget(&w);
    return 0;
}

static int a_long_history_is_read_in_smaller_pages(void *arg)
{
    (void)arg;
    static struct world w;
    w = (struct world){.p = {.history = "[" CALL("c1", "echo hi") "]",
                             .posts = taken,
                             .n_posts = 1,
                             .huge = true,
                             .beats = {BEAT("60")},
                             .n_beats = 1}};
    play(&w, "sesn_1", NULL);
    assert_int_equal(w.p.pages_of_1000, 1);
    assert_int_equal(w.p.pages_of_100, 1);
    assert_int_equal(w.p.posted, 1);
    forget(&w);
    return 0;
}

static void stop_at_first_post(struct world *w)
{
    if (w->p.posted > 0 && w->env.phase.at != WORKER_STOPPING) {
        w->env.phase.at = WORKER_STOPPING;
        runner_wake_all(&w->env);
    }
}

/* The lease is good for long, results are not taken, and the worker is told to stop at once: it
 * does, and lets others run meanwhile. */
static int a_stop_leaves_untaken_results_behind(void *arg)
{
    (void)arg;
    static struct world w;
    w = (struct world){.p = {.history = "[" CALL("c1", "echo hi") "," CALL("c2", "echo ho") "]",
                             .posts = away,
                             .n_posts = 1,
                             .beats = {BEAT("600")},
                             .n_beats = 1}};
    play(&w, "sesn_1", stop_at_first_post);
    assert_int_equal(w.p.stopped, 1);
    assert_in_range(w.p.posted, 2, POSTS_MAX);
    assert_in_range(w.longest_gap_ms, 0, 20000); /* a spin lasts as long as the lease */
    forget(&w);
    return 0;
}

static int a_lost_lease_ends_the_session_silently(void *arg)
{
    (void)arg;
    static struct world w;
    w = (struct world){.p = {.history = "[" CALL("c1", "sleep 100") "]",
                             .posts = taken,
                             .n_posts = 1,
                             .beats = {BEAT("2"), NULL},
                             .n_beats = 2}};
    play(&w, "sesn_1", NULL);
    assert_int_equal(w.p.posted, 0);
    assert_int_equal(w.p.stopped, 0);
    assert_int_equal(w.p.beaten, 2);
    return 0;
}

static int hooks_get_the_session_and_no_secrets(void *arg)
{
    (void)arg;
    static struct world w;
    char dir[] = "/tmp/sallyport-runner-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *claim = mem_printf("cat > %s/claim; env >> %s/claim; exit 3", dir, dir);
    AUTO_FREE char *end = mem_printf("echo ended >> %s/claim", dir);
    AUTO_FREE char *path = mem_printf("%s/claim", dir);
    assert_int_equal(setenv("SOME_SECRET", "sk-other", 1), 0);
    w = (struct world){.p = {.history = "[" CALL("c1", "echo hi") "]",
                             .posts = taken,
                             .n_posts = 1,
                             .beats = {BEAT("60")},
                             .n_beats = 1},
                       .cfg = {.on_claim = claim, .on_end = end}};
    play(&w, "sesn_1", NULL);
    unsetenv("SOME_SECRET");
    assert_int_equal(w.p.posted, 1); /* served although on_claim failed */
    static char text[8192];
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    fclose(f);
    assert_true(str_starts(text, "{\"k\":\"v $(id)\"}"));
    assert_non_null(strstr(text, "SALLYPORT_SESSION_ID=sesn_1\n"));
    assert_non_null(strstr(text, "SALLYPORT_WORK_ID=work_1\n"));
    assert_non_null(strstr(text, "SALLYPORT_ENVIRONMENT_ID=env_1\n"));
    assert_true(str_ends(text, "ended\n"));
    assert_null(strstr(text, "sk-"));
    unlink(path);
    rmdir(dir);
    forget(&w);
    return 0;
}

static int an_odd_session_id_is_stopped_and_not_asked_for(void *arg)
{
    (void)arg;
    static struct world w;
    w = (struct world){.p = {.history = "[]", .posts = taken, .n_posts = 1, .n_beats = 1}};
    play(&w, "sesn_1\nlevel=error", NULL);
    assert_int_equal(w.p.stopped, 1);
    assert_int_equal(w.p.asked, 1);
    return 0;
}

ON_LOOP(a_result_is_sent_until_it_is_taken)
ON_LOOP(an_unfit_result_is_replaced_by_an_error)
ON_LOOP(a_long_history_is_read_in_smaller_pages)
ON_LOOP(a_stop_leaves_untaken_results_behind)
ON_LOOP(a_lost_lease_ends_the_session_silently)
ON_LOOP(hooks_get_the_session_and_no_secrets)
ON_LOOP(an_odd_session_id_is_stopped_and_not_asked_for)

int main(int argc, char **argv)
{
    int role = harness_role(argc, argv);
    if (role >= 0)
        return role;
    const struct CMUnitTest tests[] = {
        CASE(a_result_is_sent_until_it_is_taken),
        CASE(an_unfit_result_is_replaced_by_an_error),
        CASE(a_long_history_is_read_in_smaller_pages),
        CASE(a_stop_leaves_untaken_results_behind),
        CASE(a_lost_lease_ends_the_session_silently),
        CASE(hooks_get_the_session_and_no_secrets),
        CASE(an_odd_session_id_is_stopped_and_not_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
