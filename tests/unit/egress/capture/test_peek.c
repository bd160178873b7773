/* test_peek.c - bytes that stay where they are. */
#include "unit/loop.h"
#include "base/time.h"
#include "egress/capture/peek.h"
#include "io/sock.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    struct io_fd ours;
    int theirs;
};

static struct peek begin(struct pair *p)
{
    struct peek k;
    int fds[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fds), 0);
    assert_int_equal(io_fd_add(&p->ours, fds[0]), 0);
    p->theirs = fds[1];
    peek_begin(&k, time_mono_ns() + 5 * NS_PER_S);
    return k;
}

static void end(struct pair *p)
{
    io_fd_close(&p->ours);
    if (p->theirs >= 0)
        (void)close(p->theirs);
}

static int bytes_stay_and_an_end_is_told_behind_them(void *arg)
{
    struct pair p = {.ours = IO_FD_NONE};
    struct peek k = begin(&p);
    char got[8];
    (void)arg;
    assert_int_equal(peek_look(&k, &p.ours, got, sizeof(got)), 0);
    assert_false(k.ended);
    assert_int_equal(send(p.theirs, "abc", 3, 0), 3);
    assert_int_equal(peek_wait(&k, &p.ours, FIBER_NO_DEADLINE), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(peek_look(&k, &p.ours, got, sizeof(got)), 3);
        assert_memory_equal(got, "abc", 3);
        assert_false(k.ended);
    }
    (void)close(p.theirs);
    p.theirs = -1;
    do
        assert_int_equal(peek_wait(&k, &p.ours, FIBER_NO_DEADLINE), 0);
    while (peek_look(&k, &p.ours, got, sizeof(got)) == 3 && !k.ended);
    assert_true(k.ended);
    assert_int_equal(k.n, 3);
    assert_int_equal(io_read(&p.ours, got, sizeof(got)), 3);
    assert_int_equal(peek_look(&k, &p.ours, got, sizeof(got)), 0);
    assert_true(k.ended);
    end(&p);
    return 0;
}
ON_LOOP(bytes_stay_and_an_end_is_told_behind_them)

static int a_wait_ends_at_the_earlier_of_two_times(void *arg)
{
    struct pair p = {.ours = IO_FD_NONE};
    struct peek k = begin(&p);
    (void)arg;
    int64_t now = time_mono_ns();
    int r = peek_wait(&k, &p.ours, now + 20 * NS_PER_MS); /* may end early, once */
    if (r == 0)
        r = peek_wait(&k, &p.ours, now + 20 * NS_PER_MS);
    assert_int_equal(r, -ETIMEDOUT);
    assert_true(time_mono_ns() - now < 4 * NS_PER_S);
    k.deadline_ns = time_mono_ns() + 20 * NS_PER_MS;
    assert_int_equal(peek_wait(&k, &p.ours, FIBER_NO_DEADLINE), -ETIMEDOUT);
    end(&p);
    return 0;
}
ON_LOOP(a_wait_ends_at_the_earlier_of_two_times)

/* Byte by byte: sixteen looks are free, then one in ten milliseconds. */
static int who_sends_byte_by_byte_is_looked_at_slowly(void *arg)
{
    struct pair p = {.ours = IO_FD_NONE};
    struct peek k = begin(&p);
    char got[64];
    (void)arg;
    int64_t from = 0;
    for (int i = 0; i < 26; i++) {
        if (i == 16)
            from = time_mono_ns();
        assert_int_equal(send(p.theirs, "x", 1, 0), 1);
        assert_int_equal(peek_look(&k, &p.ours, got, sizeof(got)), i + 1);
        assert_int_equal(send(p.theirs, "x", 1, 0), 1);
        assert_int_equal(recv(p.ours.fd, got, 1, 0), 1);
        assert_int_equal(peek_wait(&k, &p.ours, FIBER_NO_DEADLINE), 0);
    }
    assert_int_equal(k.looks, 26);
    assert_true(time_mono_ns() - from >= 90 * NS_PER_MS);
    end(&p);
    return 0;
}
ON_LOOP(who_sends_byte_by_byte_is_looked_at_slowly)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bytes_stay_and_an_end_is_told_behind_them),
        CASE(a_wait_ends_at_the_earlier_of_two_times),
        CASE(who_sends_byte_by_byte_is_looked_at_slowly),
    };
    return cmocka_run_group_tests_name("egress/capture/peek", tests, NULL, NULL);
}
