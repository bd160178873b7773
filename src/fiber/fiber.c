/* fiber.c - the scheduler: spawning, parking, waking, turns.
 *
 * Theory of operation. A fiber is READY (in a queue), RUNNING (one per thread), PARKED or FINISHED.
 * fiber_run_ready takes what is ready now as one batch and runs each once; what becomes ready
 * meanwhile waits for the next batch, so no fiber starves and the event loop gets its turn. Within
 * a batch a fiber that suspends switches straight to the next one; only the last returns to the
 * thread's own stack.
 *
 * A finished fiber is taken out of its scope while still on its stack, then handled by the context
 * that runs next (`dead`): put into the pool with its frames intact, to be started again without
 * makecontext, or unmapped. A stack is never given up before its entry function has returned,
 * because longjmp runs no cleanup attributes.
 *
 * Everything here is per thread and unlocked; fibers never move between threads, so the compiler
 * may keep addresses of thread-locals (errno!) across a suspension. An attacker controls only how
 * many fibers there are; the code that spawns them bounds their number. */
#include "fiber/scheduler.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define POOL_MAX        128 /* stacks kept for reuse; an idle process holds few pages */
#define POOL_WARM       16  /* of these, so many keep all the memory they touched */
#define POOL_KEEP_BYTES ((size_t)16 << 10) /* the others keep their topmost pages, ... */
#define POOL_TRIM_NS    NS_PER_S           /* ... when they have lain here for up to so long */
/* the frames of fiber_trim_stack and below; ASAN puts an interceptor of its own in between */
#define TRIM_SLACK_BYTES ((size_t)(SWITCH_ASAN ? 16384 : 512))

static __thread struct sched *here;

/* Read by tools/gdb/fibers.py. */
struct sched *fiber_all_scheds;
static pthread_mutex_t all_scheds_lock = PTHREAD_MUTEX_INITIALIZER;

static _Atomic(uint64_t) last_id;

/* ---- the thread's scheduler ---- */

static inline int64_t coarse_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static size_t describe_overflow(const void *addr, char *ret, size_t cap)
{
    struct fiber *f = here ? here->current : NULL;
    if (!f || !stack_in_guard(&f->stack, addr))
        return 0;
    /* snprintf is not async-signal-safe in general; put the pieces together by hand. */
    char digits[24];
    size_t d = sizeof(digits);
    for (uint64_t v = f->id; d == sizeof(digits) || v; v /= 10)
        digits[--d] = (char)('0' + v % 10);
    size_t n = 0;
    const struct {
        const char *p;
        size_t n;
    } parts[] = {{"sallyport: fiber ", 17},
                 {digits + d, sizeof(digits) - d},
                 {" (", 2},
                 {f->name, strnlen(f->name, 64)},
                 {") overflowed its stack\n", 23}};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        for (size_t k = 0; k < parts[i].n && n < cap; k++)
            ret[n++] = parts[i].p[k];
    }
    return n;
}

struct sched *sched_peek(void)
{
    return here;
}

struct sched *sched_get(void)
{
    if (here)
        return here;
    struct sched *s = mem_new(struct sched);
    context_init_thread(&s->main);
    s->ready = &s->queues[0];
    s->batch = &s->queues[1];
    list_init(s->ready);
    list_init(s->batch);
    list_init(&s->pool);
    list_init(&s->all);
    s->trim_at_ns = FIBER_NO_DEADLINE;
    pthread_mutex_lock(&all_scheds_lock);
    s->next = fiber_all_scheds;
    fiber_all_scheds = s;
    pthread_mutex_unlock(&all_scheds_lock);
    here = s;
    log_set_context_hook(fiber_context);
    stack_watch_overflow(describe_overflow);
    return s;
}

void sched_set_idle(void (*turn)(void))
{
    sched_get()->idle = turn;
}

/* ---- the life of a fiber ---- */

/* Returns how much of its stack the fiber ever touched (since the last trim). */
static size_t note_high_water(struct sched *s, const struct fiber *f)
{
    size_t n = stack_touched_bytes(&f->stack);
    if (n > s->high_water_bytes)
        s->high_water_bytes = n;
    return n;
}

