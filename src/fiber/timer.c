/* timer.c - deadlines, sleeping, shields, and the heap that ends waits on time.
 *
 * Theory of operation. Each fiber has at most one place in a binary heap of its thread, ordered by
 * timer_ns. A wait that ends early leaves its entry where it is, and a later wait with a later end
 * leaves it too: the entry then fires for nothing, is noticed (wake_at_ns lies later or nowhere)
 * and put right. A connection that arms the same deadline for thousands of short waits thus touches
 * the heap once. Invariant: a parked fiber with an end is in the heap with timer_ns <= wake_at_ns.
 *
 * A deadline only ever gets shorter; a shield replaces it by its own for the time of a cleanup, and
 * an inner shield is bounded by the outer one. */
#include "fiber/scheduler.h"
#include "base/time.h"

#include <string.h>

/* now + ms, saturating at "never". */
static int64_t after_ms(int64_t ms)
{
    int64_t ns, at;
    if (ms < 0)
        ms = 0;
    if (__builtin_mul_overflow(ms, NS_PER_MS, &ns) ||
        __builtin_add_overflow(time_mono_ns(), ns, &at))
        return FIBER_NO_DEADLINE;
    return at;
}

/* ---- heap ---- */

static void place(struct sched *s, size_t i, struct fiber *f)
{
    s->timers[i] = f;
    f->timer_pos = i;
}

static void sift_up(struct sched *s, size_t i)
{
    struct fiber *f = s->timers[i];
    for (; i > 1 && s->timers[i / 2]->timer_ns > f->timer_ns; i /= 2)
        place(s, i, s->timers[i / 2]);
    place(s, i, f);
}

static void sift_down(struct sched *s, size_t i)
{
    struct fiber *f = s->timers[i];
    for (;;) {
        size_t kid = 2 * i;
        if (kid > s->n_timers)
            break;
        if (kid < s->n_timers && s->timers[kid + 1]->timer_ns < s->timers[kid]->timer_ns)
            kid++;
        if (s->timers[kid]->timer_ns >= f->timer_ns)
            break;
        place(s, i, s->timers[kid]);
        i = kid;
    }
    place(s, i, f);
}

void timer_arm(struct sched *s, struct fiber *f, int64_t at_ns)
{
    if (f->timer_pos) {
        if (at_ns < f->timer_ns) {
            f->timer_ns = at_ns;
            sift_up(s, f->timer_pos);
        }
        return;
    }
    if (s->n_timers + 1 >= s->cap_timers) {
        size_t cap = s->cap_timers ? s->cap_timers * 2 : 64;
        struct fiber **bigger = mem_array(cap, sizeof(*bigger));
        if (s->timers)
            memcpy(bigger, s->timers, (s->n_timers + 1) * sizeof(*bigger));
        free(s->timers);
        s->timers = bigger;
        s->cap_timers = cap;
    }
    f->timer_ns = at_ns;
    s->timers[++s->n_timers] = f;
    sift_up(s, s->n_timers);
}

void timer_remove(struct sched *s, struct fiber *f)
{
    size_t i = f->timer_pos;
    if (!i)
        return;
    f->timer_pos = 0;
    struct fiber *last = s->timers[s->n_timers--];
    if (last == f)
        return;
    place(s, i, last);
    sift_up(s, i);
    sift_down(s, last->timer_pos);
}

/* Puts the earliest entry right until it is a real one; returns its fiber or NULL. */
static struct fiber *earliest(struct sched *s)
{
    while (s->n_timers) {
        struct fiber *f = s->timers[1];
        if (f->state != FIBER_PARKED || f->wake_at_ns == FIBER_NO_DEADLINE) {
            timer_remove(s, f);
        } else if (f->timer_ns < f->wake_at_ns) {
            f->timer_ns = f->wake_at_ns;
            sift_down(s, 1);
        } else {
            return f;
        }
    }
    return NULL;
}

void timer_expire(struct sched *s)
{
    /* Entries that are not due need no look; the clock is read once. */
    int64_t now = time_mono_ns();
    struct fiber *f;
    while (s->n_timers && s->timers[1]->timer_ns <= now && (f = earliest(s)) &&
           f->timer_ns <= now) {
        timer_remove(s, f);
        f->timer_fired = true;
        f->wake_code = 0;
        sched_make_ready(s, f);
    }
}

int64_t fiber_next_timer_ns(void)
{
    struct sched *s = sched_peek();
    struct fiber *f = s ? earliest(s) : NULL;
    int64_t at = f ? f->timer_ns : FIBER_NO_DEADLINE;
    return s && s->trim_at_ns < at ? s->trim_at_ns : at;
}

/* ---- sleeping ---- */

int fiber_sleep_until(int64_t mono_ns)
{
    for (;;) {
        int r = fiber_check();
        if (r < 0)
            return r;
        if (time_mono_ns() >= mono_ns)
            return 0;
        r = fiber_park_for(mono_ns, false);
        if (r == -ETIMEDOUT && fiber_self()->deadline_ns > mono_ns)
            return 0;
        if (r < 0)
            return r;
    }
}

int fiber_sleep_ms(int64_t ms)
{
    return ms <= 0 ? fiber_yield() : fiber_sleep_until(after_ms(ms));
}

/* ---- deadlines and shields ---- */

struct fiber_deadline fiber_deadline_push(int64_t mono_ns)
{
    struct fiber *f = fiber_self();
    if (!f)
        return (struct fiber_deadline){0};
    struct fiber_deadline d = {.previous_ns = f->deadline_ns, .active = true};
    if (mono_ns < f->deadline_ns)
        f->deadline_ns = mono_ns;
    return d;
}

struct fiber_deadline fiber_deadline_push_ms(int64_t ms_from_now)
{
    return fiber_deadline_push(after_ms(ms_from_now));
}

void fiber_deadline_pop(struct fiber_deadline *d)
{
    if (!d->active)
        return;
    fiber_self()->deadline_ns = d->previous_ns;
    d->active = false;
}

void fiber_deadline_done(struct fiber_deadline *d)
{
    fiber_deadline_pop(d);
}

void fiber_deadline_clear(void)
{
    fiber_self()->deadline_ns = FIBER_NO_DEADLINE;
}

int64_t fiber_deadline_ns(void)
{
    struct fiber *f = fiber_self();
    return f ? f->deadline_ns : FIBER_NO_DEADLINE;
}

struct fiber_shield fiber_shield_begin(int64_t max_ms)
{
    struct fiber *f = fiber_self();
    if (!f)
        return (struct fiber_shield){0};
    struct fiber_shield s = {.previous_ns = f->deadline_ns, .active = true, .outer = f->shielded};
    int64_t end = after_ms(max_ms);
    if (!f->shielded || end < f->deadline_ns)
        f->deadline_ns = end;
    f->shielded = true;
    return s;
}

void fiber_shield_end(struct fiber_shield *s)
{
    if (!s->active)
        return;
    struct fiber *f = fiber_self();
    f->deadline_ns = s->previous_ns;
    f->shielded = s->outer;
    s->active = false;
}

void fiber_shield_done(struct fiber_shield *s)
{
    fiber_shield_end(s);
}
