/* retry.c - how long to wait.
 *
 * Called by everything that asks the platform again: the claim loop, the lease, the follower, results
 * and the stop. The platform controls the headers: numbers are read to their last digit and bounded,
 * what cannot be read says nothing. A pace is a bucket kept as a point in time: every request moves it
 * on by one share, and as long as it lies no further ahead than the burst, the next one may go at
 * once. */
#include "worker/retry.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"

#include <string.h>

int64_t backoff_next_ms(struct backoff *b, int64_t retry_after)
{
    unsigned shift = b->tries < 20 ? b->tries : 20;
    int64_t ceiling = b->base_ms << shift;
    if (ceiling > b->cap_ms)
        ceiling = b->cap_ms;
    b->tries++;
    int64_t d = ceiling / 2 + (int64_t)rng_below((uint64_t)(ceiling / 2 + 1));
    return retry_after > d ? retry_after : d;
}

int64_t backoff_before_ms(struct backoff *b, int64_t retry_after, int64_t left_ms)
{
    int64_t least = retry_after > b->base_ms / 2 ? retry_after : b->base_ms / 2;
    int64_t most = left_ms / 4 > least ? left_ms / 4 : least;
    int64_t d = backoff_next_ms(b, retry_after);
    return d < most ? d : most;
}

/* "12", "0.5", in units of `unit_ms`; -1 for anything else. A number too large is the largest. */
static int64_t read_number(const char *s, int64_t unit_ms)
{
    size_t whole = strspn(s, "0123456789");
    const char *rest = s + whole;
    size_t digits = *rest == '.' ? strspn(rest + 1, "0123456789") : 0;
    if (whole == 0 || (*rest && (digits == 0 || rest[1 + digits] != '\0')))
        return -1;
    uint64_t n;
    if (str_to_u64(s, whole, RETRY_AFTER_MAX_MS / (uint64_t)unit_ms, &n) < 0)
        return RETRY_AFTER_MAX_MS;
    int64_t ms = (int64_t)n * unit_ms;
    int64_t tenth = unit_ms / 10; /* microseconds do not matter: finer digits are dropped */
    for (size_t i = 0; i < digits && tenth > 0; i++, tenth /= 10)
        ms += (rest[1 + i] - '0') * tenth;
    return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
}

int64_t retry_after_ms(const char *as_ms, const char *value, const char *date, int64_t now_us)
{
    int64_t ms = as_ms ? read_number(as_ms, 1) : -1;
    if (ms < 0 && value)
        ms = read_number(value, 1000);
    int64_t then_us, from_us;
    if (ms >= 0 || !value || time_parse_http(value, &then_us) < 0)
        return ms;
    if (!date || time_parse_http(date, &from_us) < 0)
        from_us = now_us;
    ms = (then_us - from_us) / 1000;
    return ms < 0 ? 0 : ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
}

void pace_init(struct pace *p, unsigned burst, unsigned per_second)
{
    int64_t every_ns = NS_PER_S / per_second;
    *p = (struct pace){.every_ns = every_ns, .burst_ns = every_ns * burst};
}

int64_t pace_next_ms(struct pace *p, int64_t now_ns)
{
    if (p->spent_until_ns < now_ns)
        p->spent_until_ns = now_ns;
    p->spent_until_ns += p->every_ns;
    int64_t ahead_ns = p->spent_until_ns - now_ns - p->burst_ns;
    return ahead_ns <= 0 ? 0 : (ahead_ns + NS_PER_MS - 1) / NS_PER_MS;
}
