/* That a relayed connection is the connection: bytes, ends, resets, back-pressure; and that a relay
 * holds nothing while nothing passes. Client and origin are ends of loopback connections. */
#include "unit/loop.h"
#include "base/err.h"
#include "base/time.h"
#include "egress/proxy/splice.h"
#include "unit/io/pair.h"

#include <poll.h>
#include <string.h>
#include <sys/resource.h>

/* client <-> in [relay] out <-> origin */
struct relay {
    struct scope scope;
    struct splice_pool *pool;
    struct io_fd client, in, out, origin;
    struct splice_flow flow;
    struct fiber *fiber;
    int result;
    bool over;
};

static int relay_main(void *arg)
{
    struct relay *r = arg;
    r->result = splice_run(r->pool, &r->in, &r->out, &r->flow);
    io_fd_close(&r->in);
    io_fd_close(&r->out);
    r->over = true;
    return 0;
}

static void relay_start(struct relay *r, const struct splice_options *o, int buffer)
{
    *r = (struct relay){.pool = splice_pool_new(o), .flow = r->flow};
    tcp_pair(&r->client, &r->in, buffer);
    tcp_pair(&r->out, &r->origin, buffer);
    scope_init(&r->scope);
    assert_int_equal(fiber_spawn(&r->scope, "relay", relay_main, r, &r->fiber), 0);
}

static void relay_join(struct relay *r, int result)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    assert_int_equal(scope_join(&r->scope), 0);
    assert_int_equal(r->result, result);
}

static void relay_stop(struct relay *r)
{
    scope_done(&r->scope);
    io_fd_close(&r->client);
    io_fd_close(&r->origin);
    splice_pool_free(r->pool);
}

/* The byte at place `i` of a stream: other ones at each place of a buffer or page. */
static unsigned char byte_at(uint64_t i)
{
    return (unsigned char)((i * 2654435761u) >> 13);
}

struct flow {
    struct io_fd *io;
    uint64_t n, done;
    int error;
    uint64_t slow_at; /* a pause after so many bytes */
};

static int send_all(void *arg)
{
    struct flow *f = arg;
    AUTO_FREE unsigned char *buf = mem_array(100003, 1);
    for (; f->done < f->n;) {
        size_t k = f->n - f->done < 100003 ? (size_t)(f->n - f->done) : 100003;
        for (size_t i = 0; i < k; i++)
            buf[i] = byte_at(f->done + i);
        ssize_t put = io_write(f->io, buf, k);
        if (put < 0) {
            f->error = (int)put;
            return 0;
        }
        f->done += (uint64_t)put;
    }
    assert_int_equal(shutdown(f->io->fd, SHUT_WR), 0);
    return 0;
}

static int receive_all(void *arg)
{
    struct flow *f = arg;
    AUTO_FREE unsigned char *buf = mem_array(100003, 1);
    for (;;) {
        ssize_t got = io_read(f->io, buf, 100003);
        if (got <= 0) {
            f->error = (int)got;
            return 0;
        }
        for (ssize_t i = 0; i < got; i++)
            if (buf[i] != byte_at(f->done + (uint64_t)i))
                fail_msg("byte %llu differs", (unsigned long long)f->done + (uint64_t)i);
        f->done += (uint64_t)got;
    }
}

static void move(struct relay *r, uint64_t there, uint64_t back)
{
    struct flow a = {.io = &r->client, .n = there}, b = {.io = &r->origin, .n = back};
    struct flow c = {.io = &r->origin}, d = {.io = &r->client};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "to origin", send_all, &a, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "to client", send_all, &b, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "at origin", receive_all, &c, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "at client", receive_all, &d, NULL), 0);
    AUTO(fiber_deadline) limit = fiber_deadline_push_ms(60000);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(a.error | b.error | c.error | d.error, 0);
    assert_int_equal(c.done, there);
    assert_int_equal(d.done, back);
}

/* What the relay holds in pipes and does not keep for the next. */
static void expect_no_pipe_in_use(const struct relay *r, size_t kept_at_most)
{
    assert_true(splice_pool_pipes(r->pool) <= kept_at_most);
}

/* ---- bytes ---- */

