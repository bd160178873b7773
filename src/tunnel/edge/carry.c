/* carry.c - one fiber a direction, the caller's own for the first.
 *
 * Ten thousand pairs may lie idle, so a fiber that waits has nothing but its stack: bytes are read into
 * memory that all share, and offered to the other side at once; only what that does not take is copied to
 * a buffer of its own before anything suspends. Each side paces the other: nothing is read while bytes
 * wait to be written. Both peers are strangers, and what they send is ciphertext. What waits is counted in the
 * tunnel's budget; the fuller that is, the less is read at once, so that many can be slow before one is cut. */
#include "tunnel/edge/carry.h"

#include "base/budget.h"
#include "base/err.h"
#include "fiber/scheduler.h"

#include <string.h>

#define CARRY_BYTES (64u << 10)
#define CARRY_SMALL (4u << 10)
#define LOOK_MS     2000

/* Filled and passed on without a suspension between; the process has one loop. (Not of the thread: the stacks
 * of small threads would have to hold it.) */
static char shared[CARRY_BYTES];

struct way {
    struct stream *from, *to;
    struct fiber *other; /* of the way back: who carries there */
    struct budget *memory;
    int result;
};

/* Looks up now and then: nothing is read meanwhile, and one that has gone would not be missed. */
static int write_rest(const struct stream *from, struct stream *to, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = stream_try_write(to, p, n);
        if (put > 0) {
            p += put;
            n -= (size_t)put;
            continue;
        }
        if (put != -EAGAIN)
            return (int)put;
        struct fiber_deadline d = fiber_deadline_push_ms(LOOK_MS);
        int r = stream_wait(to, to->want);
        fiber_deadline_pop(&d);
        if (r < 0 && r != -ETIMEDOUT)
            return r;
        if (from->io.hangup)
            return -ECONNRESET;
    }
    return 0;
}

/* How much to read: all of it may have to wait, in this budget and in those around it. */
static size_t fitting(const struct budget *b)
{
    size_t n = CARRY_BYTES;
    for (; b; b = b->outer) {
        size_t here = b->used < b->max / 4   ? CARRY_BYTES
                      : b->used < b->max / 2 ? CARRY_BYTES / 4
                                             : CARRY_SMALL;
        n = n < here ? n : here;
    }
    return n;
}

/* Writes the first `n` bytes of what is shared. Suspends only with a copy of what is left. */
static int pass_on(const struct way *w, size_t n)
{
    ssize_t put = stream_try_write(w->to, shared, n);
    if (put == -EAGAIN)
        put = 0;
    if (put < 0)
        return (int)put;
    size_t left = n - (size_t)put;
    if (left == 0)
        return 0;
    struct budget_share share = {.of = w->memory};
    if (!budget_set(&share, left))
        return -ENOBUFS;
    AUTO_FREE char *rest = mem_array(left, 1);
    memcpy(rest, shared + put, left);
    int r = write_rest(w->from, w->to, rest, left);
    budget_end(&share);
    return r;
}

static int one_way(struct way *w)
{
    for (;;) {
        int r = fiber_check_io();
        if (r < 0)
            return r;
        ssize_t n = stream_try_read(w->from, shared, fitting(w->memory));
        if (n > 0) {
            r = pass_on(w, (size_t)n);
        } else if (n == 0) {
            return stream_finish(w->to);
        } else {
            r = n == -EAGAIN ? stream_wait(w->from, w->from->want) : (int)n;
        }
        if (r < 0)
            return r;
    }
}

static int back(void *arg)
{
    struct way *w = arg;
    fiber_deadline_clear();
    w->result = one_way(w);
    if (w->result < 0)
        fiber_cancel(w->other);
    return 0;
}

int carry(struct stream *a, struct stream *b, struct budget *memory)
{
    struct scope scope;
    scope_init(&scope);
    fiber_trim_stack(); /* it has opened the stream, and may wait for ever from here on */
    struct way there = {.from = a, .to = b, .memory = memory};
    struct way here = {.from = b, .to = a, .other = fiber_self(), .memory = memory};
    int r = fiber_spawn(&scope, "carry", back, &here, NULL);
    if (r == 0) {
        there.result = one_way(&there);
        if (there.result == 0)
            r = scope_join(&scope);
    }
    scope_done(&scope);
    /* Who was cancelled because the other way broke has nothing to say. */
    if (here.result < 0 && here.result != -ECANCELED)
        return here.result;
    return there.result < 0 ? there.result : r;
}