/* `self` is the context we are running on. */
static void destroy(struct sched *s, struct fiber *f, struct context *self)
{
    size_t used = note_high_water(s, f);
    if (CONTEXT_NEEDS_EXIT && f->ctx.started) {
        f->fn = NULL;
        f->exit_to = self;
        CONTEXT_SWITCH(self, &f->ctx);
    }
    context_done(&f->ctx, used);
    f->magic = 0;
    struct stack st = f->stack; /* f lies on it */
    stack_free(&st);
}

static void bury(struct sched *s, struct context *self)
{
    struct fiber *f = TAKE(s->dead);
    if (!f)
        return;
    if (s->n_pooled >= POOL_MAX) {
        destroy(s, f, self);
        return;
    }
    /* Not at once: where many come and go, the next one wants the same pages. */
    if (s->n_pooled >= POOL_WARM && s->trim_at_ns == FIBER_NO_DEADLINE)
        s->trim_at_ns = coarse_ns() + POOL_TRIM_NS;
    f->grown = true;
    list_push_front(&s->pool, &f->run);
    s->n_pooled++;
}

void sched_trim_pool(struct sched *s)
{
    size_t i = 0;
    s->trim_at_ns = FIBER_NO_DEADLINE;
    LIST_FOREACH (f, &s->pool, struct fiber, run) {
        if (i++ < POOL_WARM || !f->grown)
            continue;
        (void)note_high_water(s, f);
        stack_trim(&f->stack, POOL_KEEP_BYTES);
        f->grown = false;
    }
}

/* The next fiber of the batch, or the thread's own stack, becomes current. */
static inline struct context *pick(struct sched *s)
{
    s->switches++;
    if (list_empty(s->batch)) {
        s->current = NULL;
        return &s->main;
    }
    struct fiber *f = LIST_ENTRY(s->batch->next, struct fiber, run);
    list_remove(&f->run);
    f->state = FIBER_RUNNING;
    f->io_budget = FIBER_IO_BUDGET;
    s->current = f;
    return &f->ctx;
}

/* Leaves `self` for whatever is next. A macro for the sake of CONTEXT_SWITCH. */
#define RUN_NEXT(s, self)                                                                          \
    do {                                                                                           \
        CONTEXT_SWITCH(self, pick(s));                                                             \
        if ((s)->dead)                                                                             \
            bury(s, self);                                                                         \
    } while (0)

/* Leaves the running fiber `f`, which is queued or parked. */
#define SUSPEND(s, f)                                                                              \
    do {                                                                                           \
        int64_t now_ = coarse_ns();                                                                \
        if (__builtin_expect(now_ != (s)->tick_ns, 0))                                             \
            watch_end(s, f, now_);                                                                 \
        RUN_NEXT(s, &(f)->ctx);                                                                    \
    } while (0)

static void run_to_end(struct sched *s, struct fiber *f)
{
    int result = f->fn(f->arg);
    MUST(f->magic == FIBER_MAGIC && f->no_suspend == 0);
    MUST(!f->shielded);
    f->state = FIBER_FINISHED;
    timer_remove(s, f);
    list_remove(&f->all);
    s->n_live--;
    scope_child_finished(f, result);
    s->dead = f;
    int64_t now = coarse_ns();
    if (now != s->tick_ns)
        watch_end(s, f, now);
}

/* Returns when the pooled fiber is started again, or asked to leave. */
static void rest(struct sched *s, struct fiber *f)
{
    RUN_NEXT(s, &f->ctx);
}

/* The bottom frame of every fiber. */
static void entry(void)
{
    struct sched *s = here;
    struct fiber *f = s->current;
    if (s->dead)
        bury(s, &f->ctx);
    while (f->fn) {
        run_to_end(s, f);
        rest(s, f);
    }
    context_exit(&f->ctx, f->exit_to);
}

/* Takes a pooled fiber or makes one; 0, -ENOMEM, -EAGAIN. */
static int new_fiber(struct sched *s, struct fiber **ret)
{
    struct list *n = list_pop_front(&s->pool);
    if (n) {
        s->n_pooled--;
        *ret = LIST_ENTRY(n, struct fiber, run);
        return 0;
    }
    struct stack st;
    int r = stack_alloc(&st);
    if (r < 0)
        return r;
    size_t usable = (st.bytes - sizeof(struct fiber)) & ~(size_t)63;
    struct fiber *f = (struct fiber *)(void *)(st.lo + usable);
    *f = (struct fiber){.magic = FIBER_MAGIC, .stack = st};
    context_init(&f->ctx, st.lo, usable, entry);
    *ret = f;
    return 0;
}

