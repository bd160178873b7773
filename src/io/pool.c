/* pool.c - threads for calls that block.
 *
 * Theory of operation. A fiber puts an item, which lives on its stack, into the queue and parks
 * in a wait that neither cancellation nor deadline ends; a thread takes it, runs the call, and
 * posts the item back to the loop it came from, which wakes the fiber. The queue holds at most one
 * item per fiber, so it is bounded by the number of fibers. Threads start when an item finds no
 * idle thread, up to the limit, and end after a while without work, so an idle process keeps no
 * stack but that of the thread that ended last. A thread that ends joins the one that ended before it, and pool_free the last one: when it
 * returns, their destructors have run too, in which a library (OpenSSL) gives back what it kept for a
 * thread, and must not do so while the process shuts it down.
 *
 * Threads block all signals that the loop takes by signalfd. Nothing here touches fibers from a
 * thread of the pool: only the item, under the lock or before the post. */
#include "io/pool.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "fiber/scheduler.h"
#include "io/loop_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define POOL_STACK_BYTES (1u << 20)
#define POOL_IDLE_S      10

struct pool {
    char name[12];
    int max_threads;
    pthread_mutex_t lock;
    pthread_cond_t work, ended;
    struct list queue; /* of struct call */
    int n_threads, n_idle;
    bool stopping;
    bool has_ended;
    pthread_t last_ended; /* if has_ended; not joined yet */
};

struct call {
    struct list node;
    int (*fn)(void *arg);
    void *arg;
    int result;
    bool done; /* written and read on the loop's thread */
    struct fiber *fiber;
    struct loop *loop;
    struct loop_item back;
};

static void on_done(void *arg)
{
    struct call *c = arg;
    c->done = true;
    fiber_wake(c->fiber);
}

/* Waits for work, lock held. False when the thread should end. */
static bool wait_work(struct pool *p)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += POOL_IDLE_S;
    p->n_idle++;
    int r = 0;
    while (list_empty(&p->queue) && !p->stopping && r == 0)
        r = pthread_cond_timedwait(&p->work, &p->lock, &until);
    p->n_idle--;
    return !list_empty(&p->queue);
}

static void *thread_main(void *arg)
{
    struct pool *p = arg;
    (void)pthread_setname_np(pthread_self(), p->name);
    pthread_mutex_lock(&p->lock);
    while (!list_empty(&p->queue) || wait_work(p)) {
        struct call *c = LIST_ENTRY(list_pop_front(&p->queue), struct call, node);
        pthread_mutex_unlock(&p->lock);
        c->result = c->fn(c->arg);
        loop_post_item(c->loop, &c->back);
        pthread_mutex_lock(&p->lock);
    }
    pthread_t before = p->last_ended;
    bool joins = p->has_ended;
    p->last_ended = pthread_self();
    p->has_ended = true;
    p->n_threads--;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->lock);
    if (joins) /* the pool may be gone by now */
        MUST(pthread_join(before, NULL) == 0);
    return NULL;
}

/* Lock held. */
static int start_thread(struct pool *p)
{
    pthread_attr_t attr;
    int r = pthread_attr_init(&attr);
    if (r != 0)
        return -r;
    (void)pthread_attr_setstacksize(&attr, POOL_STACK_BYTES);
    /* The new thread inherits a mask that leaves only the signals of its own faults. */
    sigset_t mask, old;
    sigfillset(&mask);
    sigdelset(&mask, SIGSEGV);
    sigdelset(&mask, SIGBUS);
    sigdelset(&mask, SIGFPE);
    sigdelset(&mask, SIGILL);
    (void)pthread_sigmask(SIG_SETMASK, &mask, &old);
    pthread_t t;
    r = pthread_create(&t, &attr, thread_main, p);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    if (r != 0)
        return -r;
    p->n_threads++;
    return 0;
}

struct pool *pool_new(const char *name, int threads)
{
    MUST(threads > 0);
    struct pool *p = mem_new(struct pool);
    (void)str_copy(p->name, sizeof(p->name), name);
    p->max_threads = threads;
    list_init(&p->queue);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->work, &attr);
    pthread_cond_init(&p->ended, NULL);
    pthread_condattr_destroy(&attr);
    return p;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    MUST(list_empty(&p->queue));
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    while (p->n_threads)
        pthread_cond_wait(&p->ended, &p->lock);
    pthread_mutex_unlock(&p->lock);
    if (p->has_ended)
        MUST(pthread_join(p->last_ended, NULL) == 0);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->ended);
    free(p);
}

int pool_call(struct pool *p, int (*fn)(void *arg), void *arg)
{
    if (!fiber_self())
        return fn(arg); /* start-up and shutdown: nobody else is kept waiting */
    struct call c = {.fn = fn, .arg = arg, .fiber = fiber_self(), .loop = loop_self()};
    c.back = (struct loop_item){.fn = on_done, .arg = &c};
    MUST(c.loop);
    pthread_mutex_lock(&p->lock);
    MUST(!p->stopping);
    list_push_back(&p->queue, &c.node);
    int r = 0;
    if (p->n_idle > 0)
        pthread_cond_signal(&p->work);
    if (p->n_idle == 0 && p->n_threads < p->max_threads)
        r = start_thread(p);
    bool nobody = r < 0 && p->n_threads == 0;
    if (nobody)
        list_remove(&c.node);
    pthread_mutex_unlock(&p->lock);
    if (r < 0)
        log_warn("no thread for a blocking call", "pool=%s err=%s", p->name, err_name(r));
    if (nobody)
        return fn(arg); /* slow beats stuck */
    while (!c.done)
        MUST(fiber_park_for(FIBER_NO_DEADLINE, true) == 0);
    return c.result;
}