static int bytes_arrive_as_they_were(void *arg)
{
    (void)arg;
    static const uint64_t sizes[][2] = {{0, 0},     {1, 0},         {0, 1},
                                        {70000, 3}, {65536, 65536}, {5u << 20, 3u << 20}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct relay r = {.flow = {.idle_timeout_ms = 0}};
        relay_start(&r, NULL, 0);
        move(&r, sizes[i][0], sizes[i][1]);
        relay_join(&r, 0);
        assert_int_equal(r.flow.there, sizes[i][0]);
        assert_int_equal(r.flow.back, sizes[i][1]);
        assert_true(r.flow.a_ended && r.flow.b_ended);
        expect_no_pipe_in_use(&r, 2);
        relay_stop(&r);
    }
    return 0;
}

ON_LOOP(bytes_arrive_as_they_were)

static int much_arrives_as_it_was(void *arg)
{
    (void)arg;
    struct relay r = {0};
    relay_start(&r, NULL, 0);
    move(&r, 64u << 20, 64u << 20);
    relay_join(&r, 0);
    relay_stop(&r);
    return 0;
}

ON_LOOP(much_arrives_as_it_was)

static int small_buffers_and_pipes_do_as_well(void *arg)
{
    (void)arg;
    static const size_t pipes[] = {1, 4096, 65536, 1u << 20};
    for (size_t i = 0; i < ARRAY_LEN(pipes); i++) {
        struct relay r = {0};
        relay_start(&r, &(struct splice_options){.pipe_bytes = pipes[i]}, 100000);
        move(&r, 3000001, 2000003);
        relay_join(&r, 0);
        relay_stop(&r);
    }
    return 0;
}

ON_LOOP(small_buffers_and_pipes_do_as_well)

static int without_room_for_pipes_bytes_are_copied(void *arg)
{
    (void)arg;
    struct relay r = {0};
    relay_start(&r, NULL, 0);
    struct rlimit old, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    int lowest_free = dup(STDERR_FILENO);
    (void)close(lowest_free);
    tight.rlim_cur = (rlim_t)lowest_free;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    move(&r, 5u << 20, 1u << 20);
    size_t pipes = splice_pool_pipes(r.pool);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(pipes, 0);
    relay_join(&r, 0);
    relay_stop(&r);
    return 0;
}

ON_LOOP(without_room_for_pipes_bytes_are_copied)

static int unix_sockets_are_relayed_too(void *arg)
{
    (void)arg;
    struct relay r = {.pool = splice_pool_new(NULL)};
    int a[2], b[2];
    assert_int_equal(sock_pair(SOCK_STREAM, a), 0);
    assert_int_equal(sock_pair(SOCK_STREAM, b), 0);
    assert_int_equal(io_fd_add(&r.client, a[0]), 0);
    assert_int_equal(io_fd_add(&r.in, a[1]), 0);
    assert_int_equal(io_fd_add(&r.out, b[0]), 0);
    assert_int_equal(io_fd_add(&r.origin, b[1]), 0);
    scope_init(&r.scope);
    assert_int_equal(fiber_spawn(&r.scope, "relay", relay_main, &r, &r.fiber), 0);
    move(&r, 3u << 20, 3u << 20);
    relay_join(&r, 0);
    relay_stop(&r);
    return 0;
}

ON_LOOP(unix_sockets_are_relayed_too)

static int bytes_that_were_peeked_at_go_through(void *arg)
{
    (void)arg;
    struct relay r = {.pool = splice_pool_new(NULL)};
    char seen[8], got[16];
    tcp_pair(&r.client, &r.in, 0);
    tcp_pair(&r.out, &r.origin, 0);
    assert_int_equal(io_write_all(&r.client, "hello", 5), 0);
    while (recv(r.in.fd, seen, sizeof(seen), MSG_PEEK) != 5)
        assert_int_equal(io_wait_readable(&r.in), 0);
    scope_init(&r.scope);
    assert_int_equal(fiber_spawn(&r.scope, "relay", relay_main, &r, &r.fiber), 0);
    assert_int_equal(io_read(&r.origin, got, sizeof(got)), 5);
    assert_memory_equal(got, "hello", 5);
    relay_stop(&r);
    return 0;
}

ON_LOOP(bytes_that_were_peeked_at_go_through)

/* ---- ends ---- */

