/* procs - the processes of this sandbox, as init sees them in /proc: which exist, how much they
 * hold, and how to end exactly those that a call has started. */
#pragma once

#include "base/base.h"
#include <sys/types.h>

struct proc_id {
    pid_t pid, parent;
    uint64_t start; /* start time in clock ticks: tells a reused pid apart */
    bool stopped;   /* by a signal or a tracer */
};

/* A list of processes. Grows as needed up to what a pid namespace with our limits can hold. */
struct procs {
    struct proc_id *ids;
    size_t n, cap;
};

void procs_done(struct procs *p);

/* All living processes but init and zombies (a process whose first thread alone has ended is not
 * one). 0 or -errno. */
int procs_list(struct procs *ret) WARN_UNUSED;
bool procs_has(const struct procs *p, struct proc_id id);

/* Ends every process that is not in `spare` nor descends from one that is, until none is left:
 * children forked meanwhile included. Calls reap(arg) between rounds (init must collect its
 * children). When they fork faster than they can be named, everything is stopped for a moment, the
 * spared too. Returns 0, or 1 when only ending everything helped. Takes a fraction of a second, and
 * up to two more while what it has killed is still giving back its memory. */
int procs_kill_others(struct procs *spare, void (*reap)(void *arg), void *arg);

/* Ends every process but init, and waits until they are gone, two seconds at most. */
void procs_kill_all(void (*reap)(void *arg), void *arg);

/* What all processes but init use together. */
struct procs_usage {
    uint64_t memory_bytes;       /* anonymous */
    uint64_t processes, threads; /* zombies included: they count against the limit, too */
    uint64_t files;              /* open, each descriptor for itself; 0 before Linux 6.2 */
};
void procs_usage(struct procs_usage *ret);

/* The fields of /proc/PID/stat that matter here; -E_PARSE when the text does not look like one. */
struct procs_stat {
    char state;
    pid_t parent;
    uint64_t threads, start;
};
int procs_parse_stat(const char *text, struct procs_stat *ret) WARN_UNUSED;
