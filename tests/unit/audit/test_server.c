/* test_server.c - clients and the server of a log on one loop and over processes: records arrive,
 * once, in whatever way either end ends. */
#include "unit/audit/log.h"
#include "unit/loop.h"
#include "audit/client.h"
#include "audit/server.h"
#include "audit/wire.h"
#include "base/buf.h"
#include "io/sock.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct audit_server *serve(struct test_log *l)
{
    struct audit_server *s = NULL;
    struct err e = {0};
    struct audit_options o = {.path = l->path, .rotate_bytes = 200000};
    if (audit_server_open(&o, 20, &s, &e) < 0)
        fail_msg("server: %s", e.msg);
    return s;
}

static void connect_to(struct audit_client *c, struct audit_server *s, const char *name)
{
    int p[2];
    struct err e = {0};
    assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
    assert_int_equal(audit_server_add(s, p[0], name, &e), 0);
    assert_int_equal(audit_client_connect(c, p[1], &e), 0);
}

/* How many records `by` has in the log, and whether its numbers run from 1 without a gap. */
struct count {
    const char *by;
    uint64_t n;
    bool in_order;
};

static int count_line(void *arg, const struct audit_line *l, const struct audit_chain *behind)
{
    struct count *c = arg;
    (void)behind;
    if (strcmp(l->by, c->by) != 0)
        return 0;
    const char *colon = strrchr(l->id, ':');
    c->n++;
    char want[24];
    snprintf(want, sizeof(want), ":%llu", (unsigned long long)c->n);
    c->in_order = c->in_order && strcmp(colon, want) == 0;
    return 0;
}

static uint64_t count(struct test_log *l, const char *by)
{
    struct count c = {.by = by, .in_order = true};
    struct audit_report report;
    struct ed25519 *key = NULL;
    struct err e = {0};
    assert_int_equal(audit_key_read_public(l->pub, &key, &e), 0);
    if (audit_verify(l->path, key, NULL, count_line, &c, &report, &e) < 0)
        fail_msg("%s line %llu: %s", report.bad_file, (unsigned long long)report.bad_line, e.msg);
    ed25519_free(key);
    assert_true(c.in_order);
    return c.n;
}

static int records_arrive_from_two_clients(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_server *s = serve(&l);
    struct audit_client *c[2] = {audit_client_new(), audit_client_new()};
    connect_to(c[0], s, "egress-1");
    connect_to(c[1], s, "worker");
    for (int i = 0; i < 3000; i++) {
        AUTO(audit_room) room = AUDIT_ROOM_NONE;
        struct audit_record r = log_record("sesn_1", "/a?secret=1");
        assert_int_equal(audit_reserve(c[i % 2], 2, &room, &e), 0);
        audit_append(&room, &r);
        if (i % 3 == 0)
            audit_append(&room, &r);
    }
    assert_int_equal(audit_wait(c[0], &e), 0);
    assert_int_equal(audit_wait(c[1], &e), 0);
    assert_int_equal(count(&l, "egress-1"), 2000);
    assert_int_equal(count(&l, "worker"), 2000);
    assert_int_equal(audit_client_free(c[0], 1000), 0);
    assert_int_equal(audit_client_free(c[1], 1000), 0);
    assert_int_equal(audit_server_close(s, &e), 0);
    struct audit_report report;
    log_holds(&l, &report);
    assert_int_equal(report.open_lines, 0);
    log_remove(&l);
    return 0;
}
ON_LOOP(records_arrive_from_two_clients)

static int without_a_server_everything_is_refused(void *arg)
{
    (void)arg;
    struct audit_room room;
    struct err e = {0};
    struct audit_client *c = audit_client_new();
    assert_int_equal(audit_reserve(c, 1, &room, &e), -E_CLOSED);
    assert_non_null(strstr(e.msg, "what cannot be recorded is not done"));
    assert_int_equal(audit_client_free(c, 1000), 0);
    return 0;
}
ON_LOOP(without_a_server_everything_is_refused)

