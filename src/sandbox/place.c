/* place.c - one value per process: init sets it, its forked tools inherit it.
 *
 * Called by init and by the tools it forks, which are single-threaded. The default is what holds
 * inside a sandbox, so that code which is never told anything else is right there; only an init
 * that was executed (foreign.c) is told, by the worker, before anything untrusted runs. */
#include "sandbox/place.h"

#include "sandbox/sandbox.h"

static struct place current = {.home = SANDBOX_HOME, .spool = SANDBOX_SPOOL};

const struct place *place(void)
{
    return &current;
}

void place_set(const char *home, const char *spool, bool shared)
{
    /* Never freed: they are read until the process ends. */
    current =
        (struct place){.home = mem_strdup(home), .spool = mem_strdup(spool), .shared = shared};
}
