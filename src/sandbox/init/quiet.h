/* quiet - whether what a command or program has left running is about to end: `tee` behind a
 * process substitution, the last stage of a pipe, a child that still flushes. */
#pragma once

#include "base/base.h"
#include "sandbox/init/procs.h"

struct quiet_process;

/* What is waited for. All borrowed. */
struct quiet_scope {
    const struct procs *except; /* processes that do not count; NULL: none */
    pid_t also_except;          /* one more; 0: none */
    /* Only processes count that hold one of these open, as links below /proc/PID/fd show them;
     * both NULL: all count. */
    const char *held[2];
    int64_t cpu_ms, wall_ms; /* how long they may go on: processor time of all, and in all */
};

struct quiet {
    bool on;
    struct quiet_scope scope;
    struct quiet_process *seen; /* by the last look */
    size_t n;
    int64_t used_ns, until_ns;
    int64_t next_ns; /* when to look again */
    int64_t step_ns;
};

/* Begins to wait. */
void quiet_begin(struct quiet *q, const struct quiet_scope *scope);
/* Looks, when it is time. True when the wait is over, and `on` is false then: nobody is left,
 * nobody who is left does anything, or their time is up. */
bool quiet_over(struct quiet *q);
void quiet_done(struct quiet *q);
