/* channel.c - a bounded FIFO of pointers.
 *
 * Theory of operation. A ring of `cap` places and two wait lists. Every wait re-checks the ring, so
 * a reader that was released but overtaken waits again; whoever makes progress wakes one of the
 * other side, and a close wakes everybody. Items that are left at close can still be received. */
#include "fiber/channel.h"
#include "fiber/scheduler.h"

void channel_init(struct channel *c, size_t cap)
{
    MUST(cap >= 1);
    *c = (struct channel){.ring = mem_array(cap, sizeof(void *)), .cap = cap};
    waitq_init(&c->readers);
    waitq_init(&c->writers);
}

void channel_done(struct channel *c)
{
    if (!c->ring)
        return;
    MUST(waitq_empty(&c->readers) && waitq_empty(&c->writers));
    free(TAKE(c->ring));
}

int channel_try_send(struct channel *c, void *item)
{
    if (c->closed)
        return -EPIPE;
    if (c->n == c->cap)
        return -EAGAIN;
    c->ring[(c->head + c->n) % c->cap] = item;
    c->n++;
    waitq_wake_one(&c->readers);
    return 0;
}

int channel_try_recv(struct channel *c, void **ret)
{
    if (c->n == 0)
        return c->closed ? -EPIPE : -EAGAIN;
    *ret = c->ring[c->head];
    c->head = (c->head + 1) % c->cap;
    c->n--;
    waitq_wake_one(&c->writers);
    return 0;
}

/* A wait released by one item may find that somebody who did not wait took it, and goes on waiting;
 * or it may find it and be cancelled at the next call. Either way the item is with somebody. */
int channel_send(struct channel *c, void *item)
{
    int r = fiber_check();
    while (r == 0 && (r = channel_try_send(c, item)) == -EAGAIN)
        r = waitq_wait(&c->writers);
    return r;
}

int channel_recv(struct channel *c, void **ret)
{
    int r = fiber_check();
    while (r == 0 && (r = channel_try_recv(c, ret)) == -EAGAIN)
        r = waitq_wait(&c->readers);
    return r;
}

void channel_close(struct channel *c)
{
    c->closed = true;
    waitq_wake_all(&c->readers);
    waitq_wake_all(&c->writers);
}
