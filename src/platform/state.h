/* state - what the API keeps in memory between calls. Loses nothing when it is gone. */
#pragma once

#include "base/map.h"
#include "platform/platform.h"

struct platform_state {
    struct map api_keys;     /* SHA-256 hex -> heap copy of the key's id; never revoked (auth.c) */
    struct map last_used;    /* environment key id -> int64_t *, when last_used_at was written */
    struct work_state *work; /* clock of leases, workers seen (work_reaper.c); made on first use */
    struct pool *parser;     /* thread for large request bodies (api.c); made on first use */
    struct map inflight;     /* scope + key of running idempotent calls -> struct idem_inflight * */
};
struct platform_state *platform_state(struct platform *p); /* never NULL */
