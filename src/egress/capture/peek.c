/* peek.c - MSG_PEEK on descriptors that are registered edge-triggered.
 *
 * Theory of operation. Bytes that were peeked stay unread, so a level-triggered poll would return at
 * once and spin. An edge comes with every segment that arrives, and with the end: waiting for the next
 * edge is waiting for more. The end is known from its event alone (io_fd.peer_ended), because a peek
 * never gets to it while bytes lie before it; the flag is taken before the peek, so that "ended" is
 * never said of bytes that were not seen.
 *
 * The client controls when bytes come. After LOOKS_FREE looks that told nothing it is looked at every
 * SLOW_MS only: the 20 KiB that it may send byte by byte would otherwise be copied 20,000 times. */
#include "egress/capture/peek.h"
#include "base/time.h"

#include <sys/socket.h>

#define LOOKS_FREE 16
#define SLOW_MS    10
#define QUIET_MS   1000 /* so long a wait is worth giving the stack back */

void peek_begin(struct peek *k, int64_t deadline_ns)
{
    *k = (struct peek){.deadline_ns = deadline_ns};
}

ssize_t peek_look(struct peek *k, struct io_fd *io, void *p, size_t room)
{
    k->looks++;
    for (;;) {
        bool ended = io->peer_ended;
        ssize_t n = recv(io->fd, p, room, MSG_PEEK | MSG_DONTWAIT);
        int e = errno;
        if (n < 0 && e == EINTR)
            continue;
        if (n < 0 && e != EAGAIN)
            return -e;
        k->ended = ended || n == 0;
        k->n = n > 0 ? (size_t)n : 0;
        return (ssize_t)k->n;
    }
}

static int wait_until(struct io_fd *io, int64_t ns)
{
    struct fiber_deadline d = fiber_deadline_push(ns);
    int r = io_wait_readable(io);
    fiber_deadline_pop(&d);
    return r;
}

int peek_wait(struct peek *k, struct io_fd *io, int64_t until_ns)
{
    int64_t end_ns = until_ns < k->deadline_ns ? until_ns : k->deadline_ns;
    if (k->looks > LOOKS_FREE) {
        int r = fiber_sleep_ms(SLOW_MS);
        if (r < 0)
            return r;
    }
    int64_t quiet_ns = time_mono_ns() + QUIET_MS * NS_PER_MS;
    if (quiet_ns < end_ns) {
        int r = wait_until(io, quiet_ns);
        if (r != -ETIMEDOUT)
            return r;
        fiber_trim_stack();
    }
    return wait_until(io, end_ns);
}
