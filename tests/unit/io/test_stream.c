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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(an_attempt_gives_what_is_there_and_does_not_wait),
        CASE(no_byte_is_missed_after_a_short_read),
        CASE(attempts_and_waiting_reads_mix),
        CASE(a_stream_that_moved_goes_on),
        CASE(a_reset_is_not_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
