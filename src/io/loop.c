/* loop.c - the epoll loop of a thread.
 *
 * Theory of operation. A turn of the loop runs the ready fibers, asks epoll what happened (without
 * waiting when fibers are ready), turns events into wake-ups, and runs what other threads posted.
 * Descriptors are registered once, edge-triggered, for both directions; io_fd remembers which
 * direction may make progress. A reader tries first and waits only after -EAGAIN.
 *
 * The event carries slot and generation, never a pointer: a slot gets a new generation when its
 * descriptor leaves, so an event that was already fetched for it, or for the next owner of the same
 * descriptor number, matches nothing and is dropped. EPOLL_CTL_DEL comes before close, because the
 * registration belongs to the open file, which a child process may hold open.
 *
 * A closed descriptor's waiters are woken with -EBADF and do not look at the io_fd again: its owner
 * may be gone by the time they run. */
#include "io/loop_internal.h"
#include "base/time.h"
#include "fiber/scheduler.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_PER_WAIT 64
#define TURNS_PER_POLL  64              /* batches of fibers between two looks at epoll, ... */
#define POLL_EVERY_NS   (NS_PER_MS / 5) /* ... or this long, whichever comes first */
#define SLOT_WAKE       UINT32_MAX      /* the eventfd */
#define EVENTS_IN       (EPOLLIN | EPOLLRDHUP | EPOLLET)

struct slot {
    struct io_fd *io;    /* NULL when free */
    uint32_t generation; /* of the present or the next owner */
    uint32_t next_free;
};

struct loop {
    int epoll_fd, wake_fd;
    struct slot *slots;
    uint32_t n_slots, first_free; /* first_free == n_slots: none */
    pthread_mutex_t lock;         /* guards the two below */
    struct loop_item *posted, **posted_tail;
};

static __thread struct loop *here;

struct loop *loop_self(void)
{
    return here;
}

/* ---- life ---- */

static void turn(void);
static void run_posted(struct loop *l);

int loop_init(void)
{
    MUST(!here);
    AUTO_CLOSE int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0)
        return -errno;
    AUTO_CLOSE int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0)
        return -errno;
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = SLOT_WAKE};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, wake, &ev) < 0)
        return -errno;
    /* A peer that closes early is an error code of write, not the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    struct loop *l = mem_new(struct loop);
    l->epoll_fd = TAKE_FD(ep);
    l->wake_fd = TAKE_FD(wake);
    pthread_mutex_init(&l->lock, NULL);
    l->posted_tail = &l->posted;
    here = l;
    sched_set_idle(turn);
    return 0;
}

void loop_done(void)
{
    struct loop *l = here;
    if (!l)
        return;
    for (uint32_t i = 0; i < l->n_slots; i++)
        MUST(!l->slots[i].io); /* a descriptor outlives its loop */
    run_posted(l);             /* what another thread posted after the last fiber ended */
    fiber_thread_done();
    (void)close(l->wake_fd);
    (void)close(l->epoll_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->slots);
    free(l);
    here = NULL;
}

/* ---- posts from other threads ---- */

void loop_post_item(struct loop *l, struct loop_item *item)
{
    item->next = NULL;
    /* The write stays inside the lock: once it is released the loop may run the item, finish, and
     * be taken down together with its eventfd. */
    pthread_mutex_lock(&l->lock);
    bool first = !l->posted;
    *l->posted_tail = item;
    l->posted_tail = &item->next;
    if (first) {
        uint64_t one = 1;
        ssize_t ignored = write(l->wake_fd, &one, sizeof(one));
        (void)ignored; /* fails only when the counter is full, that is, already readable */
    }
    pthread_mutex_unlock(&l->lock);
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct loop_item *item = mem_new(struct loop_item);
    *item = (struct loop_item){.fn = fn, .arg = arg, .heap = true};
    loop_post_item(l, item);
}

static void run_posted(struct loop *l)
{
    uint64_t count;
    pthread_mutex_lock(&l->lock);
    ssize_t ignored = read(l->wake_fd, &count, sizeof(count));
    (void)ignored;
    struct loop_item *item = TAKE(l->posted);
    l->posted_tail = &l->posted;
    pthread_mutex_unlock(&l->lock);
    while (item) {
        struct loop_item *next = item->next;
        bool heap = item->heap;
        item->fn(item->arg); /* may end the life of an item that is not ours */
        if (heap)
            free(item);
        item = next;
    }
}

/* ---- turns ---- */

static void on_event(struct loop *l, const struct epoll_event *ev)
{
    uint32_t i = (uint32_t)ev->data.u64, generation = (uint32_t)(ev->data.u64 >> 32);
    if (i >= l->n_slots || l->slots[i].generation != generation || !l->slots[i].io)
        return; /* closed since epoll_wait fetched this */
    struct io_fd *io = l->slots[i].io;
    if (ev->events & EPOLLHUP)
        io->hangup = true;
    if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        io->peer_ended = true;
    if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        io->readable = true;
        io->drained = io->emptied = false;
        if (io->reader)
            fiber_wake(io->reader);
    }
    if (ev->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        io->writable = true;
        if (io->writer)
            fiber_wake(io->writer);
    }
}

