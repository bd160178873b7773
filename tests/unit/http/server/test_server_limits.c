/* test_server_limits.c - what the server does when peers are slow, many, silent or gone, and when
 * it stops.
 *
 * Timeouts are real but short; nothing is synchronised by them: a test waits for what must happen,
 * and only the thing under test decides when. */
#include "unit/http/server/talk.h"

#include "base/time.h"
#include "http/server/internal.h"

#include <sys/resource.h>

static struct waitq gate;
static int waiting, over, wait_result, flood_result;

#define BURST (2u << 20)
static struct budget large;
static size_t charged;

static void handler(struct http_exchange *x, void *arg)
{
    (void)arg;
    const char *path = http_request(x)->path;
    if (str_eq(path, "/ok")) {
        (void)http_reply(x, 200, NULL, "ok", 2);
    } else if (str_eq(path, "/known")) {
        http_known(x);
        (void)http_reply(x, 200, NULL, "ok", 2);
    } else if (str_eq(path, "/body")) {
        AUTO(buf) body = BUF_INIT(1000);
        wait_result = http_body_read(x, 1000, &body, NULL);
        if (wait_result == 0)
            (void)http_reply(x, 200, NULL, body.data, body.len);
        bump(&over);
    } else if (str_eq(path, "/large")) {
        AUTO(buf) body = BUF_INIT(BURST + 1000);
        struct budget_share share = {.of = &large};
        wait_result = http_body_read(x, BURST + 1000, &body, &share);
        charged = share.n;
        if (wait_result == -EBUSY)
            (void)http_reply(x, 503, NULL, "busy", 4);
        if (wait_result == 0)
            (void)http_reply(x, 200, NULL, "all", 3);
        budget_end(&share);
        bump(&over);
    } else if (str_eq(path, "/wait")) {
        bump(&waiting);
        wait_result = http_wait(x, &gate);
        if (wait_result == 0)
            (void)http_reply(x, 200, NULL, "woken", 5);
        bump(&over);
    } else if (str_eq(path, "/flood")) {
        static const char some[65536];
        int r = http_stream_begin(x, 200, NULL);
        while (r == 0)
            r = http_stream_write(x, some, sizeof(some));
        flood_result = r;
        bump(&over);
    } else if (str_eq(path, "/sleep")) {
        bump(&waiting);
        wait_result = fiber_sleep_ms(30000);
        bump(&over);
    }
}

static void reset(void)
{
    waiting = over = flood_result = 0;
    wait_result = 1;
    large = (struct budget){.max = 2 * BURST};
    waitq_init(&gate);
}

#define RUN(fn, ...)                                                                               \
    do {                                                                                           \
        reset();                                                                                   \
        talk_run(fn, (struct http_server_config){.handler = handler, __VA_ARGS__});                \
    } while (0)

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static bool has(const struct buf *b, const char *text)
{
    return strstr(buf_str(b), text) != NULL;
}

/* Says `text`, then nothing: what comes back until the server ends it? */
static void say_and_hear(const char *text, struct buf *got)
{
    AUTO(io_fd) io = IO_FD_NONE;
    (void)dial(&io);
    say(&io, text, strlen(text));
    read_all(&io, got);
}

/* ---- slow peers ---- */

static void slow_heads(void)
{
    static const char *const rows[] = {
        "G", "GET / HTTP/1.1\r\nHost:", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) got = BUF_INIT(10000);
        say_and_hear(rows[i], &got);
        CHECK(str_starts(buf_str(&got), "HTTP/1.1 408 Request Timeout\r\n") &&
                  has(&got, "Connection: close") && has(&got, "\"timeout_error\""),
              "%zu: %s", i, buf_str(&got));
    }
    AUTO(buf) silent = BUF_INIT(10000);
    say_and_hear("", &silent);
    CHECK(silent.len == 0, "%s", buf_str(&silent));
    /* The second request of a connection has the same time. */
    AUTO(buf) got = BUF_INIT(10000);
    say_and_hear(GET("/ok") "GET", &got);
    CHECK(has(&got, "200 OK") && has(&got, "408 Request"), "%s", buf_str(&got));
}

static void a_slow_head_is_answered_with_408(void **state)
{
    (void)state;
    RUN(slow_heads, .head_timeout_ms = 40);
}

