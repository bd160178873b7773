/* work_clock.c - the clock of leases.
 *
 * Read by every call of the work queue and by the reaper, all on the loop thread. Leases are
 * measured on a clock of our own, the wall clock at start counted on by the monotonic one, so that
 * setting the wall clock neither kills all leases nor makes one immortal. The reaper sleeps by this
 * clock until the earliest lease ends; a handler that makes an earlier one wakes it
 * (work_lease_changed). Nobody outside controls anything here. */
#include "platform/work/work_clock.h"

#include "base/time.h"
#include "fiber/sync.h"

struct work_clock {
    int64_t offset_us; /* work clock minus monotonic clock */
    struct waitq reaper;
    bool asleep;
    int64_t reaper_until; /* work clock: when it wakes by itself, while asleep */
    uint64_t changes;     /* leases changed while it was awake: look again before sleeping */
};

static struct work_clock *clock_of(struct platform *p)
{
    struct platform_state *all = platform_state(p);
    if (!all->clock) {
        struct work_clock *s = mem_new(struct work_clock);
        s->offset_us = time_real_us() - time_mono_ns() / 1000;
        waitq_init(&s->reaper);
        all->clock = s;
    }
    return all->clock;
}

void work_clock_free(struct work_clock *s)
{
    free(s);
}

int64_t work_now_us(struct platform *p)
{
    return time_mono_ns() / 1000 + clock_of(p)->offset_us;
}

struct work_time work_time_now(struct platform *p)
{
    return (struct work_time){.wall_us = time_real_us(), .lease_us = work_now_us(p)};
}

void work_lease_changed(struct platform *p, int64_t lease_us)
{
    struct work_clock *s = clock_of(p);
    if (!s->asleep)
        s->changes++;
    else if (lease_us < s->reaper_until)
        waitq_wake_all(&s->reaper);
}

uint64_t work_lease_changes(struct platform *p)
{
    return clock_of(p)->changes;
}

int work_sleep_until(struct platform *p, int64_t until)
{
    struct work_clock *s = clock_of(p);
    int64_t mono = INT64_MAX;
    if (until != INT64_MAX && __builtin_mul_overflow(until - s->offset_us, (int64_t)1000, &mono))
        mono = INT64_MAX;
    struct fiber_deadline d = fiber_deadline_push(mono);
    s->reaper_until = until;
    s->asleep = true;
    int r = waitq_wait(&s->reaper);
    s->asleep = false;
    fiber_deadline_pop(&d);
    return r == -ETIMEDOUT ? 0 : r;
}
