/* exec_input.c - giving input without taking it away.
 *
 * The shell that has started us reads on after us:
 *
 *   producer | while read line; do sallyport exec ...; done
 *
 * so what the program does not read must stay where it is; and the program must not have that pipe
 * itself, since it could open it for writing through /proc/self/fd and put commands before its
 * caller. Therefore bytes are shown to the program before they are taken: copied from the source
 * without removing them (tee, MSG_PEEK, pread) into a pipe of the program's, and removed when the
 * program has read them. How much it has read is told by what is left in its pipe.
 *
 * One thread, woken by edges: of the source, when something is written to it; and of the program's
 * pipe, when it has lost its reader, or when it was full and something was read. Only of a full one
 * is that heard, so while it is empty it is made just so large that what comes fills it. When that
 * cannot be had (what is left in a large one), it is looked at from time to time: a writer that
 * fills the source waits until we have removed what the program has read.
 *
 * The program can write into its own pipe and so lie about what it has read: as if it had read less
 * or more of its own input. Two readers of one source at the same time would both get its bytes;
 * nobody has a use for that. */
#include "cmd/exec/exec_input.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/exec/exec_relay.h"

#define PIPE_BYTES (1u << 20)    /* more than a pipe holds */
#define CHUNK      (2u * 65536u) /* what the program's pipe holds, and as much again */
#define STOP_MS    2000          /* a file that cannot be read just now is not waited for */
#define SMALL      4096u         /* the smallest and largest that the program's pipe is made */
#define LARGE      65536u
#define LOOK_MIN   1 /* ms between looks; longer while nothing is read */
#define LOOK_MAX   64

/* ---- sources ---- */

/* Nobody will add anything to the source: what it has is all. */
static bool is_closing(const struct exec_input *in)
{
    struct pollfd p = {.fd = in->from, .events = POLLRDHUP};
    return in->kind != EXEC_SOURCE_FILE && poll(&p, 1, 0) == 1 &&
           (p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL));
}

/* Up to `n` bytes out of pipe `from` into nothing. */
static void drop(const struct exec_input *in, int from, size_t n)
{
    while (n > 0) {
        ssize_t k = splice(from, NULL, in->null, NULL, n, SPLICE_F_NONBLOCK);
        if (k <= 0)
            return;
        n -= (size_t)k;
    }
}

/* Takes `n` bytes, which the program has read. */
static void take(struct exec_input *in, size_t n)
{
    if (in->kind == EXEC_SOURCE_PIPE) {
        drop(in, in->from, n);
    } else if (in->kind == EXEC_SOURCE_FILE) {
        (void)lseek(in->from, (off_t)n, SEEK_CUR);
    } else {
        ssize_t k = 1;
        for (size_t left = n; left > 0 && k > 0; left -= k > 0 ? (size_t)k : 0)
            k = recv(in->from, in->chunk, left < CHUNK ? left : CHUNK, MSG_DONTWAIT);
    }
    in->given -= n < in->given ? n : in->given;
}

/* `fresh` bytes come next. */
static void fit(struct exec_input *in, size_t fresh)
{
    unsigned size = SMALL;
    while (size < LARGE && 2u * size <= fresh)
        size *= 2;
    if (in->given == 0 && in->kind != EXEC_SOURCE_FILE && size != in->size &&
        fcntl(in->to, F_SETPIPE_SZ, size) >= 0)
        in->size = size;
}

/* What of `n` bytes at `p` the program's pipe has room for. */
static size_t put(struct exec_input *in, const char *p, size_t n)
{
    ssize_t k = n > 0 ? write(in->to, p, n) : 0;
    return k > 0 ? (size_t)k : 0;
}

/* Each of these gives the program what the source has behind the first in->given bytes. Returns how
 * much that was; *ret_more says whether some is left for which there was no room. */
static size_t give_pipe(struct exec_input *in, bool *ret_more)
{
    ssize_t seen = tee(in->from, in->scratch[1], PIPE_BYTES, SPLICE_F_NONBLOCK);
    if (seen <= 0)
        return 0;
    drop(in, in->scratch[0], in->given < (size_t)seen ? in->given : (size_t)seen);
    const size_t fresh = in->given < (size_t)seen ? (size_t)seen - in->given : 0;
    size_t n = 0;
    fit(in, fresh);
    while (n < fresh) {
        ssize_t k = splice(in->scratch[0], NULL, in->to, NULL, fresh - n, SPLICE_F_NONBLOCK);
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    drop(in, in->scratch[0], fresh - n);
    *ret_more = n < fresh;
    return n;
}

static size_t give_socket(struct exec_input *in, bool *ret_more)
{
    ssize_t seen = recv(in->from, in->chunk, CHUNK, MSG_PEEK | MSG_DONTWAIT);
    if (seen <= 0 || (size_t)seen <= in->given)
        return 0;
    const size_t fresh = (size_t)seen - in->given;
    fit(in, fresh);
    const size_t n = put(in, in->chunk + in->given, fresh);
    *ret_more = n < fresh;
    return n;
}

static size_t give_file(struct exec_input *in, bool *ret_more)
{
    off_t at = lseek(in->from, 0, SEEK_CUR);
    ssize_t seen = at < 0 ? -1 : pread(in->from, in->chunk, 65536, at + (off_t)in->given);
    in->ended = seen <= 0 && !(seen < 0 && errno == EINTR);
    *ret_more = seen > 0;
    return seen > 0 ? put(in, in->chunk, (size_t)seen) : 0;
}

/* ---- the program's side ---- */

static void settle(struct exec_input *in)
{
    int left = 0;
    if (ioctl(in->to, FIONREAD, &left) < 0 || left < 0 || (size_t)left >= in->given)
        return;
    take(in, in->given - (size_t)left);
    in->look_ms = LOOK_MIN;
}

/* The program sees the end behind what it has not read yet. We keep looking at that from the other
 * side, as nobody could tell any more by the writing one. */
static void end_input(struct exec_input *in)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", in->to);
    int look = in->given > 0 ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (look < 0)
        take(in, in->given); /* what is left of it is lost, as it would be to a program's buffers */
    close(in->to);
    in->to = look;
}

