/* turn - steps one session until it rests. One fiber per active session runs this; brain.c owns the
 * fibers. */
#pragma once

#include "fiber/sync.h"

struct session_log;
struct model;

/* What a session's fiber and the doorbell share. */
struct turn {
    char session_id[64];
    struct session_log *log;
    struct model *m;
    int64_t retry_base_ms;
    int max_attempts;
    struct waitq bell;    /* woken with `rung` set, and when the model request has ended */
    bool rung;            /* somebody said: look again */
    int64_t resume_at_ns; /* a rescheduled session runs again then (monotonic); 0: at once */
};

/* Returns when the session rests and no ring came since, or when the fiber is cancelled. Suspends.
 * 0 or -ECANCELED. */
int turn_run(struct turn *t);
