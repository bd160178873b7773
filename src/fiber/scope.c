/* scope.c - ownership of fibers.
 *
 * Theory of operation. A scope is a list of children. A child leaves the list when its function has
 * returned, while it still stands on its stack; the last one wakes the joiner. scope_done cancels
 * and joins without regard to the joiner's own cancellation or deadline, because the children may
 * hold pointers into its frame; it is as bounded as the children's shields are.
 *
 * A scope on the thread's own stack has no fiber to park: joining it runs the scheduler (and the
 * event loop, if there is one) in place. */
#include "fiber/scheduler.h"
#include "base/time.h"

#include <time.h>

void scope_init(struct scope *s)
{
    *s = (struct scope){.owner = fiber_self()};
    list_init(&s->children);
}

void scope_cancel(struct scope *s)
{
    s->cancelled = true;
    /* fiber_cancel only queues; no child runs, so the list does not change. */
    LIST_FOREACH (f, &s->children, struct fiber, sibling)
        fiber_cancel(f);
}

void scope_child_finished(struct fiber *f, int result)
{
    struct scope *s = TAKE(f->scope);
    list_remove(&f->sibling);
    MUST(s->n_children > 0);
    s->n_children--;
    if (result < 0 && result != -ECANCELED && s->first_error == 0)
        s->first_error = result;
    if (s->n_children == 0 && s->joiner)
        fiber_wake(s->joiner);
}

/* One turn of the world on the thread's own stack. */
static void turn(void)
{
    struct sched *s = sched_get();
    if (s->idle) {
        s->idle();
        return;
    }
    if (fiber_run_ready())
        return;
    int64_t next = fiber_next_timer_ns();
    if (next == FIBER_NO_DEADLINE) {
        if (s->n_live > 0 && list_empty(s->ready))
            must_failed(__FILE__, __LINE__, "every fiber waits for another");
        return;
    }
    int64_t left = next - time_mono_ns();
    if (left > 10 * NS_PER_MS)
        left = 10 * NS_PER_MS; /* under a test clock real time says nothing */
    if (left > 0) {
        struct timespec ts = {.tv_nsec = (long)left};
        (void)nanosleep(&ts, NULL);
    }
}

static int join(struct scope *s, bool deaf)
{
    struct fiber *self = fiber_self();
    MUST(s->owner == self && !s->joiner);
    if (!self) {
        while (s->n_children)
            turn();
        return 0;
    }
    int r = deaf ? 0 : fiber_check();
    s->joiner = self;
    while (r == 0 && s->n_children)
        r = fiber_park_for(FIBER_NO_DEADLINE, deaf);
    s->joiner = NULL;
    return r;
}

void scope_adopt(struct scope *s)
{
    MUST(!s->joiner);
    s->owner = fiber_self();
}

int scope_join(struct scope *s)
{
    return join(s, false);
}

void scope_done(struct scope *s)
{
    if (!s->children.next || s->n_children == 0)
        return;
    scope_cancel(s);
    MUST(join(s, true) == 0);
}
