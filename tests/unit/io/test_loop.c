/* The loop: readiness, posts, budgets, stale events, faults. */
#include "base/time.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/sock.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- injected faults: these calls of the rooms come through here ---- */

static struct {
    int epoll_ctl_errno; /* fails the next EPOLL_CTL_ADD */
    int accept4_errno, accept4_times;
    bool no_threads;
} faults;

int __real_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
    if (op == EPOLL_CTL_ADD && faults.epoll_ctl_errno) {
        errno = faults.epoll_ctl_errno;
        faults.epoll_ctl_errno = 0;
        return -1;
    }
    return __real_epoll_ctl(ep, op, fd, ev);
}

int __real_accept4(int fd, struct sockaddr *a, socklen_t *n, int flags);
int __wrap_accept4(int fd, struct sockaddr *a, socklen_t *n, int flags);
int __wrap_accept4(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
    if (faults.accept4_times > 0) {
        faults.accept4_times--;
        errno = faults.accept4_errno;
        return -1;
    }
    return __real_accept4(fd, a, n, flags);
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    return faults.no_threads ? EAGAIN : __real_pthread_create(t, a, fn, arg);
}

/* ---- helpers ---- */

static void run(fiber_fn *fn)
{
    memset(&faults, 0, sizeof(faults));
    assert_int_equal(loop_init(), 0);
    assert_int_equal(loop_run(fn, NULL), 0);
    loop_done();
}

static int (*add)(struct io_fd *io, int fd) = io_fd_add;

struct pair {
    struct io_fd a, b;
};
static void pair_open(struct pair *p)
{
    int fd[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    assert_int_equal(add(&p->a, fd[0]), 0);
    assert_int_equal(add(&p->b, fd[1]), 0);
}
static void pair_done(struct pair *p)
{
    io_fd_close(&p->a);
    io_fd_close(&p->b);
}

/* ---- reading and writing ---- */

static int write_much(void *arg)
{
    struct io_fd *io = arg;
    char block[1000];
    for (int i = 0; i < 1000; i++) {
        memset(block, i, sizeof(block));
        int r = io_write_all(io, block, sizeof(block));
        if (r < 0)
            return r;
    }
    io_fd_close(io);
    return 0;
}

static int transfer(void *arg)
{
    (void)arg;
    AUTO(pair) p;
    pair_open(&p);
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "writer", write_much, &p.a, NULL), 0);
    size_t total = 0;
    char in[777];
    ssize_t n;
    while ((n = io_read(&p.b, in, sizeof(in))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal((unsigned char)in[i], (unsigned char)((total + (size_t)i) / 1000));
        total += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(total, 1000000);
    assert_int_equal(scope_join(&s), 0);
    return s.first_error;
}

static void bytes_arrive_in_order(void **state)
{
    (void)state;
    run(transfer);
}

/* What comes with the end, in one event or in two, and what comes a little later. */
static int read_to_the_end(void *arg)
{
    (void)arg;
    char in[64];
    for (int i = 0; i < 3; i++) {
        AUTO(pair) p;
        pair_open(&p);
        assert_int_equal(io_write_all(&p.a, "0123456789", 10), 0);
        if (i == 0)
            io_fd_close(&p.a);
        if (i < 2)
            assert_int_equal(fiber_sleep_ms(2), 0); /* the event has come */
        assert_int_equal(io_read(&p.b, in, sizeof(in)), 10);
        if (i > 0) {
            AUTO(fiber_deadline) d = fiber_deadline_push_ms(5);
            assert_int_equal(io_read(&p.b, in, sizeof(in)), -ETIMEDOUT);
        }
        if (i > 0) {
            assert_int_equal(io_write_all(&p.a, "more", 4), 0);
            assert_int_equal(io_read(&p.b, in, sizeof(in)), 4);
            io_fd_close(&p.a);
        }
        assert_int_equal(io_read(&p.b, in, sizeof(in)), 0);
    }
    return 0;
}

static void a_channel_reads_and_writes_as_any_other(void **state)
{
    (void)state;
    add = io_fd_add_channel;
    run(transfer);
    run(read_to_the_end);
    add = io_fd_add;
    run(read_to_the_end);
}

static int read_one(void *arg)
{
    char c;
    ssize_t n = io_read(arg, &c, 1);
    return n < 0 ? (int)n : 0;
}

static void close_and_free(void *arg)
{
    io_fd_close(arg);
    free(arg);
}

static int waits_end(void *arg)
{
    (void)arg;
    AUTO(pair) p;
    pair_open(&p);
    char c;
    {
        AUTO(fiber_deadline) d = fiber_deadline_push_ms(5);
        assert_int_equal(io_read(&p.a, &c, 1), -ETIMEDOUT);
        assert_int_equal(io_read(&p.a, &c, 1), -ETIMEDOUT);
    }
    {
        AUTO(scope) s;
        scope_init(&s);
        struct fiber *f;
        assert_int_equal(fiber_spawn(&s, "r", read_one, &p.a, &f), 0);
        assert_int_equal(fiber_yield(), 0);
        fiber_cancel(f);
        assert_int_equal(scope_join(&s), 0);
        assert_null(p.a.reader);
    }
    /* Closing under a waiter: it learns so and does not touch the io_fd. */
    struct io_fd *doomed = mem_new(struct io_fd);
    io_fd_move(doomed, &p.a);
    assert_int_equal(p.a.fd, -1);
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "r", read_one, doomed, NULL), 0);
    assert_int_equal(fiber_yield(), 0);
    io_fd_close(doomed);
    free(doomed);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(s.first_error, -EBADF);
    assert_int_equal(io_read(&p.b, &c, 1), 0);
    assert_int_equal(io_write(&p.b, &c, 1), -EPIPE);
    /* The same when the waiter had been woken or cancelled in the same turn, and
     * could not run yet. */
    for (int i = 0; i < 3; i++) {
        struct pair q;
        pair_open(&q);
        doomed = mem_new(struct io_fd);
        io_fd_move(doomed, &q.a);
        struct fiber *f;
        s.first_error = 0;
        assert_int_equal(fiber_spawn(&s, "r", read_one, doomed, &f), 0);
        assert_int_equal(fiber_yield(), 0);
        if (i == 0)
            fiber_wake(f);
        else if (i == 1)
            fiber_cancel(f);
        else
            assert_int_equal(write(q.b.fd, "x", 1), 1);
        if (i == 2)
            loop_post(loop_self(), close_and_free, doomed); /* runs right after the event */
        else
            close_and_free(doomed);
        assert_int_equal(scope_join(&s), 0);
        assert_int_equal(s.first_error, -EBADF);
        io_fd_close(&q.b);
    }
    io_fd_close(&p.b);
    assert_int_equal(io_read(&p.b, &c, 1), -EBADF);
    return 0;
}

