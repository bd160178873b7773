/* retry - when to ask again, and how often to ask at all: back-off after failures, the platform's
 * Retry-After, and a pace that keeps below its limits whatever it answers. Pure: the clock comes in. */
#pragma once

#include "base/base.h"

/* Exponential back-off with full jitter: the k-th delay is drawn from (base/2 .. base] * 2^k, at
 * most cap. */
struct backoff {
    int64_t base_ms, cap_ms;
    unsigned tries;
};
/* What the platform asks for (-1: nothing) is obeyed where it is longer, beyond the cap too. */
int64_t backoff_next_ms(struct backoff *b, int64_t retry_after_ms);
/* The same before something ends in `left_ms`: a quarter of that at most, so that several tries fit,
 * but no less than half of the base, or what the platform asks for. */
int64_t backoff_before_ms(struct backoff *b, int64_t retry_after_ms, int64_t left_ms);

#define RETRY_AFTER_MAX_MS 3600000 /* who asks for more is asked again after an hour */

/* Reads Retry-After (RFC 9110 10.2.3) as it is met: seconds, also with a fraction, or a date in any
 * of HTTP's three forms. A date is measured from the answer's own `date`, so that our clock may be
 * wrong; NULL or unreadable: from `now_us`. `as_ms`: the value of "retry-after-ms", which wins. NULL
 * where a header is absent. Milliseconds, 0 to RETRY_AFTER_MAX_MS; -1 when nothing usable is said. */
int64_t retry_after_ms(const char *as_ms, const char *value, const char *date, int64_t now_us);

/* At most `burst` requests at once, and then so many a second. */
struct pace {
    int64_t every_ns, burst_ns; /* one request's share of time; how much of it can be saved up */
    int64_t spent_until_ns;
};
void pace_init(struct pace *p, unsigned burst, unsigned per_second);
/* Counts one request as made now. Returns how long to wait, in ms, before the next one. */
int64_t pace_next_ms(struct pace *p, int64_t now_ns);
