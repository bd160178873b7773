/* Streams without a wait: one attempt, what it knows without asking the kernel, and ends that the
 * peer can tell from an end in order. */
#include "unit/loop.h"
#include "base/err.h"
#include "io/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void pair(struct stream *a, int *b)
{
    int sv[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
    MUST(stream_from_fd(a, sv[0]) == 0);
    *b = sv[1];
}

static int an_attempt_gives_what_is_there_and_does_not_wait(void *arg)
{
    (void)arg;
    struct stream s;
    int peer;
    char got[8];
    pair(&s, &peer);
    MUST(stream_try_read(&s, got, sizeof(got)) == -EAGAIN && s.want == EPOLLIN);
    MUST(write(peer, "abc", 3) == 3);
    MUST(stream_wait(&s, EPOLLIN) == 0);
    MUST(stream_try_read(&s, got, 2) == 2); /* all there was room for: more may be there */
    MUST(stream_try_read(&s, got, sizeof(got)) == 1 && got[0] == 'c');
    MUST(stream_try_read(&s, got, sizeof(got)) == -EAGAIN);
    (void)close(peer);
    MUST(stream_wait(&s, EPOLLIN) == 0);
    MUST(stream_try_read(&s, got, sizeof(got)) == 0);
    MUST(stream_try_read(&s, got, sizeof(got)) == 0);
    stream_done(&s);
    MUST(stream_try_read(&s, got, sizeof(got)) == -EBADF);
    MUST(stream_wait(&s, EPOLLIN) == -EBADF);
    return 0;
}

/* A short read has emptied the socket; what comes later is told by the loop. */
static int no_byte_is_missed_after_a_short_read(void *arg)
{
    (void)arg;
    struct stream s;
    int peer;
    char got[8];
    pair(&s, &peer);
    for (int i = 0; i < 3; i++) {
        MUST(write(peer, "abc", 3) == 3);
        MUST(stream_wait(&s, EPOLLIN) == 0);
        MUST(stream_try_read(&s, got, sizeof(got)) == 3);
        MUST(stream_try_read(&s, got, sizeof(got)) == -EAGAIN);
        /* Comes before the wait begins: the wait must see it all the same. */
        MUST(write(peer, "d", 1) == 1);
        MUST(stream_wait(&s, EPOLLIN) == 0);
        MUST(stream_try_read(&s, got, sizeof(got)) == 1);
    }
    /* Bytes and the end in one event. */
    MUST(write(peer, "e", 1) == 1);
    (void)close(peer);
    MUST(stream_wait(&s, EPOLLIN) == 0);
    MUST(stream_try_read(&s, got, sizeof(got)) == 1);
    MUST(stream_try_read(&s, got, sizeof(got)) == 0);
    stream_done(&s);
    return 0;
}

/* The two ways of reading may follow one another. */
static int attempts_and_waiting_reads_mix(void *arg)
{
    (void)arg;
    struct stream s;
    int peer;
    char got[8];
    pair(&s, &peer);
    for (int i = 0; i < 3; i++) {
        MUST(stream_try_read(&s, got, sizeof(got)) == -EAGAIN);
        MUST(write(peer, "abc", 3) == 3);
        MUST(stream_read(&s, got, sizeof(got)) == 3);
        MUST(write(peer, "d", 1) == 1);
        MUST(fiber_sleep_ms(1) == 0); /* the loop has looked */
        MUST(stream_try_read(&s, got, sizeof(got)) == 1);
    }
    (void)close(peer);
    stream_done(&s);
    return 0;
}

static int a_stream_that_moved_goes_on(void *arg)
{
    (void)arg;
    struct stream s, moved;
    int peer;
    char got[8];
    pair(&s, &peer);
    MUST(stream_try_read(&s, got, sizeof(got)) == -EAGAIN);
    stream_move(&moved, &s);
    MUST(stream_try_read(&s, got, sizeof(got)) == -EBADF);
    stream_done(&s);
    MUST(write(peer, "abc", 3) == 3);
    MUST(stream_wait(&moved, EPOLLIN) == 0);
    MUST(stream_try_read(&moved, got, sizeof(got)) == 3);
    (void)close(peer);
    stream_done(&moved);
    return 0;
}

/* Over TCP: an end in order reads as 0, a reset as an error. */
static int a_reset_is_not_an_end(void *arg)
{
    (void)arg;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    MUST(bind(l, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(l, 4) == 0);
    MUST(getsockname(l, (struct sockaddr *)&a, &n) == 0);
    for (int reset = 0; reset < 2; reset++) {
        int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        MUST(connect(c, (struct sockaddr *)&a, sizeof(a)) == 0);
        int fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
        struct stream s, peer;
        MUST(stream_from_fd(&s, fd) == 0 && stream_from_fd(&peer, c) == 0);
        char got[8];
        if (reset)
            stream_reset(&s);
        else
            stream_done(&s);
        MUST(stream_read(&peer, got, sizeof(got)) == (reset ? -ECONNRESET : 0));
        stream_reset(&s); /* done already: nothing happens */
        stream_done(&peer);
    }
    (void)close(l);
    return 0;
}

ON_LOOP(an_attempt_gives_what_is_there_and_does_not_wait)
ON_LOOP(no_byte_is_missed_after_a_short_read)
ON_LOOP(attempts_and_waiting_reads_mix)
ON_LOOP(a_stream_that_moved_goes_on)
ON_LOOP(a_reset_is_not_an_end)

/* ---- a stream without a descriptor ---- */

static struct {
    int there; /* bytes */
    bool ended;
    int waits;
    struct waitq changed;
} toy;

static ssize_t toy_read(struct stream *s, void *p, size_t n)
{
    size_t k = (size_t)toy.there < n ? (size_t)toy.there : n;
    memset(p, 'x', k);
    toy.there -= (int)k;
    s->want = EPOLLIN;
    return k ? (ssize_t)k : toy.ended ? 0 : -EAGAIN;
}
static ssize_t toy_write(struct stream *s, const void *p, size_t n)
{
    (void)p, (void)n;
    s->want = EPOLLOUT;
    return toy.ended ? -EPIPE : -EAGAIN;
}
static int toy_finish(struct stream *s)
{
    s->want = EPOLLOUT;
    return toy.ended ? 0 : -EAGAIN;
}
static void toy_done(struct stream *s)
{
    (void)s;
    waitq_wake_all_with(&toy.changed, -EBADF);
}
static int toy_wait(struct stream *s, uint32_t want)
{
    (void)s;
    toy.waits++;
    return toy.ended || (want == EPOLLIN && toy.there) ? 0 : waitq_wait(&toy.changed);
}
static bool toy_gone(const struct stream *s)
{
    (void)s;
    return toy.ended;
}
static const struct stream_ops toy_ops = {.read = toy_read,
                                          .write = toy_write,
                                          .finish = toy_finish,
                                          .done = toy_done,
                                          .wait = toy_wait,
                                          .gone = toy_gone};

static int read_toy(void *arg)
{
    char byte;
    return (int)stream_read(arg, &byte, 1);
}
static int write_toy(void *arg)
{
    return stream_write(arg, "x", 1);
}
static int finish_toy(void *arg)
{
    return stream_finish(arg);
}

static int a_stream_may_wait_by_itself(void *arg)
{
    (void)arg;
    static const struct {
        fiber_fn *what;
        int ends; /* when it has ended */
    } all[] = {{read_toy, 0}, {write_toy, -EPIPE}, {finish_toy, 0}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        for (int done = 0; done < 2; done++) {
            struct stream at_first = {.ops = &toy_ops, .io = IO_FD_NONE}, s;
            struct scope scope;
            toy.there = 0;
            toy.ended = false;
            waitq_init(&toy.changed);
            stream_move(&s, &at_first);
            MUST(!stream_gone(&s) && !stream_is_plain(&s));
            scope_init(&scope);
            MUST(fiber_spawn(&scope, "waits", all[i].what, &s, NULL) == 0 && fiber_yield() == 0);
            MUST(scope.n_children == 1);
            if (done) {
                stream_done(&s);
            } else {
                toy.ended = true;
                waitq_wake_all(&toy.changed);
            }
            MUST(scope_join(&scope) == 0);
            MUST(scope.first_error == (done ? -EBADF : all[i].ends));
            scope_done(&scope);
            MUST(done || stream_gone(&s));
            stream_done(&s);
            MUST(read_toy(&s) == -EBADF && write_toy(&s) == -EBADF && finish_toy(&s) == -EBADF);
            MUST(stream_wait(&s, EPOLLIN) == -EBADF);
        }
    }
    return 0;
}
ON_LOOP(a_stream_may_wait_by_itself)

/* Nothing is remembered of an attempt that found nothing: nobody would say that this has changed. */
static int attempts_at_it_are_made_each_time(void *arg)
{
    (void)arg;
    struct stream s = {.ops = &toy_ops, .io = IO_FD_NONE};
    char bytes[4];
    toy.there = 0;
    toy.ended = false;
    waitq_init(&toy.changed);
    MUST(stream_try_read(&s, bytes, 4) == -EAGAIN && s.want == EPOLLIN);
    toy.there = 3;
    MUST(stream_try_read(&s, bytes, 2) == 2);
    int waits = toy.waits;
    MUST(stream_wait(&s, EPOLLIN) == 0 && toy.waits == waits + 1);
    MUST(stream_try_read(&s, bytes, 2) == 1 && stream_try_read(&s, bytes, 2) == -EAGAIN);
    struct fiber_deadline d = fiber_deadline_push_ms(5);
    MUST(stream_wait(&s, EPOLLIN) == -ETIMEDOUT && stream_wait(&s, EPOLLOUT) == -ETIMEDOUT);
    fiber_deadline_pop(&d);
    stream_done(&s);
    return 0;
}
ON_LOOP(attempts_at_it_are_made_each_time)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(an_attempt_gives_what_is_there_and_does_not_wait),
        CASE(no_byte_is_missed_after_a_short_read),
        CASE(attempts_and_waiting_reads_mix),
        CASE(a_stream_that_moved_goes_on),
        CASE(a_reset_is_not_an_end),
        CASE(a_stream_may_wait_by_itself),
        CASE(attempts_at_it_are_made_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