static void waits_end_by_deadline_cancel_and_close(void **state)
{
    (void)state;
    run(waits_end);
}

/* ---- descriptor numbers that come back within one batch of events ---- */

struct reuse {
    struct pair old, other;
    struct io_fd fresh;
    int far; /* the other end of fresh */
    bool fresh_read;
};

static int read_fresh(void *arg)
{
    struct reuse *t = arg;
    char c;
    ssize_t n = io_read(&t->fresh, &c, 1);
    assert_int_equal(n, 1);
    assert_int_equal(c, 'f');
    t->fresh_read = true;
    return 0;
}

static int close_and_reopen(void *arg)
{
    struct reuse *t = arg;
    char c;
    assert_int_equal(io_read(&t->other.a, &c, 1), 1);
    /* The event for old.a is in the same batch. Its number goes to a new descriptor now. */
    int old_fd = t->old.a.fd;
    io_fd_close(&t->old.a);
    int fd[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    assert_int_equal(fd[0], old_fd);
    assert_int_equal(io_fd_add(&t->fresh, fd[0]), 0);
    t->far = fd[1];
    return 0;
}

static int reuse_number(void *arg)
{
    (void)arg;
    struct reuse t = {.far = -1, .fresh = IO_FD_NONE};
    pair_open(&t.old);
    pair_open(&t.other);
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "closer", close_and_reopen, &t, NULL), 0);
    assert_int_equal(fiber_yield(), 0);
    /* Both become readable before the loop looks: one batch, and a fiber runs in between. */
    assert_int_equal(write(t.other.b.fd, "x", 1), 1);
    assert_int_equal(write(t.old.b.fd, "s", 1), 1);
    while (t.far < 0)
        assert_int_equal(fiber_sleep_ms(1), 0);
    t.fresh.readable = false; /* so that only an event can say otherwise */
    assert_int_equal(fiber_spawn(&s, "fresh", read_fresh, &t, NULL), 0);
    assert_int_equal(fiber_sleep_ms(2), 0);
    assert_false(t.fresh.readable);
    assert_false(t.fresh_read);
    assert_int_equal(write(t.far, "f", 1), 1);
    assert_int_equal(scope_join(&s), 0);
    assert_true(t.fresh_read);
    (void)close(t.far);
    io_fd_close(&t.fresh);
    pair_done(&t.old);
    pair_done(&t.other);
    return 0;
}