static int each_direction_ends_by_itself(void *arg)
{
    (void)arg;
    struct relay r = {0};
    char got[16];
    relay_start(&r, NULL, 0);
    assert_int_equal(io_write_all(&r.client, "question", 8), 0);
    assert_int_equal(shutdown(r.client.fd, SHUT_WR), 0);
    assert_int_equal(io_read(&r.origin, got, sizeof(got)), 8);
    assert_int_equal(io_read(&r.origin, got, sizeof(got)), 0);
    /* The other direction goes on, as long as it likes. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fiber_sleep_ms(5), 0);
        assert_int_equal(io_write_all(&r.origin, "answer", 6), 0);
        assert_int_equal(io_read(&r.client, got, sizeof(got)), 6);
    }
    assert_true(r.flow.a_ended && !r.flow.b_ended && !r.over);
    io_fd_close(&r.origin);
    assert_int_equal(io_read(&r.client, got, sizeof(got)), 0);
    relay_join(&r, 0);
    assert_int_equal(r.flow.there, 8);
    assert_int_equal(r.flow.back, 18);
    relay_stop(&r);
    return 0;
}

ON_LOOP(each_direction_ends_by_itself)

static int a_reset_is_passed_on_as_one(void *arg)
{
    (void)arg;
    char c;
    for (int side = 0; side < 2; side++) {
        struct relay r = {0};
        relay_start(&r, NULL, 0);
        struct io_fd *gone = side ? &r.origin : &r.client, *left = side ? &r.client : &r.origin;
        assert_int_equal(io_write_all(gone, "x", 1), 0);
        assert_int_equal(io_read(left, &c, 1), 1);
        reset_end(gone);
        assert_int_equal(io_read(left, &c, 1), -ECONNRESET);
        relay_join(&r, -ECONNRESET);
        relay_stop(&r);
    }
    return 0;
}

ON_LOOP(a_reset_is_passed_on_as_one)

static int an_early_answer_to_an_upload_arrives(void *arg)
{
    (void)arg;
    struct relay r = {0};
    char got[16] = "";
    relay_start(&r, NULL, 16384);
    struct flow up = {.io = &r.client, .n = 50u << 20};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "upload", send_all, &up, NULL), 0);
    while (up.done < 10000)
        assert_int_equal(fiber_sleep_ms(1), 0);
    assert_int_equal(io_write_all(&r.origin, "too large", 9), 0);
    io_fd_close(&r.origin); /* with bytes unread: the kernel resets */
    assert_int_equal(io_read(&r.client, got, sizeof(got)), 9);
    assert_string_equal(got, "too large");
    assert_int_equal(scope_join(&s), 0);
    assert_true(up.error < 0 && up.done < up.n);
    relay_join(&r, -ECONNRESET);
    relay_stop(&r);
    return 0;
}

ON_LOOP(an_early_answer_to_an_upload_arrives)

/* ---- slow readers, time, cancellation ---- */

static int a_slow_reader_stops_a_fast_writer(void *arg)
{
    (void)arg;
    struct relay r = {0};
    relay_start(&r, &(struct splice_options){.pipe_bytes = 65536}, 16384);
    struct flow up = {.io = &r.client, .n = 40u << 20}, down = {.io = &r.origin};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "upload", send_all, &up, NULL), 0);
    /* Until nothing moves any more. */
    for (uint64_t before = 1; before != up.done || up.done == 0;) {
        before = up.done;
        assert_int_equal(fiber_sleep_ms(100), 0);
    }
    assert_true(up.done < 1u << 20);
    assert_int_equal(fiber_spawn(&s, "download", receive_all, &down, NULL), 0);
    AUTO(fiber_deadline) limit = fiber_deadline_push_ms(60000);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(down.done, 40u << 20);
    io_fd_close(&r.origin);
    relay_join(&r, 0);
    relay_stop(&r);
    return 0;
}

ON_LOOP(a_slow_reader_stops_a_fast_writer)

static int an_idle_connection_is_cut_and_a_busy_one_is_not(void *arg)
{
    (void)arg;
    struct relay r = {.flow = {.idle_timeout_ms = 80}};
    char c;
    relay_start(&r, NULL, 0);
    int64_t begin = time_mono_ns();
    for (int i = 0; i < 8; i++) {
        assert_int_equal(fiber_sleep_ms(20), 0);
        assert_int_equal(io_write_all(i % 2 ? &r.origin : &r.client, "x", 1), 0);
        assert_int_equal(io_read(i % 2 ? &r.client : &r.origin, &c, 1), 1);
    }
    assert_true(!r.over && time_mono_ns() - begin >= 160 * NS_PER_MS);
    begin = time_mono_ns();
    assert_int_equal(io_read(&r.client, &c, 1), -ECONNRESET);
    assert_int_equal(io_read(&r.origin, &c, 1), -ECONNRESET);
    assert_true(time_mono_ns() - begin >= 70 * NS_PER_MS);
    relay_join(&r, -ETIMEDOUT);
    relay_stop(&r);
    return 0;
}

