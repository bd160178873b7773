/* fiber_switch - what one switch between two fibers costs.
 *
 * A ring of fibers of one thread yield to each other: each yield is one trip through the ready
 * queue and one switch; the scheduler's own turn is shared by the ring. Prints the median of
 * several rounds as "fiber_switch_ns N". Judges nothing. */
#include "base/time.h"
#include "fiber/fiber.h"

#include <stdio.h>
#include <time.h>

#define ROUNDS 9
#define FIBERS 8
#define YIELDS 500000

static int spin(void *arg)
{
    int *left = arg;
    while ((*left)-- > 0) {
        if (fiber_yield() < 0)
            return -1;
    }
    return 0;
}

static int64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    double ns[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        struct scope s;
        scope_init(&s);
        int left[FIBERS];
        for (int k = 0; k < FIBERS; k++) {
            left[k] = YIELDS;
            if (fiber_spawn(&s, "ring", spin, &left[k], NULL) < 0)
                return 1;
        }
        struct fiber_stats before, after;
        fiber_get_stats(&before);
        int64_t start = cpu_ns();
        if (scope_join(&s) < 0)
            return 1;
        int64_t took = cpu_ns() - start;
        fiber_get_stats(&after);
        ns[i] = (double)took / (double)(after.switches - before.switches);
    }
    qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
    printf("fiber_switch_ns %.1f\n", ns[ROUNDS / 2]);
    fiber_thread_done();
    return 0;
}