int fiber_spawn(struct scope *scope, const char *name, fiber_fn *fn, void *arg, struct fiber **ret)
{
    struct sched *s = sched_get();
    struct fiber *f;
    int r = new_fiber(s, &f);
    if (r < 0)
        return r;
    struct fiber *parent = s->current;
    f->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    f->name = name;
    f->fn = fn;
    f->arg = arg;
    f->scope = scope;
    f->cancelled = scope->cancelled;
    f->shielded = f->deaf = f->timer_fired = false;
    f->wake_code = 0;
    f->deadline_ns = parent ? parent->deadline_ns : FIBER_NO_DEADLINE;
    f->wake_at_ns = FIBER_NO_DEADLINE;
    f->no_suspend = 0;
    if (parent)
        memcpy(f->context, parent->context, sizeof(f->context));
    else
        f->context[0] = '\0';
    list_push_back(&scope->children, &f->sibling);
    scope->n_children++;
    list_push_back(&s->all, &f->all);
    s->n_live++;
    s->created++;
    sched_make_ready(s, f);
    if (ret)
        *ret = f;
    return 0;
}

struct fiber *fiber_self(void)
{
    return here ? here->current : NULL;
}

const char *fiber_name(const struct fiber *f)
{
    return f->name;
}

uint64_t fiber_id(const struct fiber *f)
{
    return f->id;
}

void fiber_set_context(const char *text)
{
    struct fiber *f = fiber_self();
    if (f)
        (void)str_copy(f->context, sizeof(f->context), text ? text : "");
}

const char *fiber_context(void)
{
    struct fiber *f = fiber_self();
    return f ? f->context : "";
}

__attribute__((noinline)) void fiber_trim_stack(void)
{
    struct fiber *f = fiber_self();
    if (!f)
        return;
    const char *lo = f->stack.lo, *frame = __builtin_frame_address(0);
    MUST(frame > lo && frame < lo + f->stack.bytes);
    /* Our own frame and those of the calls below it stay: what is in use must not read as zeros. */
    size_t keep = (size_t)(lo + f->stack.bytes - frame) + TRIM_SLACK_BYTES;
    keep = (keep + 4095) & ~(size_t)4095;
    if (keep < f->stack.bytes)
        stack_trim(&f->stack, keep);
}

/* ---- waiting ---- */

static struct fiber *must_self(struct sched *s)
{
    MUST(s && s->current); /* suspending calls are for fibers */
    MUST(s->current->no_suspend == 0);
    return s->current;
}

static int check(const struct fiber *f)
{
    if (f->cancelled && !f->shielded)
        return -ECANCELED;
    if (f->deadline_ns != FIBER_NO_DEADLINE && time_mono_ns() >= f->deadline_ns)
        return -ETIMEDOUT;
    return 0;
}

int fiber_check(void)
{
    return check(must_self(here));
}

int fiber_check_io(void)
{
    struct fiber *f = must_self(here);
    int r = check(f);
    if (r < 0)
        return r;
    if (f->io_budget > 0) {
        f->io_budget--;
        return 0;
    }
    return fiber_yield();
}

int fiber_park_for(int64_t until_ns, bool deaf)
{
    struct sched *s = here;
    struct fiber *f = must_self(s);
    if (!deaf) {
        int r = check(f);
        if (r < 0)
            return r;
        if (f->deadline_ns < until_ns)
            until_ns = f->deadline_ns;
    }
    f->state = FIBER_PARKED;
    f->deaf = deaf;
    f->timer_fired = false;
    f->wake_code = 0;
    f->wake_at_ns = until_ns;
    if (until_ns != FIBER_NO_DEADLINE)
        timer_arm(s, f, until_ns);
    SUSPEND(s, f);
    f->wake_at_ns = FIBER_NO_DEADLINE;
    if (f->timer_fired)
        return -ETIMEDOUT;
    return f->wake_code;
}

