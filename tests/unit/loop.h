/* loop - cases that run on a fiber: each has a loop of its own, and ends with it. */
#pragma once

#include "unit/unit.h"
#include "io/loop.h"

/* Runs `fn` on a new loop; the test fails when it does not return 0. */
static inline void run_on_loop(int (*fn)(void *arg), void *arg)
{
    assert_int_equal(loop_init(), 0);
    assert_int_equal(loop_run(fn, arg), 0);
    loop_done();
}

/* Makes a case of the function `f(NULL)`, for CASE(f). */
#define ON_LOOP(f)                                                                                 \
    static void case_##f(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        run_on_loop(f, NULL);                                                                      \
    }
