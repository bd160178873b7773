/* guard.c - who answers for the system call filter.
 *
 * A filter sees numbers. Which socket a program connects to lies in its memory, and in the file
 * system behind that, and a bind shows sockets on which programs of the host listen: whoever may
 * talk to those is out of the sandbox. So the filter stops connect and bind, and here they are made
 * on a copy of the program's socket, after a look at where the path leads. They are never let go on
 * to the kernel: another thread of the program could swap descriptor or address after the look.
 *
 * One thread of init's process, which is process 1: nothing inside can signal it to death, trace it
 * or read it (init is not dumpable). It is started before the filter is there, for init's thread
 * alone, and gets one that knows only its own calls. It keeps one right in the sandbox's user
 * namespace, CAP_SYS_PTRACE, without which programs that are not dumpable (ssh-add) could not
 * connect. It has a descriptor table of its own, so that copies never reach a child of init, and a
 * working directory and umask of its own. It takes no lock that init's thread takes. What may wait
 * is given to other threads (waiters.c); everything else is done inline, and ends.
 *
 * What comes from the program is its registers, at most 128 bytes of memory, and links in file
 * systems: bytes are copied once and used as copied, and a path is used as the descriptor that it
 * led to. Whoever floods the guard waits for it, and so do the others of its sandbox only. */
#include "sandbox/guard/guard.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "sandbox/guard/answer.h"
#include "sandbox/guard/caller.h"
#include "sandbox/guard/waiters.h"
#include "sandbox/lock/capability.h"
#include "sandbox/lock/landlock.h"
#include "sandbox/lock/seccomp.h"
#include "sandbox/sandbox.h"

#define STACK_BYTES (96u << 10)
/* From Linux 6.6 on: whoever is answered runs at once, where we ran. */
#define NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define NOTIF_SYNC_WAKE 1ul

struct guard {
    struct answer_rules rules;
    const struct seccomp_filter *filter;
    int listener, notes; /* init's until the guard has copies */
    int error;           /* what kept the guard from starting */
    sem_t go, ready;
    struct waiters *waiters;
};

/* ---- what was seen, for the report ---- */

