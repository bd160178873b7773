/* phase.c - how far the worker is on its way out.
 *
 * One struct phase for the whole worker, written by worker_stop alone (a first signal: draining, a
 * second one: stopping) and read by every session on its own fiber. It only ever moves forward.
 * Nothing here suspends. */
#include "worker/phase.h"
#include "base/time.h"
#include "fiber/fiber.h"

bool phase_must_leave(const struct phase *p)
{
    return p->at == WORKER_STOPPING || fiber_cancelled() ||
           (p->at == WORKER_DRAINING && time_mono_ns() >= p->drain_until_ns);
}

int64_t phase_shield_ms(const struct phase *p)
{
    return p->at == WORKER_STOPPING ? PHASE_STOP_NOW_MS : PHASE_STOP_MS;
}