/* One byte now and then does not keep a head alive. */
static void drip_head(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    (void)dial(&io);
    int64_t start = time_mono_ns();
    SAY(&io, "GET / HTTP/1.1\r\nX: ");
    ssize_t n = -EAGAIN;
    for (int i = 0; i < 1000 && n == -EAGAIN; i++) {
        CHECK(fiber_sleep_ms(5) == 0, "sleep"); /* the pace of the attack */
        char c;
        n = recv(io.fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 ? -errno : 1;
        if (n == -EAGAIN)
            say(&io, "a", 1);
    }
    read_all(&io, &got);
    CHECK(str_starts(buf_str(&got), "HTTP/1.1 408"), "%s", buf_str(&got));
    CHECK(time_mono_ns() - start < 30 * NS_PER_S, "took too long");
}

static void single_bytes_do_not_keep_a_head_alive(void **state)
{
    (void)state;
    RUN(drip_head, .head_timeout_ms = 100);
}

static void idle(void)
{
    AUTO(buf) got = BUF_INIT(10000);
    say_and_hear(GET("/ok") GET("/ok"), &got);
    CHECK(str_ends(buf_str(&got), "ok"), "%s", buf_str(&got)); /* no 408 between requests */
}

static void an_idle_connection_ends_without_a_word(void **state)
{
    (void)state;
    RUN(idle, .idle_timeout_ms = 40);
}

static void slow_body(void)
{
    static const char *const rows[] = {
        "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
        "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf) got = BUF_INIT(10000);
        say_and_hear(rows[i], &got);
        CHECK(str_starts(buf_str(&got), "HTTP/1.1 408"), "%zu: %s", i, buf_str(&got));
        CHECK(wait_result == -E_CLOSED, "%d", wait_result);
    }
}

static void a_slow_body_is_answered_with_408(void **state)
{
    (void)state;
    RUN(slow_body, .body_timeout_ms = 40);
}

/* Single bytes, every 5 ms, until the server says something. */
static void drip(struct io_fd *io)
{
    AUTO(buf) got = BUF_INIT(10000);
    int sent = 0;
    for (ssize_t n = -EAGAIN; sent < 800 && n == -EAGAIN; sent++) {
        CHECK(fiber_sleep_ms(5) == 0, "sleep");
        char c;
        n = recv(io->fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 ? -errno : 1;
        if (n == -EAGAIN)
            say(io, "a", 1);
    }
    CHECK(sent < 800, "it took them all");
    read_all(io, &got);
    CHECK(str_starts(buf_str(&got), "HTTP/1.1 408"), "%s", buf_str(&got));
}

/* Progress alone is not enough: below 1000 bytes a second the time runs out. */
static void drip_body(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    (void)dial(&io);
    SAY(&io, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n");
    drip(&io);
}

static void single_bytes_do_not_keep_a_body_alive(void **state)
{
    (void)state;
    RUN(drip_body, .body_timeout_ms = 100);
}

static void send_large(struct io_fd *io, size_t length)
{
    AUTO_FREE char *much = mem_zalloc(length);
    char head[100];
    snprintf(head, sizeof(head), "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n",
             BURST + 1000);
    (void)dial(io);
    say(io, head, strlen(head));
    say(io, much, length);
}

/* What came fast at first gives no time for later. */
static void burst_then_drip(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    send_large(&io, BURST);
    drip(&io);
    CHECK(charged >= BURST && large.used == 0, "%zu %zu", charged, large.used);
}

static void a_burst_earns_no_right_to_trickle(void **state)
{
    (void)state;
    RUN(burst_then_drip, .body_timeout_ms = 300);
}

/* Three of them where there is room for two. */
static void too_many_bodies(void)
{
    AUTO(io_fd) a = IO_FD_NONE;
    AUTO(io_fd) b = IO_FD_NONE;
    AUTO(io_fd) c = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    send_large(&a, BURST - 1000);
    send_large(&b, BURST - 1000);
    while (large.used < 2 * (BURST - 1000))
        CHECK(fiber_sleep_ms(1) == 0, "sleep");
    send_large(&c, BURST - 1000);
    read_until(&c, &got, "\r\n\r\nbusy");
    CHECK(str_starts(buf_str(&got), "HTTP/1.1 503") && has(&got, "Connection: close"), "%s",
          buf_str(&got));
    CHECK(large.used == 2 * (BURST - 1000), "%zu", large.used);
    io_fd_close(&a);
    while (large.used > BURST - 1000)
        CHECK(fiber_sleep_ms(1) == 0, "sleep");
    AUTO_FREE char *rest = mem_zalloc(2000);
    say(&b, rest, 2000);
    buf_reset(&got);
    read_until(&b, &got, "\r\n\r\nall");
    CHECK(large.used == 0, "%zu", large.used);
}

static void bodies_share_a_budget(void **state)
{
    (void)state;
    RUN(too_many_bodies);
}

/* A client that does not read what it asked for does not hold the handler for ever. */
static void read_nothing(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    (void)dial(&io);
    SAY(&io, GET("/flood"));
    UNTIL(over == 1);
    CHECK(flood_result == -ETIMEDOUT, "%d", flood_result);
}

static void a_stalled_reader_does_not_hold_the_handler(void **state)
{
    (void)state;
    RUN(read_nothing, .body_timeout_ms = 40);
}

/* ---- peers that leave ---- */

static void leave(void)
{
    {
        AUTO(io_fd) io = IO_FD_NONE;
        (void)dial(&io);
        SAY(&io, GET("/flood"));
        AUTO(buf) got = BUF_INIT(10000);
        read_n(&io, &got, 1000);
    }
    UNTIL(over == 1);
    CHECK(flood_result == -E_CLOSED, "%d", flood_result);
    /* while the handler waits for something else */
    {
        AUTO(io_fd) io = IO_FD_NONE;
        (void)dial(&io);
        SAY(&io, GET("/wait"));
        UNTIL(waiting == 1);
    }
    UNTIL(over == 2);
    CHECK(wait_result == -E_CLOSED, "%d", wait_result);
    /* half-closed: it will not send any more, and says so in the middle of the wait */
    AUTO(io_fd) io = IO_FD_NONE;
    (void)dial(&io);
    SAY(&io, GET("/wait"));
    UNTIL(waiting == 2);
    CHECK(shutdown(io.fd, SHUT_WR) == 0, "shutdown");
    UNTIL(over == 3);
    CHECK(wait_result == -E_CLOSED, "%d", wait_result);
}

static void a_peer_that_leaves_ends_its_handler(void **state)
{
    (void)state;
    RUN(leave);
}

static void wake(void)
{
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(100000);
    (void)dial(&io);
    SAY(&io, GET("/wait"));
    UNTIL(waiting == 1);
    waitq_wake_all(&gate);
    read_until(&io, &got, "woken");
    /* What arrives during the wait is neither lost nor a reason to end it. */
    SAY(&io, GET("/wait"));
    UNTIL(waiting == 2);
    for (int i = 0; i < 5; i++) {
        SAY(&io, GET("/ok"));
        for (int k = 0; k < 10; k++)
            CHECK(fiber_yield() == 0, "yield");
    }
    CHECK(over == 1, "the wait ended");
    waitq_wake_all(&gate);
    UNTIL(over == 2);
    buf_reset(&got);
    CHECK(shutdown(io.fd, SHUT_WR) == 0, "shutdown");
    read_all(&io, &got);
    int oks = 0;
    for (const char *p = buf_str(&got); (p = strstr(p, "\r\n\r\nok")); p++)
        oks++;
    CHECK(oks == 5 && has(&got, "woken"), "%s", buf_str(&got));
}

static void what_arrives_during_a_wait_is_kept(void **state)
{
    (void)state;
    RUN(wake);
}

/* Waits that outlast CONN_QUIET_MS give memory back; whatever they wait for must
 * still reach them. */
static void long_waits(void)
{
    AUTO(io_fd) idle_one = IO_FD_NONE;
    AUTO(io_fd) woken = IO_FD_NONE;
    AUTO(io_fd) body = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    {
        AUTO(io_fd) left = IO_FD_NONE;
        (void)dial(&idle_one);
        SAY(&idle_one, GET("/ok"));
        read_until(&idle_one, &got, "\r\n\r\nok");
        (void)dial(&woken);
        SAY(&woken, GET("/wait"));
        (void)dial(&left);
        SAY(&left, GET("/wait"));
        (void)dial(&body);
        SAY(&body, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
        UNTIL(waiting == 2);
        CHECK(fiber_sleep_ms(CONN_QUIET_MS + 200) == 0, "sleep"); /* the thing under test is time */
    }
    UNTIL(over == 1);
    CHECK(wait_result == -E_CLOSED, "%d", wait_result);
    waitq_wake_all(&gate);
    buf_reset(&got);
    read_until(&woken, &got, "\r\n\r\nwoken");
    SAY(&body, "llo");
    buf_reset(&got);
    read_until(&body, &got, "\r\n\r\nhello");
    SAY(&idle_one, GET("/ok"));
    buf_reset(&got);
    read_until(&idle_one, &got, "\r\n\r\nok");
}

static void long_waits_end_as_short_ones_do(void **state)
{
    (void)state;
    RUN(long_waits);
}

/* A client that sends without end during a wait is made to wait itself. */
static void send_ahead(void)
{
    static char ahead[1 << 20];
    AUTO(io_fd) io = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(1 << 20);
    (void)dial(&io);
    SAY(&io, GET("/wait"));
    UNTIL(waiting == 1);
    size_t n = 0;
    while (n + sizeof(GET("/ok")) - 1 <= sizeof(ahead)) {
        memcpy(ahead + n, GET("/ok"), sizeof(GET("/ok")) - 1);
        n += sizeof(GET("/ok")) - 1;
    }
    size_t sent = 0;
    for (int quiet = 0; sent < n && quiet < 50;) {
        ssize_t r = send(io.fd, ahead + sent, n - sent, MSG_DONTWAIT);
        sent += r > 0 ? (size_t)r : 0;
        quiet = r > 0 ? 0 : quiet + 1;
        CHECK(fiber_yield() == 0, "yield");
    }
    CHECK(over == 0, "the wait ended: %d", wait_result);
    waitq_wake_all(&gate);
    UNTIL(over == 1);
    /* Everything that was taken is answered. */
    size_t want = sent / (sizeof(GET("/ok")) - 1), oks = 0;
    CHECK(shutdown(io.fd, SHUT_WR) == 0, "shutdown");
    while (!failure[0]) {
        char *p = buf_room(&got, 65536);
        ssize_t r = io_read(&io, p, 65536);
        if (r <= 0)
            break;
        buf_commit(&got, (size_t)r);
        for (char *at; (at = strstr(got.data, "\r\n\r\nok"));) {
            oks++;
            buf_consume(&got, (size_t)(at - got.data) + 6);
        }
    }
    CHECK(oks == want, "%zu answers to %zu requests", oks, want);
}

static void who_sends_without_end_waits(void **state)
{
    (void)state;
    RUN(send_ahead);
}

/* ---- many peers ---- */

static void ceiling(void)
{
    AUTO(io_fd) a = IO_FD_NONE;
    AUTO(io_fd) b = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    (void)dial(&a);
    (void)dial(&b);
    SAY(&a, GET("/wait"));
    SAY(&b, GET("/wait"));
    UNTIL(waiting == 2);
    for (int i = 0; i < 3; i++) {
        buf_reset(&got);
        say_and_hear(GET("/ok"), &got);
        CHECK(str_starts(buf_str(&got), "HTTP/1.1 503 Service Unavailable\r\n") &&
                  has(&got, "overloaded_error"),
              "%s", buf_str(&got));
        const char *body = strstr(buf_str(&got), "\r\n\r\n"),
                   *length = strstr(buf_str(&got), "Content-Length: ");
        CHECK(body && length && (size_t)atoi(length + 16) == strlen(body + 4), "%s", buf_str(&got));
    }
    struct http_stats st;
    http_server_stats(T.srv, &st);
    CHECK(st.refused == 3 && st.open == 2 && st.accepted == 2, "refused %llu open %zu",
          (unsigned long long)st.refused, st.open);
    /* One leaves: there is room again, as soon as the server has noticed. */
    io_fd_close(&a);
    UNTIL(over == 1);
    for (int i = 0; i < 100; i++) {
        http_server_stats(T.srv, &st);
        if (st.open == 1)
            break;
        CHECK(fiber_yield() == 0, "yield");
    }
    AUTO(io_fd) c = IO_FD_NONE;
    (void)dial(&c);
    SAY(&c, GET("/ok"));
    buf_reset(&got);
    read_until(&c, &got, "\r\n\r\nok");
}

static void connections_past_the_ceiling_get_503(void **state)
{
    (void)state;
    RUN(ceiling, .max_connections = 2);
}

static bool is_closed(struct io_fd *io)
{
    char c;
    return recv(io->fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void ask(struct io_fd *io, const char *request)
{
    AUTO(buf) got = BUF_INIT(10000);
    say(io, request, strlen(request));
    read_until(io, &got, "\r\n\r\nok");
}

/* Eight at most, seven of them strangers. */
static void strangers(void)
{
    struct io_fd quiet[20];
    AUTO(io_fd) mine = IO_FD_NONE;
    AUTO(io_fd) waits = IO_FD_NONE;
    (void)dial(&mine);
    ask(&mine, GET("/known"));
    (void)dial(&waits);
    SAY(&waits, GET("/wait")); /* one that is being served is not touched */
    UNTIL(waiting == 1);
    for (size_t i = 0; i < ARRAY_LEN(quiet); i++) {
        quiet[i] = IO_FD_NONE;
        (void)dial(&quiet[i]);
    }
    /* A newcomer is served, and whoever has waited longest made room. */
    AUTO(io_fd) newcomer = IO_FD_NONE;
    (void)dial(&newcomer);
    ask(&newcomer, GET("/known"));
    for (int i = 0; i < 10000 && !is_closed(&quiet[14]); i++)
        CHECK(fiber_yield() == 0, "yield");
    for (size_t i = 0; i < ARRAY_LEN(quiet); i++)
        CHECK(is_closed(&quiet[i]) == (i < 15), "%zu", i);
    ask(&mine, GET("/ok"));
    ask(&quiet[19], GET("/ok"));
    struct http_stats st;
    http_server_stats(T.srv, &st);
    CHECK(st.refused == 0 && st.open <= 8, "refused %llu open %zu", (unsigned long long)st.refused,
          st.open);
    waitq_wake_all(&gate);
    UNTIL(over == 1);
    for (size_t i = 0; i < ARRAY_LEN(quiet); i++)
        io_fd_close(&quiet[i]);
}

static void strangers_do_not_keep_others_out(void **state)
{
    (void)state;
    RUN(strangers, .max_connections = 8);
}

/* All are known: then the one that rests longest makes room. */
static void all_known(void)
{
    struct io_fd one[5];
    for (size_t i = 0; i < ARRAY_LEN(one); i++) {
        one[i] = IO_FD_NONE;
        (void)dial(&one[i]);
        ask(&one[i], GET("/known"));
        if (i == 3)
            ask(&one[0], GET("/ok")); /* which is now the second one */
    }
    for (int i = 0; i < 10000 && !is_closed(&one[1]); i++)
        CHECK(fiber_yield() == 0, "yield");
    for (size_t i = 0; i < ARRAY_LEN(one); i++)
        CHECK(is_closed(&one[i]) == (i == 1), "%zu", i);
    for (size_t i = 0; i < ARRAY_LEN(one); i++) {
        if (i != 1)
            ask(&one[i], GET("/ok"));
        io_fd_close(&one[i]);
    }
}

static void who_rests_longest_makes_room(void **state)
{
    (void)state;
    RUN(all_known, .max_connections = 4);
}

static void run_out_of_descriptors(void)
{
    struct rlimit before, tight;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0, "getrlimit");
    AUTO(io_fd) a = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    (void)dial(&a);
    SAY(&a, GET("/ok"));
    read_until(&a, &got, "\r\n\r\nok");
    /* From here on every descriptor below the next one is in use. */
    AUTO(io_fd) b = IO_FD_NONE;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tight = before;
    tight.rlim_cur = (rlim_t)s + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0, "setrlimit");
    (void)close(s);
    (void)dial(&b); /* takes the last one */
    buf_reset(&got);
    read_all(&b, &got);
    CHECK(str_starts(buf_str(&got), "HTTP/1.1 503"), "%s", buf_str(&got));
    io_fd_close(&b);
    /* The connections that were there go on; new ones are welcome once there is room. */
    SAY(&a, GET("/ok"));
    buf_reset(&got);
    read_until(&a, &got, "\r\n\r\nok");
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0, "setrlimit");
    AUTO(io_fd) c = IO_FD_NONE;
    (void)dial(&c);
    SAY(&c, GET("/ok"));
    buf_reset(&got);
    read_until(&c, &got, "\r\n\r\nok");
}

static void running_out_of_descriptors_passes(void **state)
{
    (void)state;
    RUN(run_out_of_descriptors);
}

/* ---- the end ---- */

static int stop_politely(void *arg)
{
    (void)arg;
    http_server_stop(T.srv, 20000);
    return 0;
}

static void graceful(void)
{
    AUTO(io_fd) idle_one = IO_FD_NONE;
    AUTO(io_fd) busy = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    (void)dial(&idle_one);
    (void)dial(&busy);
    SAY(&idle_one, GET("/ok"));
    read_until(&idle_one, &got, "\r\n\r\nok");
    SAY(&busy, GET("/wait"));
    UNTIL(waiting == 1);
    CHECK(fiber_spawn(T.scope, "stop", stop_politely, NULL, NULL) == 0, "spawn");
    buf_reset(&got);
    read_all(&idle_one, &got); /* closed at once */
    CHECK(got.len == 0 && over == 0, "%s", buf_str(&got));
    AUTO(io_fd) late = IO_FD_NONE;
    CHECK(sock_connect(T.addr, &late, NULL) == -ECONNREFUSED, "still listening");
    waitq_wake_all(&gate);
    read_all(&busy, &got);
    CHECK(has(&got, "Connection: close\r\n\r\nwoken"), "%s", buf_str(&got));
    io_fd_close(&busy);
    UNTIL(T.server_ended);
}

static void a_graceful_stop_lets_requests_end(void **state)
{
    (void)state;
    RUN(graceful);
}

static void impatient(void)
{
    AUTO(io_fd) a = IO_FD_NONE;
    AUTO(io_fd) b = IO_FD_NONE;
    AUTO(buf) got = BUF_INIT(10000);
    (void)dial(&a);
    (void)dial(&b);
    SAY(&a, GET("/wait"));
    SAY(&b, GET("/sleep"));
    UNTIL(waiting == 2);
    http_server_stop(T.srv, 20);
    UNTIL(over == 2);
    CHECK(wait_result == -ECANCELED, "%d", wait_result);
    read_all(&a, &got);
    read_all(&b, &got);
    UNTIL(T.server_ended);
}

static void a_stop_gives_up_after_its_time(void **state)
{
    (void)state;
    RUN(impatient);
}

static void nothing(void)
{
}

static void a_server_stopped_before_it_ran_ends(void **state)
{
    (void)state;
    RUN(nothing); /* stops before the server's fiber has run */
}

static void port_in_use(void)
{
    struct err e = {0};
    struct http_server_config cfg = {.listen = T.addr, .handler = handler};
    char addr[SOCK_ADDR_MAX];
    CHECK(!http_server_new(&cfg, addr, &e), "two servers on one port");
    CHECK(e.code == -EADDRINUSE && strstr(e.msg, T.addr), "%d %s", e.code, e.msg);
}

static void a_port_in_use_is_told(void **state)
{
    (void)state;
    RUN(port_in_use);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_head_is_answered_with_408),
        cmocka_unit_test(single_bytes_do_not_keep_a_head_alive),
        cmocka_unit_test(an_idle_connection_ends_without_a_word),
        cmocka_unit_test(a_slow_body_is_answered_with_408),
        cmocka_unit_test(single_bytes_do_not_keep_a_body_alive),
        cmocka_unit_test(a_burst_earns_no_right_to_trickle),
        cmocka_unit_test(bodies_share_a_budget),
        cmocka_unit_test(a_stalled_reader_does_not_hold_the_handler),
        cmocka_unit_test(a_peer_that_leaves_ends_its_handler),
        cmocka_unit_test(what_arrives_during_a_wait_is_kept),
        cmocka_unit_test(who_sends_without_end_waits),
        cmocka_unit_test(long_waits_end_as_short_ones_do),
        cmocka_unit_test(connections_past_the_ceiling_get_503),
        cmocka_unit_test(strangers_do_not_keep_others_out),
        cmocka_unit_test(who_rests_longest_makes_room),
        cmocka_unit_test(running_out_of_descriptors_passes),
        cmocka_unit_test(a_graceful_stop_lets_requests_end),
        cmocka_unit_test(a_stop_gives_up_after_its_time),
        cmocka_unit_test(a_server_stopped_before_it_ran_ends),
        cmocka_unit_test(a_port_in_use_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