int fiber_park(void)
{
    return fiber_park_for(FIBER_NO_DEADLINE, false);
}

void fiber_park_deaf(void)
{
    (void)!fiber_park_for(FIBER_NO_DEADLINE, true);
}

void fiber_wake_with(struct fiber *f, int code)
{
    MUST(f->magic == FIBER_MAGIC);
    if (f->state == FIBER_PARKED) {
        f->wake_code = code;
        sched_make_ready(here, f);
    } else if (f->state == FIBER_READY && code < 0) {
        /* Woken for another reason and not yet run: what it waited on is gone by
         * the time it does. */
        f->wake_code = code;
        f->timer_fired = false;
    }
}

void fiber_wake(struct fiber *f)
{
    fiber_wake_with(f, 0);
}

void fiber_interrupt(struct fiber *f)
{
    MUST(f->magic == FIBER_MAGIC);
    if (f->state == FIBER_PARKED && !f->deaf)
        fiber_wake_with(f, -EINTR);
}

void fiber_cancel(struct fiber *f)
{
    MUST(f->magic == FIBER_MAGIC);
    f->cancelled = true;
    if (f->state == FIBER_PARKED && !f->shielded && !f->deaf)
        fiber_wake_with(f, -ECANCELED);
}

bool fiber_cancelled(void)
{
    struct fiber *f = fiber_self();
    return f && f->cancelled && !f->shielded;
}

int fiber_yield(void)
{
    struct sched *s = here;
    struct fiber *f = must_self(s);
    int r = check(f);
    if (r < 0)
        return r;
    sched_make_ready(s, f);
    SUSPEND(s, f);
    return f->cancelled && !f->shielded ? -ECANCELED : 0;
}

void fiber_no_suspend_begin(void)
{
    struct fiber *f = fiber_self();
    if (f)
        f->no_suspend++;
}

void fiber_no_suspend_end(void)
{
    struct fiber *f = fiber_self();
    if (f) {
        MUST(f->no_suspend > 0);
        f->no_suspend--;
    }
}

/* ---- for the event loop ---- */

bool fiber_run_ready(void)
{
    struct sched *s = sched_get();
    MUST(!s->current);
    if (s->n_timers)
        timer_expire(s);
    if (s->trim_at_ns != FIBER_NO_DEADLINE && coarse_ns() >= s->trim_at_ns)
        sched_trim_pool(s);
    if (list_empty(s->ready))
        return false;
    /* The whole ready queue becomes the batch; the other one is empty. */
    struct list *batch = s->ready;
    s->ready = s->batch;
    s->batch = batch;
    int64_t now = coarse_ns();
    if (now != s->tick_ns)
        watch_begin(s, now);
    RUN_NEXT(s, &s->main);
    MUST(list_empty(s->batch));
    return !list_empty(s->ready);
}

size_t fiber_count(void)
{
    return here ? here->n_live : 0;
}

void fiber_get_stats(struct fiber_stats *ret)
{
    *ret = (struct fiber_stats){0};
    struct sched *s = here;
    if (!s)
        return;
    LIST_FOREACH (f, &s->pool, struct fiber, run)
        (void)note_high_water(s, f);
    *ret = (struct fiber_stats){.created = s->created,
                                .switches = s->switches,
                                .holds = s->holds,
                                .longest_hold_ns = s->longest_hold_ns,
                                .live = s->n_live,
                                .pooled_stacks = s->n_pooled,
                                .stack_high_water_bytes = s->high_water_bytes};
}

void fiber_thread_done(void)
{
    struct sched *s = here;
    if (!s)
        return;
    MUST(!s->current && s->n_live == 0);
    struct list *n;
    while ((n = list_pop_front(&s->pool)))
        destroy(s, LIST_ENTRY(n, struct fiber, run), &s->main);
    stack_unwatch_overflow();
    pthread_mutex_lock(&all_scheds_lock);
    struct sched **pp = &fiber_all_scheds;
    while (*pp != s)
        pp = &(*pp)->next;
    *pp = s->next;
    pthread_mutex_unlock(&all_scheds_lock);
    free(s->timers);
    free(s);
    here = NULL;
}