ON_LOOP(an_idle_connection_is_cut_and_a_busy_one_is_not)

static int a_connection_that_is_no_longer_allowed_is_reset_at_once(void *arg)
{
    (void)arg;
    char c;
    for (int busy = 0; busy < 2; busy++) {
        struct relay r = {0};
        relay_start(&r, NULL, 16384);
        struct flow up = {.io = &r.client, .n = 100u << 20};
        AUTO(scope) s;
        scope_init(&s);
        if (busy)
            assert_int_equal(fiber_spawn(&s, "upload", send_all, &up, NULL), 0);
        assert_int_equal(fiber_sleep_ms(2), 0);
        fiber_cancel(r.fiber);
        relay_join(&r, -ECANCELED);
        ssize_t n;
        while ((n = io_read(&r.origin, &c, 1)) > 0)
            ;
        assert_int_equal(n, -ECONNRESET);
        assert_int_equal(scope_join(&s), 0);
        assert_true(!busy || up.error == -ECONNRESET || up.error == -EPIPE);
        relay_stop(&r);
    }
    return 0;
}

ON_LOOP(a_connection_that_is_no_longer_allowed_is_reset_at_once)

static int pipes_go_back_when_nothing_is_in_them(void *arg)
{
    (void)arg;
    struct relay r = {0};
    relay_start(&r, &(struct splice_options){.pipes_kept = 1}, 0);
    struct flow up = {.io = &r.client, .n = 8u << 20}, down = {.io = &r.origin};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "upload", send_all, &up, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "download", receive_all, &down, NULL), 0);
    while (down.done < up.n)
        assert_int_equal(fiber_sleep_ms(1), 0);
    /* Open, idle, and the one pipe there is lies in the pool: another relay may take it. */
    expect_no_pipe_in_use(&r, 1);
    assert_false(r.over);
    io_fd_close(&r.client);
    io_fd_close(&r.origin);
    assert_int_equal(scope_join(&s), 0);
    relay_stop(&r);
    return 0;
}

ON_LOOP(pipes_go_back_when_nothing_is_in_them)

static int what_one_connection_left_in_a_pipe_reaches_no_other(void *arg)
{
    (void)arg;
    struct relay r = {0};
    relay_start(&r, &(struct splice_options){.pipe_bytes = 65536}, 0);
    struct flow up = {.io = &r.client, .n = 40u << 20};
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "upload", send_all, &up, NULL), 0);
    for (uint64_t before = 1; before != up.done || up.done == 0;) {
        before = up.done;
        assert_int_equal(fiber_sleep_ms(100), 0);
    }
    assert_int_equal(splice_pool_pipes(r.pool), 1); /* nobody reads: there are bytes in it */
    fiber_cancel(r.fiber);
    relay_join(&r, -ECANCELED);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(splice_pool_pipes(r.pool), 0);
    relay_stop(&r);
    return 0;
}

ON_LOOP(what_one_connection_left_in_a_pipe_reaches_no_other)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bytes_arrive_as_they_were),
        CASE(much_arrives_as_it_was),
        CASE(small_buffers_and_pipes_do_as_well),
        CASE(without_room_for_pipes_bytes_are_copied),
        CASE(unix_sockets_are_relayed_too),
        CASE(bytes_that_were_peeked_at_go_through),
        CASE(each_direction_ends_by_itself),
        CASE(a_reset_is_passed_on_as_one),
        CASE(an_early_answer_to_an_upload_arrives),
        CASE(a_slow_reader_stops_a_fast_writer),
        CASE(an_idle_connection_is_cut_and_a_busy_one_is_not),
        CASE(a_connection_that_is_no_longer_allowed_is_reset_at_once),
        CASE(pipes_go_back_when_nothing_is_in_them),
        CASE(what_one_connection_left_in_a_pipe_reaches_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
