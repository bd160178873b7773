/* watch - runs one thing on a fiber of its own while the session's fiber watches over it. */
#pragma once

#include "fiber/sync.h"
#include "worker/phase.h"

struct watch {
    struct waitq *changed;     /* woken whenever `over` may answer differently */
    bool (*over)(void *arg);   /* asked on the watching fiber: true, and what runs is cut off */
    void *arg;                 /* of `over` */
    const struct phase *phase; /* while draining, `over` is asked at its end too; NULL: it is not */
};
/* Runs fn(arg) beside the calling fiber and returns when it has ended: by itself, or cancelled
 * because it was over or because the calling fiber is cancelled. What it found out is in `arg`.
 * Suspends. 0, or -ENOMEM or -EAGAIN when there is no fiber for it: then fn has not run. `ret_cut`
 * (may be NULL): whether `over` ended it. */
int watch_run(const struct watch *w, const char *name, fiber_fn *fn, void *arg, bool *ret_cut)
    WARN_UNUSED;
