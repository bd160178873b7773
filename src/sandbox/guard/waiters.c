/* waiters.c - threads that wait in place of programs.
 *
 * A connect to a listener whose queue is full, or to a port that does not answer, may take for
 * ever, and the guard has other callers. It cannot be made without waiting: whether it waits is a
 * property of the open socket, which the program holds, too. So a thread makes it. Threads are made
 * when they are needed, end after a second without work, and at most WAITERS_THREADS are there: a
 * program that wants more gets in line.
 *
 * A program that waits for us is woken by nothing but its end (seccomp.c: once its call has come
 * here, no other signal interrupts it), so we look whether one is pending, and end its call as the
 * kernel would: the thread is sent a signal that does nothing but end its waiting. The answer is
 * then ERESTARTSYS, which makes the kernel look at the signal and restart the call or say EINTR, as
 * the program's handler asks for. That is a number no program may see, so it is given only where
 * the signal is certainly this thread's; elsewhere EINTR.
 *
 * The mutex is the guard's threads' own: init's thread never takes it, so a child of init never
 * finds it taken. */
#include "sandbox/guard/waiters.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sandbox/guard/caller.h"

#define STACK_BYTES (64u << 10)
#define WAKE        SIGUSR2
#define IDLE_MS     1000
#define ERESTARTSYS 512 /* the kernel's own */

struct slot {
    struct waiters *all;
    bool used, working;
    pthread_t thread;
    struct waiter_job job;
    int interrupted; /* what to answer instead, once it is to end; 0 */
};

struct waiters {
    int listener;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct slot slot[WAITERS_THREADS];
    struct waiter_job queue[WAITERS_QUEUED]; /* in order, from `first` on */
    size_t first, queued, working, idle;
};

void waiter_answer(int listener, uint64_t id, int error)
{
    struct seccomp_notif_resp resp = {.id = id, .error = error};
    (void)!ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

void waiter_job_done(struct waiter_job *j)
{
    fd_cleanup_close(&j->fd);
    fd_cleanup_close(&j->target);
}

int waiter_job_call(const struct waiter_job *j)
{
    int r = j->call == WAITER_CONNECT ? connect(j->fd, &j->addr.any, j->addr_len)
            : j->call == WAITER_FLOCK ? flock(j->fd, j->arg)
                                      : fcntl(j->fd, j->arg, &j->lock);
    return r < 0 ? -errno : 0;
}

static void wake(int sig)
{
    (void)sig;
}

/* The call, again when something else than its caller has interrupted it. */
static int call(struct waiters *w, struct slot *s)
{
    for (;;) {
        int r = waiter_job_call(&s->job);
        if (r != -EINTR)
            return r;
        pthread_mutex_lock(&w->lock);
        int end = s->interrupted;
        pthread_mutex_unlock(&w->lock);
        if (end)
            return -end;
    }
}

static struct waiter_job next_job(struct waiters *w)
{
    struct waiter_job j = w->queue[w->first];
    w->first = (w->first + 1) % WAITERS_QUEUED;
    w->queued--;
    return j;
}

/* With the lock held. False when the thread is to end. */
static bool wait_for_work(struct waiters *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until); /* lint-allow: banned a condition wants a timespec */
    until.tv_sec += IDLE_MS / 1000;
    w->idle++;
    int r = 0;
    while (w->queued == 0 && r == 0)
        r = pthread_cond_timedwait(&w->work, &w->lock, &until);
    w->idle--;
    return w->queued > 0;
}

static void *run(void *arg)
{
    struct slot *s = arg;
    struct waiters *w = s->all;
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, WAKE);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    pthread_mutex_lock(&w->lock);
    while (wait_for_work(w)) {
        s->job = next_job(w);
        s->interrupted = 0;
        s->working = true;
        w->working++;
        pthread_mutex_unlock(&w->lock);
        int r = call(w, s);
        waiter_answer(w->listener, s->job.id, r);
        pthread_mutex_lock(&w->lock);
        s->working = false;
        w->working--;
        waiter_job_done(&s->job);
    }
    s->used = false;
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* With the lock held. Fails silently: those that are there will take the work, or nobody. */
static bool start_thread(struct waiters *w)
{
    struct slot *s = NULL;
    for (size_t i = 0; i < WAITERS_THREADS && !s; i++)
        if (!w->slot[i].used)
            s = &w->slot[i];
    if (!s)
        return true; /* all are at work */
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    s->all = w;
    int r = pthread_create(&s->thread, &attr, run, s);
    pthread_attr_destroy(&attr);
    s->used = r == 0;
    return r == 0;
}

static bool any_thread(const struct waiters *w)
{
    for (size_t i = 0; i < WAITERS_THREADS; i++)
        if (w->slot[i].used)
            return true;
    return false;
}

int waiters_init(struct waiters **ret, int listener)
{
    /* Not SA_RESTART: it is there to end a call. */
    const struct sigaction act = {.sa_handler = wake};
    if (sigaction(WAKE, &act, NULL) < 0)
        return -errno;
    static struct waiters w; /* pages that are never used cost nothing */
    w.listener = listener;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.work, &attr);
    pthread_condattr_destroy(&attr);
    *ret = &w;
    return 0;
}

int waiters_add(struct waiters *w, const struct waiter_job *j)
{
    pthread_mutex_lock(&w->lock);
    int r = w->queued < WAITERS_QUEUED ? 0 : -EAGAIN;
    if (r == 0 && w->queued >= w->idle && !start_thread(w) && !any_thread(w))
        r = -EAGAIN;
    if (r == 0) {
        w->queue[(w->first + w->queued++) % WAITERS_QUEUED] = *j;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    return r;
}

bool waiters_busy(struct waiters *w)
{
    pthread_mutex_lock(&w->lock);
    bool busy = w->working > 0 || w->queued > 0;
    pthread_mutex_unlock(&w->lock);
    return busy;
}

/* What the caller is to be told instead, when it waits no longer: an errno; 0. */
static int interrupted(const struct waiters *w, const struct waiter_job *j)
{
    uint64_t id = j->id;
    if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
        return EINTR; /* nobody will hear it */
    int r = caller_interrupted(j->tid);
    return r == 1 ? ERESTARTSYS : r == 2 ? EINTR : 0;
}

/* Those in line whose callers wait no longer leave it. */
static void look_at_queue(struct waiters *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->queued; i++) {
        struct waiter_job *j = &w->queue[(w->first + i) % WAITERS_QUEUED];
        int end = interrupted(w, j);
        if (end) {
            waiter_answer(w->listener, j->id, -end);
            waiter_job_done(j);
        } else {
            w->queue[(w->first + kept++) % WAITERS_QUEUED] = *j;
        }
    }
    w->queued = kept;
}

void waiters_look(struct waiters *w)
{
    pthread_mutex_lock(&w->lock);
    look_at_queue(w);
    for (size_t i = 0; i < WAITERS_THREADS; i++) {
        struct slot *s = &w->slot[i];
        if (!s->used || !s->working)
            continue;
        if (!s->interrupted)
            s->interrupted = interrupted(w, &s->job);
        if (s->interrupted) /* again each time: it may have come before the thread was waiting */
            pthread_kill(s->thread, WAKE);
    }
    pthread_mutex_unlock(&w->lock);
}