/* A server that closes drains what was sent; what was not is sent to the next one, once. */
static int a_server_that_is_replaced_gets_what_the_other_has_not(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_client *c = audit_client_new();
    AUTO(audit_room) held = AUDIT_ROOM_NONE;
    uint64_t total = 0;
    for (int round = 0; round < 5; round++) {
        struct audit_server *s = serve(&l);
        connect_to(c, s, "egress-1");
        struct audit_record r = log_record("sesn_1", "/");
        if (held.n) { /* promised by the server before */
            audit_append(&held, &r);
            total++;
        }
        for (int i = 0; i < 500; i++) {
            AUTO(audit_room) room = AUDIT_ROOM_NONE;
            assert_int_equal(audit_reserve(c, 1, &room, &e), 0);
            audit_append(&room, &r);
            total++;
        }
        if (!held.n)
            assert_int_equal(audit_reserve(c, 10, &held, &e), 0);
        if (round % 2)
            assert_int_equal(audit_wait(c, &e), 0);
        assert_int_equal(audit_server_close(s, &e), 0);
        assert_int_equal(audit_client_await_end(c), 0);
        audit_append(&held, &r); /* nobody is there, and it is kept */
        total++;
    }
    audit_room_done(&held);
    struct audit_server *s = serve(&l);
    connect_to(c, s, "egress-1");
    assert_int_equal(audit_wait(c, &e), 0);
    assert_int_equal(count(&l, "egress-1"), total);
    assert_int_equal(audit_client_free(c, 1000), 0);
    assert_int_equal(audit_server_close(s, &e), 0);
    log_remove(&l);
    return 0;
}
ON_LOOP(a_server_that_is_replaced_gets_what_the_other_has_not)

/* ---- servers that are killed ---- */

struct other {
    pid_t pid;
    int fd;
};

static int serve_until_killed(void *arg)
{
    struct other *o = arg;
    struct audit_server *s = NULL;
    struct err e = {0};
    struct audit_options options = {.path = getenv("AUDIT_TEST_LOG"), .rotate_bytes = 100000};
    if (audit_server_open(&options, 10, &s, &e) < 0 ||
        audit_server_add(s, o->fd, "egress-1", &e) < 0)
        return -1;
    return fiber_sleep_ms(60000);
}

/* A server in a process of its own, so that it can be killed. */
static struct other start_other(struct test_log *l)
{
    int p[2];
    assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct other o = {0, p[0]};
        (void)fcntl(p[0], F_SETFD, 0);
        (void)setenv("AUDIT_TEST_LOG", l->path, 1);
        execl("/proc/self/exe", "server",
              (char[]){(char)('0' + o.fd / 10), (char)('0' + o.fd % 10), '\0'}, (char *)NULL);
        _exit(1);
    }
    (void)close(p[0]);
    return (struct other){pid, p[1]};
}

