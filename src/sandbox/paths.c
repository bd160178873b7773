/* paths.c - one value per process: init sets it, its forked tools inherit it.
 *
 * Called by init and by the tools it forks, which are single-threaded. The default is what holds
 * inside a sandbox, so that code which is never told anything else is right there; only an init
 * that was executed (init/standalone.c) is told, by the worker, before anything untrusted runs. */
#include "sandbox/paths.h"

#include "sandbox/sandbox.h"

static struct paths current = {.home = SANDBOX_HOME, .spool = SANDBOX_SPOOL};

const struct paths *paths(void)
{
    return &current;
}

void paths_set(const char *home, const char *spool, bool shared)
{
    /* Never freed: they are read until the process ends. */
    current =
        (struct paths){.home = mem_strdup(home), .spool = mem_strdup(spool), .shared = shared};
}
