/* exec_relay.c - passing bytes on, one thread for each direction.
 *
 * A thread waits in poll and in plain, waiting reads and writes: the descriptors outside are shared
 * with other processes, so their flags (O_NONBLOCK) are not ours to change. From pipe to pipe the
 * kernel moves pages (splice), whole ones, so that what a program has written in one piece is not
 * torn between other writers. What comes from the sandbox is untrusted and only carried.
 *
 * What a thread needs is allocated before it starts: its own first allocation would make a heap for
 * it, which is a fair part of the time that a short program takes.
 *
 * A thread that waits for somebody outside when the program ends is abandoned: the process ends. */
#include "cmd/exec/exec_relay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"

#define CHUNK_BYTES   65536
#define STACK_BYTES   (256u << 10) /* a shell's limit of memory may be low */
#define SPLICE_BYTES  (1u << 20)   /* more than the pages of a pipe: they are moved whole */
#define BACKGROUND_MS 100          /* between looks whether we are in the foreground by now */

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    (void)poll(&p, 1, -1);
}

static bool write_out(struct relay *r, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(r->to, p, n);
        if (k < 0 && errno == EAGAIN) { /* somebody else has made it non-blocking */
            wait_for(r->to, POLLOUT);
        } else if (k < 0 && errno != EINTR) {
            r->error = -errno;
            return false;
        } else if (k > 0) {
            atomic_fetch_add(&r->given, (unsigned long long)k);
            p += k;
            n -= (size_t)k;
        }
    }
    return true;
}

/* One step: 1 when it may go on, 0 at the end. */
static int move_pages(struct relay *r)
{
    ssize_t n = splice(r->from, NULL, r->to, NULL, SPLICE_BYTES, SPLICE_F_NONBLOCK);
    if (n > 0) {
        atomic_fetch_add(&r->taken, (unsigned long long)n);
        atomic_fetch_add(&r->given, (unsigned long long)n);
    } else if (n < 0 && errno == EAGAIN) {
        wait_for(r->to, POLLOUT); /* full: there is something to read, or we were not here */
    } else if (n < 0 && errno == EINVAL) {
        r->to_pipe = false;
    } else if (n < 0 && errno != EINTR) {
        r->error = -errno;
        return 0;
    }
    return n != 0;
}

static int move_bytes(struct relay *r)
{
    ssize_t n = read(r->from, r->chunk, CHUNK_BYTES);
    if (n < 0 && errno == EAGAIN) {
        wait_for(r->from, POLLIN);
        return 1;
    }
    if (n < 0 && errno == EINTR)
        return 1;
    if (n < 0 && errno == EIO && r->patient && tcgetpgrp(r->from) > 0 &&
        tcgetpgrp(r->from) != getpgrp()) {
        (void)poll(NULL, 0, BACKGROUND_MS);
        return 1;
    }
    if (n <= 0) /* the end; a terminal whose programs are gone says EIO */
        return 0;
    atomic_fetch_add(&r->taken, (unsigned long long)n);
    return write_out(r, r->chunk, (size_t)n);
}

/* Waits until there is something to pass on. False when nobody is left who would take it. */
static bool is_wanted(struct relay *r)
{
    struct pollfd p[2] = {{.fd = r->from, .events = POLLIN}, {.fd = r->to}};
    if (!r->watched && !r->to_pipe)
        return true;
    if (!r->watched)
        p[1].fd = -1;
    while (poll(p, 2, -1) < 0 && errno == EINTR)
        ;
    if (!(p[1].revents & (POLLERR | POLLHUP | POLLNVAL)))
        return true;
    r->error = -EPIPE;
    return false;
}

static void *pass_on(void *arg)
{
    struct relay *r = arg;
    while (is_wanted(r) && (r->to_pipe ? move_pages(r) : move_bytes(r)))
        ;
    /* A writer inside must notice that nobody takes its bytes any more, as it would outside. */
    if (r->close_to)
        close(TAKE_FD(r->to));
    if (r->close_from)
        close(TAKE_FD(r->from));
    if (r->let_go)
        relay_let_go(r->to);
    atomic_store(&r->done, true);
    return NULL;
}

int relay_thread(pthread_t *ret, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    int code = pthread_attr_init(&attr);
    if (code == 0)
        code = pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (code == 0)
        code = pthread_create(ret, &attr, run, arg);
    pthread_attr_destroy(&attr);
    return -code;
}

static void relay_forget(struct relay *r)
{
    free(r->chunk);
    r->chunk = NULL;
}

int relay_start(struct relay *r)
{
    r->chunk = mem_array(CHUNK_BYTES, 1);
    int code = relay_thread(&r->thread, pass_on, r);
    r->running = code == 0;
    if (!r->running)
        relay_forget(r);
    return code;
}

bool relay_join(pthread_t thread, int64_t ms)
{
    const int64_t until = time_mono_ns() + ms * NS_PER_MS;
    const struct timespec t = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};
    return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &t) == 0;
}

bool relay_wait(struct relay *r, int64_t ms)
{
    if (r->running && relay_join(r->thread, ms)) {
        r->running = false;
        relay_forget(r);
    }
    return !r->running;
}

void relay_flush(struct relay *r, int64_t ms)
{
    const int64_t until = time_mono_ns() + ms * NS_PER_MS;
    int waiting = 1;
    while (r->running && !atomic_load(&r->done) && time_mono_ns() < until &&
           ((ioctl(r->from, FIONREAD, &waiting) == 0 && waiting > 0) ||
            atomic_load(&r->taken) != atomic_load(&r->given)))
        (void)poll(NULL, 0, 1);
}

void relay_let_go(int fd)
{
    AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0)
        (void)dup3(null, fd, 0); /* lint-allow: banned fd must keep its number */
}