static void poll_events(struct loop *l, int timeout_ms)
{
    struct epoll_event ev[EVENTS_PER_WAIT];
    int n = epoll_wait(l->epoll_fd, ev, EVENTS_PER_WAIT, timeout_ms);
    bool woken = false;
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 == SLOT_WAKE)
            woken = true;
        else
            on_event(l, &ev[i]);
    }
    if (woken)
        run_posted(l);
}

/* How long epoll may wait for the next timer. Rounded up: waking early would only spin. */
static int timeout_ms(void)
{
    int64_t next = fiber_next_timer_ns();
    if (next == FIBER_NO_DEADLINE)
        return -1;
    int64_t left = next - time_mono_ns();
    if (left <= 0)
        return 0;
    int64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

static void turn(void)
{
    struct loop *l = here;
    int64_t until = time_mono_ns() + POLL_EVERY_NS;
    bool more = fiber_run_ready();
    for (int i = 1; more && i < TURNS_PER_POLL && time_mono_ns() < until; i++)
        more = fiber_run_ready();
    /* A fiber that waits for the last one must run before we wait for events. */
    if (fiber_count() == 0)
        return;
    poll_events(l, more ? 0 : timeout_ms());
}

struct root {
    fiber_fn *fn;
    void *arg;
    int result;
};

static int run_root(void *arg)
{
    struct root *root = arg;
    root->result = root->fn(root->arg);
    return 0;
}

int loop_run(fiber_fn *fn, void *arg)
{
    MUST(here && !fiber_self());
    struct root root = {.fn = fn, .arg = arg};
    AUTO(scope) s;
    scope_init(&s);
    int r = fiber_spawn(&s, "root", run_root, &root, NULL);
    if (r < 0)
        return r;
    while (fiber_count() > 0)
        turn();
    return root.result;
}

/* ---- registration ---- */

static uint32_t slot_take(struct loop *l, struct io_fd *io)
{
    if (l->first_free == l->n_slots) {
        uint32_t n = l->n_slots ? l->n_slots * 2 : 64;
        struct slot *bigger = mem_array(n, sizeof(*bigger));
        if (l->slots)
            memcpy(bigger, l->slots, l->n_slots * sizeof(*bigger));
        for (uint32_t i = l->n_slots; i < n; i++)
            bigger[i] = (struct slot){.next_free = i + 1};
        free(l->slots);
        l->slots = bigger;
        l->n_slots = n;
    }
    uint32_t i = l->first_free;
    l->first_free = l->slots[i].next_free;
    l->slots[i].io = io;
    return i;
}

static void slot_give(struct loop *l, uint32_t i)
{
    l->slots[i].io = NULL;
    l->slots[i].generation++;
    l->slots[i].next_free = l->first_free;
    l->first_free = i;
}

static uint64_t tag(const struct io_fd *io)
{
    return (uint64_t)io->generation << 32 | io->slot;
}

static int add(struct io_fd *io, int fd, uint32_t events)
{
    struct loop *l = here;
    MUST(l);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    uint32_t slot = slot_take(l, io);
    /* Both directions count as ready until a call says -EAGAIN. */
    struct io_fd fresh = {.fd = fd,
                          .slot = slot,
                          .generation = l->slots[slot].generation,
                          .readable = true,
                          .writable = true,
                          .out_asked = events & EPOLLOUT};
    struct epoll_event ev = {.events = events, .data.u64 = tag(&fresh)};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        int r = -errno;
        slot_give(l, slot);
        return r;
    }
    *io = fresh;
    return 0;
}

int io_fd_add(struct io_fd *io, int fd)
{
    return add(io, fd, EVENTS_IN | EPOLLOUT);
}

int io_fd_add_channel(struct io_fd *io, int fd)
{
    int r = add(io, fd, EVENTS_IN);
    io->channel = r == 0;
    return r;
}

int io_ask_for_room(struct io_fd *io)
{
    if (io->out_asked)
        return 0;
    /* An event comes at once when there is room by now. */
    struct epoll_event ev = {.events = EVENTS_IN | EPOLLOUT, .data.u64 = tag(io)};
    if (epoll_ctl(here->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) < 0)
        return -errno;
    io->out_asked = true;
    return 0;
}

int io_fd_release(struct io_fd *io)
{
    if (io->fd < 0)
        return -1;
    struct loop *l = here;
    MUST(l && io->slot < l->n_slots && l->slots[io->slot].io == io);
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
    slot_give(l, io->slot);
    struct fiber *reader = TAKE(io->reader), *writer = TAKE(io->writer);
    if (reader)
        fiber_wake_with(reader, -EBADF);
    if (writer)
        fiber_wake_with(writer, -EBADF);
    return TAKE_FD(io->fd);
}

void io_fd_close(struct io_fd *io)
{
    int fd = io_fd_release(io);
    if (fd >= 0)
        (void)close(fd);
}

void io_fd_done(struct io_fd *io)
{
    io_fd_close(io);
}

void io_fd_move(struct io_fd *to, struct io_fd *from)
{
    MUST(!from->reader && !from->writer);
    *to = *from;
    *from = IO_FD_NONE;
    if (to->fd >= 0) {
        MUST(here->slots[to->slot].io == from);
        here->slots[to->slot].io = to;
    }
}
