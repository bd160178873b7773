/* race.c - several connects at once, on one fiber.
 *
 * Called with addresses that the caller has judged (egress: those that the policy lets through). Each
 * attempt is a non-blocking connect whose socket the loop watches; poll(2) tells which have come to an
 * end, the loop wakes. Who answers at these addresses is a stranger, and can at most be silent (the time
 * is bounded) or refuse. A connection of a socket to itself, which TCP allows on a loopback when the port
 * happens to be the one the kernel chose (RFC 9293 3.5, simultaneous open), counts as refused: nobody
 * listens there. */
#include "io/race.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/time.h"
#include "io/loop.h"

struct attempt {
    struct io_fd io; /* fd -1: not begun, or over */
    int code;        /* why it failed; 0: it has not */
};

struct race {
    const struct address *list;
    size_t n, begun, live;
    uint16_t port;
    struct attempt attempts[RACE_MAX];
};

union any_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static socklen_t to_sockaddr(const struct address *a, uint16_t port, union any_address *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (address_is_ipv4(a)) {
        ret->in.sin_family = AF_INET;
        ret->in.sin_port = htons(port);
        memcpy(&ret->in.sin_addr, a->b + 12, 4);
        return sizeof(ret->in);
    }
    ret->in6.sin6_family = AF_INET6;
    ret->in6.sin6_port = htons(port);
    memcpy(&ret->in6.sin6_addr, a->b, 16);
    return sizeof(ret->in6);
}

static void tune(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

/* 0 when it is under way, or why it is not. */
static int begin(struct attempt *at, const struct address *a, uint16_t port)
{
    union any_address to;
    socklen_t len = to_sockaddr(a, port, &to);
    AUTO_CLOSE int fd =
        socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    tune(fd);
    if (connect(fd, &to.any, len) < 0 && errno != EINPROGRESS)
        return -errno;
    int r = io_fd_add(&at->io, fd);
    if (r == 0)
        (void)TAKE_FD(fd);
    return r;
}

static bool is_to_itself(int fd)
{
    union any_address here, there;
    socklen_t n = sizeof(here), m = sizeof(there);
    memset(&here, 0, sizeof(here));
    memset(&there, 0, sizeof(there));
    return getsockname(fd, &here.any, &n) == 0 && getpeername(fd, &there.any, &m) == 0 && n == m &&
           memcmp(&here, &there, n) == 0;
}

/* How a connect that has come to an end ended. */
static int outcome(int fd)
{
    int e = 0;
    socklen_t n = sizeof(e);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
        return -errno;
    if (e)
        return -e;
    return is_to_itself(fd) ? -ECONNREFUSED : 0;
}

static void begin_next(struct race *x)
{
    struct attempt *at = &x->attempts[x->begun];
    at->code = begin(at, &x->list[x->begun], x->port);
    x->begun++;
    x->live += at->code == 0;
}

/* Looks which attempts have ended. The winner, or -1. */
static int look(struct race *x)
{
    struct pollfd p[RACE_MAX];
    for (size_t i = 0; i < x->begun; i++)
        p[i] = (struct pollfd){.fd = x->attempts[i].io.fd, .events = POLLOUT};
    if (poll(p, (nfds_t)x->begun, 0) <= 0)
        return -1;
    for (size_t i = 0; i < x->begun; i++) {
        struct attempt *at = &x->attempts[i];
        if (at->io.fd < 0 || !p[i].revents)
            continue;
        at->code = outcome(at->io.fd);
        if (at->code == 0)
            return (int)i;
        io_fd_close(&at->io);
        x->live--;
    }
    return -1;
}

/* Sleeps until a socket has something to say, or the time. 0 for both, or the fiber's end. */
static int sleep_until(struct race *x, int64_t until_ns)
{
    for (size_t i = 0; i < x->begun; i++)
        x->attempts[i].io.writer = fiber_self();
    struct fiber_deadline d = fiber_deadline_push(until_ns);
    int r = fiber_park();
    fiber_deadline_pop(&d);
    for (size_t i = 0; i < x->begun; i++)
        x->attempts[i].io.writer = NULL;
    return r == -ETIMEDOUT && time_mono_ns() < fiber_deadline_ns() ? 0 : r;
}

/* The index of the winner, or a code: -ETIMEDOUT also when none has failed yet. */
static int run(struct race *x, int64_t until_ns)
{
    int64_t next_ns = time_mono_ns();
    for (;;) {
        int won = look(x);
        if (won >= 0)
            return won;
        int64_t now = time_mono_ns();
        if (now >= until_ns)
            return -ETIMEDOUT;
        if (x->begun < x->n && (x->live == 0 || now >= next_ns)) {
            begin_next(x);
            next_ns = time_mono_ns() + RACE_STEP_MS * NS_PER_MS;
            continue;
        }
        if (x->live == 0)
            return -EHOSTUNREACH; /* all have failed; each knows why */
        int r = sleep_until(x, x->begun < x->n && next_ns < until_ns ? next_ns : until_ns);
        if (r < 0)
            return r;
    }
}

/* Of many failures the one that says most: somebody was there and refused, then silence, then the rest
 * in order (that there is no route for a family is said first, and least). */
static int say(const struct race *x, int r, size_t *ret_which)
{
    *ret_which = x->begun ? x->begun - 1 : 0;
    for (size_t i = 0; i < x->begun; i++)
        if (x->attempts[i].code == -ECONNREFUSED) {
            *ret_which = i;
            return -ECONNREFUSED;
        }
    if (r != -EHOSTUNREACH)
        return r;
    return x->begun ? x->attempts[*ret_which].code : r;
}

int race_connect(const struct address *list, size_t n, uint16_t port, int64_t timeout_ms,
                 int *ret_fd, size_t *ret_which, struct err *e)
{
    MUST(n >= 1 && n <= RACE_MAX);
    struct race x = {.list = list, .n = n, .port = port};
    for (size_t i = 0; i < RACE_MAX; i++)
        x.attempts[i].io = IO_FD_NONE;
    int64_t until = time_mono_ns() + timeout_ms * NS_PER_MS;
    int r = run(&x, until);
    if (r >= 0) {
        *ret_which = (size_t)r;
        *ret_fd = io_fd_release(&x.attempts[r].io);
        r = 0;
    } else if (r != -ECANCELED) {
        r = say(&x, r, ret_which);
    }
    for (size_t i = 0; i < x.begun; i++)
        io_fd_close(&x.attempts[i].io);
    if (r == 0)
        return 0;
    char text[ADDRESS_TEXT_MAX];
    if (r == -ECANCELED)
        return err_set(e, r, "connecting was cancelled");
    return err_set(e, r, "cannot connect to %s port %u%s: %s",
                   address_text(&list[*ret_which], text), port,
                   n > 1 ? " (nor to its other addresses)" : "", err_text(r));
}