/* Gives all there is. False when there is nothing more to do. */
static bool pass(struct exec_input *in)
{
    for (;;) {
        const bool closing = is_closing(in);
        bool more = false;
        settle(in);
        const size_t n = in->kind == EXEC_SOURCE_PIPE     ? give_pipe(in, &more)
                         : in->kind == EXEC_SOURCE_SOCKET ? give_socket(in, &more)
                                                          : give_file(in, &more);
        in->given += n;
        in->look_ms = n > 0 ? LOOK_MIN : in->look_ms;
        if (n == 0 && !more && (closing || in->ended)) {
            in->ended = true;
            end_input(in);
            return false;
        }
        if (n == 0)
            return true;
    }
}

/* The program has closed its input (or ended): so do we, and whoever writes to it may notice. */
static void lose_program(struct exec_input *in)
{
    settle(in);
    in->given = 0;
    close(TAKE_FD(in->to));
    if (in->kind != EXEC_SOURCE_FILE)
        (void)epoll_ctl(in->events, EPOLL_CTL_DEL, in->from, NULL);
    relay_let_go(in->from);
}

/* How long to sleep at most. */
static int next_look(struct exec_input *in)
{
    struct pollfd p = {.fd = in->to, .events = POLLOUT};
    if (in->given == 0 || in->kind == EXEC_SOURCE_FILE || poll(&p, 1, 0) == 0)
        return -1;
    const int ms = in->look_ms;
    in->look_ms = 2 * ms < LOOK_MAX ? 2 * ms : LOOK_MAX;
    return ms;
}

static void *give(void *arg)
{
    struct exec_input *in = arg;
    while (pass(in)) {
        struct epoll_event ev[3];
        int n = epoll_wait(in->events, ev, 3, next_look(in));
        for (int i = 0; i < n; i++) {
            if (ev[i].data.fd == in->stop)
                return NULL;
            if (ev[i].data.fd == in->to && (ev[i].events & EPOLLERR)) {
                lose_program(in);
                return NULL;
            }
        }
    }
    return NULL;
}

/* ---- both ends of it ---- */

static int watch(const struct exec_input *in, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};
    return epoll_ctl(in->events, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int prepare(struct exec_input *in)
{
    in->events = epoll_create1(EPOLL_CLOEXEC);
    in->stop = eventfd(0, EFD_CLOEXEC);
    if (in->events < 0 || in->stop < 0 || fcntl(in->to, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    if (in->kind == EXEC_SOURCE_PIPE) {
        in->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (in->null < 0 || pipe2(in->scratch, O_CLOEXEC | O_NONBLOCK) < 0)
            return -errno;
        const int size = fcntl(in->from, F_GETPIPE_SZ);
        if (size > 65536) /* smaller than the source it would only be slower */
            (void)fcntl(in->scratch[0], F_SETPIPE_SZ, size);
    } else {
        in->chunk = mem_array(CHUNK, 1);
    }
    int r = watch(in, in->stop, EPOLLIN);
    if (r >= 0)
        r = watch(in, in->to, EPOLLOUT | EPOLLET);
    if (r >= 0 && in->kind != EXEC_SOURCE_FILE)
        r = watch(in, in->from, EPOLLIN | EPOLLRDHUP | EPOLLET);
    return r;
}

int exec_input_start(struct exec_input *in, enum exec_source kind, int from, int to)
{
    *in = EXEC_INPUT_NONE;
    in->kind = kind;
    in->from = from;
    in->to = to;
    in->look_ms = LOOK_MIN;
    int r = prepare(in);
    if (r >= 0)
        r = relay_thread(&in->thread, give, in);
    in->running = r == 0;
    return r;
}

void exec_input_stop(struct exec_input *in)
{
    if (!in->running)
        return;
    const uint64_t one = 1;
    (void)!write(in->stop, &one, sizeof(one));
    if (!relay_join(in->thread, STOP_MS))
        return;
    in->running = false;
    if (in->to >= 0)
        settle(in);
}