static void a_reused_number_gets_no_stale_event(void **state)
{
    (void)state;
    run(reuse_number);
}

/* A post runs between the events of one batch and the fibers, like a completion
 * that closes things. */
struct stale {
    struct pair p;
    struct io_fd fresh;
    int fds[2];
};

static void close_in_batch(void *arg)
{
    struct stale *t = arg;
    int old = t->p.a.fd;
    io_fd_close(&t->p.a);
    if (sock_pair(SOCK_STREAM, t->fds) == 0 && t->fds[0] == old)
        (void)!io_fd_add(&t->fresh, t->fds[0]);
    t->fresh.readable = t->fresh.writable = false;
}

static int stale_in_batch(void *arg)
{
    (void)arg;
    struct stale t = {.fresh = IO_FD_NONE, .fds = {-1, -1}};
    pair_open(&t.p);
    assert_int_equal(fiber_sleep_ms(1), 0); /* the first edges are out of the way */
    loop_post(loop_self(), close_in_batch, &t);
    assert_int_equal(write(t.p.b.fd, "s", 1), 1);
    assert_int_equal(fiber_sleep_ms(1), 0);
    assert_true(t.fresh.fd >= 0);
    assert_false(t.fresh.readable); /* the byte was for the descriptor that had this number */
    io_fd_close(&t.fresh);
    (void)close(t.fds[1]);
    pair_done(&t.p);
    return 0;
}

static void a_stale_event_of_the_batch_is_dropped(void **state)
{
    (void)state;
    run(stale_in_batch);
}

/* ---- fairness ---- */

static bool stop_flood;

static int flood_writer(void *arg)
{
    struct io_fd *io = arg;
    char block[2048] = {0};
    while (!stop_flood) {
        ssize_t n = io_write(io, block, sizeof(block));
        if (n < 0)
            return (int)n;
    }
    return 0;
}

static int flood_reader(void *arg)
{
    struct io_fd *io = arg;
    char c; /* one byte at a time: there is always more */
    while (!stop_flood) {
        ssize_t n = io_read(io, &c, 1);
        if (n <= 0)
            return (int)n;
    }
    return 0;
}

static int fairness(void *arg)
{
    (void)arg;
    AUTO(pair) p;
    pair_open(&p);
    stop_flood = false;
    AUTO(scope) s;
    scope_init(&s);
    assert_int_equal(fiber_spawn(&s, "flood", flood_writer, &p.a, NULL), 0);
    assert_int_equal(fiber_spawn(&s, "drain", flood_reader, &p.b, NULL), 0);
    /* Timers and other fibers get their turns in spite of the flood. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(fiber_sleep_ms(1), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(fiber_yield(), 0);
    stop_flood = true;
    return 0;
}

static void an_always_ready_descriptor_does_not_starve_others(void **state)
{
    (void)state;
    run(fairness);
}

/* ---- posts ---- */

static int posts_seen;
static void count_post(void *arg)
{
    assert_null(fiber_self());
    posts_seen += *(int *)arg;
}

static void *post_many(void *arg)
{
    static int one = 1;
    for (int i = 0; i < 1000; i++)
        loop_post(arg, count_post, &one);
    return NULL;
}

static int posts(void *arg)
{
    (void)arg;
    posts_seen = 0;
    pthread_t t[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, post_many, loop_self()), 0);
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(20000);
    while (posts_seen < 2000)
        assert_int_equal(fiber_sleep_ms(1), 0);
    for (size_t i = 0; i < 2; i++)
        (void)pthread_join(t[i], NULL);
    return 0;
}

static void posts_from_threads_run_on_the_loop(void **state)
{
    (void)state;
    run(posts);
}

/* ---- faults ---- */

static int epoll_fault(void *arg)
{
    (void)arg;
    int fd[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fd), 0);
    struct io_fd io = IO_FD_NONE;
    faults.epoll_ctl_errno = ENOSPC; /* fs.epoll.max_user_watches */
    assert_int_equal(io_fd_add(&io, fd[0]), -ENOSPC);
    assert_int_equal(io.fd, -1);
    assert_int_equal(write(fd[0], "x", 1), 1); /* still ours */
    assert_int_equal(io_fd_add(&io, fd[0]), 0);
    io_fd_close(&io);
    (void)close(fd[1]);
    assert_int_equal(io_fd_add(&io, -1), -EBADF);
    return 0;
}

static void a_refused_registration_leaves_the_descriptor(void **state)
{
    (void)state;
    run(epoll_fault);
}

