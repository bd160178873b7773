/* phase - how far the whole worker is on its way out, and what that leaves time for. */
#pragma once

#include "base/base.h"

#define PHASE_STOP_MS     10000 /* for the last messages to the platform, even when cancelled */
#define PHASE_STOP_NOW_MS 3000  /* the same after a second signal */

enum worker_phase { WORKER_SERVING, WORKER_DRAINING, WORKER_STOPPING };

struct phase {
    enum worker_phase at;
    int64_t drain_until_ns; /* when running calls are cut off; meaningful from WORKER_DRAINING on */
};
/* Whether what runs now has to be cut off: the worker stops, its grace period is over, or the
 * running fiber is cancelled. */
bool phase_must_leave(const struct phase *p);
/* How long the last messages to the platform may take. */
int64_t phase_shield_ms(const struct phase *p);
