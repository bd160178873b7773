/* child - the process that becomes a program of `sallyport exec`, and what it tells init. */
#pragma once

#include "base/base.h"

struct cgroup_entry;

#define CHILD_STREAMS 3

/* What it tells through its pipe: the number of the program and that it has been stopped (both from
 * the leader of a terminal's session), or what kept the program from starting. */
enum child_stage { CHILD_NUMBER, CHILD_STOPPED, CHILD_SETUP, CHILD_CWD, CHILD_EXEC };
struct child_report {
    int stage, code; /* the number, the signal, or an errno */
};

/* What it is to do. All borrowed. */
struct child_plan {
    char **argv, **env;
    const char *cwd;
    int stream[CHILD_STREAMS];        /* descriptors for 0 to 2; -1: /dev/null */
    int terminal;                     /* which of the streams is on a terminal; -1: none */
    const struct cgroup_entry *entry; /* the group it enters first */
    uint64_t processes;               /* as many as the user may have */
    uint64_t ignored, blocked;        /* signals of the program: bit N - 1 for signal N */
    mode_t umask;
};

/* Runs in a fresh fork of init; does not return. Reports go to `report_fd`, which executing the
 * program closes. */
NORETURN void child_run(const struct child_plan *p, int report_fd);