static int accept_faults(void *arg)
{
    (void)arg;
    char addr[SOCK_ADDR_MAX], peer[SOCK_ADDR_MAX];
    int fd = sock_listen("127.0.0.1:0", 16, addr, NULL);
    assert_true(fd >= 0);
    struct io_fd listener, client;
    assert_int_equal(io_fd_add(&listener, fd), 0);
    assert_int_equal(sock_connect(addr, &client, NULL), 0);
    /* Exhaustion is the caller's to handle; the connection waits in the queue. */
    static const int told[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        faults.accept4_errno = told[i];
        faults.accept4_times = 1;
        assert_int_equal(sock_accept(&listener, peer), -told[i]);
    }
    /* Trouble of a connection that is gone already is skipped. */
    faults.accept4_errno = ECONNABORTED;
    faults.accept4_times = 100;
    int got = sock_accept(&listener, peer);
    assert_true(got >= 0);
    assert_int_equal(faults.accept4_times, 0);
    assert_int_equal(strncmp(peer, "127.0.0.1:", 10), 0);
    (void)close(got);
    io_fd_close(&client);
    io_fd_close(&listener);
    return 0;
}

static void accept_reports_exhaustion_and_skips_the_dead(void **state)
{
    (void)state;
    run(accept_faults);
}

/* ---- descriptors in messages ---- */

static int fd_passing(void *arg)
{
    (void)arg;
    AUTO(pair) p;
    pair_open(&p);
    enum { N = IO_FDS_MAX };
    int pipes[N][2], give[N + 1], got[N];
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
        give[i] = pipes[i][1];
    }
    give[N] = give[0];
    size_t n;
    char c;
    assert_int_equal(io_send_fds(&p.a, "f", 1, give, N + 1), -EINVAL);
    assert_int_equal(io_send_fds(&p.a, "f", 0, give, 1), -EINVAL);
    assert_int_equal(io_send_fds(&p.a, "f", 1, give, N), 1);
    assert_int_equal(io_recv_fds(&p.b, &c, 1, got, ARRAY_LEN(got), &n), 1);
    assert_int_equal(n, N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
        char letter = (char)('a' + i % 26), back;
        assert_int_equal(write(got[i], &letter, 1), 1);
        assert_int_equal(read(pipes[i][0], &back, 1), 1);
        assert_int_equal(back, letter);
        (void)close(got[i]);
        (void)close(pipes[i][0]);
        (void)close(pipes[i][1]);
    }
    /* More than the caller expects is no message, and none of it stays open. */
    int before = dup(0), after;
    for (size_t k = 1; k < 4; k++) {
        const int same[4] = {0, 0, 0, 0};
        assert_int_equal(io_send_fds(&p.a, "m", 1, same, k + 1), 1);
        assert_int_equal(io_recv_fds(&p.b, &c, 1, got, k, &n), -EMSGSIZE);
        after = dup(0);
        assert_int_equal(after, before + 1);
        (void)close(after);
    }
    (void)close(before);
    assert_int_equal(io_send_fds(&p.a, "n", 1, NULL, 0), 1);
    assert_int_equal(io_recv_fds(&p.b, &c, 1, got, ARRAY_LEN(got), &n), 1);
    assert_int_equal(n, 0);
    assert_int_equal(c, 'n');
    return 0;
}

/* A process without a free descriptor still gets the message: it says whom it is about. */
static int fd_shortage(void *arg)
{
    (void)arg;
    AUTO(pair) p;
    pair_open(&p);
    int pipe_fds[2], give[2], got[16];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    give[0] = give[1] = pipe_fds[1];
    struct rlimit before, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int room = 0; room < 3; room++) {
        size_t n = 99;
        char c = '-';
        assert_int_equal(io_send_fds(&p.a, "f", 1, give, 2), 1);
        int next = dup(0), second = dup(0);
        assert_true(next >= 0 && second > next);
        (void)close(next);
        (void)close(second);
        tight = (struct rlimit){.rlim_max = before.rlim_max};
        tight.rlim_cur = (rlim_t)(room == 0 ? next : room == 1 ? next + 1 : second + 1);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        ssize_t r = io_recv_fds(&p.b, &c, 1, got, ARRAY_LEN(got), &n);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(r, 1);
        assert_int_equal(c, 'f');
        assert_int_equal(n, room < 2 ? 0 : 2);
        int again = dup(0); /* what came of them is closed */
        if (n == 0)
            assert_int_equal(again, next);
        (void)close(again);
        for (size_t i = 0; i < n; i++)
            (void)close(got[i]);
    }
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    return 0;
}

static void descriptors_travel(void **state)
{
    (void)state;
    run(fd_passing);
    run(fd_shortage);
}

/* ---- pool ---- */

