/* sync.c - wait lists, mutexes, semaphores.
 *
 * Theory of operation. A waiter is a node on the waiting fiber's stack. Waking takes the node off
 * the list and marks it; the mark, not the reason why the fiber came back, decides: a waiter that
 * was both released and cancelled reports success, so that no release is lost, and learns of the
 * cancellation at its next suspending call. A mutex or a unit of a semaphore is handed to the first
 * waiter directly, so a newcomer never overtakes. */
#include "fiber/sync.h"
#include "fiber/scheduler.h"

struct waiter {
    struct list node;
    struct fiber *fiber;
    bool released;
    int code; /* of waitq_wake_all_with */
};

void waitq_init(struct waitq *q)
{
    list_init(&q->waiters);
}

bool waitq_empty(const struct waitq *q)
{
    return list_empty(&q->waiters);
}

/* Waits until released: unlike waitq_wait never returns 0 early. */
static int wait_released(struct waitq *q)
{
    struct waiter w = {.fiber = fiber_self()};
    int r = fiber_check();
    if (r < 0)
        return r;
    list_push_back(&q->waiters, &w.node);
    while (r == 0 && !w.released)
        r = fiber_park();
    if (w.released)
        return w.code;
    list_remove(&w.node);
    return r;
}

int waitq_wait(struct waitq *q)
{
    return wait_released(q);
}

int waitq_wait_or_woken(struct waitq *q)
{
    struct waiter w = {.fiber = fiber_self()};
    int r = fiber_check();
    if (r < 0)
        return r;
    list_push_back(&q->waiters, &w.node);
    r = fiber_park();
    if (w.released)
        return w.code;
    list_remove(&w.node);
    return r < 0 ? r : 1;
}

/* Releases the first waiter; returns its fiber or NULL. */
static struct fiber *release_one(struct waitq *q, int code)
{
    struct list *n = list_pop_front(&q->waiters);
    if (!n)
        return NULL;
    struct waiter *w = LIST_ENTRY(n, struct waiter, node);
    w->released = true;
    w->code = code;
    fiber_wake(w->fiber);
    return w->fiber;
}

void waitq_wake_one(struct waitq *q)
{
    (void)release_one(q, 0);
}

void waitq_wake_all(struct waitq *q)
{
    waitq_wake_all_with(q, 0);
}

void waitq_wake_all_with(struct waitq *q, int code)
{
    while (release_one(q, code))
        ;
}

void fmutex_init(struct fmutex *m)
{
    m->owner = NULL;
    waitq_init(&m->q);
}

int fmutex_lock(struct fmutex *m)
{
    int r = fiber_check();
    if (r < 0)
        return r;
    MUST(m->owner != fiber_self());
    if (!m->owner) {
        m->owner = fiber_self();
        return 0;
    }
    r = wait_released(&m->q);
    MUST(r < 0 || m->owner == fiber_self());
    return r;
}

void fmutex_unlock(struct fmutex *m)
{
    MUST(m->owner && m->owner == fiber_self());
    m->owner = release_one(&m->q, 0);
}

void fsem_init(struct fsem *s, size_t n)
{
    s->free = n;
    waitq_init(&s->q);
}

int fsem_take(struct fsem *s)
{
    int r = fiber_check();
    if (r < 0)
        return r;
    if (fsem_try(s))
        return 0;
    return wait_released(&s->q); /* fsem_give hands the unit over */
}

bool fsem_try(struct fsem *s)
{
    if (s->free == 0)
        return false;
    s->free--;
    return true;
}

void fsem_give(struct fsem *s)
{
    if (!release_one(&s->q, 0))
        s->free++;
}
