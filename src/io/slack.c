/* slack.c - malloc_trim at a good moment.
 *
 * Handshakes and requests leave holes between what their connections keep, and glibc gives back the heap's end
 * alone, so after a burst a process stays as large as it was at its worst. malloc_trim gives back the pages
 * of holes, too. It walks the whole heap meanwhile: half a millisecond for each MiB that is free, 80 ms after four
 * thousand connections at once. So it runs when nothing comes or goes (what comes would fill the holes
 * again), and not for a handful. */
#include "io/slack.h"

#include "fiber/fiber.h"
#include "fiber/scheduler.h"

#include <malloc.h>

#define CALM_MS   5000
#define TURNS_MIN 64 /* fewer leave little behind */

int slack_run(void *slack)
{
    const struct slack *s = slack;
    uint64_t before = 0, given = 0;
    int r;
    while ((r = fiber_sleep_ms(CALM_MS)) >= 0) {
        if (s->turns == before && s->turns - given >= TURNS_MIN) {
            fiber_excuse_hold();
            (void)malloc_trim(0);
            given = s->turns;
        }
        before = s->turns;
    }
    return r == -ECANCELED ? 0 : r;
}
