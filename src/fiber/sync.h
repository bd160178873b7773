/* sync - what fibers of one thread wait on. None of these is thread-safe. */
#pragma once

#include "fiber/fiber.h"

/* A wait list: fibers park on it, wake_one / wake_all release them in order. The basis of the rest
 * and usable directly:
 *     while (!predicate) {
 *         r = waitq_wait(&q);
 *         if (r < 0)
 *             return r;
 *     }
 */
struct waitq {
    struct list waiters;
};
void waitq_init(struct waitq *q);
int waitq_wait(struct waitq *q) WARN_UNUSED; /* Suspends. 0, -ECANCELED, -ETIMEDOUT */
/* As waitq_wait, but a fiber_wake from elsewhere ends the wait too, with 1: for waiting on a list
 * and a descriptor (io_fd.reader) at once. A release that came with it is not lost: then 0.
 * Suspends. */
int waitq_wait_or_woken(struct waitq *q) WARN_UNUSED;
void waitq_wake_one(struct waitq *q);
void waitq_wake_all(struct waitq *q);
/* Releases all with `code` (< 0): what they waited in is about to be gone, and they must not look at it
 * again. */
void waitq_wake_all_with(struct waitq *q, int code);
bool waitq_empty(const struct waitq *q);

/* A mutex for state that must stay consistent across a suspension. Not recursive. FIFO. */
struct fmutex {
    struct fiber *owner;
    struct waitq q;
};
void fmutex_init(struct fmutex *m);
int fmutex_lock(struct fmutex *m) WARN_UNUSED; /* Suspends. 0, -ECANCELED, -ETIMEDOUT */
void fmutex_unlock(struct fmutex *m);

/* A counting semaphore (capacity of something). */
struct fsem {
    size_t free;
    struct waitq q;
};
void fsem_init(struct fsem *s, size_t n);
int fsem_take(struct fsem *s) WARN_UNUSED; /* Suspends */
bool fsem_try(struct fsem *s);
void fsem_give(struct fsem *s);