/* What a library keeps for a thread: it takes its time to give it back. */
static pthread_key_t kept;
static int n_given_back;

static void give_back(void *what)
{
    usleep(20000);
    *(int *)what = 0;
    (void)__atomic_add_fetch(&n_given_back, 1, __ATOMIC_SEQ_CST);
}

static int keep(void *arg)
{
    usleep(20000); /* so that each call needs a thread of its own */
    return -pthread_setspecific(kept, arg);
}

static struct pool *pool_of_keepers;

static int keep_in_pool(void *arg)
{
    return pool_call(pool_of_keepers, keep, arg);
}

static int threads_that_keep(void *arg)
{
    (void)arg;
    int things[3] = {1, 1, 1};
    n_given_back = 0;
    pool_of_keepers = pool_new("test", 3);
    AUTO(scope) s;
    scope_init(&s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fiber_spawn(&s, "caller", keep_in_pool, &things[i], NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    assert_int_equal(s.first_error, 0);
    pool_free(pool_of_keepers);
    for (int i = 0; i < 3; i++)
        assert_int_equal(things[i], 0);
    return 0;
}

static void what_threads_keep_is_given_back_when_the_pool_is_gone(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&kept, give_back), 0);
    run(threads_that_keep);
    assert_int_equal(n_given_back, 3);
    assert_int_equal(pthread_key_delete(kept), 0);
}

static struct pool *pool;
static int blocking_sum(void *arg)
{
    assert_null(fiber_self());
    int *n = arg;
    usleep(1000);
    *n *= 2;
    return *n + 1;
}

static int call_pool(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        int n = i;
        assert_int_equal(pool_call(pool, blocking_sum, &n), 2 * i + 1);
        assert_int_equal(n, 2 * i);
    }
    return 0;
}

static int call_pool_cancelled(void *arg)
{
    (void)arg;
    int n = 7;
    int r = pool_call(pool, blocking_sum, &n);
    assert_int_equal(r, 15); /* not a cancellation point: `n` lives here */
    assert_true(fiber_cancelled());
    return 0;
}

static int pool_calls(void *arg)
{
    (void)arg;
    pool = pool_new("test", 3);
    AUTO(scope) s;
    scope_init(&s);
    for (int i = 0; i < 20; i++)
        assert_int_equal(fiber_spawn(&s, "caller", call_pool, NULL, NULL), 0);
    struct fiber *f;
    assert_int_equal(fiber_spawn(&s, "cancelled", call_pool_cancelled, NULL, &f), 0);
    assert_int_equal(fiber_yield(), 0);
    fiber_cancel(f);
    assert_int_equal(scope_join(&s), 0);
    pool_free(pool);
    return s.first_error;
}

static void pool_calls_run_and_return(void **state)
{
    (void)state;
    run(pool_calls);
    /* Outside of any fiber the call is made in place. */
    pool = pool_new("test", 1);
    int n = 4;
    assert_int_equal(pool_call(pool, blocking_sum, &n), 9);
    pool_free(pool);
    pool_free(NULL);
}

static int whoami(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    return 1;
}

static int pool_without_threads(void *arg)
{
    (void)arg;
    pthread_t who;
    pool = pool_new("test", 2);
    faults.no_threads = true;
    assert_int_equal(pool_call(pool, whoami, &who), 1);
    assert_true(pthread_equal(who, pthread_self())); /* slow beats stuck */
    faults.no_threads = false;
    assert_int_equal(pool_call(pool, whoami, &who), 1);
    assert_false(pthread_equal(who, pthread_self()));
    pool_free(pool);
    return 0;
}

static void a_pool_that_gets_no_thread_calls_in_place(void **state)
{
    (void)state;
    run(pool_without_threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order),
        cmocka_unit_test(a_channel_reads_and_writes_as_any_other),
        cmocka_unit_test(waits_end_by_deadline_cancel_and_close),
        cmocka_unit_test(a_reused_number_gets_no_stale_event),
        cmocka_unit_test(a_stale_event_of_the_batch_is_dropped),
        cmocka_unit_test(an_always_ready_descriptor_does_not_starve_others),
        cmocka_unit_test(posts_from_threads_run_on_the_loop),
        cmocka_unit_test(a_refused_registration_leaves_the_descriptor),
        cmocka_unit_test(accept_reports_exhaustion_and_skips_the_dead),
        cmocka_unit_test(descriptors_travel),
        cmocka_unit_test(pool_calls_run_and_return),
        cmocka_unit_test(what_threads_keep_is_given_back_when_the_pool_is_gone),
        cmocka_unit_test(a_pool_that_gets_no_thread_calls_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