static int killed_servers(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_client *c = audit_client_new();
    struct audit_record r = log_record("sesn_1", "/");
    uint64_t total = 0;
    for (int round = 0; round < 15; round++) {
        struct other o = start_other(&l);
        assert_int_equal(audit_client_connect(c, o.fd, &e), 0);
        uint64_t stop = total + 200 + (uint64_t)round * 97;
        while (total < stop) {
            AUTO(audit_room) room = AUDIT_ROOM_NONE;
            assert_int_equal(audit_reserve(c, 1, &room, &e), 0);
            audit_append(&room, &r);
            total++;
            if (round % 3 == 0 && total % 50 == 0)
                assert_int_equal(audit_wait(c, &e), 0);
        }
        if (round % 3 == 1)
            assert_int_equal(fiber_yield(), 0);
        assert_int_equal(kill(o.pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(o.pid, &status, 0), o.pid);
        assert_int_equal(audit_client_await_end(c), 0);
    }
    struct audit_server *s = serve(&l);
    connect_to(c, s, "egress-1");
    assert_int_equal(audit_wait(c, &e), 0);
    assert_int_equal(count(&l, "egress-1"), total); /* none lost, none twice, in order */
    assert_int_equal(audit_client_free(c, 1000), 0);
    assert_int_equal(audit_server_close(s, &e), 0);
    log_remove(&l);
    return 0;
}
ON_LOOP(killed_servers)

/* ---- clients that are odd ---- */

struct noted {
    const char *text;
    uint64_t n;
};

static int count_note(void *arg, const struct audit_line *l, const struct audit_chain *behind)
{
    struct noted *c = arg;
    const char *note = json_get_str(l->json, "note");
    (void)behind;
    c->n += note && strcmp(l->by, "log") == 0 && strstr(note, c->text);
    return 0;
}

static uint64_t notes(struct test_log *l, const char *text)
{
    struct noted c = {.text = text};
    struct audit_report report;
    struct ed25519 *key = NULL;
    struct err e = {0};
    assert_int_equal(audit_key_read_public(l->pub, &key, &e), 0);
    assert_int_equal(audit_verify(l->path, key, NULL, count_note, &c, &report, &e), 0);
    ed25519_free(key);
    return c.n;
}

static void put(struct buf *b, const struct audit_frame *f)
{
    assert_int_equal(audit_wire_put(b, f), 0);
}

/* Sends `b` to a server as a client, and waits until that hangs up. */
static void send_raw(struct audit_server *s, struct buf *b)
{
    int p[2];
    struct err e = {0};
    AUTO(io_fd) io = IO_FD_NONE;
    char bytes[256];
    assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
    assert_int_equal(audit_server_add(s, p[0], "odd", &e), 0);
    assert_int_equal(io_fd_add(&io, p[1]), 0);
    assert_int_equal(io_write_all(&io, b->data, b->len), 0);
    while (io_read(&io, bytes, sizeof(bytes)) > 0)
        continue;
    buf_done(b);
}

static int a_client_that_makes_no_sense_is_dropped_and_noted(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_server *s = serve(&l);
    struct audit_frame hello = {.type = AUDIT_HELLO, .n = AUDIT_WIRE_VERSION},
                       record = {.type = AUDIT_RECORD, .n = 1, .record = log_record("s", "/")},
                       want = {.type = AUDIT_WANT, .n = 1},
                       other = {.type = AUDIT_HELLO, .n = AUDIT_WIRE_VERSION + 1};
    struct buf b = BUF_INIT(1 << 20);
    put(&b, &want); /* before hello */
    send_raw(s, &b);
    b = BUF_INIT(1 << 20);
    put(&b, &other); /* another version */
    send_raw(s, &b);
    assert_int_equal(notes(&l, "odd ended"), 0);
    b = BUF_INIT(1 << 20);
    put(&b, &hello);
    put(&b, &record); /* nothing was granted */
    send_raw(s, &b);
    assert_int_equal(notes(&l, "makes no sense"), 1);
    b = BUF_INIT(1 << 20);
    put(&b, &hello);
    buf_add(&b, "\xff\xff\xff\xff", 4);
    send_raw(s, &b);
    assert_int_equal(notes(&l, "makes no sense"), 2);
    /* Others go on. */
    struct audit_client *c = audit_client_new();
    struct audit_room room;
    connect_to(c, s, "egress-1");
    assert_int_equal(audit_reserve(c, 1, &room, &e), 0);
    audit_append(&room, &record.record);
    assert_int_equal(audit_wait(c, &e), 0);
    assert_int_equal(count(&l, "odd"), 0);
    assert_int_equal(count(&l, "egress-1"), 1);
    assert_int_equal(audit_client_free(c, 1000), 0);
    assert_int_equal(audit_server_close(s, &e), 0);
    log_remove(&l);
    return 0;
}
ON_LOOP(a_client_that_makes_no_sense_is_dropped_and_noted)

/* The writer stops in the middle of what one client has sent: that is no end of the process. */
static int a_log_that_stops_within_a_batch_refuses(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_server *s = serve(&l);
    AUTO_FREE char *full = mem_printf("%s.000001", l.path);
    AUTO_CLOSE int in_the_way = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct audit_frame hello = {.type = AUDIT_HELLO, .n = AUDIT_WIRE_VERSION},
                       want = {.type = AUDIT_WANT, .n = 8000};
    struct buf b = BUF_INIT(1 << 20);
    put(&b, &hello);
    put(&b, &want);
    for (uint64_t i = 1; i <= 4000; i++) {
        const struct audit_record r = {.kind = AUDIT_NOTE, .note = audit_text("x")};
        put(&b, &(struct audit_frame){.type = AUDIT_RECORD, .n = i, .record = r});
    }
    send_raw(s, &b);
    assert_int_equal(audit_server_state(s, &e), -EEXIST);
    assert_int_equal(audit_server_close(s, &e), -EEXIST);
    log_remove(&l);
    return 0;
}
ON_LOOP(a_log_that_stops_within_a_batch_refuses)

/* As when its process is killed: nobody knows what it has not said. */
static int a_client_that_ends_without_a_goodbye_is_noted(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_server *s = serve(&l);
    struct audit_frame hello = {.type = AUDIT_HELLO, .n = AUDIT_WIRE_VERSION},
                       bye = {.type = AUDIT_BYE};
    for (int polite = 0; polite < 2; polite++) {
        int p[2];
        struct buf b = BUF_INIT(1 << 20);
        put(&b, &hello);
        if (polite)
            put(&b, &bye);
        assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
        assert_int_equal(audit_server_add(s, p[0], polite ? "polite" : "killed", &e), 0);
        assert_int_equal(write(p[1], b.data, b.len), b.len);
        assert_int_equal(shutdown(p[1], SHUT_WR), 0);
        AUTO(io_fd) io = IO_FD_NONE;
        char bytes[64];
        assert_int_equal(io_fd_add(&io, p[1]), 0);
        assert_int_equal(io_read(&io, bytes, sizeof(bytes)), 0); /* it has hung up */
        buf_done(&b);
    }
    assert_int_equal(notes(&l, "killed ended without a goodbye"), 1);
    assert_int_equal(notes(&l, "polite"), 0);
    assert_int_equal(audit_server_close(s, &e), 0);
    log_remove(&l);
    return 0;
}
ON_LOOP(a_client_that_ends_without_a_goodbye_is_noted)

/* A client cannot have another's records taken for old ones, whatever id it says it has. */
static int an_id_that_another_client_uses_too_hides_nothing(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_server *s = serve(&l);
    static const uint64_t numbers[] = {UINT64_MAX, 1};
    for (size_t i = 0; i < 2; i++) {
        int p[2];
        struct buf b = BUF_INIT(1 << 20);
        put(&b, &(struct audit_frame){.type = AUDIT_HELLO, .n = AUDIT_WIRE_VERSION, .client = {7}});
        put(&b, &(struct audit_frame){.type = AUDIT_WANT, .n = 1});
        put(&b, &(struct audit_frame){
                    .type = AUDIT_RECORD, .n = numbers[i], .record = log_record("s", "/")});
        put(&b, &(struct audit_frame){.type = AUDIT_BYE});
        assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
        assert_int_equal(audit_server_add(s, p[0], i ? "honest" : "liar", &e), 0);
        assert_int_equal(write(p[1], b.data, b.len), b.len);
        AUTO(io_fd) io = IO_FD_NONE;
        char bytes[256];
        assert_int_equal(io_fd_add(&io, p[1]), 0);
        while (io_read(&io, bytes, sizeof(bytes)) > 0)
            continue;
        buf_done(&b);
    }
    assert_int_equal(count(&l, "honest"), 1);
    assert_int_equal(audit_server_close(s, &e), 0);
    log_remove(&l);
    return 0;
}
ON_LOOP(an_id_that_another_client_uses_too_hides_nothing)

/* What a requester sees when the writer does not answer: its own deadline. */
static int a_server_that_does_not_answer_is_no_reason_to_hang(void *arg)
{
    (void)arg;
    int p[2];
    struct err e = {0};
    struct audit_room room;
    struct audit_client *c = audit_client_new();
    assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
    assert_int_equal(audit_client_connect(c, p[1], &e), 0);
    struct fiber_deadline d = fiber_deadline_push_ms(20);
    assert_int_equal(audit_reserve(c, 1, &room, &e), -ETIMEDOUT);
    fiber_deadline_pop(&d);
    (void)close(p[0]);
    assert_int_equal(audit_client_await_end(c), 0);
    assert_int_equal(audit_client_free(c, 1000), 0);
    return 0;
}
ON_LOOP(a_server_that_does_not_answer_is_no_reason_to_hang)

/* The next frame that a client has sent to us, who play the server. */
static int next_frame(struct io_fd *io, char *bytes, size_t *n, struct audit_frame *ret)
{
    for (;;) {
        int len = audit_wire_get(bytes, *n, ret);
        if (len > 0) {
            memmove(bytes, bytes + len, *n - (size_t)len);
            *n -= (size_t)len;
        }
        if (len != 0)
            return len;
        ssize_t k = io_read(io, bytes + *n, 8192 - *n);
        if (k <= 0)
            return k < 0 ? (int)k : -E_CLOSED;
        *n += (size_t)k;
    }
}

static int grant(struct io_fd *io, uint64_t n, int code)
{
    struct buf b = BUF_INIT(AUDIT_FRAME_MAX);
    put(&b,
        &(struct audit_frame){
            .type = AUDIT_GRANT, .n = n, .code = code, .words = audit_text(code ? "full" : "")});
    int r = io_write_all(io, b.data, b.len);
    buf_done(&b);
    return r;
}

struct asker {
    struct audit_client *c;
    int r;
};

static int reserve_once(void *arg)
{
    struct asker *a = arg;
    struct err e = {0};
    AUTO(audit_room) room = AUDIT_ROOM_NONE;
    a->r = audit_reserve(a->c, 1, &room, &e);
    return 0;
}

/* A full disk is no reason for client and server to talk all day. */
static int after_a_no_a_client_asks_when_somebody_needs_room(void *arg)
{
    (void)arg;
    int p[2];
    struct err e = {0};
    static char bytes[8192];
    size_t n = 0;
    struct audit_frame f;
    AUTO(io_fd) io = IO_FD_NONE;
    struct audit_client *c = audit_client_new();
    assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
    assert_int_equal(io_fd_add(&io, p[0]), 0);
    struct fiber_deadline soon = fiber_deadline_push_ms(50); /* its fibers do not inherit this */
    assert_int_equal(audit_client_connect(c, p[1], &e), 0);
    fiber_deadline_pop(&soon);
    assert_true(next_frame(&io, bytes, &n, &f) > 0 && f.type == AUDIT_HELLO);
    assert_true(next_frame(&io, bytes, &n, &f) > 0 && f.type == AUDIT_WANT);
    assert_int_equal(grant(&io, 0, -ENOSPC), 0);
    struct fiber_deadline quiet = fiber_deadline_push_ms(100);
    assert_int_equal(next_frame(&io, bytes, &n, &f), -ETIMEDOUT);
    fiber_deadline_pop(&quiet);
    for (int i = 0; i < 3; i++) {
        struct asker a = {.c = c, .r = 1};
        struct scope scope;
        scope_init(&scope);
        assert_int_equal(fiber_spawn(&scope, "asker", reserve_once, &a, NULL), 0);
        assert_true(next_frame(&io, bytes, &n, &f) > 0 && f.type == AUDIT_WANT && f.n > 0);
        assert_int_equal(grant(&io, i == 2 ? 1 : 0, i == 2 ? 0 : -ENOSPC), 0);
        assert_int_equal(scope_join(&scope), 0);
        assert_int_equal(a.r, i == 2 ? 0 : -ENOSPC);
        scope_done(&scope);
    }
    /* There is room again: more is asked for ahead. */
    assert_true(next_frame(&io, bytes, &n, &f) > 0 && f.type == AUDIT_WANT);
    io_fd_close(&io);
    assert_int_equal(audit_client_await_end(c), 0);
    assert_int_equal(audit_client_free(c, 1000), 0);
    return 0;
}
ON_LOOP(after_a_no_a_client_asks_when_somebody_needs_room)

/* Records that were promised by a server that is gone come first; while the next one has no room for
 * them they are asked for again and again, but not all the time, and nobody else is served. */
static int what_is_owed_is_asked_for_until_it_is_granted(void *arg)
{
    (void)arg;
    int p[2];
    struct err e = {0};
    static char bytes[8192];
    size_t n = 0;
    struct audit_frame f;
    struct test_log l;
    log_make(&l);
    struct audit_client *c = audit_client_new();
    struct audit_server *s = serve(&l);
    AUTO(audit_room) room = AUDIT_ROOM_NONE;
    connect_to(c, s, "egress-1");
    assert_int_equal(audit_reserve(c, 2, &room, &e), 0);
    assert_int_equal(audit_server_close(s, &e), 0);
    assert_int_equal(audit_client_await_end(c), 0);
    struct audit_record r = log_record("s", "/");
    audit_append(&room, &r);
    AUTO(io_fd) io = IO_FD_NONE;
    assert_int_equal(sock_pair(SOCK_STREAM, p), 0);
    assert_int_equal(io_fd_add(&io, p[0]), 0);
    assert_int_equal(audit_client_connect(c, p[1], &e), 0);
    assert_true(next_frame(&io, bytes, &n, &f) > 0 && f.type == AUDIT_HELLO);
    for (int i = 0; i < 2; i++) {
        assert_true(next_frame(&io, bytes, &n, &f) > 0 && f.type == AUDIT_WANT && f.n > 2);
        assert_int_equal(grant(&io, 0, -ENOSPC), 0);
    }
    assert_true(next_frame(&io, bytes, &n, &f) > 0 && f.type == AUDIT_WANT);
    assert_int_equal(grant(&io, 1, 0), 0); /* one of two: not yet */
    assert_true(next_frame(&io, bytes, &n, &f) > 0 && f.type == AUDIT_WANT);
    assert_int_equal(grant(&io, 1, 0), 0);
    do
        assert_true(next_frame(&io, bytes, &n, &f) > 0);
    while (f.type == AUDIT_WANT);
    assert_true(f.type == AUDIT_RECORD && f.n == 1);
    audit_room_done(&room);
    io_fd_close(&io);
    assert_int_equal(audit_client_await_end(c), 0);
    assert_int_equal(audit_client_free(c, 1000), 1); /* it tells what was not acknowledged */
    log_remove(&l);
    return 0;
}
ON_LOOP(what_is_owed_is_asked_for_until_it_is_granted)

static int names_of_clients_are_plain(void *arg)
{
    (void)arg;
    struct test_log l;
    struct err e = {0};
    log_make(&l);
    struct audit_server *s = serve(&l);
    static const char *const bad[] = {
        "", "log", "a b", "A", "\"", "a\n", "a1234567890123456789012345678901"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(audit_server_add(s, 0, bad[i], &e), -EINVAL);
    assert_int_equal(audit_server_close(s, &e), 0);
    log_remove(&l);
    return 0;
}
ON_LOOP(names_of_clients_are_plain)

/* ---- a full disk, seen from a client ---- */

static int full(void *arg)
{
    struct test_log *l = arg;
    struct err e = {0};
    struct audit_server *s = NULL;
    struct audit_options o = {.path = l->path};
    if (audit_server_open(&o, 20, &s, &e) < 0)
        return -30;
    struct audit_client *c = audit_client_new();
    static struct audit_room rooms[200];
    size_t n = 0;
    connect_to(c, s, "egress-1");
    int r = 0;
    while (n < 200 && (r = audit_reserve(c, 1, &rooms[n], &e)) == 0)
        n++;
    if (r != -ENOSPC || !strstr(e.msg, "no room for another record") || n < 10)
        return -31;
    struct audit_record record = log_record("s", "/");
    for (size_t i = 0; i < n; i++)
        audit_append(&rooms[i], &record);
    if (audit_wait(c, &e) < 0 || count(l, "egress-1") != n)
        return -32;
    /* What short records left of their room takes a few more. */
    if (audit_reserve(c, 1, &rooms[0], &e) < 0)
        return -33;
    audit_room_done(&rooms[0]);
    if (audit_client_free(c, 1000) != 0 || audit_server_close(s, &e) < 0)
        return -34;
    return 0;
}

static void on_a_full_disk_new_requests_are_refused_and_running_ones_recorded(void **state)
{
    (void)state;
    struct test_log l;
    log_make(&l);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (!log_on_tmpfs(&l, "256k") || loop_init() < 0)
            _exit(77);
        _exit(-loop_run(full, &l));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    log_remove(&l);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    if (argc == 2) { /* started by start_other */
        struct other o = {0, (argv[1][0] - '0') * 10 + argv[1][1] - '0'};
        return loop_init() == 0 && loop_run(serve_until_killed, &o) == 0 ? 0 : 1;
    }
    static const struct CMUnitTest tests[] = {
        CASE(records_arrive_from_two_clients),
        CASE(without_a_server_everything_is_refused),
        CASE(a_server_that_is_replaced_gets_what_the_other_has_not),
        CASE(killed_servers),
        CASE(a_client_that_makes_no_sense_is_dropped_and_noted),
        CASE(a_log_that_stops_within_a_batch_refuses),
        CASE(a_client_that_ends_without_a_goodbye_is_noted),
        CASE(an_id_that_another_client_uses_too_hides_nothing),
        CASE(a_server_that_does_not_answer_is_no_reason_to_hang),
        CASE(after_a_no_a_client_asks_when_somebody_needs_room),
        CASE(what_is_owed_is_asked_for_until_it_is_granted),
        CASE(names_of_clients_are_plain),
        cmocka_unit_test(on_a_full_disk_new_requests_are_refused_and_running_ones_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
