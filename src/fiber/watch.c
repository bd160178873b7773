/* watch.c - how long a fiber holds its thread.
 *
 * Called by the scheduler whenever a fiber leaves the thread. Everybody else waits meanwhile, so the
 * longest hold is what a request can cost all others; it is counted (fiber_get_stats) and, when it
 * is long, named in the log. Two clocks tell different things. The thread's processor time is the
 * program's own doing and is the same on a busy machine; reading it is a system call. Wall time also
 * shows a blocking call, and a machine that is busy with something else.
 *
 * The coarse clock is read at every switch (no system call); only when it has moved, a few hundred
 * times a second, the other one is. So a hold is told too long by up to one tick of what ran before
 * it, and never too short by more than one. These clocks are not replaceable by tests: they watch
 * the program, not the protocol. */
#include "fiber/scheduler.h"
#include "base/log.h"
#include "base/time.h"

#include <time.h>

#define SLOW_WALL_NS (100 * NS_PER_MS)
#define SAY_EVERY_NS (100 * NS_PER_MS)

void fiber_excuse_hold(void)
{
    sched_get()->excused = true;
}

static int64_t processor_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

void watch_begin(struct sched *s, int64_t now_ns)
{
    s->tick_ns = now_ns;
    s->tick_cpu_ns = processor_ns();
}

/* Ten lines a second, but each new record. */
static bool say(struct sched *s, int64_t now_ns, bool record)
{
    if (!record && now_ns - s->said_ns < SAY_EVERY_NS)
        return false;
    s->said_ns = now_ns;
    return true;
}

void watch_end(struct sched *s, const struct fiber *f, int64_t now_ns)
{
    int64_t wall_ns = now_ns - s->tick_ns, cpu_ns = -s->tick_cpu_ns;
    watch_begin(s, now_ns);
    cpu_ns += s->tick_cpu_ns;
    if (s->excused) {
        s->excused = false;
        return;
    }
    bool record = cpu_ns > s->longest_hold_ns;
    if (record)
        s->longest_hold_ns = cpu_ns;
    bool held = cpu_ns > FIBER_HOLD_MS * NS_PER_MS;
    s->holds += held;
    if ((held || wall_ns > SLOW_WALL_NS) && say(s, now_ns, held && record))
        log_warn("a fiber ran long without suspending",
                 "fiber=%s id=%llu ms=%lld processor_ms=%lld", f->name, (unsigned long long)f->id,
                 (long long)(wall_ns / NS_PER_MS), (long long)(cpu_ns / NS_PER_MS));
}
