/* scheduler - inside of the scheduler, shared by the files of this folder and by io/
 * (fiber_wake_with, fiber_park_for, sched_set_idle). No other file includes it. */
#pragma once

#include "fiber/fiber.h"
#include "fiber/stack.h"
#include "fiber/switch.h"

enum fiber_state { FIBER_READY = 1, FIBER_RUNNING, FIBER_PARKED, FIBER_FINISHED };

#define FIBER_MAGIC     0x66696272u /* "fibr" */
#define FIBER_IO_BUDGET 32          /* I/O calls in one turn before others get theirs */

/* Lives at the top of its own stack, above the first frame: one page serves both.
 * tools/gdb/fibers.py knows these field names. */
struct fiber {
    uint32_t magic;
    enum fiber_state state;
    uint64_t id;
    const char *name;
    struct context ctx;
    struct stack stack;

    fiber_fn *fn; /* NULL asks a pooled fiber to leave its stack for good */
    void *arg;
    struct context *exit_to;

    struct scope *scope;
    struct list sibling; /* in scope.children */
    struct list run;     /* in the ready queue, the running batch or the pool */
    struct list all;     /* in sched.all */

    bool grown; /* of one in the pool: its stack has not been trimmed since it ran */

    bool cancelled;   /* sticky */
    bool shielded;    /* cancelled is ignored for now */
    bool deaf;        /* parked in a wait that cancel must not end (pool_call, scope_done) */
    bool timer_fired; /* how the last park ended */
    int wake_code;    /* given by fiber_wake_with */
    int64_t deadline_ns;

    int64_t wake_at_ns; /* when the park ends by itself, or FIBER_NO_DEADLINE */
    int64_t timer_ns;   /* the key it has in the heap: <= wake_at_ns, corrected lazily */
    size_t timer_pos;   /* 1-based place in the heap, 0 when absent */

    unsigned no_suspend;
    unsigned io_budget;
    char context[48];
};

struct sched {
    struct context main; /* the thread's own stack */
    struct fiber *current;
    struct fiber *dead; /* finished, still standing on its stack until somebody else runs */
    struct list *ready; /* next turn: one of queues */
    struct list *batch; /* this turn: the other one */
    struct list queues[2];
    struct list pool; /* finished fibers kept for reuse */
    struct list all;  /* live fibers, oldest first */
    size_t n_pooled, n_live;
    int64_t trim_at_ns; /* when the pool is looked through, or FIBER_NO_DEADLINE */
    uint64_t created, switches;
    size_t high_water_bytes;

    struct fiber **timers; /* heap, [1 .. n_timers] */
    size_t n_timers, cap_timers;

    void (*idle)(void); /* one turn of the event loop, for joins on the thread's own stack */
    unsigned no_suspend;
    struct sched *next; /* every thread's scheduler, for debuggers */

    int64_t tick_ns, tick_cpu_ns; /* both clocks when the coarse one last moved, see watch.c */
    int64_t longest_hold_ns, said_ns;
    uint64_t holds;
    bool excused; /* what runs now, until the clock has moved */
};

/* The calling thread's scheduler; made at first use. */
struct sched *sched_get(void);
/* The same, or NULL when this thread never had a fiber. */
struct sched *sched_peek(void);

void sched_set_idle(void (*turn)(void));

/* fiber_park with an end of its own (absolute, FIBER_NO_DEADLINE for none). `deaf` ignores cancel
 * and the fiber's deadline. 0, -ECANCELED, -ETIMEDOUT, or the code of fiber_wake_with. */
int fiber_park_for(int64_t until_ns, bool deaf) WARN_UNUSED;
/* fiber_wake that makes the park return `code` (< 0), so that the sleeper need not look at what
 * woke it. */
void fiber_wake_with(struct fiber *f, int code);

/* What every suspending call checks on entry: -ECANCELED, -ETIMEDOUT or 0. Aborts on the thread's
 * own stack and inside fiber_no_suspend. */
int fiber_check(void) WARN_UNUSED;
/* fiber_check for an I/O call that may not have to wait: counts against the turn's budget, yields
 * when it is used up. Suspends. */
int fiber_check_io(void) WARN_UNUSED;

static inline void sched_make_ready(struct sched *s, struct fiber *f)
{
    f->state = FIBER_READY;
    list_push_back(s->ready, &f->run);
}

/* watch.c: the coarse clock has moved since tick_ns; `f` leaves the thread. */
void watch_begin(struct sched *s, int64_t now_ns);
void watch_end(struct sched *s, const struct fiber *f, int64_t now_ns);

/* The pool's stacks that are not used give their memory back. */
void sched_trim_pool(struct sched *s);

/* timer.c */
void timer_arm(struct sched *s, struct fiber *f, int64_t at_ns);
void timer_remove(struct sched *s, struct fiber *f);
void timer_expire(struct sched *s);

/* scope.c: takes a finished fiber out of its scope. */
void scope_child_finished(struct fiber *f, int result);
