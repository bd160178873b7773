/* stats - what the measuring programs share: giving up, and medians and tails of durations. */
#pragma once

#include "base/base.h"
#include "base/json.h"

/* Ends the program with `what` and errno's text on standard error. */
NORETURN void stats_die(const char *what);

struct stats {
    int64_t *ns;
    size_t n, max;
};

void stats_init(struct stats *s, size_t max);
void stats_done(struct stats *s);
void stats_add(struct stats *s, int64_t ns); /* beyond `max` values are dropped */
/* {"p50":ms,"p95":ms,"p99":ms,"n":N}; sorts. Percentiles of no values are null. */
json_t *stats_json(struct stats *s);
