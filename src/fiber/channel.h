/* channel - a bounded FIFO of pointers between fibers of one thread, with close. */
#pragma once

#include "fiber/sync.h"

struct channel {
    void **ring;
    size_t cap, head, n;
    bool closed;
    struct waitq readers, writers;
};
void channel_init(struct channel *c, size_t cap); /* cap >= 1 */
/* Must be empty of waiters. Leftover items are the caller's: drain first. */
void channel_done(struct channel *c);
/* Suspends while full. -EPIPE when closed. */
int channel_send(struct channel *c, void *item) WARN_UNUSED;
int channel_try_send(struct channel *c, void *item) WARN_UNUSED; /* -EAGAIN when full */
/* Suspends while empty. -EPIPE when closed and empty. */
int channel_recv(struct channel *c, void **ret) WARN_UNUSED;
int channel_try_recv(struct channel *c, void **ret) WARN_UNUSED; /* -EAGAIN when empty */
void channel_close(struct channel *c);