static void note(const struct guard *g, const struct seccomp_notif *n, bool refused)
{
    struct guard_note w;
    memset(&w, 0, sizeof(w));
    w.nr = n->data.nr;
    w.refused = refused;
    const bool to = w.nr == SYS_sendto, names = to || w.nr == SYS_connect;
    const unsigned len = (unsigned)n->data.args[to ? 5 : 2];
    if (names) {
        w.addr_len = len < sizeof(w.addr) ? len : sizeof(w.addr);
        if (caller_read((pid_t)n->pid, n->data.args[to ? 4 : 1], w.addr, w.addr_len) < 0)
            w.addr_len = 0;
    }
    uint64_t id = n->id;
    if (!names || ioctl(g->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0)
        (void)!write(g->notes, &w, sizeof(w)); /* waits for init, who reads in its loop */
}

static void go_on(const struct guard *g, uint64_t id)
{
    struct seccomp_notif_resp resp = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    (void)!ioctl(g->listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

/* ---- the loop ---- */

static void answer(struct guard *g, const struct seccomp_notif *n)
{
    struct waiter_job job = {.id = n->id, .tid = (pid_t)n->pid, .fd = -1, .target = -1};
    int r = answer_call(&g->rules, g->listener, n, &job);
    if (g->notes >= 0 && (n->data.nr == SYS_connect || n->data.nr == SYS_sendto || r == ANSWER_NO ||
                          r == ANSWER_DENIED))
        note(g, n, r == ANSWER_NO || r == ANSWER_DENIED);
    if (r == ANSWER_GO_ON) {
        waiter_job_done(&job);
        go_on(g, n->id);
        return;
    }
    if (r == ANSWER_WAITS) {
        r = waiters_add(g->waiters, &job);
        if (r == 0)
            return;
    }
    waiter_job_done(&job);
    waiter_answer(g->listener, n->id, r == ANSWER_NO ? -EPERM : r == ANSWER_DENIED ? -EACCES : r);
}

static NORETURN void serve(struct guard *g)
{
    int64_t looked = 0;
    for (;;) {
        const bool busy = waiters_busy(g->waiters);
        struct pollfd p = {.fd = g->listener, .events = POLLIN};
        int n = poll(&p, 1, busy ? WAITERS_LOOK_MS : -1);
        struct seccomp_notif call;
        memset(&call, 0, sizeof(call)); /* the kernel insists */
        /* After POLLIN this does not wait: it says ENOENT when the caller is gone. */
        if (n > 0 && (p.revents & POLLIN) &&
            ioctl(g->listener, SECCOMP_IOCTL_NOTIF_RECV, &call) == 0)
            answer(g, &call);
        else if (n > 0 && !(p.revents & POLLIN))
            _exit(1); /* nobody is under the filter: not even init */
        if (busy && time_mono_ns() - looked >= WAITERS_LOOK_MS * NS_PER_MS) {
            waiters_look(g->waiters);
            looked = time_mono_ns();
        }
    }
}

/* ---- the beginning ---- */

/* A descriptor table with what we need alone, a working directory and a umask. */
static int take_own(const struct guard *g)
{
    const bool first = g->notes < 0 || g->listener < g->notes;
    const int low = first ? g->listener : g->notes, high = first ? g->notes : g->listener;
    if (unshare(CLONE_FILES | CLONE_FS) < 0 ||
        (low > 3 && close_range(3, (unsigned)low - 1, 0) < 0))
        return -errno;
    if (high >= 0 && high > low + 1 && close_range((unsigned)low + 1, (unsigned)high - 1, 0) < 0)
        return -errno;
    return close_range((unsigned)(high >= 0 ? high : low) + 1, ~0u, 0) < 0 ? -errno : 0;
}

static void wait_for(sem_t *s)
{
    while (sem_wait(s) < 0)
        ;
}

static void *run(void *arg)
{
    struct guard *g = arg;
    wait_for(&g->go);
    int r = g->error ? g->error : take_own(g);
    if (r >= 0)
        r = waiters_init(&g->waiters, g->listener);
    if (r >= 0) {
        uint64_t flags = NOTIF_SYNC_WAKE;
        (void)!ioctl(g->listener, NOTIF_SET_FLAGS, flags); /* only makes it faster */
        r = seccomp_filter_install_guard(g->filter);
    }
    g->error = r < 0 ? r : 0;
    sem_post(&g->ready);
    if (r < 0)
        return NULL;
    serve(g);
}

/* All signals are for init's thread. */
static int start_thread(struct guard *g)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_t attr;
    pthread_t thread;
    int r = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (r == 0)
        r = pthread_attr_init(&attr);
    if (r != 0)
        return -r;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    r = pthread_create(&thread, &attr, run, g);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

/* Where Landlock cannot say that no socket is made below a writable bind: because it is not there,
 * or because what it allows above the bind holds below, too (landlock.c). */
static bool must_look_at_binds(const struct sandbox_spec *s)
{
    const bool everywhere = landlock_abi() < 2 || s->rootfs_dir || s->user == SANDBOX_USER_ROOT;
    for (size_t i = 0; i < s->n_binds; i++) {
        const struct sandbox_bind *b = &s->binds[i];
        if (b->write && !b->socket &&
            (everywhere || str_starts(b->target, "/tmp/") ||
             str_starts(b->target, SANDBOX_HOME "/")))
            return true;
    }
    return false;
}

unsigned guard_filter(const struct sandbox_spec *s)
{
    unsigned what = (s->report ? SECCOMP_REPORTS : 0u) |
                    (sandbox_spec_writes_to_host(s) ? SECCOMP_HOST_FILES : 0u);
    for (size_t i = 0; i < s->n_binds; i++)
        if (!s->binds[i].write && !s->binds[i].socket)
            what |= SECCOMP_LOCKS;
    return what;
}

const struct seccomp_filter *guard_filter_for(const struct sandbox_spec *s, struct err *e)
{
    static struct seccomp_filter *made[SECCOMP_KINDS]; /* for the life of the process */
    struct seccomp_filter **f = &made[guard_filter(s)];
    if (!*f)
        *f = seccomp_filter_new(guard_filter(s), e);
    return *f;
}

/* Under the filter, with the listener in the guard's hands. */
static int hand_over(struct guard *g, struct err *e)
{
    int r = capability_drop_all(e);
    if (r >= 0 && (r = seccomp_filter_install(g->filter, &g->listener)) < 0)
        err_set(e, r, "could not install the system call filter: %s", err_text(r));
    g->error = r < 0 ? r : 0;
    sem_post(&g->go);
    wait_for(&g->ready);
    const int init_s[] = {g->listener, g->notes}; /* the guard has copies of the same numbers */
    for (size_t i = 0; i < ARRAY_LEN(init_s); i++)
        if (init_s[i] >= 0)
            close(init_s[i]);
    if (r >= 0 && g->error < 0)
        r = err_set(e, g->error, "could not start the guard of system calls: %s",
                    err_text(g->error));
    return r < 0 ? r : 0;
}

int guard_begin(const struct sandbox_spec *s, const struct seccomp_filter *f, bool root_too,
                int *ret_notes, struct err *e)
{
    if (seccomp_filter_what(f) & SECCOMP_ALONE) {
        int alone = capability_drop_all(e);
        if (alone >= 0 && (alone = seccomp_filter_install(f, ret_notes)) < 0)
            err_set(e, alone, "could not install the system call filter: %s", err_text(alone));
        return alone;
    }
    static struct guard g; /* for the life of the process */
    g = (struct guard){.filter = f, .listener = -1, .notes = -1};
    g.rules.binds_too = must_look_at_binds(s);
    int r = places_note(&g.rules.places, s, root_too, e);
    if (r < 0)
        return r;
    int fds[2] = {-1, -1};
    if (seccomp_filter_what(f) & SECCOMP_REPORTS) {
        if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
            return err_set(e, -errno, "could not make a pipe: %m");
        g.notes = fds[1];
    }
    sem_init(&g.go, 0, 0);
    sem_init(&g.ready, 0, 0);
    r = start_thread(&g);
    if (r < 0)
        return err_set(e, r, "could not start the guard of system calls: %s", err_text(r));
    r = hand_over(&g, e);
    if (r >= 0)
        *ret_notes = fds[0];
    return r;
}
