/* fiber - straight-line concurrency: stackful coroutines on one thread, owned by scopes.
 *
 * What lives in this folder: the context switch (switch), stacks with guards (stack), the scheduler
 * (fiber), scopes, timers, and what fibers wait on: wait lists, mutexes, semaphores (sync). What
 * does not: descriptors and epoll (io/).
 *
 * Rules every caller lives by:
 *  - A fiber runs until it suspends; only functions whose contract says "Suspends" do.
 *  - After a suspension the world may have changed: keep ids, not pointers into tables.
 *  - Cancellation is sticky: once cancelled, every suspending call returns -ECANCELED at once,
 *    except between fiber_shield_begin and fiber_shield_end.
 *  - The deadline is absolute (CLOCK_MONOTONIC ns), belongs to the fiber, and only gets shorter;
 *    when it passes, suspending calls return -ETIMEDOUT. Children inherit it when spawned.
 *  - Every wait may return early; callers re-check their predicate in a loop (sync.h does).
 *  - errno and the OpenSSL error queue are per thread: read them before what may suspend. */
#pragma once

#include "base/base.h"
#include "base/list.h"

struct fiber;

#define FIBER_NO_DEADLINE INT64_MAX

/* A scope owns the fibers spawned into it. scope_done (the cleanup of AUTO(scope)) cancels those
 * that still run and joins them; there are no detached fibers. A scope may be used only by the
 * fiber that initialised it, except that any fiber of the thread may spawn into it while it is
 * open. Embeds nothing that moves: do not copy. */
struct scope {
    struct list children;
    size_t n_children;
    struct fiber *joiner; /* the fiber in scope_join, if any */
    struct fiber *owner;  /* NULL for a scope owned by the thread's main stack */
    int first_error;      /* first negative return value of a child other than -ECANCELED */
    bool cancelled;       /* later spawns start cancelled */
};

void scope_init(struct scope *s);
void scope_cancel(struct scope *s); /* cancels every child; does not wait */
/* Suspends until no child is left. 0, -ECANCELED or -ETIMEDOUT (children still run). */
int scope_join(struct scope *s) WARN_UNUSED;
void scope_done(struct scope *s); /* Suspends: cancel, then a shielded, unbounded join */
/* The calling fiber owns it from now on: for what is made on one fiber and freed on another. Nobody may
 * be joining it. Does not suspend. */
void scope_adopt(struct scope *s);

/* Starts fn(arg) as a fiber of `s`; it first runs when the caller suspends. `name` is a constant
 * string. fn always runs, even when the fiber is cancelled before its first turn, so it may own
 * `arg`. Its return value is kept in scope.first_error if negative. Returns 0, -ENOMEM (no stack),
 * or -EAGAIN (fiber ceiling reached). `ret` may be NULL; the pointer is valid until the fiber
 * returns. */
typedef int fiber_fn(void *arg);
int fiber_spawn(struct scope *s, const char *name, fiber_fn *fn, void *arg, struct fiber **ret)
    WARN_UNUSED;

struct fiber *fiber_self(void); /* NULL on the thread's main stack */
const char *fiber_name(const struct fiber *f);
uint64_t fiber_id(const struct fiber *f); /* never reused */
void fiber_cancel(struct fiber *f);       /* sets the sticky flag and wakes it */
bool fiber_cancelled(void);               /* of the running fiber, shield taken into account */

/* Log context of the fiber: a short string ("req_…", "sesn_…") that log lines carry. Copied, 47
 * bytes. Children start with their parent's. fiber_context is "" when there is none or no fiber
 * runs. */
void fiber_set_context(const char *text);
const char *fiber_context(void);

/* Gives back the stack pages below the caller's frame that earlier, deeper calls have touched. For
 * fibers about to wait long; costs a system call now and page faults later. Does not suspend. */
void fiber_trim_stack(void);

/* Gives the other runnable fibers a turn. Suspends. 0 or -ECANCELED / -ETIMEDOUT. */
int fiber_yield(void) WARN_UNUSED;
/* Suspends. 0 when slept, else -ECANCELED / -ETIMEDOUT. */
int fiber_sleep_ms(int64_t ms) WARN_UNUSED;
int fiber_sleep_until(int64_t mono_ns) WARN_UNUSED;

/* Ends the wait that a fiber is in: the call returns -EINTR, unless it retries by its contract. Nothing
 * happens to one that does not wait. For whoever knows what it waits in. Same thread only. */
void fiber_interrupt(struct fiber *f);

/* The lowest layer of waiting, for sync.c and io: suspends the running fiber until fiber_wake,
 * cancel or deadline. 0 (woken, maybe spuriously), -ECANCELED, -ETIMEDOUT. */
int fiber_park(void) WARN_UNUSED;
/* The same, ended by fiber_wake alone: neither cancel nor the deadline is heard. For a wait whose
 * end is certain and which lends this stack to another thread meanwhile. */
void fiber_park_deaf(void);
void fiber_wake(struct fiber *f); /* same thread only; harmless when it is not parked */

/* Deadlines. Usage:
 *     struct fiber_deadline d = fiber_deadline_push_ms(5000);   // can only shorten
 *     r = something_that_suspends();
 *     fiber_deadline_pop(&d);
 * or
 *     AUTO(fiber_deadline) d = fiber_deadline_push_ms(5000); */
struct fiber_deadline {
    int64_t previous_ns;
    bool active;
};
struct fiber_deadline fiber_deadline_push(int64_t mono_ns);
struct fiber_deadline fiber_deadline_push_ms(int64_t ms_from_now);
void fiber_deadline_pop(struct fiber_deadline *d);
void fiber_deadline_done(struct fiber_deadline *d); /* same, for AUTO */
int64_t fiber_deadline_ns(void);
/* For a fiber that serves others for longer than the one that made it: forgets the deadline it has
 * inherited. At its start, before any push. */
void fiber_deadline_clear(void);

/* A shield lets cleanup code suspend in spite of a cancellation or an expired deadline, for at most
 * `max_ms`. Nests. AUTO(fiber_shield) works. */
struct fiber_shield {
    int64_t previous_ns;
    bool active, outer;
};
struct fiber_shield fiber_shield_begin(int64_t max_ms);
void fiber_shield_end(struct fiber_shield *s);
void fiber_shield_done(struct fiber_shield *s);

/* Library callbacks must not suspend: between these two a suspension aborts the process. */
void fiber_no_suspend_begin(void);
void fiber_no_suspend_end(void);

/* ---- for the event loop (io/loop.c) and tests only ---- */

/* Runs every fiber that is runnable now, once each, and expired timers. Returns true when more are
 * runnable already (so the loop must not block). */
bool fiber_run_ready(void);
/* When the next timer fires (mono ns), or FIBER_NO_DEADLINE. */
int64_t fiber_next_timer_ns(void);
size_t fiber_count(void);

#define FIBER_HOLD_MS 20 /* of processor time between two suspensions: others wait too long */

struct fiber_stats {
    uint64_t created, switches;
    uint64_t holds;          /* longer than FIBER_HOLD_MS */
    int64_t longest_hold_ns; /* processor time; to one tick of the coarse clock */
    size_t live, pooled_stacks, stack_high_water_bytes;
};
/* What the running fiber does now, until it next suspends, takes long and nobody waits: preparation
 * before a process serves. It is not counted as a hold. */
void fiber_excuse_hold(void);
void fiber_get_stats(struct fiber_stats *ret);
/* Frees pooled stacks. Only when no fiber is live on this thread. */
void fiber_thread_done(void);
