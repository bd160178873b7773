/* watch.c - one thing that runs, and the fiber that watches it.
 *
 * Called on a session's fiber (runner.c, hooks.c), which is the only one that decides: a tool call
 * or an operator's command may take minutes, and lease, log and signals go on meanwhile. What runs
 * lives in a scope of its own, so it is gone when watch_run returns, however that came about. */
#include "worker/watch.h"

struct running {
    fiber_fn *fn;
    void *arg;
    struct waitq *changed;
    bool done;
};

static int run(void *arg)
{
    struct running *r = arg;
    (void)r->fn(r->arg);
    r->done = true;
    waitq_wake_all(r->changed);
    return 0;
}

int watch_run(const struct watch *w, const char *name, fiber_fn *fn, void *arg, bool *ret_cut)
{
    struct running it = {.fn = fn, .arg = arg, .changed = w->changed};
    struct fiber *fiber = NULL;
    bool cut = false;
    struct scope scope;
    scope_init(&scope);
    int r = fiber_spawn(&scope, name, run, &it, &fiber);
    if (r < 0) {
        scope_done(&scope);
        return r;
    }
    while (!it.done && r != -ECANCELED) {
        if (!cut && w->over(w->arg)) {
            cut = true;
            fiber_cancel(fiber);
        }
        struct fiber_deadline d = fiber_deadline_push(
            w->phase && w->phase->at == WORKER_DRAINING && !cut ? w->phase->drain_until_ns
                                                                : FIBER_NO_DEADLINE);
        r = waitq_wait(w->changed);
        fiber_deadline_pop(&d);
    }
    scope_done(&scope); /* after a cancellation: cancels what runs, and waits for it */
    if (ret_cut)
        *ret_cut = cut;
    return 0;
}
