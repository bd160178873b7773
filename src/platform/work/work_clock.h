/* work_clock - the clock that claims and leases are measured on, and the alarm of the one who
 * sleeps by it. */
#pragma once

#include "platform/api/state.h"

/* The work clock: microseconds since 1970 as of the start of the process, counted on by the
 * monotonic clock. */
int64_t work_now_us(struct platform *p);

/* The two clocks, read once per call. */
struct work_time {
    int64_t wall_us, lease_us;
};
struct work_time work_time_now(struct platform *p);

/* Some lease now ends at `lease_us`: wakes the sleeper if it sleeps longer. Does not suspend. */
void work_lease_changed(struct platform *p, int64_t lease_us);
/* How many leases changed while nobody slept: compared before and after a look at the table, so
 * that a change between the two is not slept through. */
uint64_t work_lease_changes(struct platform *p);
/* Sleeps until `until` on the work clock (INT64_MAX: without end), or until somebody makes an
 * earlier lease. For one fiber, the reaper. Suspends. 0 or -ECANCELED. */
int work_sleep_until(struct platform *p, int64_t until) WARN_UNUSED;

/* The part of struct platform_state that belongs to this file; freed with it. NULL is fine. */
struct work_clock;
void work_clock_free(struct work_clock *s);
